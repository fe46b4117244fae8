"""Figures of a parameter search: optimisation history and parameter importances."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from encoding.plots.look import CEILING, RIGHT, TEST, TRAIN, theme

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

ROW_HEIGHT, LEAST_HEIGHT = 28, 150  # px, of a parameter's bar and of a figure
FEW = 10  # trials that are numbered each
CHARACTER = 7  # px, at most, of a parameter's name
UNSCORED = (("pruned", "given up early, no score", "line-ns-open", CEILING), ("failed", "failed, no score", "x", RIGHT))


def search_history(trials: pd.DataFrame) -> go.Figure:
    """Value of each trial and the running best.

    Parameters
    ----------
    trials : :attr:`~encoding.analysis.hyperparameter_search.Search.trials`. Those without a value are marked at the lower edge.
        Hovering a trial shows its parameters, or its error.
    """
    import plotly.graph_objects as go

    fig = go.Figure()
    complete = trials[trials["state"] == "complete"]
    if len(complete):
        best = complete["value"].cummax()
        last = max(trials["number"])
        x, y = np.append(complete["number"], last), np.append(best, best.iloc[-1])
        fig.add_scatter(x=x, y=y, name="Best so far", mode="lines", line={"color": TRAIN, "width": 2.5, "shape": "hv"}, hoverinfo="skip")
        fig.add_scatter(
            x=complete["number"].to_numpy(), y=complete["value"].to_numpy(), name="Trial", mode="markers",
            marker={"color": TEST, "size": 8}, text=[_said(trial) for trial in complete.to_dict("records")],
            hovertemplate="trial %{x}: r %{y:.4f}<br>%{text}<extra></extra>",
        )  # fmt: skip
    for state, name, symbol, colour in UNSCORED:
        some = trials[trials["state"] == state]
        if len(some):
            fig.add_scatter(
                x=some["number"].to_numpy(), y=np.full(len(some), 0.03), yaxis="y2", name=name[0].upper() + name[1:], mode="markers",
                marker={"symbol": symbol, "size": 9, "color": colour, "line": {"width": 2, "color": colour}},
                text=[_said(trial) for trial in some.to_dict("records")], hovertemplate=f"trial %{{x}}: {name}<br>%{{text}}<extra></extra>",
            )  # fmt: skip
    n_trials = max([*trials["number"], 1])
    fig.update_xaxes(title_text="Trial", range=[0.5, n_trials + 0.5], tickformat="d", dtick=1 if n_trials <= FEW else None)
    fig.update_yaxes(title_text="Mean r on validation images")
    fig.update_layout(yaxis2={"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True})
    return theme(fig, height=340)


def search_importances(importances: Mapping[str, float]) -> go.Figure:
    """Bar chart of parameter importances, largest on top.

    Parameters
    ----------
    importances : :attr:`encoding.analysis.hyperparameter_search.Search.importances`, shares of the variance of trial values.
    """
    import plotly.graph_objects as go

    names = sorted(importances, key=importances.get)
    shares = np.array([importances[name] for name in names])
    fig = go.Figure()
    fig.add_bar(
        x=shares, y=names, orientation="h", marker_color=TEST, text=[f"{share:.0%}" for share in shares], cliponaxis=False,
        hovertemplate="%{y}: %{x:.1%} of the variance<extra></extra>",
    )  # fmt: skip
    fig.update_xaxes(title_text="Share of the variance of r", tickformat=".0%", rangemode="tozero")
    fig = theme(fig, height=LEAST_HEIGHT + ROW_HEIGHT * len(names))
    return fig.update_layout(margin={"l": 16 + CHARACTER * max(map(len, names), default=0), "r": 40})


def _said(trial: Mapping[str, object]) -> str:
    """The parameters of a trial, one a line, and its error."""
    known = ("number", "value", "state", "seconds", "error")
    lines = [
        f"{name} = {value:g}" if isinstance(value, float) else f"{name} = {value}" for name, value in trial.items() if name not in known
    ]
    return "<br>".join([*lines, *([str(trial["error"])[:120]] if trial["error"] else [])])
