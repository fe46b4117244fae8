"""Residuals and their running mean. All arrays here are made up for the tests."""

import numpy as np
import pandas as pd

from encoding import plots
from encoding.analysis.summaries import ResidualDensity
from encoding.plots.residuals import binned_means
from tests.encoding.plots.conftest import named


def test_residuals_are_measured_less_predicted(pair):
    measured, predicted, _ = pair
    fig = plots.residual_fitted(*pair)
    (dots,) = named(fig, "Test image")
    np.testing.assert_array_equal(dots.y, measured - predicted)
    np.testing.assert_array_equal(dots.x, predicted)
    zero = named(fig, "Residual 0")[0]
    assert set(zero.y) == {0} and tuple(zero.x) == fig.layout.xaxis.range
    bars = named(fig, "Residuals")[0]
    assert bars.x.sum() == 120 and bars.orientation == "h" and bars.xaxis == "x2"


def test_bins_of_the_running_mean_are_pandas_quantiles():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2, 120))
    centres, means, errors = binned_means(x, y)
    groups = pd.DataFrame({"x": x, "y": y}).groupby(pd.qcut(x, 10, labels=False))
    np.testing.assert_allclose(centres, groups["x"].mean())
    np.testing.assert_allclose(means, groups["y"].mean())
    np.testing.assert_allclose(errors, groups["y"].sem())


def test_intervals_of_the_running_mean_cover_zero_where_an_image_is_shown_several_times():
    rng = np.random.default_rng(6)
    n_images, n_repeats, inside = 60, 3, []
    images = np.tile(np.arange(n_images), n_repeats)
    for _ in range(200):
        predicted, missed = rng.normal(size=(2, n_images))
        residuals = missed[images] + 0.3 * rng.normal(size=len(images))
        _, means, errors = binned_means(predicted[images], residuals, images)
        inside.extend(np.abs(means) <= 1.96 * errors)
    assert 0.88 < np.mean(inside) < 0.98


def test_rows_of_few_groups_have_a_running_mean_without_intervals(pair):
    measured, predicted, names = pair
    fig = plots.residual_fitted(measured, predicted, names, groups=np.arange(len(names)) % 4)
    (mean,) = named(fig, "Running mean")
    assert np.isfinite(mean.y).all() and mean.error_y.array is None and not named(fig, "Running mean ± 95 %")


def test_the_running_mean_shows_a_bend_that_is_there_and_none_that_is_not():
    rng = np.random.default_rng(2)
    predicted, noise = rng.normal(size=600), rng.normal(size=600)
    for bend, outside in ((0.0, 2), (0.6, 5)):
        fig = plots.residual_fitted(predicted + bend * (predicted**2 - 1) + noise, predicted, [""] * 600)
        mean = named(fig, "Running mean ± 95 %")[0]
        far = (np.abs(mean.y) > mean.error_y.array).sum()
        assert far <= outside if bend == 0 else far >= outside


def test_a_few_images_have_no_running_mean():
    values = np.arange(10.0)
    assert not named(plots.residual_fitted(values, values + 1, [""] * 10), "Running mean ± 95 %")


def test_the_density_draws_each_count_at_its_cell_and_leaves_empty_ones_blank():
    counts = np.array([[0, 10], [1, 100]])
    density = ResidualDensity(counts, np.array([0.0, 1, 2]), np.array([-1.0, 0, 1]), np.array([0.1, -0.2]), 0.0, 1.0)
    fig = plots.residual_density(density)
    heatmap = next(trace for trace in fig.data if trace.type == "heatmap")
    np.testing.assert_array_equal(heatmap.z, [[np.nan, 1], [0, 2]])
    np.testing.assert_array_equal(heatmap.x, [0.5, 1.5])
    np.testing.assert_array_equal(heatmap.y, [-0.5, 0.5])
    assert np.isnan(fig.data[-1].y[0]) and fig.data[-1].y[1] == -0.2 and density.n_pairs == 111  # one pair has no mean
