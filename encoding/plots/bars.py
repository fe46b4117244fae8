"""Bar charts of ROI scores, left and right hemisphere side by side."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from encoding.datasets._unit import VERTEX, Unit
from encoding.evaluation.scores import SCORES
from encoding.plots.look import BAND, CEILING, FADED, LINE, SMALL, hemi_colour, hemi_name, lay_out, level, rimmed, theme
from encoding.plots.roi_axis import CHARACTER, CLASS_GAP, NAME_GAP, Row, arrange, class_names, name_rois, separate_classes
from encoding.plots.score_axis import axis_title, ceiling_name, ceilings, score_column
from encoding.plots.table import attach_table

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

Interval = tuple[np.ndarray, np.ndarray]

BAR = 0.4  # width of a bar where an ROI takes 1
FEW, FEW_HEIGHT = 12, 19  # ROIs, of bars that lie, and px of each
ROOM = 1.01  # of the highest ceiling, so that its mark is drawn whole
ROW_HEIGHT = 13  # px of an ROI, of bars that lie: two bars and a line of its name


def roi_bars(
    table: pd.DataFrame,
    *,
    score: str = "r",
    statistic: str = "mean",
    intervals: Mapping[str, Interval] | None = None,
    selected: str | None = None,
    classes: Mapping[str, Sequence[str]] | None = None,
    unit: Unit = VERTEX,
    before: pd.DataFrame | None = None,
    before_name: str = "Previous fit",
    horizontal: bool = False,
    meanings: Mapping[str, str] | None = None,
) -> go.Figure:
    """One bar for each ROI and hemisphere.

    Parameters
    ----------
    table : :meth:`encoding.fits.result.Result.rois`; one row for each ROI and hemisphere.
    score, statistic : a key of :data:`encoding.evaluation.scores.SCORES`, and its ``mean`` or ``median`` over vertices.
    intervals : hemisphere to (low, high), each (n_rois,) in the order of that hemisphere's rows: ends of the 95 % interval
        of the mean of this score, NaN where there is none. Not drawn with a median.
    selected : the ROI that stands out; the others fade.
    classes : class to its ROIs, as :meth:`encoding.datasets.Dataset.roi_names`. ROIs are drawn class by class; those
        of no class come first. None draws them in the table's order.
    unit : what a column of the responses is called.
    before, before_name : such a table of another fit, whose bars stand in grey behind, and its name in the legend; None for none.
    horizontal : ROIs below each other, whose names are read without turning the head; ROIs without vertices are left out.
    meanings : ROI to its name in words, which is shown where it is pointed at.

    Notes
    -----
    The noise ceiling is a short line over each bar where it is known: for the mean r the mean of its root, for the mean R² its mean, for
    normalised scores the highest possible value. An ROI without vertices, or whose score is undefined, leaves a gap with a text. Each
    bar's customdata is (roi, hemi).

    Raises
    ------
    ValueError where the table has no such score, or an interval does not fit the table.
    """
    import plotly.graph_objects as go

    column = score_column(table, score, statistic)
    if horizontal:
        table, intervals = _with_vertices(table, intervals)
    row = arrange(list(dict.fromkeys(table["roi"])), classes or {}, NAME_GAP if horizontal else CLASS_GAP)
    hemis = list(dict.fromkeys(table["hemi"]))
    intervals = _checked(intervals, table, hemis) if statistic == "mean" else {}
    fig = go.Figure()
    if selected in row.x:
        fig.add_vrect(x0=row.x[selected] - 0.5, x1=row.x[selected] + 0.5, fillcolor=BAND, line_width=0, layer="below")
    bars = [_bars_of(table, hemi, row, score, statistic, intervals.get(hemi), unit) for hemi in hemis]
    for each in bars:
        if before is not None:
            earlier = before[before["hemi"] == each.hemi].set_index("roi")[column].reindex(each.rois)
            _draw_before(fig, earlier, each.x, before_name, shown=each is bars[0])
        fig.add_trace(each.trace(f"{statistic} {score}", selected, meanings or {}))
    _draw_bounds(fig, bars, selected, rim=1.0 if horizontal else 2.5)
    if SCORES[score].no_skill:
        level(fig, 0, x=row.ends, name=SCORES[score].no_skill, dash="dot", showlegend=not horizontal)  # there the axis starts at it
    if not horizontal:
        separate_classes(fig, row)
    notes = [*class_names(row), *_gaps(row, bars, unit)] if not horizontal else [*_without_score(bars)]
    theme(
        fig,
        height=440,
        annotations=notes,
        yaxis={"title": {"text": axis_title(score, statistic)}, "rangemode": "tozero", "fixedrange": True},
        barmode="overlay",
        margin={"t": 58},  # room for the classes' names
        legend={"y": 1.07},
    )
    counts = {each.hemi: dict(zip(each.rois, each.n_vertices, strict=True)) for each in bars}
    name_rois(fig, row, counts, selected, unit)
    attach_table(fig, _numbers(bars, f"{statistic} {score}"))
    return _lay_down(fig, row) if horizontal else fig


def _lay_down(fig: go.Figure, row: Row) -> go.Figure:
    """Exchange the axes of a finished figure of bars, in place: the first ROI comes at the top, classes are named between their bars."""
    for trace in fig.data:
        trace.x, trace.y = trace.y, trace.x
        if trace.type == "bar":
            trace.orientation = "h"
            trace.hovertemplate = trace.hovertemplate.replace("%{y", "%{x")
    other = str.maketrans("xy", "yx")
    for shape in fig.layout.shapes:
        shape.update(x0=shape.y0, x1=shape.y1, y0=shape.x0, y1=shape.x1)
        shape.update(xref=(shape.yref or "y").translate(other), yref=(shape.xref or "x").translate(other))
    for note in fig.layout.annotations:
        note.update(x=note.y, y=note.x, xanchor="left", yanchor="middle", xshift=3, yshift=0, textangle=0)
    across, down = (axis.to_plotly_json() for axis in (fig.layout.yaxis, fig.layout.xaxis))
    rois = [text.replace("<br>", "  ") for text in down["ticktext"]]
    headings = {f"<i>{name}</i>": first - 0.5 - NAME_GAP / 2 for name, first, _ in row.classes if name}
    first, last = row.ends
    longest = max(len(re.sub("<.*?>", "", text)) for text in (*rois, *headings))
    down |= {
        "tickvals": [*down["tickvals"], *headings.values()],  # notes would take three times as long to draw
        "ticktext": [*rois, *headings],
        "tickangle": 0,
        "range": (last, first - NAME_GAP / 2),
        "title": None,
    }
    across["title"] = {"text": across["title"]["text"].replace("<br>", ", "), "standoff": 6}
    for trace in fig.data:
        trace.name = trace.name.removesuffix(" hemisphere").removesuffix(" interval")
    high = ROW_HEIGHT if last - first > FEW else FEW_HEIGHT  # as a legend of two lines, on a phone, takes room of theirs
    inside, top, bottom = high * (last - first + NAME_GAP / 2), 26, 44
    fig.layout.xaxis, fig.layout.yaxis = across, down
    return lay_out(
        fig,
        height=round(inside + top + bottom),
        margin={"l": longest * CHARACTER + 8, "t": top, "b": bottom},
        legend={"x": 0, "xref": "container", "y": 1, "yref": "container", "yanchor": "top", "font": {"size": SMALL}, "itemwidth": 30},
    )


def _with_vertices(table: pd.DataFrame, intervals: Mapping[str, Interval] | None) -> tuple[pd.DataFrame, dict[str, Interval] | None]:
    """Rows, and their intervals, of the ROIs that have vertices in one hemisphere at least; all of them where none has."""
    kept = table.groupby("roi")["n_vertices"].transform("sum") > 0
    if not kept.any():
        return table, intervals and dict(intervals)
    of = {hemi: kept[table["hemi"] == hemi].to_numpy() for hemi in intervals or ()}
    return table[kept], intervals and {hemi: tuple(np.asarray(end)[of[hemi]] for end in ends) for hemi, ends in intervals.items()}


def _numbers(bars: Sequence[_Bars], name: str) -> pd.DataFrame:
    """A row for each bar: what it shows, for those who cannot see the figure."""
    import pandas as pd

    parts = []
    for each in bars:
        columns = {"roi": each.rois, "hemi": each.hemi, f"n_{each.unit.many}": each.n_vertices, name: each.y}
        if each.interval is not None:
            columns |= {"low (95 %)": each.interval[0], "high (95 %)": each.interval[1]}
        parts.append(pd.DataFrame(columns | {each.bound.lower(): each.ceiling}))
    table = pd.concat(parts, ignore_index=True).dropna(axis=1, how="all")
    order = {roi: place for place, roi in enumerate(dict.fromkeys(table["roi"]))}
    return table.sort_values("roi", key=lambda rois: rois.map(order), kind="stable", ignore_index=True)


@dataclass(frozen=True)
class _Bars:
    """The bars of one hemisphere, each array (n_rois,); ``y`` and ``ceiling``, whose name is ``bound``, are NaN where none is drawn."""

    hemi: str
    x: np.ndarray
    y: np.ndarray
    rois: np.ndarray
    n_vertices: np.ndarray
    ceiling: np.ndarray
    interval: Interval | None
    unit: Unit
    bound: str

    def trace(self, what: str, selected: str | None, meanings: Mapping[str, str]) -> go.Bar:
        import plotly.graph_objects as go

        chosen = self.rois == selected
        return go.Bar(
            x=self.x,
            y=self.y,
            width=BAR,
            name=hemi_name(self.hemi),
            marker={"color": hemi_colour(self.hemi), "opacity": np.where(chosen, 1.0, FADED) if chosen.any() else 1.0},
            customdata=[[roi, self.hemi] for roi in self.rois],
            hovertext=[self._hover(i, what, meanings.get(roi, "")) for i, roi in enumerate(self.rois)],
            hovertemplate="%{hovertext}<extra></extra>",
        )

    def _hover(self, i: int, what: str, meaning: str) -> str:
        lines = [f"<b>{self.rois[i]}</b>, {hemi_name(self.hemi).lower()}", *filter(None, [meaning]), f"{what} {self.y[i]:z.3f}"]
        if self.interval is not None and np.isfinite(self.interval[0][i]):
            lines.append(f"95 % interval {self.interval[0][i]:z.3f} to {self.interval[1][i]:z.3f}")
        if np.isfinite(self.ceiling[i]):
            lines.append(f"{self.bound.lower()} {self.ceiling[i]:.3f}")
        return "<br>".join([*lines, self.unit.count(self.n_vertices[i])])


def _bars_of(table: pd.DataFrame, hemi: str, row: Row, score: str, statistic: str, interval: Interval | None, unit: Unit) -> _Bars:
    """Bars of one hemisphere of a table of ROIs, beside those of the other."""
    hemis, rows = list(dict.fromkeys(table["hemi"])), table[table["hemi"] == hemi]
    x = np.array([row.x[roi] for roi in rows["roi"]]) + BAR * 1.05 * (hemis.index(hemi) - (len(hemis) - 1) / 2)
    y, ceiling = rows[score_column(table, score, statistic)].to_numpy(float), ceilings(rows, score, statistic)
    return _Bars(hemi, x, y, rows["roi"].to_numpy(), rows["n_vertices"].to_numpy(), ceiling, interval, unit, ceiling_name(score))


def _draw_before(fig: go.Figure, values: pd.Series, x: np.ndarray, name: str, *, shown: bool) -> None:
    """Wide grey bars of another fit; ``values`` by ROI, in the order of their places ``x``."""
    fig.add_bar(
        x=x,
        y=values.to_numpy(float),
        width=1.25 * BAR,
        name=name,
        legendgroup="before",
        showlegend=shown,
        marker={"color": LINE, "opacity": 0.55},
        customdata=[[roi, ""] for roi in values.index],
        hovertemplate=f"%{{customdata[0]}}, {name}: %{{y:.3f}}<extra></extra>",
    )


def _draw_bounds(fig: go.Figure, bars: Sequence[_Bars], selected: str | None, *, rim: float) -> None:
    """Ceilings and intervals of every bar, as strokes; those of ROIs that are not selected fade."""
    rois = np.concatenate([each.rois for each in bars])
    x, ceiling = np.concatenate([each.x for each in bars]), np.concatenate([each.ceiling for each in bars])
    chosen = rois == selected
    groups = [(chosen, 1.0), (~chosen, FADED)] if chosen.any() else [(np.ones(len(rois), bool), 1.0)]
    for rank, (which, opacity) in enumerate(groups):
        style = {"opacity": opacity, "showlegend": rank == 0}
        if np.isfinite(ceiling).any():
            ends = strokes((x[which] - BAR / 2, x[which] + BAR / 2), (ceiling[which], ceiling[which]))
            fig.update_yaxes(autorangeoptions_include=ROOM * np.nanmax(ceiling))  # a mark at the end of the axis would be cut in half
            line = {"color": CEILING, "width": 2.5}
            fig.add_scatter(
                x=ends[0], y=ends[1], mode="lines", line=line, name=bars[0].bound, legendgroup="ceiling", hoverinfo="skip",
                cliponaxis=False, **style,
            )  # fmt: skip
        if all(each.interval is not None for each in bars):
            low, high = (np.concatenate([each.interval[end] for each in bars]) for end in (0, 1))
            rimmed(
                fig,
                *strokes((x[which], x[which]), (low[which], high[which])),
                width=1.5,
                rim=rim,
                name="95 % interval",
                legendgroup="interval",
                **style,
            )


def strokes(x: tuple[np.ndarray, np.ndarray], y: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Combine line segments (x[0][i], y[0][i]) to (x[1][i], y[1][i]) into one line broken by NaN; x and y, (3n,) each."""
    gap = np.full(len(x[0]), np.nan)
    return np.column_stack([*x, gap]).ravel(), np.column_stack([*y, gap]).ravel()


def _checked(intervals: Mapping[str, Interval] | None, table: pd.DataFrame, hemis: Sequence[str]) -> dict[str, Interval]:
    runs = {}
    for hemi in hemis if intervals else ():
        low, high = (np.asarray(end, float) for end in intervals[hemi])
        n_rows = int((table["hemi"] == hemi).sum())
        if low.shape != (n_rows,) or high.shape != (n_rows,):
            raise ValueError(f"The intervals of {hemi} have shapes {low.shape} and {high.shape}; the table has {n_rows} rows of it.")
        runs[hemi] = (low, high)
    return runs


def _gaps(row: Row, bars: Sequence[_Bars], unit: Unit) -> Iterator[dict]:
    """Notes that say why there is no bar: no score, or no vertices in one or both hemispheres."""
    yield from _without_score(bars)
    for roi, centre in row.x.items():
        empty = [each for each in bars if not each.n_vertices[each.rois == roi].any()]
        where = [each.x[each.rois == roi][0] for each in empty if (each.rois == roi).any()]
        if where:
            yield _gap(centre if len(empty) == len(bars) else where[0], f"no {unit.many}")


def _without_score(bars: Sequence[_Bars]) -> Iterator[dict]:
    for each in bars:
        yield from (_gap(x, "no score") for x in each.x[(each.n_vertices > 0) & ~np.isfinite(each.y)])


def _gap(x: float, text: str) -> dict:
    look = {"textangle": -90, "opacity": 0.85, "font": {"size": SMALL - 1}, "showarrow": False}
    return {"x": x, "y": 0, "yanchor": "bottom", "yshift": 3, "text": text} | look
