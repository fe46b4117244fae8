"""Variance partitioning: share of R² of each layer in each ROI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from encoding.plots.look import FADED, theme

if TYPE_CHECKING:
    import plotly.graph_objects as go

COLOURS = "viridis"  # from early to late layers
ROW_HEIGHT = 17  # px of an ROI


def layer_shares(
    rois: Sequence[str],
    shares: Mapping[str, np.ndarray],
    *,
    selected: str | None = None,
    errors: Mapping[str, np.ndarray] | None = None,
) -> go.Figure:
    """Stacked bars of R² per ROI, partitioned among layers.

    Parameters
    ----------
    rois : names, in drawing order.
    shares : layer to (n_rois,) mean share of R² over the ROI's vertices (:meth:`encoding.Result.layer_shares`); the shares of an ROI sum
        to its mean R². NaN is not drawn. Colours run from the first layer to the last.
    errors : layer to (n_rois,) half of each share's 95 % interval, drawn as whiskers at the share's end; None for none.

    Notes
    -----
    Bars lie, so that the name of every ROI has room. A layer that makes predictions worse has a negative share and is drawn to the left.
    """
    import plotly.graph_objects as go
    from plotly.colors import sample_colorscale

    fig = go.Figure()
    colours = sample_colorscale(COLOURS, list((np.arange(len(shares)) + 0.5) / max(1, len(shares))))  # as on the brain
    opacity = [1.0 if selected in (None, roi) else FADED for roi in rois]
    for (layer, values), colour in zip(shares.items(), colours, strict=False):
        hover = f"<b>%{{y}}</b><br>{layer}: %{{x:.3f}} of R²<extra></extra>"
        look = {"marker": {"color": colour, "opacity": opacity}, "orientation": "h"}
        bars = fig.add_bar(x=np.asarray(values), y=list(rois), name=layer, **look).data[-1]
        if errors is not None:
            hover = f"<b>%{{y}}</b><br>{layer}: %{{x:.3f}} ± %{{customdata:.3f}} of R²<extra></extra>"
            bars.update(customdata=errors[layer], error_x={"type": "data", "array": errors[layer], "thickness": 1.2, "width": 3})
        bars.hovertemplate = hover
    fig.update_layout(barmode="relative", bargap=0.25)
    fig.update_xaxes(title_text="Share of R²")
    fig.update_yaxes(autorange="reversed", dtick=1)
    return theme(fig, height=ROW_HEIGHT * len(rois) + 86).update_layout(margin={"l": 90})
