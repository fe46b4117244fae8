import numpy as np

from encoding.evaluation.noise_ceiling import from_repeats
from encoding.evaluation.normalised_scores import algonauts2023_score, mean_of_roi_means, normalised_r, normalised_r2
from encoding.evaluation.scores import score


def test_the_official_score_is_the_challenges_own_arithmetic():
    r, ceiling = np.array([-0.3, 0.5, 0.5, 0.9, 0.01, np.nan]), np.array([0.5, 0.5, 1.0, 0.3, 0.0, 0.5])
    np.testing.assert_allclose(algonauts2023_score(r, ceiling), [0, 50, 25, 100, 100, 0])


def test_a_vertex_without_a_ceiling_is_left_out_of_the_normalised_score():
    r, ceiling = np.array([-0.3, 0.5, 0.9, 0.01]), np.array([0.5, 0.5, 0.3, 0.0])
    np.testing.assert_allclose(normalised_r2(r, ceiling), [0, 0.5, 1, np.nan])
    np.testing.assert_allclose(normalised_r2(r, ceiling, least=0.4), [0, 0.5, np.nan, np.nan])


def test_the_2021_score_is_r_over_the_root_of_the_ceiling_where_there_is_one():
    r, ceiling = np.array([0.4, -0.3, 0.9, 0.1, 0.1]), np.array([0.64, 0.25, 0.25, 0.01, 0.0])
    np.testing.assert_allclose(normalised_r(r, ceiling), [0.5, -0.6, 1.8, 1, np.nan])
    np.testing.assert_allclose(normalised_r(r, ceiling, least=0.05), [0.5, -0.6, 1.8, np.nan, np.nan])


def test_predicting_the_signal_itself_scores_one_in_2021s_measure():
    rng = np.random.default_rng(6)
    signal = rng.normal(size=(4000, 8))
    repeats = signal[:, None] + rng.normal(size=(4000, 3, 8)) * np.geomspace(0.3, 3, 8)
    r = score(signal, repeats.mean(axis=1))["r"]
    np.testing.assert_allclose(normalised_r(r, from_repeats(repeats)), 1, atol=0.05)


def test_rois_count_the_same_whatever_their_size():
    values = np.array([1.0, 1, 1, 1, 3, np.nan])
    rois = {"large": np.arange(4), "small": np.array([4, 5]), "empty": np.zeros(0, int), "unknown": np.array([5])}
    assert mean_of_roi_means(values, rois) == 2
    assert np.isnan(mean_of_roi_means(values, {"empty": np.zeros(0, int)}))
