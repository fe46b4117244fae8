"""Figures that compare fits: scores per ROI, paired differences with intervals, vertex scatter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from encoding.datasets._unit import VERTEX, Unit
from encoding.evaluation.resampling import p_text
from encoding.evaluation.scores import SCORES
from encoding.plots.bars import BAR, strokes
from encoding.plots.look import CEILING, FADED, LINE, SMALL, STROKE, TEST, TRAIN, hemi_colour, hemi_name, rimmed, theme
from encoding.plots.observed import limits
from encoding.plots.roi_axis import Row, arrange, class_names, name_rois, separate_classes
from encoding.plots.score_axis import axis_title, ceiling_name, ceilings, score_column
from encoding.plots.table import attach_table

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

AXIS_CHARACTERS, AXIS_LINE = 44, 16  # of a line of an axis' title, which a phone has room for; px of its height
MOST_POINTS = 1_500  # vertices drawn one by one; more are counted in squares
N_SQUARES = 48  # along each side
ROOM = 0.86  # of an ROI's width that its bars take together
DIFFERENCE_ROW, CHARACTER = 17, 6.4  # px, of a region of the differences and of a character of its name
ROW_HEIGHT = 230  # px, of one hemisphere
FIT_COLOURS = (TEST, TRAIN, "#2878B5", "#DD6B20", "#B8860B", "#8C8C8C")  # of the fits that are compared, in order


def paired_bars(
    tables: Mapping[str, pd.DataFrame],
    *,
    intervals: Mapping[str, Mapping[tuple[str, str], tuple[float, float]]] | None = None,
    marked: Sequence[tuple[str, str]] = (),
    classes: Mapping[str, Sequence[str]] | None = None,
    unit: Unit = VERTEX,
    score: str = "r",
    statistic: str = "mean",
    baseline: str = "",
) -> go.Figure:
    """Bars of the score of every ROI, one per fit, hemispheres one above the other.

    Parameters
    ----------
    tables : label of each fit, such as ``A``, to its :meth:`encoding.fits.result.Result.rois`.
    intervals : label to {(roi, hemi): ends of the 95 % interval of the mean}, drawn as whiskers.
    marked : pairs (roi, hemi) marked by a star: significant differences.
    classes, unit : as in :func:`encoding.plots.roi_bars`.
    score, statistic : a key of :data:`encoding.evaluation.scores.SCORES`, and its ``mean`` or ``median`` over vertices.
    baseline : label of the fit whose bars are grey.

    Notes
    -----
    ROIs and hemispheres are those in which some fit has vertices. The noise ceiling of r, of the first fit for which it is known, or the
    highest value of a normalised score, is a line over each group. Each bar's customdata is (roi, hemi).
    """
    import plotly.graph_objects as go

    quantity = f"{statistic} {SCORES[score].short}"
    whole = [table[table["n_vertices"] > 0] for table in tables.values()]
    whole = [table.assign(value=table[score_column(table, score, statistic)], bound=ceilings(table, score, statistic)) for table in whole]
    hemis = list(dict.fromkeys(hemi for table in whole for hemi in table["hemi"]))
    row = arrange(list(dict.fromkeys(roi for table in whole for roi in table["roi"])), classes or {})
    width = min(BAR, ROOM / len(tables))
    fig = go.Figure()
    for number, hemi in enumerate(hemis):
        axes = {"xaxis": "x", "yaxis": _axis("y", number)}
        for place, (name, colour) in enumerate(zip(tables, cycle(FIT_COLOURS), strict=False)):
            rows = whole[place][whole[place]["hemi"] == hemi]
            x = np.array([row.x[roi] for roi in rows["roi"]]) + width * (place - (len(tables) - 1) / 2)
            fig.add_trace(
                _bars(name, hemi, rows, x, width * 0.94, LINE if name == baseline else colour, quantity, first=number == 0).update(axes)
            )
            _whiskers(fig, (intervals or {}).get(name, {}), hemi, rows, x, axes, first=number == 0 and place == 0)
        _ceilings(fig, hemi, whole, row, axes, ceiling_name(score), first=number == 0)
        _stars(fig, [roi for roi, where in marked if where == hemi], hemi, whole, row, axes["yaxis"])
    _frame(fig, row, hemis, axis_title(score, statistic))
    name_rois(fig, row, {hemi: _counts(whole, hemi) for hemi in hemis}, None, unit)
    attach_table(fig, _numbers(dict(zip(tables, whole, strict=True)), intervals or {}, unit, quantity))
    return fig.update_layout(margin_t=62, legend_y=1.05)


def _numbers(
    tables: Mapping[str, pd.DataFrame], ends: Mapping[str, Mapping[tuple[str, str], tuple[float, float]]], unit: Unit, quantity: str
) -> pd.DataFrame:
    """A row for each bar of :func:`paired_bars`."""
    import pandas as pd

    nothing = (np.nan, np.nan)
    rows = [
        (name, row.roi, row.hemi, row.n_vertices, row.value, *ends.get(name, {}).get((row.roi, row.hemi), nothing))
        for name, table in tables.items()
        for row in table.itertuples()
    ]
    columns = ["fit", "roi", "hemi", f"n_{unit.many}", quantity, "low (95 %)", "high (95 %)"]
    return pd.DataFrame(rows, columns=columns).dropna(axis=1, how="all")


def _counts(tables: Sequence[pd.DataFrame], hemi: str) -> dict[str, int]:
    """Vertices of a hemisphere's ROIs, of the first fit that has each."""
    return {row.roi: row.n_vertices for table in reversed(tables) for row in table[table["hemi"] == hemi].itertuples()}


def _bars(name: str, hemi: str, rows: pd.DataFrame, x: np.ndarray, width: float, colour: str, quantity: str, *, first: bool) -> go.Bar:
    import plotly.graph_objects as go

    hover = [f"<b>{row.roi}</b>, {hemi_name(hemi).lower()}<br>{name}: {quantity} {row.value:z.3f}" for row in rows.itertuples()]
    return go.Bar(
        x=x,
        y=rows["value"].to_numpy(float),
        width=width,
        name=name,
        legendgroup=name,
        showlegend=first,
        marker={"color": colour},
        customdata=[[roi, hemi] for roi in rows["roi"]],
        hovertext=hover,
        hovertemplate="%{hovertext}<extra></extra>",
    )


def _whiskers(
    fig: go.Figure,
    ends: Mapping[tuple[str, str], tuple[float, float]],
    hemi: str,
    rows: pd.DataFrame,
    x: np.ndarray,
    axes: dict,
    *,
    first: bool,
) -> None:
    known = np.array([(roi, hemi) in ends for roi in rows["roi"]], bool)
    if known.any():
        low, high = np.array([ends[roi, hemi] for roi in rows["roi"][known]]).T
        style = {"name": "95 % interval", "showlegend": first} | axes
        rimmed(fig, *strokes((x[known], x[known]), (low, high)), width=1.5, **style)


def _ceilings(fig: go.Figure, hemi: str, tables: Sequence[pd.DataFrame], row: Row, axes: dict, name: str, *, first: bool) -> None:
    """A line over each group at the highest value that noise leaves possible, where it is known."""
    rows = [each for table in reversed(tables) for each in table[table["hemi"] == hemi].itertuples()]
    highest = {each.roi: each.bound for each in rows if np.isfinite(each.bound)}
    if highest:
        x, y = np.array([row.x[roi] for roi in highest]), np.array(list(highest.values()))
        ends = strokes((x - ROOM / 2, x + ROOM / 2), (y, y))
        style = {"mode": "lines", "line": {"color": CEILING, "width": 2.5}, "legendgroup": "ceiling", "hoverinfo": "skip"} | axes
        fig.add_scatter(x=ends[0], y=ends[1], name=name, showlegend=first, **style)


def _stars(fig: go.Figure, rois: Sequence[str], hemi: str, tables: Sequence[pd.DataFrame], row: Row, yaxis: str) -> None:
    """A star over each group in which fits differ."""
    if rois:
        top = [max(table["value"][(table["roi"] == roi) & (table["hemi"] == hemi)].max() for table in tables) for roi in rois]
        x = np.array([row.x[roi] for roi in rois])
        where = {"xaxis": "x", "yaxis": yaxis}
        fig.add_scatter(
            x=x, y=np.maximum(top, 0) * 1.12 + 0.02, text=["★"] * len(rois), mode="text", showlegend=False, hoverinfo="skip", **where
        )


def _frame(fig: go.Figure, row: Row, hemis: Sequence[str], what: str) -> None:
    """One panel a hemisphere, over each other, on one x axis; ``what`` is the title of the y axes."""
    gap, n = 0.06, len(hemis)
    for number, hemi in enumerate(hemis):
        bottom = (n - 1 - number) * (1 + gap) / n
        place = {"domain": [bottom, bottom + (1 - (n - 1) * gap) / n], "anchor": "x"}
        title = {"text": f"{hemi_name(hemi)}<br>{what}", "font": {"size": SMALL + 1}}
        fig.update_layout({f"yaxis{number + 1 if number else ''}": place | {"title": title, "rangemode": "tozero", "fixedrange": True}})
    separate_classes(fig, row)
    fig.update_layout(annotations=list(class_names(row)), barmode="overlay")
    theme(fig, height=ROW_HEIGHT * n + 150)
    fig.update_layout(margin_l=fig.layout.margin.l + 16 * what.count("<br>"))  # a title of three lines
    fig.update_xaxes(anchor=_axis("y", n - 1))


def _axis(letter: str, number: int) -> str:
    return f"{letter}{number + 1}" if number else letter


def roi_differences(
    table: pd.DataFrame, *, names: tuple[str, str] = ("A", "B"), unit: Unit = VERTEX, score: str = "r", statistic: str = "mean"
) -> go.Figure:
    """Difference of two fits in every ROI and hemisphere with its 95 % interval, the largest on top; non-significant ones are faded.

    Parameters
    ----------
    table : :attr:`encoding.analysis.comparison.Comparison.table`.
    names : labels of the first and second fit.
    unit : what a column of the responses is called.
    score, statistic : what the table compares.
    """
    import plotly.graph_objects as go

    hemis = list(dict.fromkeys(table["hemi"]))
    order = table.groupby("roi", sort=False)["difference"].mean().sort_values(kind="stable").index.tolist()
    place = {roi: number for number, roi in enumerate(order)}
    fig = go.Figure()
    fig.add_scatter(
        x=[0, 0], y=[-0.7, len(order) - 0.3], mode="lines", line={"color": LINE, "dash": "dot"}, hoverinfo="skip", showlegend=False
    )
    for number, hemi in enumerate(hemis):
        rows = table[table["hemi"] == hemi]
        y = rows["roi"].map(place).to_numpy(float) - BAR * 0.7 * (number - (len(hemis) - 1) / 2)
        if rows["low"].notna().any():
            rimmed(fig, *strokes((rows["low"].to_numpy(), rows["high"].to_numpy()), (y, y)), width=1.5, name="95 %", showlegend=number == 0)
        solid = rows["differs"].to_numpy(bool) if rows["p"].notna().any() else np.ones(len(rows), bool)
        fig.add_scatter(
            x=rows["difference"].to_numpy(float),
            y=y,
            mode="markers",
            name=hemi_name(hemi),
            marker={"color": hemi_colour(hemi), "size": 8, "opacity": np.where(solid, 1, FADED), "line": {"color": "white", "width": 1}},
            customdata=[[roi, hemi] for roi in rows["roi"]],
            hovertext=[f"{_difference_text(each, names)}<br>{unit.count(each.n_vertices)}" for each in rows.itertuples()],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    lower = f"<br>below 0: {names[1]} is better" if SCORES[score].lower_is_better else ""
    title = _in_lines(f"{statistic} {SCORES[score].short}: {names[1]} minus {names[0]}", lower)
    fig.update_xaxes(title=title, fixedrange=True)
    fig.update_yaxes(
        tickvals=list(place.values()),
        ticktext=order,
        tickfont={"size": SMALL},
        range=[-0.7, len(order) - 0.3],
        fixedrange=True,
        showgrid=False,
    )
    theme(fig, height=130 + DIFFERENCE_ROW * max(3, len(order)))
    attach_table(fig, table.rename(columns=dict(zip(("first", "second"), names, strict=True))))
    left = 14 + CHARACTER * max(map(len, order), default=0)
    return fig.update_layout(margin={"l": left, "b": 56 + _further_lines(title)})


def _in_lines(text: str, end: str = "") -> dict[str, Any]:
    """An axis' title that holds names of fits, broken into lines, and ``end`` as it is."""
    return {"text": "<br>".join(wrap(text, AXIS_CHARACTERS)) + end, "font": {"size": SMALL + 1}}


def _further_lines(title: Mapping[str, Any]) -> int:
    """Height in px of the lines of a title after its first."""
    return AXIS_LINE * title["text"].count("<br>")


def _difference_text(row: object, names: tuple[str, str]) -> str:
    lines = [f"<b>{row.roi}</b>, {hemi_name(row.hemi).lower()}", f"{names[0]} {row.first:z.3f}, {names[1]} {row.second:z.3f}"]
    lines.append(f"difference {row.difference:+z.3f}")
    if np.isfinite(row.p):
        lines += [f"95 % interval {row.low:+z.3f} to {row.high:+z.3f}", f"{p_text(row.p, 'p')}, {p_text(row.q, 'q')}"]
    return "<br>".join(lines)


def vertex_scatter(
    first: Mapping[str, np.ndarray],
    second: Mapping[str, np.ndarray],
    *,
    names: tuple[str, str] = ("A", "B"),
    labels: Mapping[str, np.ndarray] | None = None,
    unit: Unit = VERTEX,
    score: str = "r",
) -> go.Figure:
    """Scatter of every vertex's score under two fits; above the diagonal the second predicts better, or, of an error, worse.

    Parameters
    ----------
    first, second : hemisphere to (n_vertices,) scores. NaN is not drawn.
    names : labels of the fits.
    labels : hemisphere to (n_vertices,) hover text of each vertex, such as its ROIs.
    unit : what a column of the responses is called.
    score : a key of :data:`encoding.evaluation.scores.SCORES`.

    Notes
    -----
    Up to :data:`MOST_POINTS` vertices are drawn as points; more as a 2D histogram of log counts, so that a figure of 40,000 vertices
    takes about 20 kB.
    """
    import plotly.graph_objects as go

    both = {hemi: np.isfinite(first[hemi]) & np.isfinite(second[hemi]) for hemi in first if hemi in second}
    x, y = (np.concatenate([each[hemi][keep] for hemi, keep in both.items()] or [np.zeros(0)]) for each in (first, second))
    ends = limits(np.concatenate([x, y])) if len(x) else (0.0, 1.0)
    fig = go.Figure()
    if len(x) > MOST_POINTS:
        fig.add_trace(_squares(x, y, ends, names, unit))
    else:
        for hemi, keep in both.items():
            hover = np.asarray(labels[hemi], object)[keep] if labels else np.full(keep.sum(), "", object)
            text = [f"{hemi} {column} {label}" for column, label in zip(np.flatnonzero(keep), hover, strict=True)]
            fig.add_scatter(
                x=first[hemi][keep],
                y=second[hemi][keep],
                mode="markers",
                name=hemi_name(hemi),
                marker={"color": hemi_colour(hemi), "size": 5, "opacity": 0.7},
                text=text,
                hovertemplate=f"%{{text}}<br>{names[0]} %{{x:.3f}}, {names[1]} %{{y:.3f}}<extra></extra>",
            )
    fig.add_scatter(x=list(ends), y=list(ends), mode="lines", line={"color": LINE, "dash": "dot"}, name="Equal", hoverinfo="skip")
    lower = SCORES[score].lower_is_better
    better = f"{'lower, so better,' if lower else 'higher'} in {100 * (y < x if lower else y > x).mean():.0f} % of" if len(x) else ""
    fig.add_annotation(
        x=0, y=1, xref="paper", yref="paper", xanchor="left", yanchor="bottom", showarrow=False, font={"size": SMALL, "color": STROKE},
        text=f"y is {better} {unit.count(len(x))}" if len(x) else f"No {unit} has both scores",
    )  # fmt: skip
    across, up = (_in_lines(f"{SCORES[score].short} of {name}") for name in names)
    fig.update_xaxes(title=across, range=ends, ticks="", constrain="domain")
    fig.update_yaxes(title=up, range=ends, ticks="", scaleanchor="x", constrain="domain")
    if len(x) > MOST_POINTS:  # beside a heatmap plotly does not measure the tick labels and writes the title over them
        fig.update_xaxes(title_standoff=44)
    margin = {"t": 92, "l": 64 + _further_lines(up), "b": 62 + _further_lines(across), "r": 16}
    return theme(fig, height=500).update_layout(margin=margin, showlegend=len(x) <= MOST_POINTS)


def _squares(x: np.ndarray, y: np.ndarray, ends: tuple[float, float], names: tuple[str, str], unit: Unit) -> go.Heatmap:
    """Vertices counted in squares; empty ones are clear."""
    import plotly.graph_objects as go

    counts, edges, _ = np.histogram2d(y, x, bins=N_SQUARES, range=[ends, ends])
    centres = (edges[:-1] + edges[1:]).astype(np.float32) / 2
    log_counts = np.where(counts > 0, np.log10(np.maximum(counts, 1)), np.nan).astype(np.float32)
    ticks = np.arange(int(np.ceil(np.nanmax(log_counts, initial=0))) + 1)
    return go.Heatmap(
        x=centres,
        y=centres,
        z=log_counts,
        customdata=counts.astype(np.uint16 if counts.max() < 2**16 else np.uint32),
        colorscale="Viridis",
        zmin=0,
        zmax=max(1.0, float(np.nanmax(log_counts, initial=0))),
        colorbar={"tickvals": ticks, "ticktext": [f"{10**tick:,}" for tick in ticks], "title": {"text": unit.many, "side": "top"}}
        | {"orientation": "h", "x": 0.5, "y": 1.05, "yanchor": "bottom", "thickness": 10, "len": 0.9},
        hovertemplate=f"%{{customdata:,}} {unit.many}<br>{names[0]} %{{x:.2f}}, {names[1]} %{{y:.2f}}<extra></extra>",
        name=f"log10 of {unit.many}",
    )
