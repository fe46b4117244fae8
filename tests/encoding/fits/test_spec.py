import argparse
import json
import shlex
from dataclasses import asdict, fields, replace

import pytest

from encoding.cli.spec_options import add_spec_arguments, spec_from
from encoding.fits.spec import FitSpec
from encoding.readouts import READOUTS
from encoding.storage.keys import digest


def test_a_spec_survives_json():
    spec = FitSpec(layers=("a", "b"), options={"alpha": 10.0, "n_folds": 3}, rois=("V1v",), hemi="lh")
    assert FitSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_specs_are_hashable_whatever_the_order_of_options():
    assert hash(FitSpec(options={"b": 1, "a": 2})) == hash(FitSpec(options=(("a", 2), ("b", 1))))


@pytest.mark.parametrize("change", [{"version": 2}, {"layer": "b"}, {"stage": "other"}])
def test_a_digest_changes_with_each_of_its_inputs(change):
    inputs = {"stage": "features", "version": 1, "layer": "a"}
    assert digest(**inputs) != digest(**(inputs | change))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"layers": ()}, "at least one layer"),
        ({"n_components": -1}, "0 .no PCA. or more, not -1"),
        ({"hemi": "left side"}, "another block of responses"),
    ],
)
def test_an_impossible_spec_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        FitSpec(**wrong)


def test_an_unknown_field_is_named():
    with pytest.raises(ValueError, match="no field colour"):
        FitSpec.from_dict({"colour": 1})


def test_the_python_snippet_makes_an_equal_spec():
    spec = FitSpec(backbone="torchvision/alexnet", layers=("features.1", "features.4"), options={"alpha": 3.0}, rois=("V1v",))
    line = next(line for line in spec.to_python().splitlines() if line.startswith("result"))
    text = line.removeprefix("result = fit(").removesuffix(", Store())")
    assert eval(text, {"FitSpec": FitSpec}) == spec


VARIED = {"backbone": "torchvision/alexnet", "layers": ("features.1", "features.4"), "pool": "mean", "frames": 4, "rois": ("V1v",)}


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("more", [{}, VARIED], ids=["defaults", "varied"])
def test_commands_that_spell_everything_out_name_the_same_fit(readout, more):
    """Whatever the defaults are, the words hold every field and every parameter, and lead to the same parameters."""
    spec = FitSpec(readout=readout, **more)
    words = shlex.split(spec.to_command(full=True))[4:]
    parser = argparse.ArgumentParser()
    add_spec_arguments(parser)
    parsed = spec_from(parser.parse_args(words))
    run = {}
    exec(
        spec.to_python(full=True).split("result = fit(")[0]
        + "spec = "
        + spec.to_python(full=True).split("fit(", 1)[1].rpartition(", Store()")[0],
        run,
    )
    parameters = asdict(READOUTS[readout].read(dict(spec.options)))
    for found in (parsed, run["spec"]):
        assert {name for name, _ in found.options} == set(parameters)
        assert asdict(READOUTS[readout].read(dict(found.options))) == parameters
        assert replace(found, options=spec.options) == spec
    text = spec.to_python(full=True)
    meant = {field.name for field in fields(FitSpec)} - (set() if spec.has_weights else {"weights"})
    assert all(f"{name}=" in text for name in meant)
    assert spec.has_weights or ("\n    weights=" not in text and "--weights" not in words), "nothing is pretrained in a filter bank"


def test_the_label_of_components_tells_fits_apart_that_differ_in_scaling_or_degree():
    base = FitSpec(layers=("energy", "simple"))
    others = [{}, {"layer_scaling": "none"}, {"layer_scaling": "zscore"}, {"component_scaling": "zscore"}, {"degree": 2}, {"delays": "1,2"}]
    labels = {replace(base, **each).components_label for each in others}
    assert len(labels) == len(others) and base.components_label == "PCA 100"
    both = replace(base, layer_scaling="zscore", component_scaling="zscore", degree=2)
    assert both.components_label == "PCA 100, features z-scored, components z-scored, degree 2"
