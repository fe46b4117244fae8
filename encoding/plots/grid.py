"""Figures of experiments: one score over two or three varied settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from encoding.plots.heatmap import CHARACTER, COLOURS, ERROR_COLOURS, LEAST_HEIGHT, LONGEST, ROW, legible
from encoding.plots.look import SMALL, theme
from encoding.plots.table import attach_table

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

MOST_NUMBERED, MOST_NUMBERED_NARROW = 12, 4  # columns, over all panels side by side, whose cells have their number written into them
FACETS_PER_ROW = 3
UPRIGHT = 4  # columns; the names of more stand upright
MOST_LARGE_NAMES = 20  # columns side by side whose names are not smaller
MOST_BAR = 300  # px, of the colour bar on a phone
TURNED_ROW = 18  # px
AROUND = 90  # px above and below the rows, without names below
GAP = 0.06  # between facets, as a share of the figure
LINES = ("#4f7fc0", "#a86ab8", "#d9643a")  # from the worst to the best: lines that are seen on white and on black


def score_grid(
    table: pd.DataFrame,
    *,
    rows: str,
    columns: str,
    value: str,
    quantity: str,
    facet: str | None = None,
    lower_is_better: bool = False,
    narrow: bool = False,
) -> go.Figure:
    """Heatmap of a score over two settings, with a panel for each value of a third.

    Parameters
    ----------
    table : one row for each combination that has a score: columns ``rows``, ``columns``, ``facet``, ``value`` and ``n``, the number of
        fits that the value is a mean of. Rows and columns keep the table's order.
    quantity : name of the value, for the colour bar.
    lower_is_better : whether colours run the other way, so that yellow is best.
    narrow : whether it is as narrow as a phone, where many columns go down, the first on top, and panels stand below each other.

    Returns
    -------
    Figure
        All panels share one colour scale; the early rows of the table are at the bottom. ``customdata`` of a cell: its row, its column and
        its panel.
    """
    from plotly.subplots import make_subplots

    facets = [None] if facet is None else list(dict.fromkeys(table[facet]))
    x, y = (list(dict.fromkeys(table[name])) for name in (columns, rows))
    is_turned = narrow and len(x) > max(UPRIGHT, len(y))
    n_across = 1 if narrow else min(FACETS_PER_ROW, len(facets))
    n_down = -(-len(facets) // n_across)
    across, up = ([str(name) for name in names] for names in ((y, x) if is_turned else (x, y)))
    is_written = len(across) * n_across <= (MOST_NUMBERED_NARROW if narrow else MOST_NUMBERED)
    colours, low, high = ERROR_COLOURS if lower_is_better else COLOURS, float(table[value].min()), float(table[value].max())
    ends = (low, high) if low < high else (low - 0.5, low + 0.5)
    fig = make_subplots(
        rows=n_down, cols=n_across, shared_xaxes="all", shared_yaxes="all", horizontal_spacing=GAP / n_across,
        vertical_spacing=min(0.2, 0.5 / n_down), subplot_titles=[str(each) for each in facets] if facet else None,
    )  # fmt: skip
    for number, each in enumerate(facets):
        some = table if facet is None else table[table[facet] == each]
        z = np.full((len(y), len(x)), np.nan)
        z[[y.index(row) for row in some[rows]], [x.index(column) for column in some[columns]]] = some[value].to_numpy(float)
        z = z.T if is_turned else z
        numbers = [[f"{score:z.3f}" if np.isfinite(score) else "" for score in scores] for scores in z]
        panel = {"row": number // n_across + 1, "col": number % n_across + 1}
        fig.add_heatmap(
            x=across, y=up, z=z, coloraxis="coloraxis", xgap=1, ygap=1, hoverinfo="skip", name="" if each is None else str(each),
            text=legible(numbers, z, ends, colours) if is_written else None, texttemplate="%{text}" if is_written else None,
            textfont={"size": SMALL + 1}, **panel,
        )  # fmt: skip
        named = [(str(row), str(column)) for row, column in zip(some[rows], some[columns], strict=True)]
        _add_points(fig, named, [] if each is None else [str(each)], some[value], some["n"], is_turned=is_turned, **panel)
    upright = len(across) > (1 if narrow else UPRIGHT)
    names_below = int(CHARACTER * min(LONGEST, max(map(len, across))) * (0.95 if upright else 0.2))
    n_rows, row = max(2, len(up)) * n_down, TURNED_ROW if is_turned else ROW
    theme(fig, height=row * n_rows + max(LEAST_HEIGHT * n_down, AROUND + names_below))
    length = min(ROW * n_rows, MOST_BAR if narrow else np.inf)  # longer than the rows it would push the source out of the figure
    bar = {"thickness": 12, "outlinewidth": 0, "lenmode": "pixels", "len": length, "nticks": min(5, 1 + n_rows)}
    bar["title"] = {"text": f"{quantity}<br>lower is better" if lower_is_better else quantity, "side": "right"}
    fig.update_layout(
        margin_l=int(24 + CHARACTER * min(LONGEST, max(map(len, up)))),
        margin_b=40 + names_below,
        coloraxis={"colorscale": colours, "cmin": ends[0], "cmax": ends[1], "colorbar": bar},
    )
    small = SMALL if len(across) * n_across < MOST_LARGE_NAMES else SMALL - 2
    fig.update_xaxes(type="category", showgrid=False, dtick=1, tickfont_size=small, tickangle=-90 if upright else None)
    turned = {"autorange": "reversed", "dtick": 1, "tickfont_size": SMALL} if is_turned else {}
    fig.update_yaxes(type="category", showgrid=False, **turned)
    return attach_table(fig, table)


def _add_points(
    fig: go.Figure,
    named: Sequence[tuple[str, str]],
    facet: Sequence[str],
    scores: pd.Series,
    n_fits: pd.Series,
    *,
    is_turned: bool,
    **panel: int,
) -> None:
    """Cover cells, by the names of their row and column, with invisible points, as Streamlit reports no clicks on heatmaps."""
    places = [list(each) for each in zip(*named, strict=True)]
    fig.add_scatter(
        x=places[not is_turned], y=places[is_turned], mode="markers", opacity=0, showlegend=False,
        customdata=[[*names, *facet] for names in named],
        hovertext=[
            f"{row}<br>{column}<br><b>{score:z.3f}</b>, {fits:.0f} fit{'s' if fits > 1 else ''}"
            for (row, column), score, fits in zip(named, scores, n_fits, strict=True)
        ],
        hovertemplate="%{hovertext}<extra></extra>", **panel,
    )  # fmt: skip


def parallel_settings(
    table: pd.DataFrame, *, settings: Sequence[str], value: str, quantity: str, lower_is_better: bool = False
) -> go.Figure:
    """Parallel coordinates: a line for each fit through its settings to its score; dragging along an axis keeps a part of the lines.

    Parameters
    ----------
    table : a row for each fit: the settings, as text, and ``value``.
    lower_is_better : whether the axis of the value runs downwards and colours the other way, so that the best is on top and orange.
    """
    import plotly.graph_objects as go

    dimensions = []
    for name in settings:
        known = list(dict.fromkeys(table[name].astype(str)))
        places = [known.index(each) for each in table[name].astype(str)]
        dimensions.append({"label": name, "values": places, "tickvals": list(range(len(known))), "ticktext": known})
    values = table[value].to_numpy(float)
    best_on_top = {"range": [values.max(), values.min()]} if lower_is_better and np.ptp(values) else {}
    dimensions.append({"label": quantity, "values": values, "tickformat": ".3f"} | best_on_top)
    fig = go.Figure()
    line = {"color": values, "colorscale": LINES[::-1] if lower_is_better else LINES}
    fig.add_parcoords(dimensions=dimensions, line=line, labelside="top", name=quantity)
    theme(fig, height=380)
    fig.update_layout(margin={"l": 120, "r": 60, "t": 60, "b": 24})
    return attach_table(fig, table[[*settings, value]])
