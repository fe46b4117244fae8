"""Chart with toolbar, reading help, data table and provenance."""

from __future__ import annotations

from typing import Any

import streamlit as st

from encoding import Result, plots
from pages.parts.shared.when_seen import when_seen

NOT_NEEDED = ["select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d", "pan2d"]  # in a chart's toolbar; dragging zooms


def chart(figure: Any, key: str, *, alt: str, how: str = "", source: str = "", below: bool = False, **more: Any) -> Any:
    """Show a plotly figure and return Streamlit's selection.

    Parameters
    ----------
    alt : what the chart shows, for those who cannot see it.
    how : how to read it, in Markdown; shown on demand below the chart, above its numbers as a table.
    source : where the numbers come from (:func:`origin`), written small into the image.
    below : whether it is further down a page, where nothing is chosen: drawn when it comes into sight.
    more : for ``st.plotly_chart``, such as ``on_select``.
    """
    image_format = st.session_state.get("chart_format", "png")
    saved = {"format": image_format, "filename": f"encoding-explorer-{key}", "scale": 2}
    config = {"displaylogo": False, "toImageButtonOptions": saved, "modeBarButtonsToRemove": NOT_NEEDED}
    if source:
        plots.add_source(figure, source)

    def draw() -> Any:
        return st.plotly_chart(figure, key=key, config=config, alt=alt, **more)

    selected = when_seen(draw, key, figure.layout.height) if below else draw()
    if how:
        with st.expander("How to read this, and its numbers", key=f"{key}_how", type="compact", on_change="rerun") as opened:
            if opened.open:
                st.markdown(how)
                st.dataframe(plots.table_of(figure), hide_index=True, height=240, alt=f"the numbers of the chart: {alt}")
    return selected


def origin(result: Result) -> str:
    """Caption with the origin of a fit's numbers."""
    return plots.caption(result.provenance, result.plan.spec, tested=result.counted("test"))
