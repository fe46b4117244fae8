"""The numbers that a figure draws, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go


def table_of(fig: go.Figure) -> pd.DataFrame:
    """The numbers that a figure draws: the table that :func:`attach_table` gave it, else one row a point.

    A row holds the trace's name, x and y, and z of a heatmap. Traces without hover text (lines that only guide the eye) and
    invisible points (which only take clicks) are left out.

    >>> import plotly.graph_objects as go
    >>> table_of(go.Figure(go.Bar(x=["V1", "V2"], y=[0.4, 0.3], name="Left")))["y"].tolist()
    [0.4, 0.3]
    """
    import pandas as pd

    if isinstance(fig.layout.meta, dict) and "table" in fig.layout.meta:
        return pd.DataFrame(fig.layout.meta["table"])
    parts = [_points(trace) for trace in fig.data if trace.hoverinfo != "skip" and trace.opacity != 0]
    parts = [part for part in parts if len(part)]
    if not parts:
        return pd.DataFrame(columns=["series", "x", "y"])
    table = pd.concat(parts, ignore_index=True)
    return table.rename(columns={"x": _title(fig.layout.xaxis, "x"), "y": _title(fig.layout.yaxis, "y")}).dropna(axis=1, how="all")


def attach_table(fig: go.Figure, table: pd.DataFrame) -> go.Figure:
    """Make :func:`table_of` return ``table`` for ``fig``, where the x axis holds positions in place of names."""
    fig.layout.meta = {"table": table.to_dict("list")}
    return fig


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
