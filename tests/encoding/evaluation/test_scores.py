import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from encoding.evaluation.scores import (
    FORMER_SCORES,
    SCORES,
    STORED_SCORES,
    ScoreAccumulator,
    pearson,
    score,
)


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    measured = rng.normal(size=(80, 6)).astype(np.float32)
    predicted = (0.4 * measured + rng.normal(size=(80, 6)) * np.geomspace(0.1, 3, 6) + 0.2).astype(np.float32)
    return predicted, measured


def test_scores_are_scipys_and_scikit_learns(pair):
    predicted, measured = pair
    found = score(predicted, measured)
    assert set(found) == set(STORED_SCORES)
    each = [(p.astype(float), m.astype(float)) for p, m in zip(predicted.T, measured.T, strict=True)]
    np.testing.assert_allclose(found["r"], [stats.pearsonr(p, m)[0] for p, m in each], atol=1e-6)
    np.testing.assert_allclose(found["r2"], [metrics.r2_score(m, p) for p, m in each], atol=1e-5)
    np.testing.assert_allclose(found["rmse"], [metrics.root_mean_squared_error(m, p) for p, m in each], rtol=1e-5)
    np.testing.assert_allclose(found["mae"], [metrics.mean_absolute_error(m, p) for p, m in each], rtol=1e-5)


def test_smooth_l1_is_torchs(pair):
    torch = pytest.importorskip("torch")
    predicted, measured = pair
    theirs = torch.nn.functional.smooth_l1_loss(torch.tensor(predicted), torch.tensor(measured), reduction="none").mean(0)
    np.testing.assert_allclose(score(predicted, measured)["smooth_l1"], theirs, rtol=1e-5)


def test_blocks_of_rows_give_the_scores_of_all(pair):
    predicted, measured = pair
    accumulator = ScoreAccumulator(np.full(6, 0.3))
    for rows in np.array_split(np.arange(80), 7):
        accumulator.add(predicted[rows], measured[rows])
    for name, values in score(predicted, measured).items():
        np.testing.assert_allclose(accumulator.scores()[name], values, rtol=1e-4, atol=1e-6)


def test_a_constant_prediction_scores_zero_and_a_constant_response_has_no_score(pair):
    predicted, measured = pair
    predicted[:, 0] = 0.37
    measured[:, 1] = 2.5
    found = score(predicted, measured)
    assert found["r"][0] == 0 and np.isnan(found["r"][1]) and np.isnan(found["r2"][1])
    assert np.isfinite(found["r"][2:]).all() and np.isfinite(found["mae"]).all()


def test_adding_leaves_its_arguments_alone(pair):
    predicted, measured = pair
    copies = predicted.copy(), measured.copy()
    ScoreAccumulator(np.zeros(6)).add(predicted, measured)
    np.testing.assert_array_equal(predicted, copies[0])
    np.testing.assert_array_equal(measured, copies[1])


@pytest.mark.parametrize("axis", [0, 1])
def test_pearson_is_scipys_and_says_what_is_undefined(axis):
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=(2, 30, 40)) + 1e3
    expected = [stats.pearsonr(x, y)[0] for x, y in zip(np.moveaxis(a, axis, -1), np.moveaxis(b, axis, -1), strict=True)]
    np.testing.assert_allclose(pearson(a, b, axis), expected, atol=1e-9)
    constant, varying = np.full(5, 0.1), np.arange(5.0)
    assert pearson(constant, varying) == 0 and np.isnan(pearson(varying, constant)) and np.isnan(pearson(varying, varying * np.nan))


def test_a_scores_table_is_complete_and_its_columns_differ():
    columns = [column for score in SCORES.values() for column in (score.mean_column, score.median_column)]
    assert len(set(columns)) == len(columns)
    assert set(FORMER_SCORES.values()) <= set(SCORES) and not set(FORMER_SCORES) & set(SCORES)
    for each in SCORES.values():
        assert each.title and each.short and each.definition.endswith(".")
        assert each.needs_ceiling == (each.ceiling_level is not None)
