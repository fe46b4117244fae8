"""Hierarchy panel of the Layers page: best layer per ROI against cortical stage, the published table, downloads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from encoding import plots
from encoding.analysis.bootstrap import why_no_interval
from encoding.analysis.hierarchy import PUBLISHED_ORIGIN, Hierarchy, hierarchy, published, published_best, published_hierarchy, stage
from encoding.analysis.layer_ranking import by_layer
from encoding.analysis.layer_sweep import SweepResult
from encoding.runtime.csv import to_csv
from encoding.runtime.wording import counted
from pages.parts.layers.swept import OF_SWEEP, draws_of, origin, shares_of, table_of
from pages.parts.shared.chart import chart
from pages.parts.shared.text import file_stem
from pages.parts.shared.wording import signed

WINS_HOW = (
    "Each column shares out the 500 draws of the test images among the layers that win them. One large dot: the best layer is "
    "sure. Several dots: other images would have made another layer the best."
)


def hierarchy_panel(sweep_result: SweepResult, hemi: str) -> None:
    """Show the correlation of the best layer's depth with cortical stage, beside the published one of AlexNet."""
    st.header("Hierarchy", anchor=False, help=_about_stages())
    left, right = st.columns(2)
    with left:
        st.markdown("**This sweep**")
        backbones = [name for name in sweep_result.sweep.backbones if sum(cell[0] == name for cell in sweep_result.cells) > 1]
        if not backbones:
            st.info("Two finished layers of one backbone are needed before their order says anything.")
        for backbone in backbones:
            _own_hierarchy(sweep_result, backbone, hemi)
    with right:
        st.markdown("**Published, AlexNet**")
        alt = "published noise-normalised r² of AlexNet's layers"
        chart(_published_figure(), "published", alt=alt, source="published", how=PUBLISHED_ORIGIN, below=True)
        st.markdown(f"Hierarchy index **{signed(published_hierarchy().index)}** over {len(published_hierarchy().rois)} regions.")
        st.caption(PUBLISHED_ORIGIN)


@st.cache_data(show_spinner=False)
def _published_figure() -> Any:
    return plots.layer_heatmap(published(), score="normalised_r2", best=published_best(), quantity="noise-normalised r²")


def _own_hierarchy(sweep_result: SweepResult, backbone: str, hemi: str) -> None:
    labels = tuple(layer for name, layer in sweep_result.cells if name == backbone)
    index, figure = _climb(sweep_result, hemi, backbone, labels)
    if figure is not None:
        alt = f"share of draws in which each layer of {backbone} is the best"
        chart(figure, f"wins_{backbone}", alt=alt, source=origin(sweep_result, short=True), how=WINS_HOW, below=True)
    elif index.rois:
        why = why_no_interval(next(iter(sweep_result.results.values()))) or "not all intervals were computed"
        st.caption(f"How often each layer of {backbone} wins, which a figure would show here, is not known: {why}.")
    st.markdown(_index_text(backbone, index, len(labels)))


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs=OF_SWEEP)
def _climb(sweep_result: SweepResult, hemi: str, backbone: str, labels: tuple[str, ...]) -> tuple[Hierarchy, Any]:
    """How a backbone's layers climb, and the figure of it; None where no region has a stage or there are no draws."""
    rows, rois = table_of(sweep_result), sweep_result.rois
    rows = rows[rows["hemi"] == hemi]
    means = by_layer(rows[rows["backbone"] == backbone].assign(label=rows["layer"]), "r", labels, rois)
    index = hierarchy(means, rois, draws_of(sweep_result, hemi, backbone))
    if not index.rois:
        return index, None
    shares = shares_of(sweep_result, hemi, backbone)
    if shares is None:
        return index, None
    some = shares[:, [rois.index(roi) for roi in index.rois]]
    return index, plots.layer_wins(labels, index.rois, some, stages=[stage(roi) for roi in index.rois])


def _index_text(backbone: str, hierarchy: Hierarchy, n_layers: int) -> str:
    if not np.isfinite(hierarchy.index):
        why = "one layer is best everywhere" if len(hierarchy.rois) > 2 else "fewer than three regions have a stage"
        return f"{backbone}: no hierarchy index, since {why}."
    few = f" With {counted(n_layers, 'layer')} it cannot say much." if n_layers < 4 else ""
    undefined = f" In {100 * (1 - hierarchy.defined):.0f} % of draws one layer was best everywhere." if hierarchy.defined < 1 else ""
    draws = f" (95 % of draws: {signed(hierarchy.low)} to {signed(hierarchy.high)})" if np.isfinite(hierarchy.low) else ""
    return f"{backbone}: hierarchy index **{signed(hierarchy.index)}** over {len(hierarchy.rois)} regions{draws}.{undefined}{few}"


def _about_stages() -> str:
    return (
        "Spearman's correlation of the best layer's depth with the cortical stage of each region: 1 for V1, 2 for V2, 3 for V3, 4 for V4, "
        "5 for the areas selective for categories, whose order is not agreed. +1: later layers for later areas. 0: no order. The number "
        "beside each region is its stage. Its interval speaks of other test images, not of other regions or people."
    )


def take_away(sweep_result: SweepResult, table: pd.DataFrame) -> None:
    """Offer the table as a file and the sweep as a command."""
    spec = sweep_result.sweep.spec
    name = file_stem("layers", spec.dataset, spec.subject, "+".join(sweep_result.sweep.backbones), keys=[sweep_result.sweep.job_key])
    st.download_button("Layers x ROIs, CSV", lambda: to_csv(table), f"{name}.csv", "text/csv", on_click="ignore")
    st.markdown("**The same from a shell**")
    st.code(sweep_result.sweep.to_command(), language="bash", wrap_lines=True)
    st.caption(origin(sweep_result))
