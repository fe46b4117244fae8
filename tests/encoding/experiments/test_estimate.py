"""Cost of an experiment: what cells share is counted once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from encoding import Store, fit
from encoding.experiments import Experiment
from encoding.experiments.estimate import estimate
from encoding.experiments.graph import plan_cells
from encoding.fits import resources
from encoding.fits.resources import preflight
from tests.conftest import TINY

GRID = Experiment(base=replace(TINY, n_components=5, hemi="lh"), vary={"layers": "curated", "readout": ["ridge", "ols"]})


def test_a_pass_and_stored_features_are_counted_once_for_all_readouts(tiny, store):
    planned = plan_cells(GRID.cells(), store)
    alone = [preflight(each.plan, store) for each in planned]
    found = estimate(planned, store)
    passes = max(each.network_seconds for each in alone)
    own = sum(each.seconds - each.network_seconds for each in alone)
    assert found.n_fits == 4 and passes > 0 and found.seconds == pytest.approx(own + passes, rel=0.2)
    features = {each.cell.spec.layers: needs.feature_bytes for each, needs in zip(planned, alone, strict=True)}
    assert features["colour",] == 120 * 3 * 4 and [each.feature_bytes for each in alone[:2]] == [features["pixels",]] * 2
    assert found.disk == pytest.approx(sum(each.disk - each.feature_bytes for each in alone) + sum(features.values()))
    assert found.ram == max(each.ram for each in alone)
    assert "GB of memory" in str(found)


def test_finished_fits_take_nothing(tiny, store, tmp_path):
    fit(GRID.specs()[0], store, device="cpu")
    left = estimate(plan_cells(GRID.cells(), store), store)
    whole = estimate(plan_cells(GRID.cells(), empty := Store(tmp_path / "empty")), empty)
    assert left.n_fits == 3 and left.disk < whole.disk


def test_fits_without_room_are_named(tiny, store, monkeypatch):
    monkeypatch.setattr(resources, "available_memory", lambda: 1.0)
    labels = [label for label, _ in estimate(plan_cells(GRID.cells(), store), store).problems]
    assert labels == [cell.label for cell in GRID.cells()]
