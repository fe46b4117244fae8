"""Figures of predictions for one image: response profile over ROIs and occlusion map."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from encoding.datasets._unit import VERTEX, Unit
from encoding.plots.data import by_class, over_regions
from encoding.plots.look import FADED, HALO, STROKE, hemi_colour, hemi_name, theme

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from PIL import Image

SHOWN_SIDE = 480  # px, of the image behind a heatmap
HEAT_OPACITY = 0.85  # where the response changes most; where it does not change the image shows
ORANGE, PURPLE = (204, 96, 0), (94, 60, 153)  # the ends of PuOr, apart in every colour-vision deficiency


def response_profile(
    predicted: pd.DataFrame,
    measured: pd.DataFrame | None = None,
    *,
    response_unit: str,
    classes: Mapping[str, Sequence[str]] | None = None,
    selected: str | None = None,
    unit: Unit = VERTEX,
    horizontal: bool = False,
) -> go.Figure:
    """Mean predicted response of each ROI to one image, left and right, beside the measured one where available.

    Parameters
    ----------
    predicted : columns roi, hemi, n_vertices (number averaged), mean, r_mean (their mean test r), and where they are known half_width, of
        the prediction intervals. An ROI without vertices leaves a gap.
    measured : columns roi, hemi, mean, of the same vertices.
    response_unit : unit of the responses, for the axis.
    classes : class to its ROIs, drawn class by class with a gap between.
    selected : highlighted ROI.
    unit : what a column of the responses is called.
    horizontal : ROIs below each other, for a phone.
    """
    import plotly.graph_objects as go

    order = by_class(predicted["roi"], classes or {})
    fig = go.Figure()
    for hemi in dict.fromkeys(predicted["hemi"]):
        rows = predicted[predicted["hemi"] == hemi]
        hover = [
            f"<b>{row.roi}</b>, {hemi_name(hemi).lower()}<br>predicted {row.mean:+z.3f}<br>{unit.count(row.n_vertices)}, mean test r "
            f"{row.r_mean:z.2f}"
            for row in rows.itertuples(index=False)
        ]
        whiskers = {}
        if "half_width" in rows:
            ends = rows.assign(low=rows["mean"] - rows["half_width"], high=rows["mean"] + rows["half_width"])[["low", "high"]]
            hover = [
                text + (f"<br>95 % of new images: {low:+z.2f} to {high:+z.2f}" if np.isfinite(low) else "")
                for text, (low, high) in zip(hover, ends.to_numpy(), strict=True)
            ]
            whiskers = {"error_y": {"array": rows["half_width"].to_numpy(), "color": STROKE, "thickness": 1, "width": 0}}
        opacity = [1.0 if selected in (None, roi) else FADED for roi in rows["roi"]]
        fig.add_bar(
            x=rows["roi"],
            y=rows["mean"],
            name=f"{hemi_name(hemi)}, predicted",
            marker={"color": hemi_colour(hemi), "opacity": opacity, "line_width": 0},
            offsetgroup=hemi,
            customdata=[(roi, hemi) for roi in rows["roi"]],
            hovertext=hover,
            hoverinfo="text",
            **whiskers,
        )
    for trace in () if measured is None else _measured(measured):
        fig.add_trace(trace)
    return over_regions(fig, order, selected, title=f"Mean response ({response_unit})", horizontal=horizontal)


def _measured(table: pd.DataFrame) -> list[go.Bar]:
    """A frame from 0 to each region's measured mean, around its hemisphere's bar."""
    import plotly.graph_objects as go

    made = []
    for hemi in dict.fromkeys(table["hemi"]):
        rows = table[table["hemi"] == hemi]
        hover = [f"<b>{row.roi}</b>, {hemi_name(hemi).lower()}<br>measured {row.mean:+z.3f}" for row in rows.itertuples(index=False)]
        made.append(
            go.Bar(
                x=rows["roi"],
                y=rows["mean"],
                name="Measured",
                legendgroup="measured",
                showlegend=not made,
                marker={"color": "rgba(0,0,0,0)", "line": {"color": STROKE, "width": 1.5}},
                offsetgroup=hemi,
                hovertext=hover,
                hoverinfo="text",
            )
        )
    return made


def occlusion_map(image: Image.Image, drop: np.ndarray, *, label: str, patch: float) -> go.Figure:
    """Image overlaid with the drop of an ROI's predicted response when each place is occluded.

    Parameters
    ----------
    image : RGB image; drawn at 480 pixels at most.
    drop : (n, n) drop of the response at each place, row 0 at the top. Orange: occlusion lowers the response, so this place drives the
        ROI; purple: occlusion raises it. The colour range is symmetric.
    label : quantity, for the colour bar.
    patch : side of the occluding patch relative to the image's; drawn as a frame in the lower right corner.
    """
    import plotly.graph_objects as go

    width, height = image.size
    n = len(drop)
    most = float(np.nanmax(np.abs(drop))) or 1.0
    x, y = ((np.arange(n) + 0.5) / n * side for side in (width, height))
    fig = go.Figure(
        go.Heatmap(
            x=x,
            y=y,
            z=np.asarray(drop, np.float32),
            zmin=-most,
            zmax=most,
            colorscale=_see_through(),
            name="drop",
            colorbar={"title": {"text": f"Drop of<br>{label}"}, "thickness": 12, "len": 0.9},
            hovertemplate="covered here: the response falls by %{z:+.3f}<extra></extra>",
        )
    )
    fig.add_layout_image(
        source=_data_uri(image), x=0, y=0, sizex=width, sizey=height, xref="x", yref="y", sizing="stretch", layer="below"
    )  # fmt: skip
    corner = {"x0": width * (1 - patch) - 2, "x1": width - 2, "y0": height * (1 - patch) - 2, "y1": height - 2}
    for colour, line in ((HALO, 4.5), (STROKE, 2)):
        fig.add_shape(type="rect", **corner, line={"color": colour, "width": line})
    fig.update_xaxes(range=(0, width), visible=False, constrain="domain")
    fig.update_yaxes(range=(height, 0), visible=False, scaleanchor="x", constrain="domain")
    return theme(fig, height=400).update_layout(margin={"l": 8, "r": 8, "t": 8, "b": 8})


def _see_through(n: int = 5) -> list[tuple[float, str]]:
    """From purple through clear to orange, each ``n`` steps."""
    scale = []
    for place in np.linspace(-1, 1, 2 * n + 1):
        red, green, blue = ORANGE if place > 0 else PURPLE
        scale.append((float(place + 1) / 2, f"rgba({red},{green},{blue},{HEAT_OPACITY * abs(place) ** 0.8:.2f})"))
    return scale


def _data_uri(image: Image.Image) -> str:
    small, out = image.copy(), io.BytesIO()
    small.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
    small.save(out, "JPEG", quality=82)
    return f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}"
