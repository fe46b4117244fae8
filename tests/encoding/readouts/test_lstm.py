"""The recurrent readout learns what depends on the order of frames, which neither pooled nor concatenated frames tell ridge."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from encoding import FitSpec, fit
from encoding.datasets import DATASETS
from encoding.datasets.algonauts2021 import BLOCK, Algonauts2021
from encoding.datasets.writers.algonauts2021 import write_algonauts2021
from encoding.fits.plan import plan
from encoding.readouts import READOUTS, BadOption, Training
from encoding.readouts._checkpoint import Checkpoint
from encoding.readouts._network import Shape
from encoding.runtime.progress import Cancelled
from tests import readout_problems
from tests.conftest import TINY
from tests.encoding.datasets.made2021 import N_CLIPS, SIDE, made_person
from tests.readout_problems import mean_r, same_bits

LSTM = READOUTS["lstm"]
N_FRAMES = 4
SMALL = {"units": 16, "hidden": 16, "dropout": 0, "batch_size": 50, "learning_rate": 1e-2}


def turning(n=1000, k=4, t=6, noise=0.3, seed=0):
    """X (n, 4 * k) and responses to the direction in which its components turn from frame to frame, and to how far they come."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, N_FRAMES, k)).astype(np.float32)
    now, then = X[:, 1:], X[:, :-1]
    turn = (then[..., :2] * now[..., 2:] - now[..., :2] * then[..., 2:]).sum(1)
    features = np.concatenate([turn / turn.std(0), 0.3 * (X[:, -1] - X[:, 0])], axis=1)
    Y = features @ rng.normal(size=(2 + k, t))
    return X.reshape(n, -1), (20 + 3 * (Y + noise * Y.std(0) * rng.normal(size=Y.shape))).astype(np.float32)


def train(X, Y, *, report=lambda fraction, text: None, n_frames=N_FRAMES, more=None, **options):
    options = LSTM.read(SMALL | options)
    data = Training.of(X, Y, np.arange(len(X)) % LSTM.n_folds(options), n_frames=n_frames, **(more or {}))
    return LSTM.fit(data, options, report=report)


@pytest.fixture(scope="module")
def learned():
    """(model, X, Y), fitted to the first 800 rows."""
    X, Y = turning()
    return train(X[:800], Y[:800], n_epochs=20, patience=20), X, Y


def test_the_order_of_frames_is_read_where_ridge_cannot(learned):
    model, X, Y = learned
    pooled = X.reshape(len(X), N_FRAMES, -1).mean(1)
    r = {"lstm": mean_r(model.predict(X[800:]), Y[800:])}
    for name, seen in (("side by side", X), ("pooled", pooled)):
        r[name] = mean_r(readout_problems.fit("ridge", seen[:800], Y[:800]).predict(seen[800:]), Y[800:])
    assert abs(r["pooled"]) < 0.15 and r["lstm"] > r["side by side"] + 0.2 > 0.5, r


def test_reversed_frames_are_answered_otherwise(learned):
    model, X, Y = learned
    backwards = X[800:].reshape(200, N_FRAMES, -1)[:, ::-1].reshape(200, -1)
    assert mean_r(model.predict(backwards), Y[800:]) < -0.5  # everything turns, and goes, the other way
    assert mean_r(model.predict(backwards), model.predict(X[800:])) < 0


def test_permuted_responses_are_not_predicted():
    X, Y = turning(700)
    model = train(X[:300], np.random.default_rng(1).permutation(Y)[:300], n_epochs=4)
    assert abs(mean_r(model.predict(X[300:]), Y[300:])) < 0.12


@pytest.mark.parametrize("n_layers", [2, 3])
def test_a_few_clips_are_learned_by_heart(n_layers):
    X, Y = (part[:24] for part in turning())
    options = LSTM.read(SMALL | {"n_epochs": 90, "patience": 90, "n_layers": n_layers, "batch_size": 24, "units": 24})
    fold = np.repeat([0, 1], 24)  # validated on the rows it learns from, so that the best epoch is the one that fits them best
    model = LSTM.fit(Training.of(np.tile(X, (2, 1)), np.tile(Y, (2, 1)), fold, n_frames=N_FRAMES), options)
    assert mean_r(model.predict(X), Y) > 0.98


def test_each_direction_ends_where_it_has_read_every_frame():
    """Forwards at the last frame, backwards at the first: a loop in NumPy over one layer."""
    shape, n_in, units = Shape(N_FRAMES * 3, N_FRAMES), 3, 5
    reader = LSTM.trunk(shape, LSTM.read({"n_layers": 1, "units": units, "hidden": 2, "dropout": 0})).eval()[1]
    x = np.random.default_rng(0).normal(size=(7, N_FRAMES * n_in)).astype(np.float32)
    expected = []
    for suffix, order in (("", range(N_FRAMES)), ("_reverse", reversed(range(N_FRAMES)))):
        w_in, w_state, b_in, b_state = (
            getattr(reader.lstm, f"{name}_l0{suffix}").detach().numpy() for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        state = cell = np.zeros((7, units))
        for frame in order:
            gates = x.reshape(7, N_FRAMES, n_in)[:, frame] @ w_in.T + b_in + state @ w_state.T + b_state
            let_in, forget, new, out = np.split(gates, 4, axis=1)
            cell = cell / (1 + np.exp(-forget)) + np.tanh(new) / (1 + np.exp(-let_in))
            state = np.tanh(cell) / (1 + np.exp(-out))
        expected.append(state)
    with torch.no_grad():
        np.testing.assert_allclose(reader(torch.from_numpy(x)), np.hstack(expected), atol=1e-5)


def test_a_third_lstm_has_a_unit_for_each_vertex_and_survives_a_store(store):
    """Its state after the last frame is the prediction, in standard units: a loop in NumPy from the states of the two before it."""
    X, Y = turning(200, t=5)
    Y[:, 3] = 7.0
    options = {"output": "lstm", "loss": "1-r", "keep": "r", "n_epochs": 8, "patience": 8}
    model = train(X, Y, **options)
    assert model.head.lstm.hidden_size == 5 and model.trunk[1].lstm.num_layers == 2 and mean_r(model.predict(X)[:, :3], Y[:, :3]) > 0.5
    w_in, w_state, b_in, b_state = (
        getattr(model.head.lstm, f"{name}_l0").numpy() for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    state = cell = np.zeros((200, 5))
    for frame in model.basis(X).reshape(200, N_FRAMES, -1).transpose(1, 0, 2):
        let_in, forget, new, out = np.split(frame @ w_in.T + b_in + state @ w_state.T + b_state, 4, axis=1)
        cell = cell / (1 + np.exp(-forget)) + np.tanh(new) / (1 + np.exp(-let_in))
        state = np.tanh(cell) / (1 + np.exp(-out))
    np.testing.assert_allclose(model.predict(X), state * model.deviation + model.intercept, rtol=1e-4)
    np.testing.assert_array_equal(model.predict(X)[:, 3], 7.0)
    back = LSTM.restore(store.memo("weights-lstm3", model.arrays, {}), None)
    same_bits(back, model)
    np.testing.assert_array_equal(back.predict(X, np.array([4, 0])), model.predict(X)[:, [4, 0]])
    few, many = (LSTM.cost(100, 64, t, LSTM.read(options))[1] for t in (100, 10_000))
    assert many > 4 * 4 * 10_000**2 > few


def test_a_loss_on_correlation_trains_it_too():
    X, Y = turning(300)
    model = train(X, Y, loss="mse+r", n_epochs=12, patience=12)
    mse, r = model.history["validation_loss"], model.history["validation_r"]
    assert r[-1] > 0.4 and np.all(mse < 1.1) and mse[-1] < mse[0]


def test_a_model_survives_a_store_bit_for_bit(learned, store):
    model, X, Y = learned
    back = LSTM.restore(store.memo("weights-lstm", model.arrays, {}), Training.of(X, Y, n_frames=N_FRAMES))
    np.testing.assert_array_equal(back.predict(X), model.predict(X))
    same_bits(back, model)


def test_a_training_killed_at_epoch_2_ends_as_if_it_had_not_been(store, monkeypatch):
    monkeypatch.setattr("encoding.readouts._train.CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr("encoding.readouts._train.REPORT_SECONDS", np.inf)  # after epochs alone
    monkeypatch.setattr("encoding.readouts._train.CHECKPOINT_SHARE", np.inf)
    X, Y = turning(100)
    options = {"n_epochs": 4, "patience": 9, "dropout": 0.3}

    def kill(fraction, text):
        if text.startswith("epoch 2 "):
            raise Cancelled

    checkpoint, told = Checkpoint(store, "lstm"), []
    with pytest.raises(Cancelled):
        train(X, Y, report=kill, more={"checkpoint": checkpoint}, **options)
    model = train(X, Y, report=lambda _, text: told.append(text), more={"checkpoint": checkpoint}, **options)
    assert [text.split(":")[0] for text in told if text.startswith("epoch")] == [f"epoch {n} of 4" for n in (3, 4)]
    same_bits(model, train(X, Y, **options))


def test_other_subjects_train_the_recurrent_layers_too():
    X, Y = turning(700, t=12)
    other = Training.of(X[80:480], Y[80:480, 6:], np.arange(400) % 10, n_frames=N_FRAMES)
    options = {"n_epochs": 8, "patience": 8}
    alone = train(X[:80], Y[:80, :6], **options)
    helped = train(X[:80], Y[:80, :6], more={"extra_subjects": (other,)}, **options)
    assert helped.weights.shape == alone.weights.shape == (16, 6)
    assert mean_r(helped.predict(X[480:]), Y[480:, :6]) > mean_r(alone.predict(X[480:]), Y[480:, :6]) + 0.05


def test_pictures_and_frames_of_unequal_size_are_refused():
    X, Y = turning(60)
    with pytest.raises(ValueError, match=r"lstm reads the frames of clips .* here is one of each\. Use mlp or deep"):
        train(X, Y, n_frames=1)
    with pytest.raises(ValueError, match="16 components are not 3 frames of equally many"):
        train(X, Y, n_frames=3)


# -- through a whole fit


def passing(clip):
    """Six frames in which the picture grows lighter, or darker, by an amount of its own: the mean is that of any other clip."""
    slope = np.random.default_rng([11, clip]).uniform(-16, 16)
    return [np.full((SIDE, SIDE, 3), 128 + slope * (number - 2.5), np.uint8) for number in range(6)]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Clips in the layout of Algonauts 2021; every voxel answers to how fast they grow lighter."""
    person = made_person()
    slope = np.array([float(passing(clip)[5].mean() - passing(clip)[0].mean()) for clip in range(N_CLIPS)], np.float32) / 40
    noise = np.random.default_rng(0).normal(0, 0.3, (N_CLIPS, 3, 500)).astype(np.float32)
    for roi, block in person.rois.items():
        person.rois[roi] = slope[:, None, None] + noise[:, :, : block.shape[2]]
    filmed = [passing(clip) for clip in range(N_CLIPS + 3)]
    return write_algonauts2021(tmp_path_factory.mktemp("clips"), filmed, {"sub01": person}, simulated=True)


FAST = {"units": 8, "hidden": 8, "dropout": 0, "batch_size": 8, "learning_rate": 1e-2, "n_epochs": 25, "patience": 25}
SPEC = FitSpec(
    dataset="algonauts2021", subject="sub01", backbone="pixels", layers=("rgb",), frames=4, n_components=2, split="holdout:0.75:1",
    over_frames="sequence", readout="lstm", options=tuple(FAST.items()),
)  # fmt: skip


def test_a_fit_of_clips_predicts_what_changes_in_them(clips, store, monkeypatch):
    monkeypatch.setitem(DATASETS._members, "algonauts2021", Algonauts2021(clips))
    result = fit(SPEC, store)
    r = result.score(BLOCK)
    assert r.mean() > 0.7, r.mean()
    model = result.model(BLOCK)
    assert model.trunk[1].n_frames == 4 and 4 * model.trunk[1].lstm.input_size == result.components().shape[1]
    np.testing.assert_array_equal(result.predicted(BLOCK, [0, 5]), model.predict(result.components()[result.test_rows()], np.array([0, 5])))
    assert fit(SPEC, store).cached


def test_images_have_no_frames_whose_predictions_could_be_averaged(tiny, store):
    with pytest.raises(BadOption, match="mlp reads the frames of clips one after another with these parameters"):
        plan(replace(TINY, readout="mlp", options={"frame_by_frame": True}), store)


@pytest.mark.parametrize("over_frames", ["mean", "all"])
def test_frames_must_come_one_after_another(over_frames, clips, store, monkeypatch):
    monkeypatch.setitem(DATASETS._members, "algonauts2021", Algonauts2021(clips))
    with pytest.raises(BadOption, match="lstm reads the frames of clips one after another"):
        fit(FitSpec.from_dict(SPEC.to_dict() | {"over_frames": over_frames}), store)


# -- parameters


def test_there_are_two_layers_of_512_each_way_and_the_estimate_counts_the_weights_that_there_are():
    options, shape = LSTM.read({}), Shape(16 * 30, 16)
    trunk = LSTM.trunk(shape, options)
    assert (trunk[1].lstm.num_layers, trunk[1].lstm.hidden_size, trunk[1].lstm.bidirectional) == (2, 512, True)
    n_weights = sum(part.numel() for part in trunk.parameters() if part.ndim == 2)
    assert LSTM.n_weights(shape, options) == (n_weights, trunk.n_hidden)
    recurrent = sum(part.numel() for part in trunk[1].parameters() if part.ndim == 2)
    multiplications, n_bytes = LSTM.cost(1000, 480, 200, options)
    assert multiplications == 3 * 1000 * options.n_epochs * (n_weights + 15 * recurrent + 512 * 200) and n_bytes > 4 * 1000 * 200
