"""The convolutional head of ``positional`` agrees with plain torch, and gives back planted positions."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from encoding import fit as fit_all
from encoding.backbones import Backbone
from encoding.backbones._maps import FeatureMap, feature_map
from encoding.fits.plan import plan
from encoding.prediction.predict import predict
from encoding.readouts import READOUTS, BadOption, Training
from encoding.readouts._map_trunk import map_trunk
from encoding.readouts._network import Shape
from encoding.readouts._options import key_values
from encoding.readouts._vertex_head import ConvHead, PlaceConv
from encoding.readouts.positional import encode
from tests.conftest import TINY, TinyStimuli
from tests.readout_problems import fit

POSITIONAL = READOUTS["positional"]
SMALL = {"trunk": "identity", "head": "conv", "channels": 16, "n_frequencies": 3, "conv_dropout": 0, "own_weights": False}
PLACES = np.random.default_rng(0).uniform(-60, 60, (40, 3))


def train(X, Y, positions=PLACES, **options):
    options = POSITIONAL.read(SMALL | options)
    fold = np.arange(len(X)) % POSITIONAL.n_folds(options)
    return POSITIONAL.fit(Training.of(X, Y, fold, positions=positions), options)


@pytest.mark.parametrize("kernel_size", [1, 5])
def test_a_layer_is_conv1d_over_vertices_of_the_input_and_the_positions_side_by_side(kernel_size):
    torch.manual_seed(0)
    ours, waves, x, vector = PlaceConv(7, 4, 6, kernel_size), torch.randn(4, 12), torch.randn(3, 7, 12), torch.randn(3, 7)
    plain = nn.Conv1d(11, 6, kernel_size, padding="same", padding_mode="replicate")
    plain.load_state_dict(ours.state_dict())
    for given, spread in ((x, x), (vector, vector[:, :, None].expand(-1, -1, 12))):
        torch.testing.assert_close(ours(given, waves), plain(torch.cat([spread, waves.expand(3, -1, -1)], 1)), atol=1e-5, rtol=1e-5)


def head(residual=False, kernel_size=3, n_layers=6, dropout=0.2):
    torch.manual_seed(1)
    options = {"channels": 8, "kernel_size": kernel_size, "dropout": dropout, "residual": residual, "leak": 0.01, "own_weights": True}
    made = ConvHead(encode(PLACES, 2), 5, n_layers=n_layers, **options)
    nn.init.normal_(made.layers[-1].weight)
    nn.init.normal_(made.own)
    return made


@pytest.mark.parametrize("residual", [False, True])
def test_six_layers_with_dropout_or_a_skip_connection_every_two(residual):
    """The same network layer by layer in plain torch."""
    ours, z = head(residual, dropout=0).train(), torch.randn(9, 5)
    waves = torch.from_numpy(encode(PLACES, 2).T).expand(9, -1, -1)
    x = z[:, :, None].expand(-1, -1, 40)
    entered = None
    for number, layer in enumerate(ours.layers[:-1], 1):
        plain = nn.Conv1d(layer.in_channels, 8, 3, padding="same", padding_mode="replicate")
        plain.load_state_dict(layer.state_dict())
        before = ours.widened(z)[:, :, None] if residual and number == 1 else x
        entered = before if number % 2 else entered
        x = nn.LeakyReLU(0.01)(nn.BatchNorm1d(8)(plain(torch.cat([x, waves], 1))))
        x = x + entered if residual and number % 2 == 0 else x
    last = nn.Conv1d(8 + 12, 1, 3, padding="same", padding_mode="replicate")
    last.load_state_dict(ours.layers[-1].state_dict())
    torch.testing.assert_close(ours(z), last(torch.cat([x, waves], 1))[:, 0] + z @ ours.own.T, atol=1e-4, rtol=1e-4)
    assert (ours.widened is not None) == residual


def test_dropout_stands_after_every_second_layer():
    seen = []
    made = head()
    made.dropout.register_forward_hook(lambda module, given, out: seen.append((out == 0).float().mean().item()))
    made.train()(torch.randn(50, 5))
    assert len(seen) == 2 and all(0.15 < share < 0.25 for share in seen)


@pytest.mark.parametrize("residual", [False, True])
def test_some_vertices_get_what_they_get_among_all(residual, monkeypatch):
    made, z = head(residual).eval(), torch.randn(5, 5)
    for parameter in made.norms.parameters():
        nn.init.uniform_(parameter, 0.5, 1.5)
    whole = made(z)
    for columns in (np.array([3]), np.array([39, 20, 21]), slice(30, 40), slice(0, 0)):
        torch.testing.assert_close(made.columns(z, columns), whole[:, columns], atol=1e-5, rtol=1e-4)
    monkeypatch.setattr("encoding.readouts._vertex_head.FORWARD_NUMBERS", 1)  # one image at a time
    torch.testing.assert_close(made(z), whole, atol=1e-5, rtol=1e-4)


def of_pieces(made, z):
    """The head's training pass in pieces of two images, each kept whole: what passing them again has to agree with."""
    return torch.cat([made._of(piece, slice(0, made.n_targets)) for piece in z.split(2)])


def test_pieces_passed_again_for_their_gradients_change_no_number(monkeypatch):
    z, gradients, statistics = torch.randn(5, 5), [], []
    for forward in (of_pieces, lambda made, z: made(z)):
        made = head(residual=True)
        monkeypatch.setattr("encoding.readouts._vertex_head.TRAINING_NUMBERS", 2 * made.layers[0].out_channels * made.n_targets)
        torch.manual_seed(4)
        nn.init.normal_(made.layers[-1].weight)
        given = z.clone().requires_grad_()
        torch.manual_seed(3)
        forward(made.train(), given).square().sum().backward()
        gradients.append([given.grad, *(each.grad for each in made.parameters())])
        statistics.append([each.clone() for norm in made.norms for each in (norm.running_mean, norm.running_var)])
    torch.testing.assert_close(gradients[0], gradients[1])
    torch.testing.assert_close(statistics[0], statistics[1])


def test_training_on_19004_vertices_holds_no_more_for_more_images(monkeypatch):
    t, held = 19_004, {}
    vertices = np.sort(np.random.default_rng(0).choice(163_842, t, replace=False))
    places = np.stack([np.cos(vertices), np.sin(vertices), vertices / 163_842], 1).astype(np.float32)
    made = POSITIONAL._conv_head(encode(places, 1), 3, POSITIONAL.read({"head": "conv", "channels": 2, "own_weights": False})).train()
    for limit in (2 * 2 * t, 40_000_000):
        monkeypatch.setattr("encoding.readouts._vertex_head.TRAINING_NUMBERS", limit)
        for n in (4, 8):
            tensors = {}

            def keep(tensor, tensors=tensors):
                tensors[tensor.untyped_storage().data_ptr()] = tensor
                return tensor

            with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
                predicted = made(torch.randn(n, 3))
            assert predicted.shape == (n, t)
            held[limit, n] = sum(each.untyped_storage().nbytes() for each in tensors.values())
    assert held[2 * 2 * t, 8] - held[2 * 2 * t, 4] < 8 * t  # beside the outputs nothing
    assert held[40_000_000, 8] - held[40_000_000, 4] > 4 * 4 * 2 * 5 * t  # a tensor or more of every layer


def test_the_network_gives_back_the_position():
    """Image i asks for a mix of the three coordinates; the network, without weights of a vertex's own, has to know them."""
    X = np.random.default_rng(1).normal(size=(100, 3)).astype(np.float32)
    Y = (X @ PLACES.T).astype(np.float32)
    options = {"n_epochs": 15, "patience": 15, "batch_size": 10, "learning_rate": 2e-2, "decimals": None, "decay_by": 0.5}
    errors = {}
    for name, places in (("known", PLACES), ("one place for all", np.zeros_like(PLACES))):
        model = train(X, Y, places, **options)
        asked = np.eye(3, dtype=np.float32)
        given_back = (model.predict(asked) - model.predict(-asked)) / 2
        errors[name] = np.linalg.norm(given_back.T - PLACES, axis=1).mean()
    assert errors["known"] < 15 and errors["one place for all"] > 40, errors  # in millimetres, in a box of 120


def test_a_model_survives_a_store_bit_for_bit_and_predicts_some_vertices(store):
    rng = np.random.default_rng(2)
    X, Y = rng.normal(size=(60, 6)).astype(np.float32), (100 + 5 * rng.normal(size=(60, 40))).astype(np.float32)
    Y[:, 7] = 3.0
    model = train(X, Y, n_epochs=3, trunk="mlp", hidden_1=8, hidden_2=8, own_weights=True, conv_residual=True)
    arrays = store.memo("weights-positional", model.arrays, {})
    back = POSITIONAL.restore(arrays, None)
    whole = model.predict(X)
    np.testing.assert_array_equal(back.predict(X), whole)
    np.testing.assert_array_equal(back.predict(X, np.array([7, 2]))[:, 0], 3.0)
    np.testing.assert_allclose(back.predict_from(back.basis(X), np.array([30, 2])), whole[:, [30, 2]], rtol=1e-5)
    assert whole.dtype == np.float32 and set(back.details) == set(model.details)


def test_what_the_head_adds_is_in_no_key_where_it_is_as_before():
    before = {"hidden_position", "n_frequencies", "own_weights"}
    assert before <= set(key_values(POSITIONAL.read({}))) and not {"trunk", "head", "channels"} & set(key_values(POSITIONAL.read({})))
    assert key_values(POSITIONAL.read({"head": "conv"}))["head"] == "conv"


def test_the_estimate_counts_the_convolutions_of_every_image():
    options = POSITIONAL.read(SMALL)
    assert POSITIONAL.trunk(Shape(30), options).n_hidden == 30 and POSITIONAL.n_weights(Shape(30), options) == (0, 30)
    few, many = (POSITIONAL.cost(1000, 30, t, options) for t in (100, 10_000))
    assert many[0] > 90 * few[0] and many[1] > 4 * 5 * 16 * 10_000 * options.batch_size


class Maps(Backbone):
    """Features of an image: its pixels at a quarter of the size, channel by channel or place by place."""

    fingerprint = "maps"

    def prepare(self, image):
        return torch.from_numpy(np.asarray(image.resize((16, 16)), np.float32).transpose(2, 0, 1) / 255)

    def activations(self, batch, layers, pool="none"):
        if pool == "grid:4":
            return {layer: nn.functional.adaptive_avg_pool2d(batch, 4).flatten(1) for layer in layers}
        whole = {"maps": batch, "tokens": batch.permute(0, 2, 3, 1), "prefixed": batch.flatten(1)[:, 3:]}
        return {layer: batch.mean((2, 3)) if pool == "mean" else whole[layer].flatten(1) for layer in layers}

    def to(self, device):
        return self


class SmallMaps(Maps):
    """The same of 8 x 8 places."""

    def prepare(self, image):
        return super().prepare(image)[:, :8, :8]


def test_maps_are_found_whatever_stands_last_and_refused_where_they_are_none():
    assert feature_map(Maps(), "maps", "none") == FeatureMap(3, 16, 16)
    assert feature_map(Maps(), "tokens", "none") == FeatureMap(3, 16, 16, channels_last=True)
    assert feature_map(Maps(), "maps", "grid:4") == FeatureMap(3, 4, 4)
    for layer, pool in (("prefixed", "none"), ("maps", "mean")):
        with pytest.raises(ValueError, match="is no square map of places"):
            feature_map(Maps(), layer, pool)


def test_a_convolutional_trunk_sees_what_moves_about(store):
    """Responses to upright bars, wherever they are and light or dark, not to lying ones: nothing that is linear in the features."""
    rng, n, learned = np.random.default_rng(3), 360, slice(0, 300)
    X, upright = rng.normal(0.5, 0.02, (n, 3, 8, 8)).astype(np.float32), rng.random(n) < 0.5
    for image, (row, column), up, change in zip(X, rng.integers(0, 5, (n, 2)), upright, rng.choice([-0.4, 0.4], n), strict=True):
        bar = (slice(row, row + 4), column) if up else (row, slice(column, column + 4))
        image[(slice(None), *bar)] += change
    flat, Y = X.reshape(n, -1), (upright[:, None] * np.linspace(1, 2, 40)).astype(np.float32)
    chosen = {"trunk": "conv", "head": "weights", "hidden_2": 16, "trunk_convs": 2, "trunk_channels": 16, "dropout_2": 0}
    options = POSITIONAL.read(SMALL | chosen | {"n_epochs": 12, "patience": 12, "batch_size": 20, "learning_rate": 1e-2, "decimals": None})
    given = {"positions": PLACES, "open_backbone": SmallMaps, "layers": ("maps",)}
    model = POSITIONAL.fit(Training.of(flat[learned], Y[learned], np.arange(300) % 10, **given), options)
    predicted, linear = model.predict(flat[300:]), fit("ridge", flat[learned], Y[learned]).predict(flat[300:])
    r = [np.corrcoef(each[:, 0], Y[300:, 0])[0, 1] for each in (predicted, linear)]
    assert r[0] > 0.9 and r[1] < 0.4, r
    np.testing.assert_array_equal(POSITIONAL.restore(store.memo("weights-map", model.arrays, {}), None).predict(flat[300:]), predicted)
    tokens = map_trunk((3, 8, 8, 1), 2, 8, 16, dropout=0, leak=0.01)
    plain = map_trunk((3, 8, 8, 0), 2, 8, 16, dropout=0, leak=0.01)
    nn.Sequential(*tokens).load_state_dict(nn.Sequential(*plain).state_dict())
    last = torch.from_numpy(X[:9].transpose(0, 2, 3, 1).reshape(9, -1))
    torch.testing.assert_close(nn.Sequential(*tokens)(last), nn.Sequential(*plain)(torch.from_numpy(flat[:9])))
    n_weights = 16 * model.trunk[2].weight.numel() + 4 * model.trunk[5].weight.numel() + model.trunk[9].weight.numel()
    assert POSITIONAL.n_weights(Shape(192, 1, (3, 8, 8, 0)), options) == (n_weights, 16)
    with pytest.raises(ValueError, match=r"needs the features as they are: a map \(3, 8, 8\), not 191 components"):
        POSITIONAL.fit(Training.of(flat[learned, 1:], Y[learned], np.arange(300) % 10, **given), options)


def test_a_map_wants_the_features_of_one_layer_as_they_are(tiny, store):
    spec = replace(TINY, readout="positional", options={"trunk": "conv"})
    for changed in ({}, {"reduction": "none", "layers": ("pixels", "colour")}, {"reduction": "sparse_random", "n_components": 3}):
        with pytest.raises(BadOption, match="convolves over the places of one layer"):
            plan(replace(spec, **changed), store)


def test_both_convolutions_in_a_whole_fit_on_real_vertices(tiny, store):
    vertices = np.sort(np.random.default_rng(0).choice(163_842, 10, replace=False))
    tiny.change(vertices={"lh": vertices, "rh": vertices}, stimuli=tiny.subject.stimuli)
    chosen = {"trunk": "conv", "head": "conv", "trunk_channels": 4, "channels": 4, "hidden_2": 4, "kernel_size": 3}
    network = {"backbone": "torchvision/squeezenet1_1", "layers": ("features.4",), "weights": "random:0", "input": "resize:64"}
    spec = replace(TINY, **network, reduction="none", hemi="lh")
    result = fit_all(replace(spec, readout="positional", options=chosen | {"n_epochs": 2, "trunk_convs": 2}), store, device="cpu")
    again = TinyStimuli(tiny.subject.stimuli.pixels[result.plan.folds[0].test])
    np.testing.assert_allclose(predict(result, again)["lh"], result.predicted("lh", np.arange(10)), rtol=1e-4)
