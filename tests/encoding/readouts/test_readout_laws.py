"""Laws that every readout obeys, over the registry: what may not depend on what, and what survives a Store."""

import numpy as np
import pytest

from encoding.readouts import READOUTS, Training
from tests.readout_problems import KINDS, fit, problem

RESPONSES_UNIT = {
    "elastic_net": "scikit-learn's objective ties the ridge part of its penalty to the responses' unit",
    "multitask_elastic_net": "scikit-learn's objective ties the ridge part of its penalty to the responses' unit",
}
NAMES = [
    name for name, readout in READOUTS.items() if readout.exact
]  # trained ones are held to the same laws, less tightly, in test_neural


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_targets_are_independent_of_their_company_and_order(name, kind):
    X, Y = problem(kind)
    if not READOUTS[name].per_target:
        pytest.skip(f"{name} says that its targets depend on one another")
    models = fit(name, X, Y), fit(name, X, Y[:, 3:4]), fit(name, X, Y[:, ::-1])
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
    X, Y = problem()
    np.testing.assert_allclose(fit(name, X, Y + 50).predict(X), fit(name, X, Y).predict(X) + 50, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_responses_times_a_number_give_predictions_times_it(name):
    if name in RESPONSES_UNIT:
        pytest.skip(RESPONSES_UNIT[name])
    X, Y = problem()
    np.testing.assert_allclose(fit(name, X, Y * 1e3).predict(X), fit(name, X, Y).predict(X) * 1e3, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_a_constant_target_is_predicted_as_itself(name):
    X, Y = problem("well-behaved")
    Y[:, 0] = 7
    model = fit(name, X, Y)
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
    X, Y = problem(dtype=np.float32)
    model = fit(name, X, Y)
    back = READOUTS[name].restore(store.memo(f"weights-{name}", model.arrays, {}), Training.of(X, Y))
    np.testing.assert_array_equal(back.predict(X), model.predict(X))
    assert set(back.details) == set(model.details)


@pytest.mark.parametrize("name", READOUTS)
def test_every_readout_introduces_itself(name):
    readout = READOUTS[name]
    assert readout.name == name and readout.title and readout.about.endswith(".")
    assert readout.needs in ("moments", "arrays", "stimuli")
