"""Figure of choices: validation score, test score of what was chosen, and what a choice on test stimuli would have reported."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from encoding.plots.look import CEILING, LINE, TEST, TRAIN, theme
from encoding.plots.table import attach_table

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go


def selection_scores(table: pd.DataFrame, *, quantity: str) -> go.Figure:
    """Three marks for each choice, side by side: validation, test with its interval, and the best test score of all candidates.

    Parameters
    ----------
    table : rows of one subject and hemisphere of :meth:`encoding.experiments.selection.Selection.table`. Those without a winner are left
        out.
    quantity : name of the score, for the axis.
    """
    import plotly.graph_objects as go

    some = table[table["winner"] != ""]
    fig = go.Figure()
    names = some["roi"].tolist()
    for place, (column, name, colour, symbol) in enumerate(
        (
            ("validation", "chosen by: validation images", TRAIN, "circle-open"),
            ("test", "what it is worth: test images", TEST, "circle"),
            ("test_best", "best on test, had one chosen there", CEILING, "line-ew-open"),
        )
    ):
        ends = {}
        if column == "test" and np.isfinite(some["test_low"]).any():
            up, down = some["test_high"] - some["test"], some["test"] - some["test_low"]
            ends = {"error_y": {"type": "data", "array": up, "arrayminus": down, "color": LINE, "thickness": 1.2, "width": 3}}
        fig.add_scatter(
            x=np.arange(len(names)) + 0.18 * (place - 1), y=some[column], mode="markers", name=name, **ends,
            marker={"color": colour, "symbol": symbol, "size": 10, "line": {"color": colour, "width": 2}},
            customdata=np.column_stack([names, some["winner"], some["best_on_test"]]),
            hovertemplate=f"<b>%{{customdata[0]}}</b> · %{{customdata[{1 + (column == 'test_best')}]}}<br>%{{y:.3f}}<extra>{name}</extra>",
        )  # fmt: skip
    fig.update_xaxes(tickvals=list(range(len(names))), ticktext=names, showgrid=False)
    fig.update_yaxes(title_text=quantity)
    theme(fig, height=360)
    fig.update_layout(margin_b=70 if len(names) > 8 else 48)
    return attach_table(fig, some.drop(columns=["key"], errors="ignore"))
