"""A figure told otherwise: the numbers it draws as a table, and the line that says where they come from."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from encoding.plots.look import STROKE

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

SOURCE_SIZE, SOURCE_HEIGHT, SOURCE_GAP = 10, 13, 6  # px
SOURCE_LETTERS = 60  # of one line below a figure


def table_of(fig: go.Figure) -> pd.DataFrame:
    """What a figure draws, one row a point: the trace's name, x and y, and z of a heatmap. What is only there to be looked at
    (traces without a hover text or name) is left out, and so are unseen points that are there to be clicked.

    >>> import plotly.graph_objects as go
    >>> table_of(go.Figure(go.Bar(x=["V1", "V2"], y=[0.4, 0.3], name="Left")))["y"].tolist()
    [0.4, 0.3]
    """
    import pandas as pd

    parts = [_points(trace) for trace in fig.data if trace.hoverinfo != "skip" and trace.opacity != 0]
    parts = [part for part in parts if len(part)]
    if not parts:
        return pd.DataFrame(columns=["series", "x", "y"])
    table = pd.concat(parts, ignore_index=True)
    return table.rename(columns={"x": _title(fig.layout.xaxis, "x"), "y": _title(fig.layout.yaxis, "y")}).dropna(axis=1, how="all")


def _points(trace: object) -> pd.DataFrame:
    import pandas as pd

    name = getattr(trace, "name", None) or ""
    if trace.type == "heatmap":
        z = np.asarray(trace.z, float)
        x = np.asarray(trace.x if trace.x is not None else np.arange(z.shape[1]))
        y = np.asarray(trace.y if trace.y is not None else np.arange(z.shape[0]))
        return pd.DataFrame({"series": name, "x": np.tile(x, len(y)), "y": np.repeat(y, len(x)), "value": z.ravel()})
    if getattr(trace, "x", None) is None or getattr(trace, "y", None) is None or not len(trace.x):
        return pd.DataFrame()
    return pd.DataFrame({"series": name, "x": np.asarray(trace.x), "y": np.asarray(trace.y)})


def _title(axis: object, name: str) -> str:
    title = axis.title.text
    return f"{title} ({name})" if title else name


UNITS = {"vertices": "voxels", "vertex": "voxel"}


def renamed(text: str, unit: str) -> str:
    """A text about vertices, about voxels where ``unit`` says so; capitals stay.

    >>> renamed("Vertices that each vertex is near, vertex:lh:1", "voxel")
    'Voxels that each voxel is near, vertex:lh:1'
    """
    if unit == "vertex":
        return text

    def other(found: re.Match[str]) -> str:
        word = UNITS[found[0].lower()]
        return word.capitalize() if found[0][0].isupper() else word

    return re.sub(r"\b(?:vertices|vertex)\b(?!:)", other, text, flags=re.IGNORECASE)


def in_units(fig: go.Figure, unit: str) -> go.Figure:
    """``fig`` with every word of it about vertices, or about voxels. The same figure where nothing changes."""
    import plotly.graph_objects as go

    def changed(value: object) -> object:
        if isinstance(value, str):
            return renamed(value, unit)
        if isinstance(value, dict):
            return {name: changed(each) for name, each in value.items()}
        if isinstance(value, list | tuple):
            return [changed(each) for each in value]
        return value

    if unit == "vertex":
        return fig
    traces = [changed(trace.to_plotly_json()) for trace in fig.data]  # to_dict of the whole packs arrays
    return go.Figure({"data": traces, "layout": changed(fig.layout.to_plotly_json())})


def signed(fig: go.Figure, source: str) -> go.Figure:
    """``fig`` with a small line below it that says where its numbers come from, so that every saved picture says so. Changed in place.

    It is broken at its dots where it is long: a chart of half a page's width has room for some 60 letters.
    """
    lines = [""]
    for part in source.split(" · "):
        longer = f"{lines[-1]} · {part}" if lines[-1] else part
        if len(longer) <= SOURCE_LETTERS or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(part)
    added = SOURCE_GAP + SOURCE_HEIGHT * len(lines)
    bottom = (fig.layout.margin.b if fig.layout.margin.b is not None else 48) + added
    fig.update_layout(margin={"b": bottom})
    if fig.layout.height:
        fig.update_layout(height=fig.layout.height + added)
    style = {"showarrow": False, "xref": "paper", "yref": "paper", "xanchor": "right", "yanchor": "bottom", "align": "right"}
    fig.add_annotation(x=1, y=0, yshift=-bottom, text="<br>".join(lines), font={"size": SOURCE_SIZE, "color": STROKE}, **style)
    return fig
