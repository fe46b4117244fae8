"""Scores of one fit on every test set of its split, such as in and out of the distribution that it was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from encoding.fits.result import Result
from encoding.fits.training_data import is_complete

if TYPE_CHECKING:
    import pandas as pd


def scores_by_test_set(result: Result) -> pd.DataFrame:
    """Tabulate the mean scores of a fit on all test sets of its split that it was scored on, in the order of the split's file.

    Returns
    -------
    One row for each test set, ROI and hemisphere: test_set, n_test (rows, or stimuli where repeats are averaged), then the columns of
    :meth:`encoding.fits.result.Result.rois`. Empty where the split has no several test sets.
    """
    import pandas as pd

    tables = []
    for name, plan in result.plan.test_sets.items():
        if is_complete(plan, result.store):
            scored = Result(plan, result.store)
            table = scored.rois()
            table.insert(0, "test_set", name)
            table.insert(1, "n_test", scored.n_test)
            tables.append(table)
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
