"""Learning curves where rows come in groups, and of readouts that need many rows."""

from dataclasses import replace

import numpy as np
import pytest

from encoding import fit
from encoding.analysis.learning_curve import learning_curve
from tests.conftest import TINY


@pytest.mark.parametrize("readout", ["ridge", "banded_ridge", "lasso", "elastic_net", "pls"])
@pytest.mark.parametrize(("rows_of_a_group", "n_folds"), [(12, 5), (40, 2)], ids=["days", "sessions"])
def test_every_inner_fold_has_rows_at_every_size_where_rows_come_in_groups(tiny, store, readout, rows_of_a_group, n_folds):
    tiny.change(groups=np.arange(120) // rows_of_a_group, stimulus_ids=np.arange(120))
    spec = replace(TINY, readout=readout, split="holdout:0.7:0", n_components=8, options={"n_folds": n_folds})
    curve = learning_curve(spec, store, device="cpu")
    np.testing.assert_allclose(curve["lh_test"][-1, :5], fit(spec, store).score("lh")[:5], atol=1e-4)
    assert (n_folds - 1) * rows_of_a_group < curve["sizes"][0] < curve["sizes"][-1]
    assert np.isfinite(curve["lh_test"]).all()


def test_a_curve_of_many_neighbours_begins_where_there_are_as_many_images(tiny, store):
    curve = learning_curve(replace(TINY, readout="knn", options={"k": 60}), store, device="cpu")
    assert curve["sizes"][0] == 60 and np.isfinite(curve["lh_test"][:, :5]).all()
