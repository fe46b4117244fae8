"""Scores of one ROI or vertex under several fits, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from encoding.plots.bars import strokes
from encoding.plots.look import LINE, SMALL, STROKE, hemi_colour, hemi_name, theme
from encoding.plots.table import attach_table

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

ROW_HEIGHT = 30  # px
CHARACTERS = 30  # of a fit's name before it breaks into two lines
OFFSET = 0.14  # of a hemisphere's dot from the middle of its row


def fit_scores(table: pd.DataFrame, names: Mapping[str, str], *, ceiling: str = "Highest r that noise allows") -> go.Figure:
    """Mean r of a region under several fits, one row a fit, with 95 % intervals and the noise ceiling.

    Parameters
    ----------
    table : :func:`encoding.runs.region_scores.region_scores`; its order is that of the rows, from the top.
    names : key of a fit to its label; each label is of one fit.
    ceiling : legend of the noise ceiling's mark.
    """
    import plotly.graph_objects as go

    keys, hemis = list(dict.fromkeys(table["key"])), list(dict.fromkeys(table["hemi"]))
    fig = go.Figure()
    for number, hemi in enumerate(hemis):
        rows = table[table["hemi"] == hemi]
        y = np.array([keys.index(key) for key in rows["key"]]) + 2 * OFFSET * (number - (len(hemis) - 1) / 2)
        x, ends = strokes((rows["low"].to_numpy(), rows["high"].to_numpy()), (y, y))
        fig.add_scatter(x=x, y=ends, mode="lines", line={"color": hemi_colour(hemi), "width": 2}, hoverinfo="skip", showlegend=False)
        fig.add_scatter(
            x=rows["ceiling_r"],
            y=y,
            mode="markers",
            name=ceiling,
            legendgroup="ceiling",
            showlegend=number == 0 and bool(rows["ceiling_r"].notna().any()),
            marker={"symbol": "line-ns-open", "size": 13, "color": STROKE, "line": {"width": 2}},
            hovertemplate=f"{ceiling}: %{{x:.3f}}<extra></extra>",
        )
        fig.add_scatter(
            x=rows["r"],
            y=y,
            mode="markers",
            name=hemi_name(hemi),
            marker={"size": 9, "color": hemi_colour(hemi), "line": {"width": 1, "color": "white"}},
            hovertext=[_text(row, names[row.key]) for row in rows.itertuples()],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    fig.add_vline(x=0, line={"color": LINE, "width": 1})
    fig.update_xaxes(title_text="r over test stimuli", fixedrange=True)
    labels = [_broken(names[key]) for key in keys]
    fig.update_yaxes(
        tickvals=list(range(len(keys))),
        ticktext=labels,
        tickfont={"size": SMALL},
        range=[len(keys) - 0.4, -0.6],
        showgrid=False,
        fixedrange=True,
    )
    attach_table(fig, table.assign(fit=table["key"].map(names)).drop(columns="key"))
    longest = max(len(line) for label in labels for line in label.split("<br>"))
    return theme(fig, height=150 + ROW_HEIGHT * max(2, len(keys))).update_layout(margin_l=16 + 6.2 * longest)


def _text(row: object, name: str) -> str:
    lines = [f"<b>{name}</b>", f"{hemi_name(row.hemi)}, r {row.r:z.3f}"]
    if np.isfinite(row.low):
        lines.append(f"95 % interval {row.low:z.3f} to {row.high:z.3f}")
    return "<br>".join(lines)


def _broken(name: str) -> str:
    """A name in two lines where it is long, broken at a space."""
    if len(name) <= CHARACTERS:
        return name
    at = name.rfind(" ", 0, max(CHARACTERS, len(name) // 2 + 4))
    return f"{name[:at]}<br>{name[at + 1 :]}" if at > 0 else name
