"""Downloads of a fit: tables, charts, brain, report, notebook, and the commands that reproduce it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pandas as pd
import streamlit as st

from encoding import Result, plots
from encoding.plots.brain.brain_map import BrainMap
from encoding.plots.brain.export import standalone_html
from encoding.runs.exchange import packed
from encoding.runs.notebook import notebook
from encoding.runs.report import report, roi_ends
from encoding.runtime.csv import to_csv
from pages.parts.shared.links import explore_query, view
from pages.parts.shared.server_state import store
from pages.parts.shared.text import file_stem, plain


def take_away(result: Result, table: pd.DataFrame, brain: BrainMap | None, *, score: str = "r", statistic: str = "mean") -> None:
    """Offer downloads and commands of one fit; ``brain`` is the map on the page, ``score`` and ``statistic`` what its bars show."""
    spec = result.plan.spec
    origin = plots.caption(result.provenance, spec, tested=result.counted("test"))
    name = file_stem(spec.dataset, spec.subject, spec.backbone, "+".join(spec.layers), keys=[result.key])
    many = result.plan.subject.unit.many
    (rois, vertices), (whole, charts) = st.columns(2), st.columns(2)
    _download(rois, "ROIs, CSV", lambda: to_csv(with_intervals(result, table)), f"{name}-rois.csv", "text/csv")
    _download(vertices, f"{many.capitalize()}, CSV", lambda: to_csv(result.vertices()), f"{name}-{many}.csv", "text/csv")
    if brain is not None:
        _download(
            whole,
            "Brain, HTML",
            lambda: standalone_html(brain, caption=origin, provenance=result.provenance),
            f"{name}-brain.html",
            "text/html",
            "One file that opens in any browser, with no network: turn it, zoom, hover.",
        )
    with charts:
        st.segmented_control(
            "Charts are saved as",
            ["png", "svg"],
            key="chart_format",
            default="png",
            required=True,
            persist_state="session",
            help="The camera in the corner of a chart saves it.",
        )
    (whole_report, one_file), (for_jupyter, beside) = st.columns(2), st.columns(2)
    _download(
        for_jupyter,
        "Notebook, .ipynb",
        lambda: notebook(result, score=score, statistic=statistic),
        f"{name}.ipynb",
        "application/x-ipynb+json",
        "This view for Jupyter: the settings as code, the table of scores, the bars and the brain.",
    )
    _download(
        whole_report,
        "Report, HTML",
        lambda: report([result], store()),
        f"{name}-report.html",
        "text/html",
        "One file of some 7 MB with settings, charts, brains and tables; it opens in any browser, with no network.",
    )
    _download(
        one_file,
        "Fit, one file",
        lambda: packed(result),
        f"{result.key}.zip",
        "application/zip",
        "Scores, places and settings in one file that another person opens on their page of jobs and storage; no images, no responses.",
    )
    if beside.button("Compare with another fit", key="to_compare", width="stretch"):
        st.switch_page(view("compare"), query_params={"a": result.key})
    st.markdown("**The same from a shell**")
    st.code(spec.to_command(full=True), language="bash", wrap_lines=True)
    st.markdown("**The same in Python**")
    st.code(spec.to_python(full=True), language="python", wrap_lines=True)
    st.markdown("**A link to this view**")
    looked = {name: st.query_params.get_all(name) for name in st.query_params}
    query = urlencode(explore_query(spec, full=True) | looked, doseq=True)
    base = (st.context.url or "").split("?")[0]
    st.code(f"{base}?{query}" if query else base, language=None, wrap_lines=True)
    st.caption(plain(origin))


def _download(column: Any, label: str, data: Callable[[], str | bytes], file_name: str, mime: str, help: str | None = None) -> None:
    """Button in a column that makes the file when it is pressed and leaves the page as it is."""
    column.download_button(label, data, file_name, mime, on_click="ignore", width="stretch", help=help)


def with_intervals(result: Result, table: pd.DataFrame) -> pd.DataFrame:
    """Add the bounds of the 95 % interval of each mean r to the table of ROIs, where they were computed."""
    ends = roi_ends(result)
    if not ends:
        return table
    low, high = zip(*[ends.get(pair, (float("nan"),) * 2) for pair in zip(table["roi"], table["hemi"], strict=True)], strict=True)
    place = table.columns.get_loc("r_mean") + 1
    table = table.copy()
    table.insert(place, "r_low", low)
    table.insert(place + 1, "r_high", high)
    return table
