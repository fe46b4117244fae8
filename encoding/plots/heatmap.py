"""Figures of layer sweeps: heatmap of layers and ROIs, probability of the best layer, profile of one ROI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from encoding.analysis.layer_ranking import SURE, interval_columns, layer_column
from encoding.datasets._unit import VERTEX, Unit
from encoding.evaluation.scores import SCORES, Score
from encoding.plots.look import BAND, CEILING, GRID, LINE, SMALL, TEST, hemi_colour, hemi_name, lay_out, theme
from encoding.plots.score_axis import axis_title

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

COLOURS, ERROR_COLOURS = "plasma", "viridis_r"  # of scores and of errors, as on the brain: yellow is best
LAYER_COLOURS = "viridis"  # from the first layer to the last, as on the brain
ROW, LEAST_HEIGHT = 26, 150  # px, of a layer and of everything around the layers
CHARACTER, LONGEST = 6.4, 38  # px of a character of a layer's name, and how many are shown
MOST_WRITTEN = 8  # columns up to which each cell holds its number
WRITTEN_ROW, STAR_RISE = 38, 8  # px, of a layer whose cells hold numbers, and how far their stars stand above the middle
MOST_LARGE = 20  # stars that have room to be large
NOT_FADED = {"marker": {"opacity": 1}}  # of stars, where a click selects a cell
NAME_ROW, SMALLEST = 14, 8  # px, of names of classes, and of letters on a phone
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
    narrow : whether it is as narrow as a phone, so that the classes' names stand in two rows and those of regions are small.
    meanings : ROI to its name in words, which is shown where it is pointed at.

    Notes
    -----
    Streamlit reports no clicks on heatmaps, so invisible points cover the cells; each has its (label, roi) as customdata. ROIs without
    a score in any layer are left out. With at most :data:`MOST_WRITTEN` ROIs each cell holds its number.
    """
    import plotly.graph_objects as go

    layers, column = list(dict.fromkeys(table["label"])) if layers is None else list(layers), layer_column(score, statistic)
    rois, spans = _arranged(table, column, classes or {})
    cells = {(row["label"], row["roi"]): row for row in table.to_dict("records")}
    z = np.array([[cells.get((layer, roi), {}).get(column, np.nan) for roi in rois] for layer in layers], float)
    lower, (zmin, zmax) = SCORES[score].lower_is_better, _ends(z, SCORES[score])
    quantity = quantity or quantity_of(score, statistic)
    title = f"{quantity}, {SCORES[score].unit}<br>lower is better" if lower else quantity
    written = len(rois) <= MOST_WRITTEN
    fig = go.Figure()
    fig.add_heatmap(
        x=rois, y=layers, z=z, zmin=zmin, zmax=zmax, colorscale=ERROR_COLOURS if lower else COLOURS, xgap=1, ygap=1, name=quantity,
        colorbar={"title": {"text": title, "side": "right"}, "thickness": 12, "outlinewidth": 0, "xpad": 6},
        texttemplate=" <br>%{z:.2f}" if written else None, textfont={"size": SMALL},
    )  # fmt: skip
    fig.data[0].colorbar.nticks = min(6, 1 + len(layers))  # so that numbers beside few layers have room
    _mark_best(fig, best, rise=STAR_RISE if written else 0, narrow=narrow)
    x, y = (grid.ravel() for grid in np.meshgrid(rois, layers))
    won = {} if best is None else {(row["label"], row["roi"]): row["share"] for row in best.to_dict("records")}
    fig.add_scatter(
        x=x, y=y, mode="markers", opacity=0, showlegend=False, customdata=np.column_stack([y, x]),
        hovertext=[
            _hover(layer, _in_words(roi, meanings), cells.get((layer, roi)), won.get((layer, roi)), unit, score, statistic)
            for layer, roi in zip(y, x, strict=True)
        ],
        hovertemplate="%{hovertext}<extra></extra>",
    )  # fmt: skip
    _separate(fig, spans, [layer.partition(" ")[0] if " " in layer else "" for layer in layers], len(layers), n_rows=2 if narrow else 1)
    theme(fig, height=LEAST_HEIGHT + (WRITTEN_ROW if written else ROW) * max(2, len(layers)))
    _axes(fig, rois, layers, best)
    if narrow:
        size = SMALL if written else SMALLEST
        lay_out(fig, margin={"t": fig.layout.margin.t + NAME_ROW}, xaxis={"tickfont": {"size": size}})
    return fig


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


def _mark_best(fig: go.Figure, best: pd.DataFrame | None, *, rise: int, narrow: bool) -> None:
    """Stars on the best layers, filled where it is sure, ``rise`` px above the middle; many are small, on a phone smaller."""
    if best is None or not len(best):
        return
    sure = best["share"].to_numpy(float) >= SURE
    fills = np.where(sure, "white", "rgba(255,255,255,0)").tolist()
    stars = {"size": 12, "color": fills, "line": {"width": 1.5, "color": np.where(sure, "black", "white").tolist()}}
    rims = {"size": 15, "color": "rgba(255,255,255,0)", "line": {"width": 1, "color": "black"}}  # outside white ones, for light cells
    if len(best) > MOST_LARGE:
        stars["size"], rims["size"] = (6, 8) if narrow else (9, 12)
    for some, marker in ((best, stars), (best[~sure], rims)):
        if len(some):
            fig.add_scatter(
                x=some["roi"].to_numpy(), y=some["label"].to_numpy(), mode="markers", hoverinfo="skip", showlegend=False,
                marker={"symbol": "star", "standoff": rise, **marker}, unselected=NOT_FADED, selected=NOT_FADED,
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
    lines += [f"{quantity_of(shown, 'median')} {row[median]:.3f}"] if statistic == "median" and median in row else []
    for score in dict.fromkeys((shown, *HOVERED)):
        if score in row:
            low, high = (row.get(end, np.nan) for end in interval_columns(score))
            interval = f" (95 % {low:.3f} to {high:.3f})" if np.isfinite(low) else ""
            lines.append(f"{quantity_of(score)} {row[score]:.3f}{interval}")
    lines += [f"noise ceiling of r {row['ceiling_r']:.3f}"] if "ceiling_r" in row else []
    lines += [unit.count(row["n_vertices"])] if "n_vertices" in row else []
    if share is not None:
        lines.append(f"★ best, in {100 * share:.0f} % of draws" if np.isfinite(share) else "★ best")
    return "<br>".join(lines)


def _separate(fig: go.Figure, spans: Sequence[tuple[str, int, int]], groups: Sequence[str], n_layers: int, *, n_rows: int) -> None:
    """Lines between classes of ROIs and between backbones, and the classes' names above, by turns in ``n_rows`` rows."""
    shapes = [
        {"type": "line", "x0": first - 0.5, "x1": first - 0.5, "y0": -0.5, "y1": n_layers - 0.1, "line": {"color": LINE, "width": 2}}
        for _, first, _ in spans[1:]
    ]
    changes = [number for number in range(1, n_layers) if groups[number] != groups[number - 1]]
    last = spans[-1][2] if spans else 0
    shapes += [
        {"type": "line", "x0": -0.5, "x1": last + 0.5, "y0": number - 0.5, "y1": number - 0.5, "line": {"color": LINE, "width": 2}}
        for number in changes
    ]
    names = [
        {"x": (first + stop) / 2, "y": 1, "yref": "paper", "yanchor": "bottom", "yshift": NAME_ROW * (number % n_rows)}
        | {"text": name, "showarrow": False, "font": {"size": SMALL}}
        for number, (name, first, stop) in enumerate(spans)
    ]
    lay_out(fig, shapes=shapes, annotations=names)


def _axes(fig: go.Figure, rois: Sequence[str], layers: Sequence[str], best: pd.DataFrame | None) -> None:
    known = best is not None and len(best)
    shares = dict(zip(best["roi"], best["share"], strict=True)) if known else {}
    labels = {roi: f"{roi}  {shares[roi]:.0%}" if np.isfinite(shares.get(roi, np.nan)) else roi for roi in rois}
    longest = max(map(len, labels.values()), default=0)
    left = 14 + CHARACTER * max(len(_short(layer)) for layer in layers)
    lay_out(
        fig,
        xaxis=_categories(rois, [*labels.values()], SMALL) | {"tickangle": -90},
        yaxis=_categories(layers, [_short(layer) for layer in layers], SMALL + 1),
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


def _short(layer: str) -> str:
    return layer if len(layer) <= LONGEST else f"…{layer[-LONGEST + 1 :]}"


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
    score, statistic : as in :func:`layer_heatmap`.
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
                x=layers, y=level, mode="lines", name=f"Noise ceiling, {hemi_name(hemi).split()[0].lower()}", hoverinfo="skip",
                line={"color": CEILING, "width": 1.5, "dash": "dot" if hemi == "rh" else "dash"},
            )  # fmt: skip
    for hemi, value in (baseline or {}).items():
        fig.add_scatter(
            x=layers, y=np.full(len(layers), value), mode="lines", name=f"Baseline, {hemi_name(hemi).split()[0].lower()}",
            line={"color": LINE, "width": 3, "dash": "dot" if hemi == "rh" else "solid"},
            hovertemplate=f"Baseline: %{{y:.3f}}<extra>{hemi_name(hemi)}</extra>",
        )  # fmt: skip
    fig.update_yaxes(title_text=axis_title(score, statistic), rangemode="tozero")
    short = [_short(layer) for layer in layers]
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
        ticktext=[_short(layer) for layer in layers], tickfont={"size": SMALL + 1},
    )  # fmt: skip
    theme(fig, height=110 + 1.3 * ROW * max(2, len(layers)))
    return fig.update_layout(margin={"l": 14 + CHARACTER * max(len(_short(layer)) for layer in layers)})


def layer_colours(n_layers: int) -> list[str]:
    """Colour of each layer in the best-layer brain map.

    >>> len(layer_colours(3))
    3
    """
    from plotly.colors import sample_colorscale

    return sample_colorscale(LAYER_COLOURS, [(number + 0.5) / n_layers for number in range(n_layers)])
