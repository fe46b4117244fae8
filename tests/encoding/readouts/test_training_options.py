"""Optimiser, loss, normalisation and early stopping of neural readouts against training loops written out in torch."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from encoding.readouts import READOUTS, Training
from encoding.readouts._examples import batches
from encoding.readouts._layers import hidden
from encoding.readouts._network import Shape
from encoding.readouts._options import key_values
from encoding.readouts._train import _seed
from tests.readout_problems import problem

NEURAL = [name for name, readout in READOUTS.items() if hasattr(readout.options, "loss_scale")]
NEW = {"momentum": 0.5, "loss_scale": "mean", "keep": "r"}
FOLD = np.arange(60) % 5


@pytest.fixture(scope="module")
def data():
    """Components (60, p) and responses (60, t), fold 0 of five for validation."""
    X, Y = (part[:60] for part in problem("well-behaved"))
    return X.astype(np.float32), Y.astype(np.float32)


def trained(data, name="linear_sgd", **options):
    options = {"batch_size": 60, "n_epochs": 6, "patience": 6, "decimals": None, "weight_decay": 0, "decay_by": 1.0} | options
    return READOUTS[name].fit(Training.of(*data, FOLD), READOUTS[name].read(options))


def by_hand(data, optimiser, *, n_epochs=6, batch_size=60, loss=None, schedule=None):
    """Predictions of all rows by one torch linear layer that is trained from 0 on the same batches, and both losses of each epoch."""
    X, Y = data
    learn = FOLD != 0
    X, scale = (X - X[learn].mean(0)) / X[learn].std(0), (Y[learn].mean(0), Y[learn].std(0))
    X, Z = torch.tensor(X), torch.tensor((Y - scale[0]) / scale[1])
    layer = nn.Linear(X.shape[1], Y.shape[1])
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    made, loss, losses = optimiser(layer.parameters()), loss or nn.MSELoss(), []
    schedule = schedule(made) if schedule else None
    for epoch in range(1, n_epochs + 1):
        for rows in batches(np.flatnonzero(learn), batch_size, torch.Generator().manual_seed(_seed(0, epoch))):
            made.zero_grad()
            value = loss(layer(X[rows]), Z[rows])
            value.backward()
            made.step()
        if schedule:
            schedule.step()
        losses.append((value.item(), loss(layer(X[~learn]), Z[~learn]).item()))
    return layer(X).detach().numpy() * scale[1] + scale[0], np.array(losses)


@pytest.mark.parametrize("momentum", [0, 0.9])
def test_sgd_with_the_loss_of_all_vertices_is_torchs_own(data, momentum):
    model = trained(data, optimiser="sgd", loss_scale="mean", momentum=momentum, learning_rate=0.5)
    optimiser = lambda weights: torch.optim.SGD(weights, lr=0.5, momentum=momentum)  # noqa: E731
    np.testing.assert_allclose(model.history["validation_loss"], by_hand(data, optimiser)[1][:, 1], rtol=1e-4)
    predicted, _ = by_hand(data, optimiser, n_epochs=int(model.details["best_epoch"][0]))
    np.testing.assert_allclose(model.predict(data[0]), predicted, rtol=1e-3, atol=1e-3 * np.abs(data[1]).max())


def test_a_learning_rate_of_single_vertices_is_that_of_the_mean_times_their_number(data):
    each = trained(data, optimiser="sgd", learning_rate=0.1)
    mean = trained(data, optimiser="sgd", learning_rate=0.1 * data[1].shape[1], loss_scale="mean")
    np.testing.assert_allclose(each.weights, mean.weights, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("factor", "kind"), [(0.5, "adamw"), (0.75, "adam")])
def test_a_schedule_in_steps_is_torchs_step_lr(data, factor, kind):
    """In steps of two epochs here; the projects' steps are of ten."""
    named = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[kind]
    options = {"optimiser": kind, "learning_rate": 0.1, "weight_decay": 1e-2, "decay_every": 2, "decay_by": factor}
    model = trained(data, loss_scale="mean", batch_size=15, **options)
    _, losses = by_hand(
        data,
        lambda weights: named(weights, lr=0.1, weight_decay=1e-2),
        batch_size=15,
        schedule=lambda made: torch.optim.lr_scheduler.StepLR(made, 2, factor),
    )
    np.testing.assert_allclose(model.history["validation_loss"], losses[:, 1], rtol=1e-3)


def one_less_r(predicted, measured):
    p, m = predicted - predicted.mean(0), measured - measured.mean(0)
    return 1 - ((p * m).mean(0) / ((p.square().mean(0) + 1e-3) * (m.square().mean(0) + 1e-3)).sqrt()).mean()


def test_the_loss_1_minus_r_is_that_of_torch_by_hand(data):
    model = trained(data, optimiser="sgd", loss="1-r", loss_scale="mean", momentum=0, learning_rate=0.5)
    predicted, losses = by_hand(data, lambda weights: torch.optim.SGD(weights, lr=0.5), loss=one_less_r)
    np.testing.assert_allclose(model.history["train_loss"], losses[:, 0], rtol=1e-3)
    r = [np.corrcoef(p, y)[0, 1] for p, y in zip(predicted[FOLD == 0].T, data[1][FOLD == 0].T, strict=True)]
    assert model.history["validation_loss"][-1] == pytest.approx(1 - np.mean(r), abs=1e-3)


def test_the_epoch_of_the_highest_r_may_be_kept_in_place_of_that_of_the_lowest_loss():
    """Loss and r part where steps overshoot: predictions are much too large long before they are wrong in order."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 8)).astype(np.float32)
    Y = (X[:, :3] @ rng.normal(size=(3, 4)) + 2 * rng.normal(size=(60, 4))).astype(np.float32)
    options = {"optimiser": "adam", "learning_rate": 0.3, "n_epochs": 40, "patience": 40}
    by_loss, by_r = (trained((X, Y), keep=keep, **options) for keep in ("loss", "r"))
    np.testing.assert_array_equal(by_loss.history["validation_loss"], by_r.history["validation_loss"])
    losses, r = by_r.history["validation_loss"], by_r.history["validation_r"]
    assert set(by_loss.details["best_epoch"]) == {np.argmin(losses) + 1} != set(by_r.details["best_epoch"]) == {np.argmax(r) + 1}
    assert by_r.details["validation_r"].mean() == pytest.approx(r.max()) and r.max() > by_loss.details["validation_r"].mean()


def test_rounding_keeps_the_first_epoch_of_those_that_are_equal(data):
    rough = trained(data, optimiser="sgd", learning_rate=0.02, momentum=0, n_epochs=30, patience=3, decimals=2)
    losses = np.round(rough.history["validation_loss"], 2)
    best = int(np.flatnonzero(losses == losses.min())[0]) + 1
    assert set(rough.details["best_epoch"]) == {best} and len(losses) <= best + 3


@pytest.mark.parametrize("name", ["linear_sgd", "mlp"])
def test_errors_at_the_kept_epoch_are_in_the_responses_own_unit(data, name):
    scale = np.logspace(-1, 1, data[1].shape[1]).astype(np.float32)
    model = trained((data[0], data[1] * scale), name, learning_rate=1e-2, n_epochs=3)
    X, Y = data[0], data[1] * scale
    expected = ((model.predict(X[FOLD == 0]) - Y[FOLD == 0]) ** 2).mean(0)
    np.testing.assert_allclose(model.details["validation_mse"], expected, rtol=1e-3)
    assert (model.details["train_mse"] > 0).all()
    if name == "linear_sgd":  # one full batch, without dropout: the loss of an epoch is that before its step
        first = trained((X, Y), name, learning_rate=1e-2, n_epochs=1)
        np.testing.assert_allclose(first.details["train_mse"], Y[FOLD != 0].var(0), rtol=1e-3)


def test_batch_norm_stands_before_or_after_the_activation():
    kinds = {
        after: [type(layer) for layer in hidden(4, 3, activation="tanh", batch_norm=True, dropout=0.1, batch_norm_after=after)]
        for after in (0, 1)
    }
    assert kinds == {0: [nn.Linear, nn.BatchNorm1d, nn.Tanh, nn.Dropout], 1: [nn.Linear, nn.Tanh, nn.BatchNorm1d, nn.Dropout]}
    for name in ("mlp", "positional"):
        trunk = READOUTS[name].trunk(Shape(4), READOUTS[name].read({"hidden_1": 3, "hidden_2": 2, "batch_norm_after": True}))
        assert [type(layer) for layer in trunk][1:4] == [nn.Linear, nn.ReLU, nn.BatchNorm1d]


def test_residual_blocks_stand_between_widening_ones():
    deep = READOUTS["deep"]
    options = deep.read({"n_blocks": 3, "width": 8, "residual_between": True, "batch_norm": False})
    trunk = deep.trunk(Shape(5), options)
    sizes = [tuple(part.shape) for part in trunk.parameters() if part.ndim == 2]
    assert sizes == [(8, 5), (8, 8), (10, 8), (10, 10), (12, 10)]
    assert deep.n_weights(Shape(5), options) == (sum(a * b for a, b in sizes), 12)
    assert not any(isinstance(layer, nn.BatchNorm1d) for layer in trunk.modules())
    x = trunk.eval()[1](torch.randn(7, 5))
    assert torch.equal(trunk[2](x), trunk[2].layers(x) + x)


@pytest.mark.parametrize("name", NEURAL)
def test_parameters_that_were_added_later_enter_keys_and_stored_models_only_where_they_differ(name):
    readout = READOUTS[name]
    assert not set(NEW) & set(key_values(readout.read({})))
    assert NEW.items() <= key_values(readout.read(NEW)).items()


@pytest.mark.parametrize("name", ["mlp", "deep", "positional"])
def test_a_stored_network_with_added_parameters_is_restored(data, name):
    readout, more = READOUTS[name], {"batch_norm_after": True} if name != "deep" else {"residual_between": True, "batch_norm": False}
    places = np.random.default_rng(0).normal(size=(data[1].shape[1], 3))
    given = {"n_epochs": 1, **NEW, **more}
    model = readout.fit(Training.of(*data, FOLD, positions=places), readout.read(given))
    assert json.loads(bytes(model.state()["options"])).items() >= given.items()
    stored = model.state() | {"intercept": model.intercept}
    np.testing.assert_array_equal(readout.restore(stored, None).predict(data[0]), model.predict(data[0]))


def test_averaged_predictions_of_frames_are_the_mean_of_those_of_each_frame(data):
    """Of a clip whose frames are the same, and of any clip: the model applied to each frame by itself, standardised as that frame."""
    X, Y = np.concatenate([data[0], data[0][::-1]], axis=1), data[1]
    mlp = READOUTS["mlp"]
    options = mlp.read({"frame_by_frame": True, "hidden_1": 8, "hidden_2": 5, "n_epochs": 2})
    model = mlp.fit(Training.of(X, Y, FOLD, n_frames=2), options)
    standardise, mean_of_frames = model.trunk
    with torch.inference_mode():
        frames = standardise(torch.from_numpy(np.ascontiguousarray(X))).chunk(2, dim=1)
        by_frame = [mean_of_frames.layers(frame).numpy() @ model.weights + model.intercept for frame in frames]
    assert np.abs(by_frame[0] - by_frame[1]).max() > 1e-3
    np.testing.assert_allclose(model.predict(X), np.mean(by_frame, axis=0), rtol=1e-4, atol=1e-4)
    restored = mlp.restore(model.state() | {"intercept": model.intercept}, None)
    np.testing.assert_array_equal(restored.predict(X), model.predict(X))
