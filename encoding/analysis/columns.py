"""Titles of the columns of statistics' tables, the same on pages, in the terminal and in CSV files. JSON keeps the names of the code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from encoding.datasets._unit import VERTEX, Unit

if TYPE_CHECKING:
    import pandas as pd

TITLES = {
    "roi": "ROI",
    "hemi": "hemisphere",
    "n_vertices": "{units}",
    # significance
    "n_tested": "tested {units}",
    "r_mean": "mean r",
    "n_below": "p ≤ .05",
    "by_chance": "p ≤ .05 by chance",
    "n_found": "significant",
    "false_found": "false at most",
    "least_r": "lowest significant r",
    "fsaverage": "fsaverage vertex",
    # variance partitioning
    "spaces": "feature spaces",
    "r2": "R² of a model of these",
    "part": "part of R²",
    "part_low": "part, 95 % from",
    "part_high": "part, 95 % to",
    "product": "product measure",
    # similarity and spectra
    "space": "layer",
    "rsa": "RSA (Spearman)",
    "rsa_tau": "RSA (tau-a)",
    "rsa_repeats": "RSA, single repeats",
    "rsa_subjects": "RSA, single subjects",
    "ceiling_low": "ceiling from",
    "ceiling_high": "ceiling to",
    "cka": "CKA",
    "cka_debiased": "CKA, debiased",
    # groups of subjects
    "n_subjects": "subjects",
    "sd": "SD over subjects",
    "se": "SE over subjects",
    "low": "95 % from",
    "high": "95 % to",
    "least": "lowest subject",
    "most": "highest subject",
    "model": "model of",
    "tested": "tested on",
    "n_stimuli": "stimuli",
    "r_region": "r of the region's mean",
    "n_shared": "shared {units}",
    "r_vertices": "mean r of shared {units}",
}
"""Column of a table to its title, where that is not its name; ``{units}`` is what a column of the responses is called."""


def titled(table: pd.DataFrame, unit: Unit = VERTEX) -> pd.DataFrame:
    """Rename the columns of a table of statistics to titles that people read; columns without one keep their name.

    Examples
    --------
    >>> import pandas as pd
    >>> list(titled(pd.DataFrame(columns=["roi", "n_tested", "q"])))
    ['ROI', 'tested vertices', 'q']
    """
    return table.rename(columns={name: unit.fill(title) for name, title in TITLES.items()})
