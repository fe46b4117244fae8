"""Random forests are scikit-learn's, keep nothing of the responses, and can be grown again."""

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor

from encoding.readouts import READOUTS, Training
from encoding.runtime.progress import Cancelled
from tests.readout_problems import fit, problem


@pytest.fixture(scope="module")
def data():
    """X (120, 8), Y (120, 5) and 40 rows never seen."""
    X, Y = problem("well-behaved", n=160, t=5)
    return X[:120], Y[:120], X[120:]


@pytest.mark.parametrize("options", [{}, {"max_depth": 3, "min_samples_leaf": 2, "max_features": None, "seed": 4}, {"n_trees": 1}])
def test_a_forest_on_all_responses_is_scikit_learns(data, options):
    X, Y, new = data
    options = {"n_trees": 10, "max_depth": None, "min_samples_leaf": 5, "max_features": 0.33, "seed": 0} | options
    asked = {"n_estimators": options["n_trees"], "random_state": options["seed"], "max_features": options["max_features"] or 1.0}
    theirs = RandomForestRegressor(max_depth=options["max_depth"], min_samples_leaf=options["min_samples_leaf"], **asked).fit(X, Y)
    ours = fit("forest", X, Y, target_components=None, **options)
    np.testing.assert_allclose(ours.predict(new), theirs.predict(new), rtol=1e-6, atol=1e-6 * np.abs(Y).max())
    np.testing.assert_allclose(ours.basis(new).sum(1), 1)


def test_a_forest_is_restored_from_its_nodes_and_the_training_data(data):
    X, Y, new = data
    grown = fit("forest", X.astype(np.float32), Y.astype(np.float32), n_trees=5)
    arrays = grown.arrays()
    assert max(value.size for value in arrays.values()) <= 5 * len(X) and Y.shape not in {value.shape for value in arrays.values()}
    back = READOUTS["forest"].restore(arrays, Training.of(X, Y.astype(np.float32)))
    np.testing.assert_array_equal(back.predict(new), grown.predict(new))
    np.testing.assert_array_equal(fit("forest", X.astype(np.float32), Y.astype(np.float32), n_trees=5).predict(new), grown.predict(new))


def test_more_trees_are_steadier_than_one(data):
    X, Y, new = data

    def spread(n_trees):
        return np.var([fit("forest", X, Y, n_trees=n_trees, seed=seed).predict(new) for seed in range(4)], axis=0).mean()

    assert spread(20) < spread(1) / 4


def test_a_forest_can_be_cancelled_between_trees(data):
    texts = []

    def report(fraction, text):
        texts.append(text)
        if "tree 16" in text:
            raise Cancelled

    with pytest.raises(Cancelled):
        READOUTS["forest"].fit(Training.of(*data[:2]), READOUTS["forest"].read({"n_trees": 40}), report=report)
    assert sum("growing" in text for text in texts) == 2


def test_the_estimate_grows_with_the_number_of_trees():
    forest, tree = READOUTS["forest"], READOUTS["tree"]
    few, many = (forest.cost(9000, 100, 20000, forest.read({"n_trees": n})) for n in (10, 100))
    assert many[0] > 9 * few[0] and many[1] > few[1] > tree.cost(9000, 100, 20000, tree.read({}))[1] / 2
