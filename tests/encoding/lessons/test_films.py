"""The lesson on films: shuffled samples inflate r, whole runs do not, and films that came later agree with whole runs."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from encoding.datasets.simulation.films import simulate_films
from encoding.evaluation.splits import Fold
from encoding.features.delays import delayed
from encoding.lessons.films import DELAYS, WAYS, evaluations, ridge


@pytest.mark.parametrize("slow", [4.0, 12.0])
def test_noise_is_predicted_on_shuffled_samples_and_nowhere_else(slow):
    shuffled, whole, later = evaluations(slow, 0.0, n_simulations=2).mean(0)
    assert shuffled > 0.12 and abs(whole) < 0.04 and abs(later) < 0.04


def test_signal_is_inflated_by_shuffling_and_whole_runs_say_what_later_films_give():
    r = dict(zip(WAYS, evaluations(12.0, 0.2, n_simulations=2).mean(0), strict=True))
    assert r["shuffled samples"] > r["films that came later"] + 0.08
    assert abs(r["whole runs"] - r["films that came later"]) < 0.06
    assert r["films that came later"] < np.sqrt(0.2)


def test_the_model_is_scikit_learns_ridge_at_the_penalty_that_runs_left_out_choose():
    films = simulate_films(n_runs=4, n_samples=60, n_features=5, n_vertices=3, seed=3)
    X, fold = delayed(films.features, DELAYS, films.runs), Fold(np.arange(180), np.arange(180, 240))
    model = ridge(X, films.responses, fold, films.runs)
    for target, alpha in enumerate(model.details["alpha"]):
        reference = Ridge(alpha=alpha).fit(X[:180], films.responses[:180, target])
        np.testing.assert_allclose(model.predict(X[fold.test])[:, target], reference.predict(X[fold.test]), atol=1e-4)


def test_the_page_asks_before_it_shows():
    from pages.parts.learn.lessons.films import KEY, LESSON

    assert KEY.startswith(LESSON.name) and LESSON.answers[LESSON.right] == "Well above 0" and LESSON.question.endswith("?")
