"""Figures of measured responses: ROI sizes, response maps, tuning and distributions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from encoding.datasets._unit import VERTEX, Unit
from encoding.plots.look import CLEAR, FADED, LINE, SMALL, STROKE, TEST, hemi_colour, hemi_name, theme, translucent
from encoding.runtime.wording import counted

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from encoding.analysis.tuning import Overview

ROW_HEIGHT = 17  # px, of a region's two bars
LYING_ROW = 19  # px, of a region's two bars with whiskers
CHARACTER = 6.2  # px, at most, of a name
N_BINS = 50


def size_bars(
    table: pd.DataFrame, *, classes: Mapping[str, Sequence[str]] | None = None, selected: str | None = None, unit: Unit = VERTEX
) -> go.Figure:
    """Number of vertices of each ROI, one panel per hemisphere; empty ROIs are labelled.

    Parameters
    ----------
    table : :func:`encoding.analysis.tuning.roi_sizes`.
    classes : class to its ROIs, drawn class by class with a gap between.
    selected : highlighted ROI.
    unit : what a column of the responses is called.

    Notes
    -----
    Each bar's customdata is (roi, hemi).
    """
    import plotly.graph_objects as go

    order = by_class(table["roi"], classes or {})
    fig = go.Figure()
    for hemi in dict.fromkeys(table["hemi"]):
        rows = table[table["hemi"] == hemi]
        hover = [f"<b>{row.roi}</b>, {hemi_name(hemi).lower()}: {unit.count(row.n_vertices)}" for row in rows.itertuples()]
        fig.add_bar(x=rows["n_vertices"], y=rows["roi"], orientation="h", hovertext=hover, **_of_hemi(rows, hemi, selected))
    totals = table.groupby("roi", sort=False)["n_vertices"].sum()
    note = {"x": 0, "text": "empty", "showarrow": False, "xanchor": "left", "xshift": 4, "font": {"size": SMALL}}
    fig.update_layout(annotations=[note | {"y": roi} for roi in totals.index[totals == 0]], bargap=0.2, barmode="group")
    fig.update_xaxes(title_text=unit.many.capitalize(), rangemode="tozero", fixedrange=True)
    fig.update_yaxes(range=(len(order) - 0.5, -0.5), **_names(order, selected))
    return theme(fig, height=90 + ROW_HEIGHT * len(order)).update_layout(margin_l=16 + CHARACTER * max(map(len, order), default=0))


def region_profile(
    table: pd.DataFrame,
    *,
    what: str,
    classes: Mapping[str, Sequence[str]] | None = None,
    selected: str | None = None,
    unit: Unit = VERTEX,
    horizontal: bool = False,
) -> go.Figure:
    """Mean response of each ROI to one stimulus, left and right, with the interquartile range over its vertices.

    Parameters
    ----------
    table : :func:`encoding.analysis.tuning.roi_profile`. An empty ROI leaves a gap.
    what : axis title: quantity and unit.
    classes, selected, unit : as for :func:`size_bars`.
    horizontal : ROIs below each other, for a phone.
    """
    import plotly.graph_objects as go

    order = by_class(table["roi"], classes or {})
    fig = go.Figure()
    for hemi in dict.fromkeys(table["hemi"]):
        rows = table[table["hemi"] == hemi]
        half = {"type": "data", "array": rows["high"] - rows["mean"], "arrayminus": rows["mean"] - rows["low"], "symmetric": False}
        fig.add_bar(
            x=rows["roi"],
            y=rows["mean"],
            error_y=half | {"color": STROKE, "thickness": 1.5, "width": 0},
            hovertext=[_profile_hover(row, unit) for row in rows.itertuples()],
            **_of_hemi(rows, hemi, selected),
        )
    return over_regions(fig, order, selected, title=what, horizontal=horizontal)


def over_regions(fig: go.Figure, order: Sequence[str], selected: str | None, *, title: str, horizontal: bool) -> go.Figure:
    """Give ``fig``, whose bars stand over regions, its axes, in place; ``horizontal`` lays them down, the first region on top."""
    room = 16 + CHARACTER * max(map(len, order), default=0)
    responses = {"title_text": title, "fixedrange": True}
    fig.update_layout(bargap=0.2, barmode="group")
    if not horizontal:
        fig.add_hline(y=0, line={"color": LINE, "width": 1})
        fig.update_xaxes(range=(-0.5, len(order) - 0.5), tickangle=-90, **_names(order, selected))
        fig.update_yaxes(**responses)
        return theme(fig, height=350).update_layout(margin_b=max(48, room))
    for trace in fig.data:
        trace.update(orientation="h", x=trace.y, y=trace.x, error_x=trace.error_y.to_plotly_json(), error_y=None)
    fig.add_vline(x=0, line={"color": LINE, "width": 1})
    fig.update_yaxes(range=(len(order) - 0.5, -0.5), **_names(order, selected))
    fig.update_xaxes(**responses)
    return theme(fig, height=130 + LYING_ROW * len(order)).update_layout(margin_l=room)


def by_class(rois: Iterable[str], classes: Mapping[str, Sequence[str]]) -> list[str]:
    """Sort ROIs class by class, those without class first, with distinct blanks in between as gaps on a categorical axis.

    >>> by_class(["PPA", "all", "V1v"], {"early": ["V1v"], "places": ["PPA", "RSC"]})
    ['all', ' ', 'V1v', '  ', 'PPA']
    """
    rois = list(dict.fromkeys(rois))
    classed = {roi for members in classes.values() for roi in members}
    groups = [[roi for roi in rois if roi not in classed], *([roi for roi in members if roi in rois] for members in classes.values())]
    groups = [group for group in groups if group]
    return [name for number, group in enumerate(groups) for name in ([" " * number] if number else []) + group]


def response_histogram(
    values: np.ndarray, *, what: str, of: str = "stimuli", marked: Mapping[str, float] | None = None, colour: str = TEST
) -> go.Figure:
    """Histogram of responses, of one vertex to all stimuli or of all vertices to one.

    Parameters
    ----------
    values : (n,) responses.
    what : axis title.
    of : what is counted, ``stimuli`` or ``vertices``.
    marked : label to a response that is marked by a line, such as that to the chosen stimulus.
    """
    import plotly.graph_objects as go

    counts, edges = np.histogram(values, bins=min(N_BINS, max(8, int(np.sqrt(len(values))))))
    fig = go.Figure(
        go.Bar(
            x=(edges[:-1] + edges[1:]) / 2,
            y=counts,
            width=np.diff(edges),
            name=of.capitalize(),
            marker={"color": colour, "opacity": 0.7, "line_width": 0},
            hovertemplate=f"%{{y:,}} {of} near %{{x:.2f}}<extra></extra>",
        )
    )
    for name, value in (marked or {}).items():
        fig.add_vline(x=float(value), line={"color": STROKE, "width": 2})
        note = {"text": f"{name}, {value:+z.2f}", "showarrow": False, "yanchor": "bottom"}
        fig.add_annotation(x=float(value), y=1, yref="paper", font_size=SMALL, **note)
    fig.update_xaxes(title_text=what)
    fig.update_yaxes(title_text=of.capitalize())
    return theme(fig, height=300).update_layout(showlegend=False, bargap=0)


def response_strip(values: Mapping[str, np.ndarray], *, what: str, marked: tuple[str, int] | None = None, unit: Unit = VERTEX) -> go.Figure:
    """Response of every column to one stimulus in the order of the columns, for data without known positions.

    Adjacent columns need not be adjacent in the brain. A trace's ``meta`` is its block and the position at which it starts.

    Parameters
    ----------
    values : block to (n_vertices,) responses.
    what : axis title.
    marked : block and column of the selected one.
    unit : what a column of the responses is called.
    """
    import plotly.graph_objects as go

    fig, start = go.Figure(), 0
    for block, responses in values.items():
        fig.add_scattergl(
            x=np.arange(start, start + len(responses), dtype=np.float32),
            y=np.asarray(responses, np.float32),
            mode="markers",
            name=hemi_name(block),
            marker={"color": hemi_colour(block), "size": 4, "opacity": 0.6},
            meta=[block, start],
            hovertemplate=f"{hemi_name(block)}, place %{{x:,.0f}}: %{{y:.2f}}<extra></extra>",
        )
        if marked and marked[0] == block:
            fig.add_vline(x=start + marked[1], line={"color": STROKE, "width": 2})
        start += len(responses)
    fig.add_hline(y=0, line={"color": LINE, "width": 1})
    fig.update_xaxes(title_text=f"{unit.many.capitalize()}, in the order of the responses' columns", showgrid=False)
    fig.update_yaxes(title_text=what)
    return theme(fig, height=300).update_layout(showlegend=len(values) > 1, clickmode="event+select")


def response_spread(spread: Overview, *, what: str) -> go.Figure:
    """Distribution of each block's responses over the sampled stimuli and all vertices, in percent."""
    import plotly.graph_objects as go

    centres = (spread.edges[:-1] + spread.edges[1:]) / 2
    fig = go.Figure()
    for block, counts in spread.counts.items():
        fig.add_scatter(
            x=centres,
            y=100 * counts / max(1, counts.sum()),
            mode="lines",
            line={"color": hemi_colour(block), "width": 2, "shape": "hvh"},
            fill="tozeroy",
            fillcolor=translucent(hemi_colour(block), 0.2),
            name=hemi_name(block),
            hovertemplate=f"{hemi_name(block)}<br>near %{{x:.2f}}: %{{y:.1f}} %<extra></extra>",
        )
    fig.update_xaxes(title_text=what)
    fig.update_yaxes(title_text="Share of responses (%)", rangemode="tozero")
    return theme(fig, height=300)


def label_bars(table: pd.DataFrame, *, what: str) -> go.Figure:
    """Mean response of a vertex to each stimulus category with 95 % intervals.

    ``table`` is :func:`encoding.analysis.tuning.label_means`; ``what`` the axis title.
    """
    import plotly.graph_objects as go

    names = [f"{row.label} ({row.n:,})" for row in table.itertuples()]
    spread = {"type": "data", "array": table["high"] - table["mean"], "color": STROKE, "thickness": 1.5, "width": 0}
    fig = go.Figure(
        go.Bar(
            x=table["mean"],
            y=names,
            error_x=spread,
            orientation="h",
            name="Mean response",
            marker={"color": TEST, "opacity": 0.8},
            hovertext=[
                f"<b>{row.label}</b><br>mean {row.mean:+z.3f} over {counted(row.n, 'stimulus', 'stimuli')}" for row in table.itertuples()
            ],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    )
    fig.add_vline(x=0, line={"color": LINE, "width": 1})
    fig.update_xaxes(title_text=what)
    fig.update_yaxes(range=(len(names) - 0.5, -0.5), **_names(names, None))
    fig.update_layout(bargap=0.35, showlegend=False)
    return theme(fig, height=max(220, 96 + 2 * ROW_HEIGHT * len(names))).update_layout(
        margin_l=16 + CHARACTER * max(map(len, names), default=0)
    )


def _of_hemi(rows: pd.DataFrame, hemi: str, selected: str | None) -> dict[str, object]:
    """What the bars of a hemisphere have in common, whichever way they run."""
    chosen = rows["roi"].to_numpy() == selected
    return {
        "name": hemi_name(hemi),
        "marker": {"color": hemi_colour(hemi), "opacity": np.where(chosen, 1.0, FADED) if chosen.any() else 1.0},
        "customdata": [[roi, hemi] for roi in rows["roi"]],
        "hovertemplate": "%{hovertext}<extra></extra>",
    }


def _names(order: Sequence[str], selected: str | None) -> dict[str, object]:
    """An axis of regions in this order."""
    return {
        "type": "category",
        "categoryorder": "array",
        "categoryarray": list(order),
        "tickvals": list(order),
        "ticktext": [f"<b>{roi}</b>" if roi == selected else roi for roi in order],
        "tickfont": {"size": SMALL},
        "showgrid": False,
        "fixedrange": True,
        "tickcolor": CLEAR,
    }


def _profile_hover(row: object, unit: Unit) -> str:
    if not np.isfinite(row.mean):
        return f"<b>{row.roi}</b>, {hemi_name(row.hemi).lower()}: no {unit.many}"
    lines = [f"<b>{row.roi}</b>, {hemi_name(row.hemi).lower()}", f"mean {row.mean:+z.3f}"]
    return "<br>".join([*lines, f"middle half of {unit.count(row.n_vertices)}: {row.low:+z.2f} to {row.high:+z.2f}"])
