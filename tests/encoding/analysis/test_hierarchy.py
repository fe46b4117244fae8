"""Stages of the visual hierarchy and the index over them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from encoding.analysis.hierarchy import PUBLISHED, PUBLISHED_ROIS, hierarchy, published, published_best, published_hierarchy, stage


def test_stages_are_those_of_the_areas_whatever_their_half():
    assert [stage(roi) for roi in ("V1v", "V1", "V2d", "V3v", "hV4", "V4", "EBA", "FFA", "PPA")] == [1, 1, 2, 3, 4, 4, 5, 5, 5]
    assert [stage(roi) for roi in ("early", "ventral", "all", "", "v")] == [None] * 5


def test_the_index_is_spearman_s_correlation():
    rng = np.random.default_rng(1)
    rois = ["V1v", "V1d", "V2v", "V3d", "hV4", "EBA", "PPA", "ventral"]
    means, draws = rng.random((5, 8)), rng.random((5, 30, 8))
    found = hierarchy(means, rois, draws)
    stages = [stage(roi) for roi in rois[:7]]
    assert found.rois == tuple(rois[:7])
    assert found.index == pytest.approx(spearmanr(stages, means[:, :7].argmax(0))[0])
    drawn = [spearmanr(stages, draws[:, number, :7].argmax(0))[0] for number in range(30)]
    np.testing.assert_allclose([found.low, found.high], np.percentile(drawn, [2.5, 97.5]))
    assert found.defined == 1


def test_an_index_that_means_nothing_is_not_a_number():
    one_best = np.array([[0.5, 0.6, 0.7], [0.1, 0.2, 0.3]])
    draws = np.stack([one_best, one_best]).transpose(1, 0, 2)
    found = hierarchy(one_best, ["V1", "V2", "V3"], draws)
    assert np.isnan(found.index) and np.isnan(found.low) and found.defined == 0
    assert np.isnan(hierarchy(np.eye(2), ["V1", "V2"]).index)
    assert hierarchy(np.eye(2), ["early", "late"], np.ones((2, 5, 2))).rois == ()


def test_the_published_table_rises_from_early_to_late_areas():
    best = published_best().set_index("roi")["label"]
    assert best["V1v"] == "features.4" and best["FFA-1"] == "features.12" and best["early"] == "features.7"
    assert published().pivot(index="label", columns="roi", values="normalised_r2").loc["features.9", "RSC"] == 0.643
    places = {roi: int(np.argmax([row[i] for row in PUBLISHED])) for i, roi in enumerate(PUBLISHED_ROIS)}
    staged = [roi for roi in PUBLISHED_ROIS if stage(roi)]
    assert published_hierarchy().index == pytest.approx(spearmanr([stage(roi) for roi in staged], [places[roi] for roi in staged])[0])
