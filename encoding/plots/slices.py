"""Slices of a volume whose voxels are the columns of the responses, for data that no cortical surface is known for."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from encoding.datasets._base import VoxelGrid
from encoding.plots.brain.colour_ranges import score_colours, score_range
from encoding.plots.look import SMALL, theme

if TYPE_CHECKING:
    import plotly.graph_objects as go

N_SLICES = 12
WIDE = 1.4  # times as wide as high, of the room for all slices
STRIP = 0.14  # of a slice's width, the room above it for its height in mm


def slice_mosaic(grid: VoxelGrid, values: np.ndarray) -> tuple[np.ndarray, list[tuple[float, float, float]]]:
    """Lay axial slices side by side, seen from above: left of an image is the left of the head, up is the front.

    Parameters
    ----------
    values : (n_columns,) one number for each voxel of the grid.

    Returns
    -------
    mosaic : (n_rows, n_across) float32, the first row at the bottom; NaN where no voxel is.
    labels : of each slice, the x and y of its upper left corner in the mosaic, above which is room, and the height z of its middle in mm.
    """
    import nibabel

    image = nibabel.as_closest_canonical(nibabel.Nifti1Image(grid.volume(values), grid.affine))  # x to the right, y to the front, z up
    where = nibabel.as_closest_canonical(nibabel.Nifti1Image(grid.volume(np.ones(len(grid.voxels))), grid.affine))
    volume, inside = np.asarray(image.dataobj), np.isfinite(np.asarray(where.dataobj))
    box = tuple(slice(at.min(), at.max() + 1) for at in np.nonzero(inside)[:2])
    heights = np.flatnonzero(inside.any(axis=(0, 1)))
    heights = heights[np.unique(np.linspace(0, len(heights) - 1, N_SLICES).astype(int))]
    shown = volume[box][:, :, heights]
    width, n_rows = shown.shape[0] + 1, shown.shape[1]  # a voxel between slices
    depth = n_rows + max(1, round(STRIP * width))
    n_across = max(range(1, len(heights) + 1), key=lambda n: min(WIDE / (n * width), 1 / (ceil(len(heights) / n) * depth)))  # the largest
    n_down = ceil(len(heights) / n_across)
    mosaic, labels = np.full((n_down * depth, n_across * width), np.nan, np.float32), []
    for number, height in enumerate(heights):
        row, column = divmod(number, n_across)
        bottom, left = (n_down - 1 - row) * depth, column * width
        mosaic[bottom : bottom + n_rows, left : left + width - 1] = shown[:, :, number].T
        centre = [(box[0].start + box[0].stop - 1) / 2, (box[1].start + box[1].stop - 1) / 2, height, 1]
        labels.append((left, bottom + n_rows, float((image.affine @ centre)[2])))
    return mosaic, labels


def volume_slices(grid: VoxelGrid, values: np.ndarray, *, what: str, score: str = "") -> go.Figure:
    """Draw axial slices through a volume, from below to above.

    Parameters
    ----------
    values : (n_columns,) one number for each voxel. what : what they are.
    score : key of :data:`encoding.evaluation.scores.SCORES` where they are one, for the colours that it has on brains.
    """
    import plotly.graph_objects as go

    mosaic, labels = slice_mosaic(grid, values)
    if score:
        low, high = score_range(score, {"voxels": np.asarray(values)})
        colours = {"colorscale": score_colours(score), "zmin": low, "zmax": high}
    elif np.nanmin(mosaic, initial=0) < 0:
        colours = {"colorscale": "RdBu", "reversescale": True, "zmid": 0}
    else:
        colours = {"colorscale": "Plasma"}
    bar = {"title": {"text": what, "side": "top"}, "orientation": "h", "y": 0, "yanchor": "top", "thickness": 12, "len": 0.9}
    fig = go.Figure(go.Heatmap(z=mosaic, hovertemplate="%{z:.3f}<extra></extra>", hoverongaps=False, colorbar=bar, **colours))
    note = {"showarrow": False, "xanchor": "left", "yanchor": "bottom", "font": {"size": SMALL}}
    fig.update_layout(annotations=[note | {"x": x - 0.5, "y": y - 0.5, "text": f"z {z:.0f} mm"} for x, y, z in labels])
    fig.update_xaxes(visible=False, fixedrange=True)
    fig.update_yaxes(visible=False, fixedrange=True, scaleanchor="x")
    return theme(fig, height=420, margin={"l": 8, "t": 30, "b": 76})
