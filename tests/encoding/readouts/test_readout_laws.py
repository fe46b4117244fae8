"""Laws that every readout obeys, over the registry: what may not depend on what, and what survives a Store."""

import dataclasses

import numpy as np
import pytest

from encoding.readouts import READOUTS, Training
from tests.readout_problems import KINDS, fit, problem

BY_R = [name for name, readout in READOUTS.items() if any(field.name == "select" for field in dataclasses.fields(readout.options))]
NAMES = [
    name for name, readout in READOUTS.items() if readout.exact
]  # trained ones are held to the same laws, less tightly, in test_neural


def small_search(name):
    """Options with which ``name`` chooses among few settings, on two folds, where it chooses."""
    smaller = {"n_folds": 2, "n_trees": 5, "l1_ratios": (0.5, 0.9)}
    return {field.name: smaller[field.name] for field in dataclasses.fields(READOUTS[name].options) if field.name in smaller}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_targets_are_independent_of_their_company_and_order(name, kind):
    X, Y = problem(kind, n=48, t=5)
    if not READOUTS[name].per_target:
        pytest.skip(f"{name} says that its targets depend on one another")
    few = {"alphas": (0.3, 0.1, 0.03)} if name in ("lasso", "elastic_net") else {}
    models = [fit(name, X, some, **small_search(name) | few) for some in (Y, Y[:, 3:4], Y[:, ::-1])]
    if isinstance(models[0].weights, np.ndarray):
        together, alone, reversed_ = (model.weights for model in models)
    else:  # the training responses themselves, which say nothing: what is learned shows in rows never seen
        new = X + np.random.default_rng(1).normal(size=X.shape)
        together, alone, reversed_ = (model.predict(new) for model in models)
    scale = np.abs(together).max()
    np.testing.assert_allclose(together[:, 3:4], alone, atol=1e-7 * scale)
    np.testing.assert_allclose(together[:, ::-1], reversed_, atol=1e-7 * scale)


@pytest.mark.parametrize("name", NAMES)
def test_a_shift_of_the_responses_shifts_the_predictions(name):
    X, Y = problem(n=48, t=4)
    shifted, plain = (fit(name, X, some, **small_search(name)).predict(X) for some in (Y + 50, Y))
    np.testing.assert_allclose(shifted, plain + 50, atol=1e-6)


@pytest.mark.parametrize(("name", "options"), [(name, {}) for name in NAMES] + [(name, {"select": "r"}) for name in BY_R])
def test_predictions_scale_with_the_unit_of_the_responses(name, options):
    options = options | small_search(name)
    X, Y = problem("well-behaved", n=40, t=4)
    Y[:, 3] = 7.0  # constant
    plain = fit(name, X, Y, **options).predict(X)
    for unit, offset in ((1e-12, 0), (1e-12, 30), (1e12, -30)):
        scaled = fit(name, X, (Y + offset) * unit, **options).predict(X)
        np.testing.assert_allclose(scaled / unit - offset, plain, atol=1e-6 * np.abs(plain).max())
    X, Y = X.astype(np.float32), Y.astype(np.float32)
    plain = fit(name, X, Y, **options).predict(X)
    for unit in (1e-12, 1e12):
        scaled = fit(name, X, Y * np.float32(unit), **options).predict(X)
        assert scaled.dtype == np.float32
        np.testing.assert_allclose(scaled / unit, plain, atol=1e-4 * np.abs(plain).max())


@pytest.mark.parametrize("name", ["linear_sgd", "mlp", "deep"])
def test_trained_readouts_scale_with_the_unit_of_the_responses(name):
    X, Y = problem("well-behaved", n=100, t=3, dtype=np.float32)
    plain = fit(name, X, Y, n_epochs=2).predict(X)
    for unit in (2.0**-40, 2.0**40):  # some 1e-12 and 1e12, exact in float32: steps of Adam amplify rounding
        scaled = fit(name, X, Y * np.float32(unit), n_epochs=2).predict(X)
        np.testing.assert_allclose(scaled / unit, plain, atol=1e-6 * np.abs(plain).max())


@pytest.mark.parametrize("name", NAMES)
def test_a_constant_target_is_predicted_as_itself(name):
    X, Y = problem("well-behaved", n=48, t=4)
    Y[:, 0] = 7
    model = fit(name, X, Y, **small_search(name))
    np.testing.assert_allclose(model.predict(X)[:, 0], 7, atol=1e-6)
    assert np.isfinite(model.weights).all()


@pytest.mark.parametrize("name", NAMES)
def test_permuted_responses_are_not_predicted(name):
    X, Y = problem("well-behaved", n=600)
    model = fit(name, X[:400], np.random.default_rng(0).permutation(Y)[:400])
    r = [np.corrcoef(p, y)[0, 1] if p.std() else 0 for p, y in zip(model.predict(X[400:]).T, Y[400:].T, strict=True)]
    assert abs(np.mean(r)) < 0.1


@pytest.mark.parametrize("name", NAMES)
def test_a_model_survives_a_store_bit_for_bit(name, store):
    X, Y = problem(n=48, t=4, dtype=np.float32)
    model = fit(name, X, Y, **small_search(name))
    back = READOUTS[name].restore(store.memo(f"weights-{name}", model.arrays, {}), Training.of(X, Y))
    np.testing.assert_array_equal(back.predict(X), model.predict(X))
    assert set(back.details) == set(model.details)


@pytest.mark.parametrize("name", READOUTS)
def test_every_readout_introduces_itself(name):
    readout = READOUTS[name]
    assert readout.name == name and readout.title and readout.about.endswith(".")
    assert readout.uses_components or not readout.uses_moments  # moments are of components


class _Recorded:
    """Training data that notes which of the declarable fields are read."""

    def __init__(self, data):
        self._data, self.read = data, set()

    def __getattr__(self, name):
        if name in ("rois", "positions", "extra_subjects"):
            self.read.add(name)
        return getattr(self._data, name)


@pytest.mark.parametrize("name", [name for name in READOUTS if READOUTS[name].uses_components and not READOUTS[name].uses_moments])
@pytest.mark.parametrize("early_stopping", ["all", "roi"])
def test_a_readout_declares_what_it_reads_of_its_training_data(name, early_stopping, monkeypatch):
    readout = READOUTS[name]
    if early_stopping == "roi" and name != "linear_sgd":
        pytest.skip("only linear_sgd stops ROI by ROI")
    fields = {field.name for field in dataclasses.fields(readout.options)}
    wanted = {"n_epochs": 1, "early_stopping": early_stopping}
    options = readout.read({key: value for key, value in wanted.items() if key in fields})
    X, Y = problem("well-behaved", n=60, dtype=np.float32)
    framed = {"n_frames": 2} if readout.in_order else {}
    rois = {"V1": np.arange(3), "V2": np.arange(2, 6)}
    data = Training.of(X, Y, np.arange(60) % readout.n_folds(options), rois=rois, positions=np.eye(12, 3, dtype=np.float32), **framed)
    recorded = _Recorded(data)
    monkeypatch.setattr(f"{type(readout).__module__}.replace", lambda data, **_: data, raising=False)
    readout.fit(recorded, options)
    declared = set(readout.uses(options))
    assert declared <= {"rois", "positions", "groups", "extra_subjects"}
    assert recorded.read - {"extra_subjects"} == declared - {"extra_subjects", "groups"}
    assert ("groups" in declared) == (readout.n_folds(options) > 1)


@pytest.mark.parametrize("name", READOUTS)
def test_only_readouts_that_share_use_other_subjects(name):
    readout = READOUTS[name]
    assert ("extra_subjects" in readout.uses(readout.options())) == readout.shares
