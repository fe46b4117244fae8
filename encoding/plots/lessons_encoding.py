"""Figures of the lessons on one encoding model: responses, receptive fields, components, penalty, noise ceiling.

The value of a lesson's control is marked in its figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from encoding.plots.look import CEILING, HALO, INK, LEFT, LINE, RIGHT, SMALL, STROKE, TEST, TRAIN, level, theme, translucent

if TYPE_CHECKING:
    import plotly.graph_objects as go

HEIGHT = 270  # px: a lesson fits on one screen
AREA_COLOURS = {"V1": "#2878B5", "V2": "#0F9D8A", "V3": "#C08A00", "hV4": "#C2407E"}
N_BINS = 40
CIRCLE = np.linspace(0, 2 * np.pi, 73)


def standing(responses: np.ndarray, image: int, *, height: int = HEIGHT) -> go.Figure:
    """Histogram of a vertex's (n,) responses to all images, with the response to image ``image`` marked."""
    import plotly.graph_objects as go

    counts, edges = np.histogram(responses, bins=N_BINS)
    fig = go.Figure()
    hover = "near %{x:.2f}: %{y} images<extra></extra>"
    style = {"marker_color": translucent(TEST, 0.6), "width": float(edges[1] - edges[0]), "hovertemplate": hover}
    fig.add_bar(x=(edges[:-1] + edges[1:]) / 2, y=counts, name="Images", showlegend=False, **style)
    _here(fig, float(responses[image]), f"this image, {responses[image]:+z.2f}", right=responses[image] < 0)
    fig.update_xaxes(title_text="Response (standard deviations)")
    fig.update_yaxes(title_text="Images")
    return _framed(fig, height)


def kinds(names: Sequence[str], means: np.ndarray, errors: np.ndarray, *, height: int = HEIGHT) -> go.Figure:
    """Mean response to each image category, (k,), with standard errors, (k,); the largest is highlighted."""
    import plotly.graph_objects as go

    best = int(np.argmax(means))
    fig = go.Figure()
    colours = [TEST if i == best else translucent(TEST, 0.45) for i in range(len(names))]
    bars = {"error_x": {"array": 1.96 * errors, "color": STROKE, "thickness": 1.5}, "marker_color": colours, "showlegend": False}
    fig.add_bar(x=means, y=list(names), orientation="h", name="Mean response", hovertemplate="%{y}: %{x:+.2f}<extra></extra>", **bars)
    fig.add_vline(x=0, line={"color": LINE, "width": 1})
    fig.update_xaxes(title_text="Mean response (standard deviations)")
    fig.update_yaxes(autorange="reversed")
    return _framed(fig, height)


def visual_field(
    spot: tuple[float, float], fields: Mapping[str, tuple[float, float, float]], *, edge: float, height: int = HEIGHT
) -> go.Figure:
    """Visual field with a spot and the receptive field of one vertex per area around it.

    Parameters
    ----------
    spot : x (right) and y (up), degrees.
    fields : area to x, y and standard deviation in degrees, drawn as a circle of that radius.
    edge : half the width of the images, degrees.
    """
    import plotly.graph_objects as go

    fig = go.Figure()
    for area, (x, y, size) in fields.items():
        circle = {"x": x + size * np.cos(CIRCLE), "y": y + size * np.sin(CIRCLE), "line": {"color": AREA_COLOURS[area], "width": 2.5}}
        fig.add_scatter(**circle, mode="lines", name=f"{area}, {size:.2f}°", hoverinfo="name")
    marker = {"symbol": "cross", "size": 11, "color": STROKE, "line": {"color": "white", "width": 1}}
    hover = {"hovertemplate": "spot %{x:.1f}, %{y:.1f}<extra></extra>", "showlegend": False}
    fig.add_scatter(x=[spot[0]], y=[spot[1]], mode="markers", marker=marker, name="spot", **hover)
    _degrees(fig, edge, height)
    return _legend_apart(fig, spot[1])


def field_found(
    values: np.ndarray, true: tuple[float, float, float], estimated: tuple[float, float, float], *, edge: float, height: int = HEIGHT
) -> go.Figure:
    """Map of the correlation between local contrast and a vertex's responses, with the true and the estimated receptive field.

    Parameters
    ----------
    values : (g, g) correlations, top row first.
    true, estimated : x, y, standard deviation in degrees.
    edge : half the width of the images, degrees.
    """
    import plotly.graph_objects as go

    places = ((np.arange(len(values)) + 0.5) / len(values) - 0.5) * 2 * edge
    most = float(np.abs(values).max()) or 1.0
    fig = go.Figure()
    bar = {"thickness": 8, "outlinewidth": 0, "tickfont": {"size": SMALL}}
    style = {"colorscale": "PuOr", "zmin": -most, "zmax": most, "colorbar": bar, "name": "r of contrast here and response"}
    hover = {"hovertemplate": "%{x:.1f}, %{y:.1f}: r = %{z:.2f}<extra></extra>"}
    fig.add_heatmap(x=places, y=-places, z=np.asarray(values, np.float32), **style, **hover)
    for (x, y, size), name, colour, dash in ((true, "true field", LEFT, "solid"), (estimated, "found", RIGHT, "dash")):
        around = {"x": x + size * np.cos(CIRCLE), "y": y + size * np.sin(CIRCLE), "mode": "lines", "name": name}
        fig.add_scatter(**around, line={"color": HALO, "width": 5}, hoverinfo="skip", showlegend=False)
        fig.add_scatter(**around, line={"color": colour, "width": 2.5, "dash": dash}, hoverinfo="name")
    _degrees(fig, edge, height)
    return _legend_apart(fig, true[1])


def components_path(
    n: Sequence[int], explained: np.ndarray, train: np.ndarray, test: np.ndarray, chosen: int, *, height: int = HEIGHT
) -> go.Figure:
    """Training and test r and explained feature variance against the number of components; ``chosen`` is an index into ``n``."""
    import plotly.graph_objects as go

    fig = go.Figure()
    for values, name, colour, dash in (
        (explained, "Variance of the features kept", CEILING, "dot"),
        (train, "r, training images", TRAIN, "dash"),
        (test, "r, test images", TEST, "solid"),
    ):
        _line(fig, np.array(n), values, name, colour, dash, hover="%{x} components: %{y:.2f}")
    _here(fig, float(n[chosen]), f"{n[chosen]}", right=chosen > len(n) / 2, log=True)
    fig.update_xaxes(title_text="Components", type="log", tickvals=list(n), ticktext=[str(number) for number in n])
    fig.update_yaxes(range=[0, 1])
    return _framed(fig, height)


def alpha_path(alphas: np.ndarray, train: np.ndarray, test: np.ndarray, chosen: int, *, label: str, height: int = HEIGHT) -> go.Figure:
    """Score on training and test images against the penalty; ``chosen`` is an index into ``alphas``."""
    import plotly.graph_objects as go

    fig = go.Figure()
    level(fig, 0.0, x=(float(alphas[0]), float(alphas[-1])), name="Chance", dash="dot", showlegend=False)
    for values, name, colour, dash in ((train, "Training images", TRAIN, "dash"), (test, "Test images", TEST, "solid")):
        _line(fig, alphas, values, name, colour, dash, hover="alpha %{x:.3g}: %{y:.2f}")
    _here(fig, float(alphas[chosen]), f"alpha = {alphas[chosen]:.3g}", right=chosen > len(alphas) / 2, log=True)
    powers = 10.0 ** np.arange(np.ceil(np.log10(alphas[0])), np.log10(alphas[-1]) + 0.5)
    fig.update_xaxes(title_text="alpha, the penalty on weights", type="log", tickvals=powers, ticktext=[f"{power:g}" for power in powers])
    fig.update_yaxes(title_text=label, range=[min(0.0, float(np.min(test))) - 0.05, 1.15])  # room for the note above a perfect fit
    return _framed(fig, height)


def weight_bars(weights: np.ndarray, *, largest: float, height: int = HEIGHT) -> go.Figure:
    """Weights (p,) of components, sorted by variance, on a fixed scale from ``-largest`` to ``largest``."""
    import plotly.graph_objects as go

    fig = go.Figure()
    style = {"marker_color": TEST, "name": "Weight", "showlegend": False, "hovertemplate": "component %{x}: %{y:.3f}<extra></extra>"}
    fig.add_bar(x=np.arange(1, len(weights) + 1), y=np.asarray(weights, np.float32), **style)
    fig.update_xaxes(title_text="Component")
    fig.update_yaxes(title_text="Weight, one vertex", range=[-1.05 * largest, 1.05 * largest])
    return _framed(fig, height)


def repeats_path(
    highest: np.ndarray, estimated: np.ndarray, perfect: np.ndarray, model: np.ndarray, n_repeats: int, *, height: int = HEIGHT
) -> go.Figure:
    """Upper bound of r and the r of models against the number of averaged repeats, (m,) each for 1 … m repeats."""
    import plotly.graph_objects as go

    n = np.arange(1, len(highest) + 1)
    fig = go.Figure()
    _line(fig, n, highest, "Highest r (root of the ceiling)", CEILING, "solid", hover="%{x} showings: %{y:.2f}")
    dots = {"marker": {"symbol": "diamond-open", "size": 10, "color": STROKE, "line": {"width": 2}}}
    fig.add_scatter(
        x=n, y=estimated, mode="markers", name="estimated from repeats", hovertemplate="%{x} showings: %{y:.2f}<extra></extra>", **dots
    )
    _line(fig, n, perfect, "Perfect model", TRAIN, "dash", hover="%{x} showings: %{y:.2f}")
    _line(fig, n, model, "Fitted model", TEST, "solid", hover="%{x} showings: %{y:.2f}")
    _here(fig, n_repeats, f"{n_repeats}", right=n_repeats > len(n) / 2)
    fig.update_xaxes(title_text="Showings averaged", dtick=1)
    fig.update_yaxes(title_text="r on test images", range=[0, 1.02])
    return _framed(fig, height)


def _line(fig: go.Figure, x: np.ndarray, y: np.ndarray, name: str, colour: str, dash: str, *, hover: str) -> None:
    line = {"color": colour, "width": 2.5, "dash": dash}
    fig.add_scatter(x=x, y=y, name=name, mode="lines+markers", line=line, marker_size=5, hovertemplate=f"{hover}<extra>{name}</extra>")


def _here(fig: go.Figure, x: float, text: str, *, right: bool, log: bool = False) -> None:
    """Mark where the control stands."""
    fig.add_vline(x=x, line={"color": STROKE, "width": 2, "dash": "dot"})
    side = {"xanchor": "right" if right else "left", "xshift": -4 if right else 4}
    place = float(np.log10(x)) if log else x  # notes stand at the logarithm, lines at the value
    fig.add_annotation(x=place, y=1, yref="paper", yanchor="top", text=text, showarrow=False, font={"size": SMALL}, **side)


def _framed(fig: go.Figure, height: int) -> go.Figure:
    """``fig`` in the project's frame, its lower title close to the axis: a source is written below it."""
    fig.update_xaxes(title_standoff=4)
    return theme(fig, height=height)


def _degrees(fig: go.Figure, edge: float, height: int) -> go.Figure:
    """Both axes in degrees of visual angle from the centre of gaze, to one scale."""
    fig.add_hline(y=0, line={"color": LINE, "width": 1})
    fig.add_vline(x=0, line={"color": LINE, "width": 1})
    fig.update_xaxes(title_text="degrees to the right", range=[-edge, edge], constrain="domain")
    fig.update_yaxes(title_text="degrees up", range=[-edge, edge], constrain="domain", scaleanchor="x", scaleratio=1)
    return _framed(fig, height)


def _legend_apart(fig: go.Figure, y: float) -> go.Figure:
    """Put the visual field to the left and the legend beside it, in a narrow figure over the half in which nothing is shown at height y."""
    place = {"y": 0.02, "yanchor": "bottom"} if y >= 0 else {"y": 0.98, "yanchor": "top"}
    letters = {"orientation": "v", "bgcolor": HALO, "font": {"color": INK, "size": SMALL}}
    fig.update_xaxes(constraintoward="left")
    return fig.update_layout(legend=place | letters | {"x": 1, "xanchor": "right"}, margin={"l": 46, "t": 10})
