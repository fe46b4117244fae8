"""Common style of all figures: colours, layout, and the provenance line.

Backgrounds are transparent and text has no colour of its own, so a figure adapts to light and dark pages through
Streamlit's theme or a notebook's template.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from encoding.backbones._base import JOIN
from encoding.fits.spec import FitSpec

if TYPE_CHECKING:
    import plotly.graph_objects as go

# Each pair stays apart in the common colour-vision deficiencies; each colour has a contrast of 3 or more on white and on near-black.
LEFT, RIGHT = "#2878B5", "#DD6B20"
TRAIN, TEST = "#8E6BBF", "#0F9D8A"
CEILING = "#8C8C8C"

CLEAR = "rgba(0,0,0,0)"
GRID = "rgba(128,128,128,0.18)"
LINE = "rgba(128,128,128,0.75)"  # zero, identity, separators
BAND = "rgba(128,128,128,0.14)"  # behind what is selected
STROKE, HALO = "#6E6E6E", "rgba(255,255,255,0.8)"  # a grey line and its light rim
INK = "#262730"  # text on paper
FADED = 0.35  # opacity of what is not selected
SMALL = 11  # px, of notes inside a figure
CAPTION_HEIGHT = 24  # px
TITLE_PLACE = {"x": 0, "xanchor": "left", "y": 1, "yanchor": "top", "yref": "container", "pad": {"t": 8, "l": 8}, "font": {"size": 15}}

SOURCE_SIZE, SOURCE_HEIGHT, SOURCE_GAP = 10, 13, 6  # px
SOURCE_CHARACTERS = 60  # of one line below a figure

HEMI_NAMES = {"lh": "Left hemisphere", "rh": "Right hemisphere"}
HEMI_COLOURS = {"lh": LEFT, "rh": RIGHT}


def hemi_name(hemi: str) -> str:
    """Display name of a hemisphere; other response blocks keep their own name."""
    return HEMI_NAMES.get(hemi, hemi)


def hemi_colour(hemi: str) -> str:
    """Colour of a hemisphere in all figures."""
    return HEMI_COLOURS.get(hemi, TEST)


def translucent(colour: str, opacity: float) -> str:
    """Convert a ``#rrggbb`` colour to rgba with an opacity of 0 to 1.

    >>> translucent("#0a0b0c", 0.25)
    'rgba(10,11,12,0.25)'
    """
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def lay_out(fig: go.Figure, **layout: Any) -> go.Figure:
    """Set properties of the layout in place, those below others as dictionaries, which are merged with what is set.

    As ``fig.update_layout`` without its events for each property, which take four times as long; of a chart they took most of the time.
    """
    fig.layout = _merged(fig.layout.to_plotly_json(), layout)
    return fig


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    return {**old, **{name: _merged(old.get(name) or {}, value) if isinstance(value, Mapping) else value for name, value in new.items()}}


def theme(fig: go.Figure, *, height: int = 380, **layout: Any) -> go.Figure:
    """Apply the common layout to ``fig``: transparent background, light grid, legend above, room for long labels, then ``layout``."""
    own = fig.layout.to_plotly_json()
    titled = any((each.get("title") or {}).get("text") for each in (own, layout))
    axes = {name for name in {"xaxis", "yaxis", *own, *layout} if re.fullmatch(r"[xy]axis\d*", name)}
    numbers = {"exponentformat": "power", "separatethousands": True}  # else 0.0002 is 200µ, which is no unit of a correlation
    axis = {"gridcolor": GRID, "zeroline": False, "automargin": False, "ticklabeloverflow": "allow"}
    common = {
        "template": "none",
        "height": height,
        "margin": {"l": 64, "r": 8, "t": 68 if titled else 38, "b": 48},  # measured margins cost a second layout of every chart
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "modebar": {"bgcolor": CLEAR, "color": LINE, "activecolor": STROKE},  # else black: half of the clear paper
        "hovermode": "closest",
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
        **({"title": TITLE_PLACE} if titled else {}),
        **dict.fromkeys(axes, axis),
    }
    own.pop("template", None)
    fig.layout = _merged(_merged(_merged(dict.fromkeys(axes, numbers), own), common), layout)
    return fig


def printable(fig: go.Figure, caption: str) -> go.Figure:
    """Copy ``fig`` for print: white background, dark text, ``caption`` below the title."""
    import plotly.graph_objects as go

    titled = bool(fig.layout.title.text)
    small = {"size": SMALL}
    title = TITLE_PLACE | ({"subtitle": {"text": caption, "font": small}} if titled else {"text": caption, "font": small})
    copy = go.Figure(fig)
    return copy.update_layout(
        title=title,
        paper_bgcolor="white",
        plot_bgcolor="white",
        font={"color": INK},
        margin={"t": fig.layout.margin.t + CAPTION_HEIGHT, "l": 16, "r": 16, "b": 16},
        height=fig.layout.height + CAPTION_HEIGHT,
    )


def level(fig: go.Figure, y: float, *, x: tuple[float, float], name: str, colour: str = LINE, dash: str = "solid", **style: Any) -> None:
    """Draw a horizontal reference level from x[0] to x[1] and extend the y axis to include it."""
    line = {"color": colour, "width": 2.5 if dash == "solid" else 1.5, "dash": dash}
    fig.add_scatter(x=np.array(x), y=np.full(2, y), mode="lines", line=line, name=name, hoverinfo="skip", **style)


def rimmed(fig: go.Figure, x: np.ndarray, y: np.ndarray, *, width: float, rim: float = 2.5, **style: Any) -> None:
    """Draw a line with a light outline, ``rim`` px wider, visible on bars, points, and light or dark pages."""
    showlegend = style.pop("showlegend", True)
    for colour, extra, named in ((HALO, rim, False), (STROKE, 0, showlegend)):
        line = {"color": colour, "width": width + extra}
        fig.add_scatter(x=x, y=y, mode="lines", line=line, hoverinfo="skip", showlegend=named, **style)


def network_name(spec: FitSpec) -> str:
    """Display name of a fit's network; untrained networks are named as such.

    >>> network_name(FitSpec(backbone="torchvision/alexnet", weights="random:0", layers=("features.9",)))
    'untrained torchvision/alexnet (seed 0)'
    """
    if spec.weights == "pretrained":
        return spec.backbone
    kind, _, seed = spec.weights.partition(":")
    return f"untrained {spec.backbone} (seed {seed})" if kind == "random" else f"{spec.backbone} ({spec.weights})"


def model_name(spec: FitSpec) -> str:
    """Display name of a fit's network with its layers; layers of several networks are named after them.

    >>> model_name(FitSpec(backbone="pixels + gabor", layers=("pixels rgb", "gabor energy")))
    'pixels rgb + gabor energy'
    """
    if JOIN not in spec.backbone:
        return f"{network_name(spec)} {' + '.join(spec.layers)}"
    return spec.network_and_layers if spec.weights == "pretrained" else f"{spec.network_and_layers} ({spec.weights})"


def caption(provenance: Mapping[str, Any], spec: FitSpec, *, tested: str = "") -> str:
    """Format the provenance of a figure's numbers in one line for exports.

    Parameters
    ----------
    provenance : :attr:`encoding.fits.result.Result.provenance`. Missing entries are left out; the first word is "Simulated"
        wherever ``made_from`` says so.
    spec : of the fit.
    tested : number of test stimuli in words, :meth:`encoding.fits.vertex_scores.VertexScores.counted`.

    Examples
    --------
    >>> provenance = {"key": "fit-1f", "created": "2026-01-31T12:00:00+00:00", "made_from": {"simulated": True}}
    >>> caption(provenance, FitSpec(), tested="108 test images")
    'Simulated · demo subj01 · gabor energy · PCA 100 · ridge · 108 test images · fit-1f · 2026-01-31'
    """
    parts = [
        "Simulated" if provenance.get("made_from", {}).get("simulated") else "",
        f"{spec.dataset} {spec.subject}",
        model_name(spec),
        spec.components_label,
        " ".join([spec.readout, *(f"{name}={value}" for name, value in spec.options)]),
        tested,
        provenance.get("key", ""),
        str(provenance.get("created", ""))[:10],
    ]
    return " · ".join(part for part in parts if part)


def add_source(fig: go.Figure, source: str) -> go.Figure:
    """Write a provenance line below ``fig``, in place, so that every saved image of it carries one.

    Long lines are broken at their dots: a chart of half a page's width has room for about 60 characters.
    """
    lines = [""]
    for part in source.split(" · "):
        longer = f"{lines[-1]} · {part}" if lines[-1] else part
        if len(longer) <= SOURCE_CHARACTERS or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(part)
    added = SOURCE_GAP + SOURCE_HEIGHT * len(lines)
    bottom = (fig.layout.margin.b if fig.layout.margin.b is not None else 48) + added
    note = {"showarrow": False, "xref": "paper", "yref": "paper", "xanchor": "right", "yanchor": "bottom", "align": "right"}
    note |= {"x": 1, "y": 0, "yshift": -bottom, "text": "<br>".join(lines), "font": {"size": SOURCE_SIZE}, "opacity": 0.8}
    height = {"height": fig.layout.height + added} if fig.layout.height else {}
    return lay_out(fig, margin={"b": bottom}, annotations=[*fig.layout.annotations, note], **height)
