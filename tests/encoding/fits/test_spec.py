import argparse
import json
import math
import shlex
from dataclasses import asdict, fields, replace

import numpy as np
import pytest

from encoding import fit
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


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_components": True}, "n_components must be a whole number, not True."),
        ({"n_components": 10.5}, "n_components must be a whole number, not 10.5."),
        ({"n_components": math.nan}, "n_components must be a whole number, not nan."),
        ({"n_components": math.inf}, "n_components must be a whole number, not inf."),
        ({"n_components": "10"}, "n_components must be a whole number, not '10'."),
        ({"frames": 2.5}, "frames must be a whole number, not 2.5."),
        ({"degree": None}, "degree must be a whole number, not None."),
        ({"layers": None}, "layers must be text or a list of texts, not None."),
        ({"layers": 3}, "layers must be text or a list of texts, not 3."),
        ({"rois": [1]}, "rois must be text or a list of texts, not [1]."),
        ({"backbone": None}, "backbone must be text, not None."),
        ({"split": ("kfold", 5)}, "split must be text, not ('kfold', 5)."),
        ({"input": None}, "input must be text, not None."),
        ({"pool": 3}, "pool must be text, not 3."),
        ({"options": None}, "options must be a dict of parameters of the readout, such as {'alpha': 10}, not None."),
        ({"options": [1]}, "options must be a dict of parameters of the readout, such as {'alpha': 10}, not [1]."),
        ({"options": {1: 2}}, "The name of a parameter must be text, not 1."),
        ({"delays": 3}, "Delays are numbers of samples from 0, such as 1,2,3,4, or [1, 2, 3, 4]; not 3."),
        ({"feature_budget": True}, "feature_budget must be a number of GB from 0, or none for no limit; not True."),
    ],
    ids=str,
)
def test_a_value_of_another_kind_is_refused_in_a_sentence(wrong, message):
    with pytest.raises(ValueError) as refused:
        FitSpec(**wrong)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ({"n_components": 10.0}, {"n_components": 10}),
        ({"n_components": np.int64(10)}, {"n_components": 10}),
        ({"frames": np.float32(4)}, {"frames": 4}),
        ({"degree": 2.0}, {"degree": 2}),
        ({"layers": "energy"}, {"layers": ("energy",)}),
        ({"rois": "V1v"}, {"rois": ("V1v",)}),
        ({"extra_subjects": np.array(["subj02"])}, {"extra_subjects": ("subj02",)}),
        ({"readout": np.str_("ols")}, {"readout": "ols"}),
        ({"average_repeats": np.bool_(True)}, {"average_repeats": True}),
        ({"feature_budget": np.float64(0.5)}, {"feature_budget": 0.5}),
        ({"options": {"alpha": np.float32(0.5)}}, {"options": {"alpha": 0.5}}),
        ({"options": {"alphas": np.array([1.0, 10.0])}}, {"options": {"alphas": (1.0, 10.0)}}),
        ({"options": {"alphas": [np.int64(1), 10]}}, {"options": {"alphas": (1, 10)}}),
    ],
    ids=str,
)
def test_what_numpy_computed_is_the_same_spec_under_the_same_key(given, plain):
    spec, same = FitSpec(**given), FitSpec(**plain)
    assert spec == same and hash(spec) == hash(same) and spec.to_python() == same.to_python()
    assert json.dumps(spec.for_digest()) == json.dumps(same.for_digest())


def test_a_dict_with_one_layer_as_text_is_of_one_layer():
    assert FitSpec.from_dict({"layers": "energy"}) == FitSpec(layers=("energy",))
    with pytest.raises(ValueError, match="from a dict of its fields, not from None"):
        FitSpec.from_dict(None)


@pytest.mark.parametrize(
    ("arguments", "message"), [(({}, None), "takes a FitSpec, not {}"), ((FitSpec(), "cache"), "in a Store, not in 'cache'")]
)
def test_fit_says_what_it_takes(arguments, message):
    with pytest.raises(TypeError, match=message):
        fit(*arguments)


def test_an_unknown_field_is_named():
    with pytest.raises(ValueError, match="no field colour"):
        FitSpec.from_dict({"colour": 1})


def test_the_python_snippet_makes_an_equal_spec():
    spec = FitSpec(backbone="torchvision/alexnet", layers=("features.1", "features.4"), options={"alpha": 3.0}, rois=("V1v",))
    line = next(line for line in spec.to_python().splitlines() if line.startswith("result"))
    text = line.removeprefix("result = fit(").removesuffix(", Store())")
    assert eval(text, {"FitSpec": FitSpec}) == spec


VARIED = {
    **{"dataset": "algonauts2021", "backbone": "torchvision/alexnet", "layers": ("features.1", "features.4"), "weights": "random:1"},
    **{"pool": "mean", "frames": 4, "rois": ("V1v",), "feature_budget": 0.12345678},
}


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
    assert all(word in words for word in ("--layer-scaling", "--component-scaling", "--reduction", "--degree", "--feature-budget"))
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
