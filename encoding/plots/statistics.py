"""Figures of statistics beyond scores: similarity of layers and regions, spectra, and groups of subjects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from encoding.plots.look import CEILING, hemi_colour, hemi_name, theme

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

COLOURS = "viridis"  # from early to late layers
BAND_OPACITY = 0.25
DOT = "rgba(127,127,127,0.9)"  # of one subject


def similarity_bars(table: pd.DataFrame, measure: str, *, title: str) -> go.Figure:
    """Bars of one measure of similarity, a group for each ROI and a bar for each feature space.

    Parameters
    ----------
    table : rows of one hemisphere of :meth:`encoding.analysis.similarity.Similarity.table`.
    measure : its column. Of ``rsa_repeats`` and ``rsa_subjects`` the noise ceiling is drawn where it is known, from its
        lower to its upper bound.
    title : of the y axis.
    """
    import plotly.graph_objects as go
    from plotly.colors import sample_colorscale

    fig, spaces = go.Figure(), list(dict.fromkeys(table["space"]))
    colours = sample_colorscale(COLOURS, list(np.linspace(0.15, 0.9, max(2, len(spaces)))))
    for space, colour in zip(spaces, colours, strict=False):
        rows = table[table["space"] == space]
        hover = f"<b>%{{x}}</b><br>{space}: %{{y:.3f}}<extra></extra>"
        fig.add_bar(x=rows["roi"], y=rows[measure], name=space, marker_color=colour, hovertemplate=hover)
    bounds = table.drop_duplicates("roi")
    bounds = bounds[bounds["ceiling_high"].notna()]
    if measure in ("rsa_repeats", "rsa_subjects") and len(bounds):
        height = bounds["ceiling_high"] - bounds["ceiling_low"]
        hover = "<b>%{x}</b><br>noise ceiling: %{base:.3f} to %{customdata:.3f}<extra></extra>"
        fig.add_bar(
            x=bounds["roi"], y=height, base=bounds["ceiling_low"], customdata=bounds["ceiling_high"], name="Noise ceiling",
            marker_color=CEILING, opacity=BAND_OPACITY, width=0.9, offset=-0.45, hovertemplate=hover,
        )  # fmt: skip
    fig.update_layout(barmode="group", bargap=0.25)
    fig.update_xaxes(tickangle=-45)
    fig.update_yaxes(title_text=title)
    return theme(fig, height=340).update_layout(margin={"b": 84})


def spectrum_lines(table: pd.DataFrame) -> go.Figure:
    """Share of variance against rank of the principal component, both axes logarithmic.

    Parameters
    ----------
    table : :meth:`encoding.analysis.spectrum.Spectrum.table`; what is not above 0 is left out.
    """
    import plotly.graph_objects as go

    fig = go.Figure()
    for name in (column for column in table.columns if column != "rank"):
        values = table[name].where(table[name] > 0)
        line = {"dash": "solid", "width": 3} if name == "responses" else {"dash": "dot", "width": 2}
        fig.add_scatter(x=table["rank"], y=values, name=name, mode="lines", line=line, hovertemplate="rank %{x}: %{y:.2e}")
    minor = {"dtick": "D1", "ticks": "outside", "ticklen": 3}
    fig.update_xaxes(type="log", title_text="Rank of principal component", dtick=1, exponentformat="none", minor=minor)
    fig.update_yaxes(type="log", title_text="Share of variance", dtick=1, exponentformat="power", minor=minor)
    return theme(fig, height=340)


def group_bars(table: pd.DataFrame, *, title: str) -> go.Figure:
    """Mean over subjects of every ROI and hemisphere, with the 95 % interval of the mean and a dot for each subject.

    Parameters
    ----------
    table : :func:`encoding.analysis.group.group_table`. title : of the y axis.
    """
    import plotly.graph_objects as go

    fig = go.Figure()
    table = table[table["n_subjects"] > 0]
    subjects = list(table.columns[list(table.columns).index("most") + 1 :])
    for hemi in dict.fromkeys(table["hemi"]):
        rows = table[table["hemi"] == hemi]
        arms: Mapping[str, object] = {"type": "data", "array": rows["high"] - rows["mean"], "arrayminus": rows["mean"] - rows["low"]}
        fig.add_bar(
            x=rows["roi"], y=rows["mean"], name=hemi_name(hemi), marker_color=hemi_colour(hemi), offsetgroup=hemi,
            error_y=arms | {"thickness": 1.5}, customdata=rows["n_subjects"],
            hovertemplate="<b>%{x}</b><br>mean %{y:.3f} of %{customdata} subjects<extra></extra>",
        )  # fmt: skip
        for subject in subjects:
            fig.add_scatter(
                x=rows["roi"], y=rows[subject], mode="markers", offsetgroup=hemi, name=subject, showlegend=False,
                marker={"color": DOT, "size": 6}, hovertemplate=f"<b>%{{x}}</b><br>{subject}: %{{y:.3f}}<extra></extra>",
            )  # fmt: skip
    fig.update_layout(barmode="group", scattermode="group", bargap=0.25)
    fig.update_xaxes(tickangle=-45)
    fig.update_yaxes(title_text=title)
    return theme(fig, height=360).update_layout(margin={"b": 84})
