"""Layers that share a PCA are scaled to equal variance, in the key where it matters; a layer that never varies ends a fit by name."""

from dataclasses import replace

import numpy as np
import pytest

from encoding import FitSpec, fit
from encoding.cli import parser
from encoding.cli.spec_options import spec_from
from encoding.fits.plan import plan
from encoding.readouts import READOUTS
from tests.conftest import TINY, TinyBackbone, TinySource

BOTH = replace(TINY, layers=("pixels", "colour"), n_components=3)


def components_keys(spec, store):
    planned = plan(spec, store)
    return [planned.components_key(planned.folds[0], layers) for layers in planned.spaces]


def test_the_switch_enters_the_key_of_joined_layers_and_of_no_others(tiny, store):
    assert components_keys(BOTH, store) != components_keys(replace(BOTH, layer_scaling="none"), store)
    for spec in (TINY, replace(BOTH, readout="banded_ridge")):
        assert components_keys(spec, store) == components_keys(replace(spec, layer_scaling="none"), store)
        assert spec.for_digest() == replace(spec, layer_scaling="none").for_digest()
        assert "layer_scaling" not in spec.for_digest()


def test_joined_layers_are_scaled_unless_the_spec_says_otherwise(tiny, store):
    scaled, plain = (fit(spec, store, device="cpu") for spec in (BOTH, replace(BOTH, layer_scaling="none")))
    assert not np.allclose(np.abs(scaled.components()), np.abs(plain.components()))


def test_the_switch_survives_a_command_a_dict_and_a_release_without_it():
    spec = FitSpec(layers=("simple", "energy"), layer_scaling="none")
    assert spec_from(parser().parse_args(spec.to_command().split()[3:])) == spec
    assert FitSpec.from_dict(spec.to_dict()) == spec
    former = {name: value for name, value in replace(spec, layer_scaling="equal").to_dict().items() if name != "layer_scaling"}
    assert FitSpec.from_dict(former) == spec  # the first release took joined layers as they are
    assert FitSpec.from_dict(former | {"layers": ["energy"]}).layer_scaling == "equal"
    with pytest.raises(ValueError, match="layer_scaling must be equal, none or zscore, not 'half'"):
        FitSpec(layer_scaling="half")


class Dead(TinyBackbone):
    def activations(self, batch, layers, pool="none"):
        import torch

        return super().activations(batch, layers, pool) | {"colour": torch.full((len(batch), 500), 0.25)}


class DeadSource(TinySource):
    def open(self, network, weights):
        return Dead()


@pytest.mark.parametrize("name", [name for name, readout in READOUTS.items() if readout.uses_components and not readout.in_order])
@pytest.mark.parametrize("layers", [("colour",), ("pixels", "colour")])
def test_a_layer_that_never_varies_is_refused_before_components_are_stored(tiny, store, monkeypatch, name, layers):
    from encoding.backbones import BACKBONES

    monkeypatch.setitem(BACKBONES.sources._members, "tinynet", DeadSource())
    with pytest.raises(ValueError, match="Layer 'colour' gives the same features for every training image"):
        fit(replace(TINY, layers=layers, readout=name, n_components=5), store, device="cpu")
    assert not any(key.startswith(("weights", "moments", "fit")) for key in store.keys())  # noqa: SIM118 - a Store is no dict
