"""What the Layers page reads of a sweep's finished fits, each once per server."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import streamlit as st

from encoding import Result
from encoding.analysis.layer_ranking import has_draws, roi_draws, roi_rows, win_shares
from encoding.analysis.layer_sweep import Cell, Sweep, SweepResult, concat_tables
from encoding.evaluation.scores import SCORES
from encoding.runs.labels import split_label, weights_label
from encoding.runtime.wording import counted
from pages.parts.shared.server_state import display_key


@st.cache_data(max_entries=512, show_spinner="Reading the results …")
def _rows(key: str, with_intervals: bool, _result: Result) -> pd.DataFrame:
    return roi_rows(_result)


@st.cache_data(max_entries=512, show_spinner=False)
def _draws(key: str, with_intervals: bool, hemi: str, score: str, _result: Result) -> np.ndarray | None:
    return roi_draws(_result, hemi, score) if has_draws(_result, score) else None


def _known_by(sweep_result: SweepResult) -> tuple[Sweep, tuple[str, ...], tuple[str, ...], tuple[Cell, ...]]:
    return sweep_result.sweep, tuple(map(display_key, sweep_result.results.values())), sweep_result.rois, sweep_result.without_intervals


OF_SWEEP: dict[type, Callable[[SweepResult], object]] = {SweepResult: _known_by}
"""What the caches of Streamlit know a sweep's finished fits by."""


@st.cache_resource(max_entries=32, show_spinner=False, hash_funcs=OF_SWEEP)
def table_of(sweep_result: SweepResult) -> pd.DataFrame:
    """Tabulate the sweep (:meth:`SweepResult.table`), for all sessions the same object; each layer is read once per server."""
    bare = sweep_result.without_intervals
    rows = {cell: _rows(display_key(result), cell not in bare, result) for cell, result in sweep_result.results.items()}
    return concat_tables(sweep_result.sweep, rows)


def draws_of(sweep_result: SweepResult, hemi: str, backbone: str | None = None, score: str = "r") -> np.ndarray | None:
    """Bootstrap draws (:meth:`SweepResult.draws`) of all layers or one backbone's; each layer is read once per server.

    None where a fit has no draws of the score: no interval at all or yet, or of an earlier release none but of r.
    """
    some, bare = [cell for cell in sweep_result.cells if backbone in (None, cell[0])], sweep_result.without_intervals
    draws = [_draws(display_key(result), cell not in bare, hemi, score, result) for cell in some for result in [sweep_result.results[cell]]]
    return None if any(each is None for each in draws) else np.stack(draws)


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=OF_SWEEP)
def shares_of(sweep_result: SweepResult, hemi: str, backbone: str | None = None, score: str = "r") -> np.ndarray | None:
    """(n_layers, n_rois) share of draws of a mean score in which each layer is best, of all or of one backbone's; None without draws."""
    draws = draws_of(sweep_result, hemi, backbone, score)
    return None if draws is None else win_shares(draws, lower_is_better=SCORES[score].lower_is_better)


def origin(sweep_result: SweepResult, *, short: bool = False) -> str:
    """Caption with the origin of a sweep's numbers; ``short`` for narrow charts."""
    spec, result = sweep_result.sweep.spec, next(iter(sweep_result.results.values()))
    if short:
        return " · ".join([*(["Simulated"] if result.plan.subject.simulated else []), f"{spec.dataset} {spec.subject}", spec.readout])
    parts = [
        "Simulated" if result.plan.subject.simulated else "",
        f"{spec.dataset} {spec.subject}",
        f"{len(sweep_result.cells)} of {counted(len(sweep_result.sweep.cells), 'layer')} of {', '.join(sweep_result.sweep.backbones)}",
        "" if spec.weights == "pretrained" else weights_label(spec.weights),
        spec.components_label,
        spec.readout,
        split_label(spec.split),
        result.counted("test"),
    ]
    return " · ".join(part for part in parts if part)
