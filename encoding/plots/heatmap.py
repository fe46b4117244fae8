"""Figures of layers against ROIs: heatmap of scores, and probability of the best layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from encoding.analysis.layer_ranking import SURE, interval_columns, layer_column
from encoding.datasets._unit import VERTEX, Unit
from encoding.evaluation.scores import SCORES, Score
from encoding.plots.look import BAND, GRID, LINE, SMALL, TEST, lay_out, theme
from encoding.plots.table import attach_table, table_of

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

COLOURS, ERROR_COLOURS = "plasma", "viridis_r"  # of scores and of errors, as on the brain: yellow is best
ROW, LEAST_HEIGHT = 26, 150  # px, of a layer and of everything around the layers
CHARACTER, LONGEST = 6.4, 38  # px of a character of a layer's name, and how many are shown
MOST_WRITTEN = 8  # columns up to which each cell holds its number
WRITTEN_ROW, LARGE_STAR = 38, 16  # px, of a layer whose cells hold numbers, and of the star above one
MOST_LARGE = 20  # stars that have room to be large
NOT_FADED = {"marker": {"opacity": 1}}  # of stars, where a click selects a cell
MOST_WRITTEN_NARROW = 5  # layers across a phone up to which each cell holds its number
NARROW_ROW, LONGEST_NARROW = 20, 32  # px of a region on a phone, and characters of a layer's name
COLOUR_BAR = 80  # px above a heatmap on a phone
STEP = 0.05  # to which the ends of the colour scale are rounded
HOVERED = ("r", "pooled_r", "normalised_r2")  # scores in the text of each cell, beside the one that is shown


def quantity_of(score: str, statistic: str = "mean") -> str:
    """Short label of a score's statistic over the vertices of an ROI, for a colour bar.

    >>> quantity_of("r"), quantity_of("rmse"), quantity_of("rmse", "median"), quantity_of("rmse", "best")
    ('mean r', 'RMSE', 'median RMSE', 'lowest RMSE')
    """
    if statistic == "best":
        statistic = "lowest" if SCORES[score].lower_is_better else "highest"
    return SCORES[score].short if statistic == "mean" and score != "r" else f"{statistic} {SCORES[score].short}"


def layer_heatmap(
    table: pd.DataFrame,
    *,
    score: str = "r",
    statistic: str = "mean",
    layers: Sequence[str] | None = None,
    best: pd.DataFrame | None = None,
    classes: Mapping[str, Sequence[str]] | None = None,
    quantity: str | None = None,
    unit: Unit = VERTEX,
    narrow: bool = False,
    meanings: Mapping[str, str] | None = None,
) -> go.Figure:
    """Heatmap of scores, one cell per layer and ROI, early layers at the bottom, ROIs class by class.

    Parameters
    ----------
    table : rows of one hemisphere of :meth:`encoding.analysis.layer_sweep.SweepResult.table`; at least label, roi and the score.
    score, statistic : a key of :data:`encoding.evaluation.scores.SCORES`, and its ``mean`` or ``median`` over vertices. Colours of errors
        run the other way, so that yellow is best.
    layers : labels of all layers, early ones first; those missing from the table stay empty. None takes the table's.
    best : from :func:`encoding.analysis.layer_ranking.best_layers`. A star marks the best layer of each ROI, filled where its bootstrap
        probability is 95 % or more; the probability is written beside the ROI's name.
    classes : class to its ROIs, as :meth:`encoding.datasets.Dataset.roi_names`. ROIs without class come first.
    quantity : label of the colour bar, by default that of the score.
    unit : what a column of the responses is called.
    narrow : whether it is as narrow as a phone, where regions go down, headed by their class, and layers across.
    meanings : ROI to its name in words, which is shown where it is pointed at.

    Notes
    -----
    Streamlit reports no clicks on heatmaps, so invisible points cover the cells; each has its (label, roi) as customdata. ROIs without
    a score in any layer are left out. Where there is room, up to :data:`MOST_WRITTEN` ROIs or :data:`MOST_WRITTEN_NARROW` layers side by
    side, each cell holds its number, and the star with it.
    """
    import plotly.graph_objects as go

    layers, column = list(dict.fromkeys(table["label"])) if layers is None else list(layers), layer_column(score, statistic)
    rois, spans = _arranged(table, column, classes or {})
    cells = {(row["label"], row["roi"]): row for row in table.to_dict("records")}
    z = np.array([[cells.get((layer, roi), {}).get(column, np.nan) for roi in rois] for layer in layers], float)
    lower, (zmin, zmax) = SCORES[score].lower_is_better, _ends(z, SCORES[score])
    quantity = quantity or quantity_of(score, statistic)
    title = f"{quantity}, {SCORES[score].unit}<br>lower is better" if lower else quantity
    written = len(layers) <= MOST_WRITTEN_NARROW if narrow else len(rois) <= MOST_WRITTEN
    won = {} if best is None else {(row["label"], row["roi"]): row["share"] for row in best.to_dict("records")}
    fig, colours = go.Figure(), ERROR_COLOURS if lower else COLOURS
    fig.add_heatmap(
        x=rois, y=layers, z=z, zmin=zmin, zmax=zmax, colorscale=colours, xgap=1, ygap=1, name=quantity,
        colorbar={"title": {"text": title, "side": "right"}, "thickness": 12, "outlinewidth": 0, "xpad": 6},
        text=legible(_written(z, layers, rois, won, above=not narrow), z, (zmin, zmax), colours) if written else None,
        texttemplate="%{text}" if written else None, textfont={"size": SMALL},
    )  # fmt: skip
    fig.data[0].colorbar.nticks = min(6, 1 + len(layers))  # so that numbers beside few layers have room
    if not written:
        _mark_best(fig, best, small=narrow or len(won) > MOST_LARGE)
    x, y = (grid.ravel() for grid in np.meshgrid(rois, layers))
    fig.add_scatter(
        x=x, y=y, mode="markers", opacity=0, showlegend=False, customdata=np.column_stack([y, x]),
        hovertext=[
            _hover(layer, _in_words(roi, meanings), cells.get((layer, roi)), won.get((layer, roi)), unit, score, statistic)
            for layer, roi in zip(y, x, strict=True)
        ],
        hovertemplate="%{hovertext}<extra></extra>",
    )  # fmt: skip
    theme(fig, height=LEAST_HEIGHT + (WRITTEN_ROW if written else ROW) * max(2, len(layers)))
    _axes(fig, rois, layers, best)
    networks = [layer.partition(" ")[0] if " " in layer else "" for layer in layers]
    changes = [number for number in range(1, len(layers)) if networks[number] != networks[number - 1]]
    if narrow:
        return _lay_down(fig, spans, changes)
    _separate(fig, spans, changes, len(layers))
    return fig


def _lay_down(fig: go.Figure, spans: Sequence[tuple[str, int, int]], changes: Sequence[int]) -> go.Figure:
    """Exchange the axes of a heatmap, in place: ROIs from the top, under the names of their classes, and layers across."""
    attach_table(fig, table_of(fig))
    heat, across, down = fig.data[0], fig.layout.yaxis, fig.layout.xaxis
    places: dict[str, str] = {}
    for name, first, last in spans:
        places |= {f"class {name}": f"<i>{name}</i>"} if name else {}
        places |= dict(zip(down.tickvals[first : last + 1], down.ticktext[first : last + 1], strict=True))
    column = [down.tickvals.index(place) if place in down.tickvals else None for place in places]  # None: the name of a class
    empty = [np.nan] * len(heat.z), [""] * len(heat.z)
    heat.z, heat.text = (
        None if cells is None else [none if at is None else [row[at] for row in cells] for at in column]
        for cells, none in zip((heat.z, heat.text), empty, strict=True)
    )
    heat.x = list(places)
    for trace in fig.data:
        trace.x, trace.y = trace.y, trace.x
    heat.colorbar.update(orientation="h", x=0.5, xpad=0, ypad=4, y=1, yanchor="bottom", len=1, nticks=6)
    heat.colorbar.title = {"text": heat.colorbar.title.text.replace("<br>", ", "), "side": "top"}
    labels = [short_name(layer, LONGEST_NARROW) for layer in across.tickvals]
    width = CHARACTER * max((len(text.removeprefix("<i>").removesuffix("</i>")) for text in places.values()), default=0)
    bottom = 12 + CHARACTER * max(map(len, labels), default=0)
    line = {"type": "line", "y0": -0.5, "y1": len(places) - 0.5, "line": {"color": LINE, "width": 2}}
    return lay_out(
        fig,
        xaxis=_categories(across.tickvals, labels, SMALL) | {"tickangle": -90},
        yaxis=_categories([*places], [*places.values()], SMALL) | {"range": [len(places) - 0.5, -0.5], "tickangle": 0},
        shapes=[line | {"x0": number - 0.5, "x1": number - 0.5} for number in changes],
        height=NARROW_ROW * max(2, len(places)) + COLOUR_BAR + bottom,
        margin={"t": COLOUR_BAR, "l": 12 + width, "b": bottom},
    )


def _written(
    z: np.ndarray, layers: Sequence[str], rois: Sequence[str], won: Mapping[tuple[str, str], float], *, above: bool
) -> list[list[str]]:
    """The number of each cell, with a star above or before it where it is the best of its ROI: a full one where that is sure."""
    size, gap = (LARGE_STAR, "<br>") if above else (SMALL, " ")
    star = {cell: f'<span style="font-size:{size}px">{"★" if share >= SURE else "☆"}</span>{gap}' for cell, share in won.items()}
    none = " <br>" if above else ""
    return [
        [f"{star.get((layer, roi), none)}{value:z.2f}" if np.isfinite(value) else "" for roi, value in zip(rois, row, strict=True)]
        for layer, row in zip(layers, z, strict=True)
    ]


def legible(texts: Sequence[Sequence[str]], z: np.ndarray, ends: tuple[float, float], colours: str) -> list[list[str]]:
    """Texts of a heatmap's cells (n, m) in black or white, whichever has the higher contrast with its cell's colour: 4.5 or more.

    Plotly's own choice, white or dark grey, has less than 3 on orange.

    Parameters
    ----------
    z, ends, colours : the cells' values (n, m), and the ends and the name of the colour scale.
    """
    share = np.clip((z - ends[0]) / (ends[1] - ends[0]), 0, 1)
    inks = _inks(colours)
    ink = np.array(inks)[np.rint(np.nan_to_num(share) * (len(inks) - 1)).astype(int)]
    return [
        [f'<span style="color:{colour}">{text}</span>' if text else "" for text, colour in zip(*row, strict=True)]
        for row in zip(texts, ink, strict=True)
    ]


@cache
def _inks(colours: str, n: int = 256) -> tuple[str, ...]:
    """Black or white for ``n`` places along a colour scale, by relative luminance (WCAG 2)."""
    from plotly.colors import sample_colorscale

    rgb = np.array(sample_colorscale(colours, np.linspace(0, 1, n).tolist(), colortype="tuple"))
    luminance = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92) @ (0.2126, 0.7152, 0.0722)
    return tuple(np.where((luminance + 0.05) ** 2 > 1.05 * 0.05, "black", "white"))


def _arranged(table: pd.DataFrame, score: str, classes: Mapping[str, Sequence[str]]) -> tuple[list[str], list[tuple[str, int, int]]]:
    """ROIs with a score, class by class, and each class's name with its first and last place."""
    scored = list(dict.fromkeys(table.loc[table[score].notna(), "roi"]))
    classed = {roi for members in classes.values() for roi in members}
    groups = {"": [roi for roi in scored if roi not in classed]} | {
        name: [roi for roi in members if roi in scored] for name, members in classes.items()
    }
    rois, spans = [], []
    for name, members in groups.items():
        if members:
            spans.append((name, len(rois), len(rois) + len(members) - 1))
            rois += members
    return rois, spans


def _ends(z: np.ndarray, score: Score) -> tuple[float, float]:
    """Ends of the colour scale, rounded: from 0, or from the lowest value of an error or of a score that is nowhere above 0."""
    if not np.isfinite(z).any():
        return 0.0, STEP
    step = STEP * max(1.0, score.ceiling_level or 1.0)
    low, high = (float(rounded(end / step) * step) for rounded, end in ((np.floor, np.nanmin(z)), (np.ceil, np.nanmax(z) - 1e-9)))
    if not score.lower_is_better and high > 0:
        low = 0.0
    return low, max(high, low + step)


def _mark_best(fig: go.Figure, best: pd.DataFrame | None, *, small: bool) -> None:
    """Stars on the best layers, filled where it is sure."""
    if best is None or not len(best):
        return
    sure = best["share"].to_numpy(float) >= SURE
    fills = np.where(sure, "white", "rgba(255,255,255,0)").tolist()
    stars = {"size": 9 if small else 12, "color": fills, "line": {"width": 1.5, "color": np.where(sure, "black", "white").tolist()}}
    rims = {"size": 12 if small else 15, "color": "rgba(255,255,255,0)", "line": {"width": 1, "color": "black"}}  # for light cells
    for some, marker in ((best, stars), (best[~sure], rims)):
        if len(some):
            fig.add_scatter(
                x=some["roi"].to_numpy(), y=some["label"].to_numpy(), mode="markers", hoverinfo="skip", showlegend=False,
                marker={"symbol": "star", **marker}, unselected=NOT_FADED, selected=NOT_FADED,
            )  # fmt: skip


def _in_words(roi: str, meanings: Mapping[str, str] | None) -> str:
    meaning = (meanings or {}).get(roi, "")
    return f"<b>{roi}</b> ({meaning})" if meaning else f"<b>{roi}</b>"


def _hover(
    layer: str,
    roi: str,
    row: Mapping[str, Any] | None,
    share: float | None,
    unit: Unit,
    shown: str,
    statistic: str,
) -> str:
    lines = [f"{roi} · {layer}"]
    if row is None:
        return "<br>".join([*lines, "not fitted yet"])
    median = layer_column(shown, "median")
    lines += [f"{quantity_of(shown, 'median')} {row[median]:z.3f}"] if statistic == "median" and median in row else []
    for score in dict.fromkeys((shown, *HOVERED)):
        if score in row:
            low, high = (row.get(end, np.nan) for end in interval_columns(score))
            interval = f" (95 % {low:z.3f} to {high:z.3f})" if np.isfinite(low) else ""
            lines.append(f"{quantity_of(score)} {row[score]:z.3f}{interval}")
    lines += [f"highest r {row['ceiling_r']:.3f}"] if "ceiling_r" in row else []
    lines += [unit.count(row["n_vertices"])] if "n_vertices" in row else []
    if share is not None:
        lines.append(f"★ best, in {100 * share:.0f} % of draws" if np.isfinite(share) else "★ best")
    return "<br>".join(lines)


def _separate(fig: go.Figure, spans: Sequence[tuple[str, int, int]], changes: Sequence[int], n_layers: int) -> None:
    """Lines between classes of ROIs and between backbones, and the classes' names above."""
    shapes = [
        {"type": "line", "x0": first - 0.5, "x1": first - 0.5, "y0": -0.5, "y1": n_layers - 0.1, "line": {"color": LINE, "width": 2}}
        for _, first, _ in spans[1:]
    ]
    last = spans[-1][2] if spans else 0
    shapes += [
        {"type": "line", "x0": -0.5, "x1": last + 0.5, "y0": number - 0.5, "y1": number - 0.5, "line": {"color": LINE, "width": 2}}
        for number in changes
    ]
    names = [
        {"x": (first + stop) / 2, "y": 1, "yref": "paper", "yanchor": "bottom", "text": name, "showarrow": False, "font": {"size": SMALL}}
        for name, first, stop in spans
    ]
    lay_out(fig, shapes=shapes, annotations=names)


def _axes(fig: go.Figure, rois: Sequence[str], layers: Sequence[str], best: pd.DataFrame | None) -> None:
    known = best is not None and len(best)
    shares = dict(zip(best["roi"], best["share"], strict=True)) if known else {}
    labels = {roi: f"{roi}  {shares[roi]:.0%}" if np.isfinite(shares.get(roi, np.nan)) else roi for roi in rois}
    longest = max(map(len, labels.values()), default=0)
    left = 14 + CHARACTER * max(len(short_name(layer)) for layer in layers)
    lay_out(
        fig,
        xaxis=_categories(rois, [*labels.values()], SMALL) | {"tickangle": -90},
        yaxis=_categories(layers, [short_name(layer) for layer in layers], SMALL + 1),
        plot_bgcolor=BAND,
        hoverdistance=-1,
        dragmode=False,
        margin={"l": left, "b": 12 + CHARACTER * longest, "t": 30, "pad": 0},
    )


def _categories(names: Sequence[str], texts: Sequence[str], size: int) -> dict[str, Any]:
    """An axis with a place for each name, in their order, shown by its text (px)."""
    order = {"type": "category", "categoryorder": "array", "categoryarray": [*names], "tickvals": [*names], "ticktext": [*texts]}
    still = {"range": [-0.5, len(names) - 0.5], "autorange": False, "showgrid": False, "fixedrange": True}
    return order | still | {"tickfont": {"size": size}}


def short_name(layer: str, longest: int = LONGEST) -> str:
    """The end of a layer's name, where the whole has more characters than are shown."""
    return layer if len(layer) <= longest else f"…{layer[-longest + 1 :]}"


def layer_wins(layers: Sequence[str], rois: Sequence[str], shares: np.ndarray, *, stages: Sequence[int | None] = ()) -> go.Figure:
    """Bootstrap probability that each layer is the best of an ROI, as dots whose area is the probability.

    Parameters
    ----------
    layers : labels, early ones first; drawn from the bottom.
    rois : names, in drawing order.
    shares : (n_layers, n_rois), :func:`encoding.analysis.layer_ranking.win_shares`. Values below 0.01 are not drawn.
    stages : (n_rois,) cortical stages (:func:`encoding.analysis.hierarchy.stage`), written beside the names.
    """
    import plotly.graph_objects as go

    place, roi = np.nonzero(np.nan_to_num(shares) >= 0.01)
    share = shares[place, roi]
    stages = list(stages) or [None] * len(rois)
    fig = go.Figure()
    fig.add_scatter(
        x=np.array(rois, dtype=object)[roi], y=np.array(layers, dtype=object)[place], mode="markers", name="Share of draws won",
        marker={"size": 18 * np.sqrt(share), "sizemin": 2, "color": TEST, "line": {"width": 0}},
        customdata=share, hovertemplate="<b>%{x}</b> · %{y}<br>best in %{customdata:.0%} of draws<extra></extra>",
    )  # fmt: skip
    theme(fig, height=LEAST_HEIGHT + ROW * max(2, len(layers)))
    _axes(fig, rois, layers, None)
    names = [f"{name}  {each}" if each else name for name, each in zip(rois, stages, strict=True)]
    fig.update_xaxes(ticktext=names, range=[-0.9, len(rois) - 0.1], showgrid=True, gridcolor=GRID)
    fig.update_yaxes(range=[-0.7, len(layers) - 0.3], showgrid=True, gridcolor=GRID)
    bottom = 12 + CHARACTER * max(map(len, names), default=0)
    return fig.update_layout(plot_bgcolor="rgba(0,0,0,0)", margin={"b": bottom, "t": 16}, showlegend=False)
