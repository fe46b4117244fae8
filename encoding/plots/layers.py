"""Figures along the layers of a sweep: profile of one ROI, and how much of the cortex each layer predicts best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from encoding.analysis.layer_ranking import interval_columns, layer_column
from encoding.datasets._unit import VERTEX, Unit
from encoding.evaluation.scores import SCORES
from encoding.plots.heatmap import CHARACTER, ROW, quantity_of, short_name
from encoding.plots.look import CEILING, LINE, SMALL, hemi_colour, hemi_name, theme
from encoding.plots.score_axis import axis_title, ceiling_name

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

LAYER_COLOURS = "viridis"  # from the first layer to the last, as on the brain


def layer_profile(
    table: pd.DataFrame,
    *,
    roi: str,
    score: str = "r",
    statistic: str = "mean",
    layers: Sequence[str] | None = None,
    baseline: Mapping[str, float] | None = None,
) -> go.Figure:
    """Score of one ROI against layers, one line per hemisphere, with intervals where the table has them and the noise ceiling of r.

    Parameters
    ----------
    score, statistic : as in :func:`encoding.plots.layer_heatmap`.
    table : :meth:`encoding.analysis.layer_sweep.SweepResult.table`, single hemispheres only.
    layers : labels of all layers, early ones first; None takes the table's.
    baseline : hemisphere to the score of another fit in the ROI, a grey line.
    """
    import plotly.graph_objects as go

    layers = list(dict.fromkeys(table["label"])) if layers is None else list(layers)
    some, column = table[table["roi"] == roi], layer_column(score, statistic)
    fig = go.Figure()
    for hemi in dict.fromkeys(some["hemi"]):
        rows = some[(some["hemi"] == hemi) & some[column].notna()]
        if not len(rows):
            continue
        value, colour = rows[column].to_numpy(float), hemi_colour(hemi)
        bars = None
        low, high = interval_columns(score)
        if statistic == "mean" and low in rows and rows[low].notna().any():
            ends = {"array": rows[high].to_numpy(float) - value, "arrayminus": value - rows[low].to_numpy(float)}
            bars = {"type": "data", "symmetric": False, "thickness": 1.5, "width": 3} | ends
        fig.add_scatter(
            x=rows["label"].to_numpy(), y=value, mode="lines+markers", name=hemi_name(hemi), error_y=bars,
            line={"color": colour, "width": 2},
            hovertemplate=f"%{{x}}<br>{quantity_of(score, statistic)} %{{y:.3f}}<extra>{hemi_name(hemi)}</extra>",
        )  # fmt: skip
        if statistic == "mean" and (ceiling := SCORES[score].ceiling_column) in rows:
            level = np.full(len(layers), rows[ceiling].iloc[0])
            fig.add_scatter(
                x=layers, y=level, mode="lines", name=f"{ceiling_name(score)}, {hemi_name(hemi).split()[0].lower()}", hoverinfo="skip",
                line={"color": CEILING, "width": 1.5, "dash": "dot" if hemi == "rh" else "dash"},
            )  # fmt: skip
    for hemi, value in (baseline or {}).items():
        fig.add_scatter(
            x=layers, y=np.full(len(layers), value), mode="lines", name=f"Baseline, {hemi_name(hemi).split()[0].lower()}",
            line={"color": LINE, "width": 3, "dash": "dot" if hemi == "rh" else "solid"},
            hovertemplate=f"Baseline: %{{y:.3f}}<extra>{hemi_name(hemi)}</extra>",
        )  # fmt: skip
    fig.update_yaxes(title_text=axis_title(score, statistic), rangemode="tozero")
    short = [short_name(layer) for layer in layers]
    longest = max(map(len, short), default=0)
    upright = longest * len(layers) > 60
    fig.update_xaxes(
        type="category", categoryorder="array", categoryarray=layers, range=[-0.4, len(layers) - 0.6], tickvals=layers, ticktext=short,
        tickangle=-45 if upright else 0, tickfont={"size": SMALL},
    )  # fmt: skip
    theme(fig, height=320)
    return fig.update_layout(margin={"b": 20 + (CHARACTER * longest * 0.8 if upright else 20)})


def layer_territory(layers: Sequence[str], counts: Mapping[str, np.ndarray], *, unit: Unit = VERTEX) -> go.Figure:
    """Share of displayed vertices that each layer predicts best, in the colours of the brain map.

    Parameters
    ----------
    counts : hemisphere to (n_layers,) numbers of vertices.
    unit : what a column of the responses is called.
    """
    import plotly.graph_objects as go

    fig = go.Figure()
    colours = layer_colours(len(layers))
    for hemi, found in counts.items():
        found = np.asarray(found)
        share = found / max(1, found.sum())
        pattern = {"shape": "" if hemi == next(iter(counts)) else "/", "size": 5, "fgopacity": 0.5}
        fig.add_bar(
            y=list(layers), x=share, orientation="h", name=hemi_name(hemi), marker={"color": colours, "pattern": pattern}, customdata=found,
            hovertemplate=f"%{{y}}, {hemi_name(hemi).lower()}: best for %{{customdata:,}} {unit.many} (%{{x:.1%}})<extra></extra>",
        )  # fmt: skip
    fig.update_layout(barmode="group", bargap=0.3)
    fig.update_xaxes(title_text=f"Share of {unit.many} shown", tickformat=".0%", rangemode="tozero")
    fig.update_yaxes(
        type="category", categoryorder="array", categoryarray=list(layers), tickvals=list(layers),
        ticktext=[short_name(layer) for layer in layers], tickfont={"size": SMALL + 1},
    )  # fmt: skip
    theme(fig, height=110 + 1.3 * ROW * max(2, len(layers)))
    return fig.update_layout(margin={"l": 14 + CHARACTER * max(len(short_name(layer)) for layer in layers)})


def layer_colours(n_layers: int) -> list[str]:
    """Colour of each layer in the best-layer brain map.

    >>> len(layer_colours(3))
    3
    """
    from plotly.colors import sample_colorscale

    return sample_colorscale(LAYER_COLOURS, [(number + 0.5) / n_layers for number in range(n_layers)])
