"""Neural readouts learn what ridge cannot, stop when it is time and obey, within rounding, the laws of every readout."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression

from encoding.readouts import READOUTS, Training
from encoding.readouts._examples import Examples, Scale, array_inputs
from encoding.readouts._network import Shape
from encoding.readouts._stopping import groups_of
from encoding.readouts._train import Diverged
from encoding.readouts.positional import encode
from tests.readout_problems import fit, problem

NAMES = ("linear_sgd", "mlp", "deep", "positional")
NO_DROPOUT = {
    "linear_sgd": {},
    "mlp": {"dropout_1": 0, "dropout_2": 0},
    "deep": {"dropout": 0},
    "positional": {"dropout_1": 0, "dropout_2": 0},
}
SMALL = {
    "linear_sgd": {},
    "mlp": {"hidden_1": 32, "hidden_2": 16},
    "deep": {"width": 24, "n_blocks": 2},
    "positional": {"hidden_1": 32, "hidden_2": 16, "hidden_position": 16},
}


def train(name, X, Y, *, fold=None, device="cpu", report=lambda fraction, text: None, more=None, **options):
    """The model of a small network; positions on a line where it needs them."""
    readout = READOUTS[name]
    options = readout.read(SMALL[name] | options)
    fold = np.arange(len(X)) % readout.n_folds(options) if fold is None else fold
    positions = np.linspace(0, 90, Y.shape[1])[:, None] * [1, 0.5, 0]
    return readout.fit(Training.of(X, Y, fold, **{"positions": positions, **(more or {})}), options, device=device, report=report)


def planted(n=900, t=8, noise=0.5, seed=0):
    """X (n, 6) and responses to squares and products of its columns, in no unit of note."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 6)).astype(np.float32)
    features = np.concatenate([X**2, X[:, :3] * X[:, 3:]], axis=1)
    Y = features @ rng.normal(size=(9, t)) + rng.normal(0, noise, (n, t))
    return X, (20 + 3 * Y).astype(np.float32)


def mean_r(model, X, Y):
    return np.mean([np.corrcoef(p, y)[0, 1] if p.std() else 0 for p, y in zip(model.predict(X).T, Y.T, strict=True)])


@pytest.mark.parametrize("name", NAMES)
def test_a_network_overfits_a_few_rows(name):
    X, Y = (part[:32] for part in problem("well-behaved"))
    Y = Y if name != "linear_sgd" else X @ np.random.default_rng(1).normal(size=(8, 5))
    wide = {"hidden_1": 128, "hidden_2": 64} if "hidden_1" in SMALL[name] else {"width": 96} if name == "deep" else {}
    options = {
        "n_epochs": 400,
        "patience": 400,
        "learning_rate": 1e-2,
        "decay_by": 1.0,
        "batch_size": 16,
        "weight_decay": 0,
        "decimals": None,
    }
    fold = np.repeat([0, 1], 32)  # validated on the rows it learns from, so that the best epoch is the one that fits them best
    model = train(name, np.tile(X, (2, 1)), np.tile(Y, (2, 1)), fold=fold, **options | NO_DROPOUT[name] | wide)
    assert mean_r(model, X, Y) > 0.99


@pytest.mark.parametrize("name", ["mlp", "deep", "positional"])
def test_a_planted_map_that_is_not_linear_is_found_where_ridge_finds_nothing(name):
    X, Y = planted()
    model = train(name, X[:600], Y[:600], batch_size=50, learning_rate=5e-3, **NO_DROPOUT[name])
    assert mean_r(model, X[600:], Y[600:]) > 0.8
    assert mean_r(fit("ridge", X[:600], Y[:600]), X[600:], Y[600:]) < 0.3


def test_one_linear_layer_comes_to_the_weights_of_least_squares():
    X, Y = problem("well-behaved", n=500)
    options = {"learning_rate": 3e-2, "n_epochs": 150, "patience": 150, "decay_by": 0.5, "decay_every": 10, "weight_decay": 0}
    theirs = LinearRegression().fit(X, Y)
    ours = train("linear_sgd", X, theirs.predict(X), **options)  # without noise, so that no epoch before the last is the best
    np.testing.assert_allclose(ours.weights, theirs.coef_.T, atol=1e-3 * np.abs(theirs.coef_).max())


@pytest.mark.parametrize("optimiser", ["adamw", "adam", "sgd"])
def test_a_vertex_is_learned_the_same_beside_many_and_alone(optimiser):
    X, Y = problem("well-behaved")
    options = {"optimiser": optimiser, "n_epochs": 5, "learning_rate": 1e-2, "weight_decay": 0.01, "batch_size": 50, "patience": 9}
    many = train("linear_sgd", X, Y, early_stopping="roi", more={"rois": {"one": np.array([3])}}, **options)
    alone = train("linear_sgd", X, Y[:, 3:4], **options)
    np.testing.assert_allclose(many.weights[:, 3:4], alone.weights, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_training_stops_and_keeps_the_epoch_that_was_best_on_the_rows_left_out(name):
    X, Y = planted(n=200, noise=3)
    fold = np.arange(len(X)) % 4
    model = train(name, X, Y, fold=fold, validation=0.25, n_epochs=300, patience=4, decimals=None, learning_rate=1e-2, **NO_DROPOUT[name])
    losses = model.history["validation_loss"]
    best = int(np.argmin(losses))
    assert len(losses) == best + 1 + 4 < 300 and set(model.details["best_epoch"]) == {best + 1.0}
    error = ((model.predict(X[fold == 0]) - Y[fold == 0]) / Y[fold != 0].std(0)) ** 2
    assert losses[best] == pytest.approx(error.mean(), rel=1e-4)
    r = [np.corrcoef(p, y)[0, 1] if p.std() else 0 for p, y in zip(model.predict(X[fold == 0]).T, Y[fold == 0].T, strict=True)]
    np.testing.assert_allclose(model.details["validation_r"], r, atol=1e-4)
    assert model.history["validation_r"][best] == pytest.approx(np.mean(r), abs=1e-4)
    assert all(len(values) == len(losses) for values in model.history.values())


@pytest.mark.parametrize("name", NAMES)
def test_a_search_is_told_each_epochs_validation_r_and_may_end_the_training(name):
    class Pruned(Exception):
        pass

    told = []

    def on_epoch(epoch, r):
        told.append((epoch, r))
        if epoch == 2:
            raise Pruned

    X, Y = planted(n=150)
    with pytest.raises(Pruned):
        train(name, X, Y, more={"on_epoch": on_epoch}, n_epochs=6, patience=6)
    r = train(name, X, Y, n_epochs=6, patience=6).history["validation_r"]
    assert told == list(enumerate(r[:3]))


def test_losses_that_agree_at_two_decimals_are_no_improvement():
    X, Y = planted(n=300)
    options = {"n_epochs": 60, "patience": 3, "learning_rate": 1e-4, "batch_size": 250}
    exact, rounded = train("mlp", X, Y, decimals=None, **options), train("mlp", X, Y, decimals=2, **options)
    losses = np.round(exact.history["validation_loss"], 2)
    n = len(rounded.history["validation_loss"])
    assert n < len(losses) and np.array_equal(np.round(rounded.history["validation_loss"], 2), losses[:n])
    assert rounded.details["best_epoch"][0] == np.argmin(losses[:n]) + 1 == n - 3


def test_each_roi_keeps_the_weights_of_its_own_best_epoch():
    X, Y = problem("correlated", n=150)
    Y[:, 6:] = np.random.default_rng(3).normal(size=(150, 6))
    rois = {"signal": np.arange(6), "noise": np.arange(6, 10), "all": np.arange(10)}
    options = {"learning_rate": 3e-3, "batch_size": 30, "early_stopping": "roi", "weight_decay": 0}
    model = train("linear_sgd", X, Y, more={"rois": rois}, **options)
    best = model.details["best_epoch"].astype(int)
    assert len(set(best[:6])) == len(set(best[6:10])) == len(set(best[10:])) == 1 and best[0] > best[6]
    until = train("linear_sgd", X, Y, more={"rois": rois}, **options, n_epochs=best[6])
    np.testing.assert_array_equal(until.weights[:, 6:10], model.weights[:, 6:10])
    assert not np.array_equal(until.weights[:, :6], model.weights[:, :6])
    together = train("linear_sgd", X, Y, more={"rois": rois}, **options | {"early_stopping": "all"})
    assert len(set(together.details["best_epoch"])) == 1


def test_a_vertex_counts_with_its_smallest_roi_and_once():
    groups = groups_of({"large": np.array([0, 1, 2, 3]), "small": np.array([1, 3]), "empty": np.array([], int)}, 6)
    assert sorted(map(list, groups)) == [[0, 2], [1, 3], [4, 5]]


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_decides_every_bit_and_torchs_own_random_numbers_go_on_undisturbed(name):
    X, Y = planted(n=120)
    before = torch.random.get_rng_state().clone()
    one, same, other = (train(name, X, Y, n_epochs=4, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(3)
    again = train(name, X, Y, n_epochs=4, seed=1)
    for twin in (same, again):
        np.testing.assert_array_equal(twin.weights, one.weights)
        np.testing.assert_array_equal(twin.predict(X), one.predict(X))
    assert not np.array_equal(other.weights, one.weights)


@pytest.mark.parametrize("name", NAMES)
def test_a_stored_network_predicts_the_same_bits(name, store):
    X, Y = planted(n=150)
    model = train(name, X, Y, n_epochs=3)
    arrays = store.memo(f"weights-{name}", model.arrays, {})
    before = torch.random.get_rng_state().clone()
    back = READOUTS[name].restore(arrays, None)
    assert torch.equal(torch.random.get_rng_state(), before)
    np.testing.assert_array_equal(back.predict(X), model.predict(X))
    np.testing.assert_allclose(back.predict(X, np.array([5, 1])), model.predict(X)[:, [5, 1]], rtol=1e-6)  # other shapes round otherwise
    assert set(back.details) == {"best_epoch", "validation_r", "train_mse", "validation_mse"} and set(back.history) == {
        "train_loss",
        "validation_loss",
        "validation_r",
    }
    assert {name: value.tobytes() for name, value in back.arrays().items()} == {n: v.tobytes() for n, v in model.arrays().items()}


def test_stored_tensors_have_plain_names_and_nothing_but_numbers():
    arrays = train("mlp", *planted(n=100), n_epochs=1).arrays()
    assert {"trunk.0.mean", "trunk.1.weight", "weights", "intercept", "options", "shape"} <= set(arrays)
    assert all(value.dtype.kind in "fiu" for value in arrays.values())


@pytest.mark.parametrize("name", NAMES)
def test_responses_shifted_and_scaled_are_predicted_so(name):
    X, Y = planted(n=150)
    one, shifted = train(name, X, Y, n_epochs=5), train(name, X, (Y.astype(float) + 50) * 1e3, n_epochs=5)
    np.testing.assert_allclose(shifted.predict(X) / 1e3 - 50, one.predict(X), atol=0.02 * Y.std())


@pytest.mark.parametrize("name", NAMES)
def test_components_in_another_unit_give_the_same_predictions(name):
    X, Y = planted(n=150)
    one, other = train(name, X, Y, n_epochs=5), train(name, X * 1024 + 4096, Y, n_epochs=5)
    np.testing.assert_allclose(other.predict(X * 1024 + 4096), one.predict(X), atol=0.02 * Y.std())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("loss", ["mse", "mse+r"])
def test_constant_targets_and_constant_components_do_no_harm(name, loss):
    X, Y = planted(n=150)
    X[:, 2], Y[:, 0] = 3, 7.3
    model = train(name, X, Y, n_epochs=5, loss=loss, learning_rate=1e-2)
    np.testing.assert_allclose(model.predict(X)[:, 0], 7.3, rtol=1e-6)
    assert np.isfinite(model.weights).all() and np.isnan(model.details["validation_r"][0])
    assert model.details["train_mse"][0] == model.details["validation_mse"][0] == 0 < model.details["validation_mse"][1]
    assert np.isfinite(model.history["validation_loss"]).all() and np.isfinite(model.history["validation_r"]).all()


@pytest.mark.parametrize("name", NAMES)
def test_permuted_responses_are_not_predicted(name):
    X, Y = problem("well-behaved", n=600)
    model = train(name, X[:400], np.random.default_rng(0).permutation(Y)[:400])
    assert abs(mean_r(model, X[400:], Y[400:])) < 0.1


@pytest.mark.parametrize("name", NAMES)
def test_wide_data_of_few_images_are_learned_without_complaint(name):
    X, Y = problem("wide", n=60, dtype=np.float32)
    model = train(name, X, Y, n_epochs=3)
    assert model.predict(X).shape == Y.shape and model.predict(X).dtype == np.float32
    assert model.predict(X[:0]).shape == (0, Y.shape[1])


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_a_training_that_blows_up_says_so(optimiser):
    X, Y = planted(n=200)
    with pytest.raises(Diverged, match=r"loss became (nan|inf) in epoch \d+\. Use a lower learning_rate than 1e\+30"):
        train("deep", X, Y, optimiser=optimiser, learning_rate=1e30, residual=False)


def test_clipped_gradients_tame_steps_that_blow_up():
    X, Y = planted(n=200)
    options = {"optimiser": "sgd", "learning_rate": 30.0, "n_epochs": 60, "patience": 60, "batch_size": 30}
    with pytest.raises(Diverged):
        train("linear_sgd", X, Y, **options)
    assert np.isfinite(train("linear_sgd", X, Y, **options, max_norm=1e-3).weights).all()


def test_a_loss_with_correlation_is_the_mean_of_both():
    from encoding.readouts._train import batch_loss

    rng = np.random.default_rng(0)
    p, m = rng.normal(size=(2, 400, 3))
    r = np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(p.T, m.T, strict=True)])
    expected = (((p - m) ** 2).mean() + 1 - r) / 2
    assert float(batch_loss(torch.from_numpy(p), torch.from_numpy(m), "mse+r")) == pytest.approx(expected, abs=1e-3)
    X, Y = planted(n=300)
    history = train("mlp", X, Y, loss="mse+r", n_epochs=15, learning_rate=1e-2).history
    assert history["validation_r"][-1] > history["validation_r"][0]


def test_neighbours_share_what_they_learn_through_their_positions():
    rng = np.random.default_rng(0)
    X, place = rng.normal(size=(60 + 400, 20)), rng.uniform(-60, 60, (300, 3))
    W = np.stack([np.sin(place @ direction / 30 + phase) for direction, phase in zip(rng.normal(size=(20, 3)), range(20), strict=True)])
    Y = X @ W
    noisy = Y + rng.normal(0, 2 * Y.std(), Y.shape)
    options = {"batch_size": 20, "n_epochs": 150, "patience": 20, "learning_rate": 3e-3, "activation_1": "none", "activation_2": "none"}
    options |= NO_DROPOUT["mlp"] | {"batch_norm_1": False, "batch_norm_2": False, "hidden_1": 20, "hidden_2": 20, "decimals": None}
    known = train(
        "positional", X[:60], noisy[:60], more={"positions": place}, n_frequencies=2, own_weights=False, hidden_position=64, **options
    )
    shuffled = train(
        "positional",
        X[:60],
        noisy[:60],
        more={"positions": rng.permutation(place)},
        n_frequencies=2,
        own_weights=False,
        hidden_position=64,
        **options,
    )
    unknown = train("mlp", X[:60], noisy[:60], **options)
    assert mean_r(known, X[60:], Y[60:]) > mean_r(unknown, X[60:], Y[60:]) + 0.05
    assert mean_r(known, X[60:], Y[60:]) > mean_r(shuffled, X[60:], Y[60:]) + 0.2


def test_positions_are_needed_in_full():
    X, Y = planted(n=60)
    with pytest.raises(ValueError, match="positional needs to know where each vertex lies"):
        train("positional", X, Y, more={"positions": None})
    place = np.zeros((8, 3))
    place[2] = np.nan
    with pytest.raises(ValueError, match=r"each of 8 vertices; here are 7 whole positions"):
        train("positional", X, Y, more={"positions": place})


def test_no_two_places_in_the_box_look_alike():
    place = np.array([[x, y, z] for x in (-70, 70) for y in (-100, 60) for z in (-50, 80)], float)
    waves = encode(place, 3)
    assert waves.shape == (8, 18) and np.abs(waves).max() <= 1
    assert min(np.abs(waves[i] - waves[j]).max() for i in range(8) for j in range(i)) > 0.5
    np.testing.assert_allclose(encode(place * 10 + 3, 3), waves, atol=1e-5)
    assert np.isfinite(encode(place[:1], 3)).all()


@pytest.mark.parametrize("name", ["mlp", "deep", "positional"])
def test_other_subjects_help_to_train_what_is_shared(name):
    X, Y = planted(n=1600, t=24, noise=0.3)
    mine, more = slice(0, 80), slice(80, 1000)
    place = {"positions": np.random.default_rng(0).normal(size=(8, 3))}
    others = Training.of(X[more], Y[more, 8:], np.arange(920) % 10, positions=np.random.default_rng(1).normal(size=(16, 3)))
    options = {"batch_size": 80, "learning_rate": 1e-2, "n_epochs": 30, "patience": 10, **NO_DROPOUT[name]}
    alone = train(name, X[mine], Y[mine, :8], more=place, **options)
    helped = train(name, X[mine], Y[mine, :8], more={**place, "extra_subjects": (others,)}, **options)
    assert helped.weights.shape == alone.weights.shape
    assert mean_r(helped, X[1000:], Y[1000:, :8]) > mean_r(alone, X[1000:], Y[1000:, :8]) + 0.05


def test_a_linear_layer_has_nothing_to_share_with_other_subjects():
    X, Y = planted(n=100)
    beside = train("linear_sgd", X, Y, n_epochs=2, more={"extra_subjects": (Training.of(X, Y[:, :2], np.arange(100) % 10),)})
    np.testing.assert_array_equal(beside.weights, train("linear_sgd", X, Y, n_epochs=2).weights)


def test_responses_too_large_to_hold_are_read_for_every_batch_to_the_same_result(monkeypatch):
    X, Y = planted(n=120)
    held = train("mlp", X, Y, n_epochs=3)
    monkeypatch.setattr("encoding.readouts._examples.IN_MEMORY", {"cpu": 0})
    read = train("mlp", X, Y, n_epochs=3)
    np.testing.assert_array_equal(read.weights, held.weights)


def test_standard_units_are_of_the_rows_learned_from_alone():
    X, Y = planted(n=100)
    fold = np.arange(100) % 5
    Y[fold == 0] += 1000
    examples = Examples(array_inputs(X, "cpu"), Training.of(X, Y).Y, fold)
    np.testing.assert_allclose(examples.scale.mean, Y[fold != 0].mean(0, dtype=float), rtol=1e-6)
    np.testing.assert_allclose(examples.scale.deviation, Y[fold != 0].std(0, dtype=float), rtol=1e-5)
    large = Scale.of(iter([np.float32(1e6) + X[:50], np.float32(1e6) + X[50:]]))
    np.testing.assert_allclose(large.deviation, X.std(0), rtol=0.02)


@pytest.mark.parametrize(
    ("fold", "message"),
    [(np.zeros(60, int), "here are 0 to learn from and 60 to validate on"), (np.ones(60, int), "60 to learn from and 0 to validate on")],
)
def test_rows_that_cannot_be_learned_from_and_validated_on_are_refused(fold, message):
    with pytest.raises(ValueError, match=message):
        train("mlp", *planted(n=60), fold=fold)


def test_responses_that_are_no_numbers_are_refused():
    X, Y = planted(n=60)
    Y[3, 2] = np.nan
    with pytest.raises(ValueError, match="1 targets have responses that are no numbers"):
        train("mlp", X, Y)


def test_a_deep_network_widens_by_a_quarter_from_block_to_block():
    deep = READOUTS["deep"]
    assert deep.read({"width": 100, "n_blocks": 4}).widths() == [100, 125, 156, 195]
    assert deep.read({"width": 100, "n_blocks": 3, "widening": 1}).widths() == [100, 100, 100]


@pytest.mark.parametrize("name", NAMES)
def test_the_estimate_counts_the_weights_that_there_are(name):
    readout, shape = READOUTS[name], Shape(30)
    options = readout.read(SMALL[name])
    trunk = readout.trunk(shape, options)
    n_weights = sum(part.numel() for part in trunk.parameters() if part.ndim == 2)
    assert readout.n_weights(shape, options) == (n_weights, trunk.n_hidden)
    multiplications, n_bytes = readout.cost(1000, 30, 200, options)
    assert multiplications >= 3 * 1000 * (n_weights + trunk.n_hidden * 200) * options.n_epochs and n_bytes > 4 * 1000 * 200
