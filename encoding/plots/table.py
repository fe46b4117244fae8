"""The numbers that a figure draws, as a table."""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING, Any

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
        z = np.asarray(_numbers(trace.z), float)
        x = np.asarray(_numbers(trace.x) if trace.x is not None else np.arange(z.shape[1]))
        y = np.asarray(_numbers(trace.y) if trace.y is not None else np.arange(z.shape[0]))
        return pd.DataFrame({"series": name, "x": np.tile(x, len(y)), "y": np.repeat(y, len(x)), "value": z.ravel()})
    x, y = (_numbers(getattr(trace, axis, None)) for axis in "xy")
    if x is None or y is None or not len(x):
        return pd.DataFrame()
    return pd.DataFrame({"series": name, "x": np.asarray(x), "y": np.asarray(y)})


def _numbers(values: Any) -> Any:
    """Values of a trace, unpacked where the figure came from JSON or a pickle, in which plotly writes arrays as bytes."""
    if not isinstance(values, dict):
        return values
    shape = [int(length) for length in str(values.get("shape", "-1")).split(",")]
    return np.frombuffer(b64decode(values["bdata"]), np.dtype(values["dtype"])).reshape(shape)


def _title(axis: object, name: str) -> str:
    title = axis.title.text
    return f"{title} ({name})" if title else name
