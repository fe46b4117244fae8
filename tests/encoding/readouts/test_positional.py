"""The convolutional head of ``positional`` agrees with plain torch, and gives back planted positions."""

import numpy as np
import pytest
import torch
from torch import nn

from encoding.readouts import READOUTS, Training
from encoding.readouts._network import Shape
from encoding.readouts._options import key_values
from encoding.readouts._vertex_head import ConvHead, PlaceConv
from encoding.readouts.positional import encode

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
