"""A figure told otherwise: the numbers it draws as a table, and the line that says where they come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from encoding.plots.look import STROKE

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

SOURCE_SIZE, SOURCE_HEIGHT, SOURCE_LINE = 10, 16, 13  # px; the height of the first line, and of each further one
SOURCE_WIDTH = 70  # characters that a chart in half of a page's width has room for
SEPARATOR = " · "


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


def signed(fig: go.Figure, source: str) -> go.Figure:
    """``fig`` with small text below it that says where its numbers come from, so that every saved picture says so. Changed in place.

    What is too long for a narrow chart goes on in a further line: its first word may be "Simulated".
    """
    text, n_lines = _in_lines(source)
    more = SOURCE_HEIGHT + SOURCE_LINE * (n_lines - 1)
    bottom = (fig.layout.margin.b if fig.layout.margin.b is not None else 48) + more
    fig.update_layout(margin={"b": bottom})
    if fig.layout.height:
        fig.update_layout(height=fig.layout.height + more)
    style = {"showarrow": False, "xref": "paper", "yref": "paper", "xanchor": "right", "yanchor": "bottom", "align": "right"}
    fig.add_annotation(x=1, y=0, yshift=-bottom, text=text, font={"size": SOURCE_SIZE, "color": STROKE}, **style)
    return fig


def _in_lines(source: str) -> tuple[str, int]:
    """The line broken between its parts, and the number of lines that makes.

    >>> _in_lines("Simulated · demo subj01")
    ('Simulated · demo subj01', 1)
    """
    lines: list[str] = []
    for part in source.split(SEPARATOR):
        if lines and len(lines[-1]) + len(SEPARATOR) + len(part) <= SOURCE_WIDTH:
            lines[-1] += SEPARATOR + part
        else:
            lines.append(part)
    return "<br>".join(lines), len(lines)
