"""Show a finished fit in a notebook: its settings, and every ROI as a bar and a row of a table."""

from __future__ import annotations

from typing import Any

import numpy as np

from encoding.runtime.html import render

COLOURS = {"lh": "#0072b2", "rh": "#d55e00"}  # of the bars; any other block is grey
COLUMNS = {"roi": "ROI", "hemi": "hemi", "n_vertices": "n", "r_mean": "r", "r_median": "median r", "r2_mean": "R²"}


def result_html(result: Any) -> str:
    """Static HTML of a :class:`encoding.fits.score_tables.ScoreTables`: inline SVG, no script and no other file; every text is escaped.

    Bars are the mean r of an ROI, from 0; ROIs without vertices have a row and no bar.
    """
    table, spec, plan = result.rois(), result.plan.spec, result.plan
    r = table["r_mean"].to_numpy(float)
    known = r[np.isfinite(r)]
    low, high = min(0.0, *known.tolist(), 0.0), max(0.1, *known.tolist(), 0.1)
    rows = []
    for values, mean_r in zip(table[list(COLUMNS)].itertuples(index=False), r, strict=True):
        bar = ((min(mean_r, 0.0) - low) / (high - low), abs(mean_r) / (high - low)) if np.isfinite(mean_r) else None
        label = f"{values[0]} {values[1]}: mean r {mean_r:z.3f}"
        rows.append({"cells": list(values), "bar": bar, "label": label, "colour": COLOURS.get(values[1], "#777777")})
    model = f"{spec.network_and_layers}, {spec.readout}"
    averaged = " (repeats averaged)" if spec.average_repeats else ""
    about = f"{spec.split}, {result.counted('training')} and {result.counted('test')}{averaged}; {result.key}"
    page = render(
        "fits/templates/result.html",
        title=f"{spec.dataset} {spec.subject}: {model}",
        about=about,
        simulated=plan.subject.simulated,
        columns=[plan.subject.unit.many if name == "n" else name for name in COLUMNS.values()],
        rows=rows,
        low=low,
        high=high,
        zero=-low / (high - low),
    )
    return str(page)
