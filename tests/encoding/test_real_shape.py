"""A subject of the shape that measured ones have: vertices all over fsaverage, repeats, groups, ceilings, an empty ROI."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from encoding import fit
from encoding.analysis.bootstrap import roi_intervals
from encoding.analysis.learning_curve import learning_curve
from encoding.plots.brain.score_maps import score_brain
from encoding.prediction.occlusion import occlude
from encoding.prediction.predictor import Predictor
from encoding.runs.exchange import export, import_
from encoding.runs.report import report
from tests import with_nightly
from tests.conftest import TINY


def give_real_shape(dataset):
    """The planted subject with most of its vertices beyond fsaverage5, three rows a stimulus and six a group."""
    rng = np.random.default_rng(0)
    vertices = {hemi: np.sort(rng.choice(163_842, 10, replace=False)) for hemi in ("lh", "rh")}
    assert all((places >= 10_242).sum() >= 7 for places in vertices.values())
    dataset.change(
        vertices=vertices,
        groups=np.arange(120) // 6,
        stimulus_ids=np.arange(120) // 3,
        ceiling={hemi: np.linspace(0.01, 0.9, 10, dtype=np.float32) for hemi in vertices},
    )


@pytest.fixture
def spread(tiny):
    give_real_shape(tiny)
    return tiny


DESIGNS = list(product(["holdout:0.7:5", "kfold:3:0"], [False, True]))  # split, and whether repeats are averaged


@pytest.mark.parametrize("design", with_nightly(DESIGNS, always=(DESIGNS[0], DESIGNS[3])), ids=str)
def test_everything_that_follows_a_fit_works(spread, store, tmp_path, design):
    split, average = design
    result = fit(replace(TINY, split=split, average_repeats=average), store, device="cpu")
    intervals, curve = roi_intervals(result), learning_curve(result.plan.spec, store, device="cpu")
    assert np.isfinite(intervals["lh_low"][0]) and np.isfinite(curve["lh_test"]).all()
    brain = score_brain(result)
    assert brain is not None and report([result], store).startswith("<!")
    there = import_(export(result, tmp_path / "fit.zip"), store)
    np.testing.assert_allclose(there.rois()["r_mean"], result.rois()["r_mean"])
    assert there.score_names == result.score_names
    found = occlude(Predictor.of(result, device="cpu"), [result.plan.subject.stimuli[0]], {"lh": np.arange(5)}, n_grid=2, patch=0.5)
    assert np.isfinite(found.drop).all() and found.drop.any()


@pytest.mark.parametrize("options", [{}, {"head": "conv", "trunk": "identity", "channels": 4, "kernel_size": 3}])
def test_a_network_that_knows_positions_takes_vertices_beyond_fsaverage5(spread, store, options):
    result = fit(replace(TINY, readout="positional", options={"n_epochs": 2} | options), store, device="cpu")
    np.testing.assert_allclose(result.predicted("lh", [2, 9]), result.predicted("lh", np.arange(10))[:, [2, 9]], rtol=1e-5)
    assert np.isfinite(result.score("lh")).all() and np.isfinite(result.score("rh")).all()
