"""Figures of the lessons on hierarchy, variance partitioning, RSA, and evaluation pitfalls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from encoding.plots.look import BAND, CEILING, LEFT, LINE, SMALL, STROKE, TEST, TRAIN, level, theme, translucent

if TYPE_CHECKING:
    import plotly.graph_objects as go

TALL, HEIGHT, LOW = 400, 290, 220  # px: a lesson fits on one screen
CHARACTER = 8  # px, of a name beside an axis
SPACES = "viridis"  # of feature spaces, from early to late
MOST_POINTS = 400  # of a long sorted list that are drawn
LEAST_P = 1e-6  # in view; smaller ones are in the table


def space_colours(n: int) -> list[str]:
    """Colours of ``n`` feature spaces, earliest first; none is near white or black."""
    from plotly.colors import sample_colorscale

    return sample_colorscale(SPACES, list(np.linspace(0.33, 0.88, n)))


def regions_by_layer(scores: Mapping[str, np.ndarray], regions: Sequence[str], chosen: str, *, height: int = TALL) -> go.Figure:
    """Score of the chosen layer in every ROI as bars, those of the other layers as markers.

    Parameters
    ----------
    scores : layer to (n_rois,) r relative to its upper bound, early layers first.
    regions : ROI names in the order of the cortex.
    chosen : layer drawn as bars.
    """
    import plotly.graph_objects as go

    fig = go.Figure()
    for (layer, values), colour in zip(scores.items(), space_colours(len(scores)), strict=True):
        hover = f"<b>%{{x}}</b><br>{layer}: %{{y:.2f}} of the highest r<extra></extra>"
        if layer == chosen:
            fig.add_bar(x=list(regions), y=values, name=layer, marker_color=colour, width=0.62, hovertemplate=hover)
        else:
            marker = {"color": colour, "size": 9, "symbol": "diamond", "line": {"color": "white", "width": 1}}
            fig.add_scatter(x=list(regions), y=values, name=layer, mode="markers", marker=marker, hovertemplate=hover)
    fig.add_hline(y=1, line={"color": CEILING, "width": 2})
    fig.add_annotation(
        x=0, xref="paper", xanchor="left", y=1, yanchor="bottom", text="all that noise allows", showarrow=False, font_size=SMALL
    )
    fig.update_xaxes(categoryorder="array", categoryarray=list(regions), showgrid=False, tickangle=-60)
    fig.update_yaxes(title_text="Mean r / highest r", range=[min(0.0, *(np.nanmin(v) for v in scores.values())), 1.12])
    return theme(fig, height=height).update_layout(margin_b=72)


def divided(kinds: Sequence[str], left_out: Mapping[str, np.ndarray], shares: Mapping[str, np.ndarray], *, height: int = TALL) -> go.Figure:
    """R² of each group of vertices, partitioned by leaving a space out (left) and by the product measure (right).

    Parameters
    ----------
    kinds : names of the groups.
    left_out : ``only A``, ``either``, ``only B`` to (n_kinds,).
    shares : ``A``, ``B`` to (n_kinds,).
    """
    import plotly.graph_objects as go

    a, b = space_colours(2)
    fig = go.Figure()
    for axis, parts, colours in (("x", left_out, (a, CEILING, b)), ("x2", shares, (a, b))):
        for (name, values), colour in zip(parts.items(), colours, strict=True):
            hover = f"<b>%{{x}}</b><br>{name}: %{{y:.2f}} of R²<extra></extra>"
            style = {"marker_color": colour, "hovertemplate": hover, "width": 0.6, "showlegend": axis == "x"}
            fig.add_bar(x=list(kinds), y=values, name=name, xaxis=axis, **style)
    place = {"yref": "paper", "y": 1.0, "yanchor": "bottom", "showarrow": False, "font": {"size": SMALL + 1}}
    for x, side, text in ((0, "left", "<b>Leaving one out</b>"), (1, "right", "<b>Banded ridge, product measure</b>")):
        fig.add_annotation(x=x, xanchor=side, xref="paper", text=text, **place)
    axis = {"showgrid": False, "title": {"text": "What drives the vertices", "font": {"size": SMALL + 1}}}
    fig.update_layout(barmode="relative", xaxis=axis | {"domain": [0, 0.47]}, xaxis2=axis | {"domain": [0.53, 1], "anchor": "y"})
    fig.update_yaxes(title_text="R² on test images")
    theme(fig, height=height)
    return fig.update_layout(margin_t=56, legend={"y": 1.1})


def dissimilarities(model: np.ndarray, brain: np.ndarray, kinds: Sequence[str], *, height: int = HEIGHT) -> go.Figure:
    """Two dissimilarity matrices side by side, as ranks in percent, since only their order is compared.

    Parameters
    ----------
    model, brain : (n, n), of the same images in the same order.
    kinds : (n,) what each image shows, neighbours alike; written once beside each block of the first.
    """
    import plotly.graph_objects as go
    from scipy.stats import rankdata

    fig = go.Figure()
    for axis, (name, matrix) in zip(("", "2"), {"Model": model, "Brain": brain}.items(), strict=True):
        ranks = np.zeros(matrix.shape, np.uint8)  # a byte each travels; an image is at no distance from itself
        pairs = np.triu_indices(len(matrix), 1)
        ranks[pairs] = np.round(100 * (rankdata(matrix[pairs]) - 1) / max(1, len(pairs[0]) - 1))
        ranks.T[pairs] = ranks[pairs]
        known = {"z": ranks, "zmin": 0, "zmax": 100, "colorscale": SPACES, "showscale": axis == "2"}
        bar = {"title": {"text": "rank, %", "side": "right"}, "thickness": 10, "outlinewidth": 0}
        hover = f"{name}: images %{{x}} and %{{y}}, further apart than %{{z:.0f}} % of pairs<extra></extra>"
        fig.add_heatmap(name=name, xaxis=f"x{axis}", yaxis=f"y{axis}", colorbar=bar, hovertemplate=hover, **known)
    blocks = {kind: float(np.mean(np.flatnonzero(np.asarray(kinds) == kind))) for kind in dict.fromkeys(kinds)}
    axis_style = {"showgrid": False, "constrain": "domain", "ticks": "", "showticklabels": False}
    named = {"showticklabels": True, "tickvals": list(blocks.values()), "ticktext": list(blocks), "tickfont": {"size": SMALL}}
    fig.update_layout(
        xaxis=axis_style | {"domain": [0, 0.48], "title": {"text": "Model"}},
        xaxis2=axis_style | {"domain": [0.52, 1], "title": {"text": "Brain"}},
        yaxis=axis_style | named | {"scaleanchor": "x", "autorange": "reversed"},
        yaxis2=axis_style | {"scaleanchor": "x2", "anchor": "x2", "autorange": "reversed"},
    )
    return theme(fig, height=height).update_layout(margin={"l": 60, "t": 8, "b": 34})


def scores_by_factor(factors: Sequence[float], rsa: np.ndarray, encoding: np.ndarray, chosen: float, *, height: int = LOW) -> go.Figure:
    """RSA score and the encoding model's r against the factor that one feature is multiplied by; the chosen factor is marked."""
    import plotly.graph_objects as go

    fig = go.Figure()
    fig.add_vline(x=chosen, line={"color": BAND, "width": 14}, layer="below")
    for name, values, colour, dash in (("Encoding, mean r", encoding, TEST, "solid"), ("RSA, Spearman's ρ", rsa, TRAIN, "dash")):
        line = {"color": colour, "width": 2.5, "dash": dash}
        hover = f"times %{{x}}<br>{name}: %{{y:.3f}}<extra></extra>"
        fig.add_scatter(x=list(factors), y=values, name=name, mode="lines+markers", line=line, marker_size=7, hovertemplate=hover)
    fig.update_xaxes(title_text="One feature multiplied by", type="log", tickvals=list(factors), ticktext=[f"{each:g}" for each in factors])
    fig.update_yaxes(title_text="Score on test images", range=[0, 1.1 * max(np.max(rsa), np.max(encoding))])
    return theme(fig, height=height)


def leaks(
    ways: Sequence[str], series: Mapping[str, np.ndarray], *, quantity: str = "Mean r on test images", height: int = TALL
) -> go.Figure:
    """Mean r of each evaluation scheme over random splits, the first on top, with whiskers from the lowest to the highest split.

    Parameters
    ----------
    ways : names of the schemes.
    series : target data to (n_splits, n_ways) mean r; the first is noise.
    quantity : title of the axis.
    """
    import plotly.graph_objects as go

    fig = go.Figure()
    for (name, r), colour in zip(series.items(), (CEILING, TEST) if len(series) > 1 else (TEST,), strict=True):
        mean = r.mean(0)
        whiskers = {"type": "data", "symmetric": False, "array": r.max(0) - mean, "arrayminus": mean - r.min(0), "color": STROKE}
        whiskers |= {"thickness": 1.5, "width": 3}
        hover = f"<b>%{{y}}</b><br>{name}: mean r %{{x:.3f}}<extra></extra>"
        fig.add_bar(x=mean, y=list(ways), orientation="h", name=name, marker_color=colour, error_x=whiskers, hovertemplate=hover)
    fig.add_vline(x=0, line={"color": LINE, "width": 1})
    fig.update_layout(barmode="group", bargap=0.3)
    fig.update_xaxes(title_text=quantity)
    fig.update_yaxes(showgrid=False, autorange="reversed")
    longest = max(len(line) for way in ways for line in way.split("<br>"))
    return theme(fig, height=height).update_layout(margin_l=20 + 6.5 * longest)


def chosen_twice(first: np.ndarray, second: np.ndarray, chosen: np.ndarray, *, height: int = TALL) -> go.Figure:
    """Scatter of each vertex's r on the images used for selection (x) and on others (y), with the means of the selected vertices.

    Parameters
    ----------
    first, second : (n_vertices,) r.
    chosen : columns of the selected vertices.
    """
    import plotly.graph_objects as go

    first, second = (np.asarray(values, np.float32) for values in (first, second))
    others = np.setdiff1d(np.arange(len(first)), chosen)
    fig = go.Figure()
    for columns, name, colour, size in ((others, "Other vertices", translucent(CEILING, 0.35), 4), (chosen, "Chosen vertices", TRAIN, 5)):
        hover = "r %{x:.2f} on the images that choose, %{y:.2f} on others<extra></extra>"
        fig.add_scattergl(
            x=first[columns], y=second[columns], name=name, mode="markers", marker={"color": colour, "size": size}, hovertemplate=hover
        )
    most = float(max(np.abs(first).max(), np.abs(second).max())) * 1.08
    level(fig, float(second[chosen].mean()), x=(-most, most), name="Their mean on other images", colour=TRAIN, dash="dot")
    fig.add_vline(x=float(first[chosen].mean()), line={"color": TRAIN, "width": 2})
    note = f"their mean here, {first[chosen].mean():.2f}"
    fig.add_annotation(
        x=float(first[chosen].mean()), y=1, yref="paper", xanchor="right", yanchor="top", text=note, showarrow=False, font_size=SMALL
    )
    fig.update_xaxes(title_text="r on the images that choose", range=[-most, most])
    fig.update_yaxes(title_text="r on other images", range=[-most, most])
    return theme(fig, height=height)


def sorted_p(series: Mapping[str, np.ndarray], *, level_p: float = 0.05, height: int = TALL) -> go.Figure:
    """Sorted p values against rank, with the single-test level and the Benjamini-Hochberg line.

    Parameters
    ----------
    series : target data to (n_vertices,) p; the first is noise. Long series are thinned evenly on a logarithmic rank axis.
    level_p : significance level, 0 to 1.
    """
    import plotly.graph_objects as go

    fig = go.Figure()
    for (name, p), colour in zip(series.items(), (CEILING, TEST), strict=True):
        p = np.sort(p)
        ranks = np.unique(np.geomspace(1, len(p), MOST_POINTS).round().astype(int))
        hover = f"{name}<br>rank %{{x:,}}: p = %{{y:.2g}}<extra></extra>"
        values = np.maximum(p[ranks - 1], 1e-16).astype(np.float32)
        fig.add_scatter(x=ranks, y=values, name=name, mode="markers", marker={"color": colour, "size": 5}, hovertemplate=hover)
    n = len(next(iter(series.values())))
    ends = np.array([1, n])
    for y, name, dash in ((np.full(2, level_p), f"p = {level_p:g}", "dot"), (level_p * ends / n, "false discovery rate 5 %", "solid")):
        fig.add_scatter(x=ends, y=y, mode="lines", line={"color": STROKE, "width": 2, "dash": dash}, name=name, hoverinfo="skip")
    fig.update_xaxes(title_text="Vertices, from the smallest p", type="log", dtick=1, exponentformat="none")
    fig.update_yaxes(title_text="p", type="log", exponentformat="power", dtick=1, range=[np.log10(LEAST_P), 0.3])
    return theme(fig, height=height)


LINES = (  # colour, dash and symbol: lines are told apart without colours, too
    (TEST, "solid", "circle"),
    (TRAIN, "dash", "square"),
    (CEILING, "dot", "diamond"),
)


def paths(
    x: Sequence[float], series: Mapping[str, np.ndarray], chosen: int, *, x_title: str, y_title: str, height: int = TALL
) -> go.Figure:
    """Lines over a logarithmic control, whose value is marked.

    Parameters
    ----------
    x : (n,) values of the control, above 0.
    series : name to (n,) values; as many as there are :data:`LINES`, at most.
    chosen : index into ``x`` of the value on the screen.
    """
    import plotly.graph_objects as go

    fig = go.Figure()
    for (name, values), (colour, dash, symbol) in zip(series.items(), LINES[: len(series)], strict=True):
        hover = f"%{{x:,}}: %{{y:.3f}}<extra>{name}</extra>"
        line, marker = {"color": colour, "width": 2.5, "dash": dash}, {"symbol": symbol, "size": 7}
        fig.add_scatter(x=list(x), y=values, name=name, mode="lines+markers", line=line, marker=marker, hovertemplate=hover)
    fig.add_hline(y=0, line={"color": LINE, "width": 1, "dash": "dot"})
    fig.add_vline(x=x[chosen], line={"color": STROKE, "width": 2, "dash": "dot"})
    fig.update_xaxes(title_text=x_title, type="log", tickvals=list(x), ticktext=[f"{value:,}" for value in x], title_standoff=4)
    fig.update_yaxes(title_text=y_title)
    return theme(fig, height=height)


def score_intervals(
    names: Sequence[str], values: np.ndarray, low: np.ndarray, high: np.ndarray, *, x_title: str, height: int = LOW
) -> go.Figure:
    """Scores of some models as dots with their intervals, one below the other; values, low and high are (n,)."""
    import plotly.graph_objects as go

    fig = go.Figure()
    reach = {"type": "data", "symmetric": False, "array": high - values, "arrayminus": values - low, "color": STROKE, "thickness": 2}
    colours = [TEST, TRAIN, LEFT][: len(names)]
    fig.add_scatter(
        x=values, y=list(names), mode="markers", marker={"size": 11, "color": colours}, error_x=reach, showlegend=False,
        hovertemplate="%{y}: %{x:.3f}<extra></extra>",
    )  # fmt: skip
    fig.add_vline(x=0, line={"color": LINE, "width": 1, "dash": "dot"})
    fig.update_xaxes(title_text=x_title, title_standoff=4)
    fig.update_yaxes(autorange="reversed", showgrid=False)
    return theme(fig, height=height).update_layout(margin_l=24 + CHARACTER * max(map(len, names)))


def dots_by_way(ways: Sequence[str], values: np.ndarray, *, x_title: str, height: int = HEIGHT) -> go.Figure:
    """Every score of each way of evaluating as a dot, on an axis that shows how far they spread.

    Parameters
    ----------
    ways : (n_ways,) names.
    values : (n_draws, n_ways) scores.
    """
    import plotly.graph_objects as go

    fig = go.Figure()
    for way, scores, colour in zip(ways, values.T, (TRAIN, TEST, LEFT), strict=False):
        marker = {"size": 14, "color": translucent(colour, 0.65), "line": {"color": colour, "width": 1.5}}
        hover = "%{x:.3f}<extra></extra>"
        fig.add_scatter(x=scores, y=[way] * len(scores), name=way, mode="markers", marker=marker, showlegend=False, hovertemplate=hover)
    fig.update_xaxes(title_text=x_title, title_standoff=4)
    fig.update_yaxes(range=[len(ways), -1])
    longest = max(len(line) for way in ways for line in way.split("<br>"))
    return theme(fig, height=height).update_layout(margin={"l": 24 + CHARACTER * longest, "t": 16})
