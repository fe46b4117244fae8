"""Laws of every source of networks, over the registry itself. The demanding part of torchvision's is in its own file."""

import functools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from encoding.backbones import BACKBONES, SOURCES, UnknownLayer

SMALL = {
    "torchvision": "torchvision/squeezenet1_1",
    "vonenet": "vonenet/alexnet",
}  # a network that is quick to build, where the first is not
APART = (
    "keras",
    "given",
)  # test_keras.py; tables: tests/encoding/datasets/own/test_given_features.py
NETWORKS = [SMALL.get(source, SOURCES[source].networks()[0]) for source in SOURCES if source not in APART]
each_network = pytest.mark.parametrize("network", NETWORKS)


def opened_anew(network):
    return BACKBONES[network].open(network, "random:0")


opened = functools.cache(opened_anew)  # tests share a network that they leave as it is


@pytest.fixture(scope="module", autouse=True)
def closed():
    yield
    opened.cache_clear()


def pictures(n=3, size=(150, 130)):
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)) for _ in range(n)]


def batch_of(backbone, n=3):
    return torch.stack([backbone.prepare(picture) for picture in pictures(n)])


def test_every_network_is_found_under_its_own_name_and_source():
    for name in BACKBONES:
        assert name in BACKBONES and name in BACKBONES[name].networks()
        assert name.partition("/")[0] == BACKBONES[name].name


@each_network
def test_the_fingerprint_known_before_opening_is_the_opened_ones(network):
    assert BACKBONES[network].fingerprint(network, "random:0") == opened(network).fingerprint


@each_network
def test_other_weights_mean_another_fingerprint_only_where_something_is_learned(network):
    source = BACKBONES[network]
    assert (source.fingerprint(network, "random:0") != source.fingerprint(network, "random:1")) == source.needs_weights


@each_network
def test_curated_layers_are_a_part_of_every_layer_in_the_same_order(network):
    source = BACKBONES[network]
    curated = source.layers(network)
    assert curated and [layer for layer in source.every_layer(network) if layer in curated] == list(curated)


@each_network
def test_features_are_flat_finite_float32_with_a_row_for_each_image(network):
    backbone = opened(network)
    made = backbone.activations(batch_of(backbone), BACKBONES[network].layers(network))
    assert list(made) == list(BACKBONES[network].layers(network))
    for features in made.values():
        assert features.dtype == torch.float32 and features.is_contiguous() and not features.requires_grad
        assert features.ndim == 2 and len(features) == 3 and torch.isfinite(features).all()
        assert not torch.allclose(features[0], features[1])


@each_network
def test_an_image_gives_the_same_features_alone_as_among_others(network):
    backbone, layers = opened(network), BACKBONES[network].layers(network)
    batch = batch_of(backbone)
    together, alone = backbone.activations(batch, layers), backbone.activations(batch[1:2], layers)
    for layer in layers:
        torch.testing.assert_close(together[layer][1:2], alone[layer], rtol=1e-4, atol=1e-5)


@each_network
def test_the_layout_of_passes_gives_the_same_features_one_layer_at_a_time(network):
    backbone, layers, passed = opened_anew(network), BACKBONES[network].layers(network), {}
    batch = batch_of(backbone)
    expected = backbone.activations(batch, layers)
    backbone = backbone.for_passes("cpu")
    backbone.visit(batch, layers, "none", lambda layer, features: passed.update({layer: features}))
    assert set(passed) == set(layers)
    for layer in layers:
        assert passed[layer].is_contiguous()
        torch.testing.assert_close(passed[layer], expected[layer], rtol=0, atol=1e-5 * float(expected[layer].abs().max()))


@each_network
def test_opening_twice_gives_the_same_features_and_leaves_the_global_random_state_alone(network):
    layer = BACKBONES[network].layers(network)[-1]
    torch.manual_seed(1)
    first = opened_anew(network)
    torch.manual_seed(2)
    state = torch.random.get_rng_state()
    second = opened_anew(network)
    assert torch.equal(torch.random.get_rng_state(), state)
    batch = batch_of(first)
    assert torch.equal(first.activations(batch, [layer])[layer], second.activations(batch, [layer])[layer])


@each_network
def test_prepare_is_safe_in_threads_and_leaves_the_picture_alone(network):
    backbone, shown = opened(network), pictures(16)
    before = [picture.tobytes() for picture in shown]
    expected = [backbone.prepare(picture) for picture in shown]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(backbone.prepare, shown))
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))
    assert [picture.tobytes() for picture in shown] == before
    assert expected[0].dtype == torch.float32 and expected[0].shape[0] == 3


@each_network
def test_an_unknown_layer_names_the_nearest(network):
    backbone, source = opened(network), BACKBONES[network]
    layer = source.layers(network)[0]
    for ask in (lambda name: source.check_layers(network, [name]), lambda name: backbone.activations(batch_of(backbone), [name])):
        with pytest.raises(UnknownLayer, match=f"Unknown layer of {network} .{layer}x.[.] Did you mean .{layer}."):
            ask(layer + "x")
