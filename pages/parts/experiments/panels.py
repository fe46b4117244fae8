"""Panels of the Experiments page: a score over two or three settings, every fit as a line, and the sorted table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from encoding import FitSpec, Result, plots
from encoding.datasets._base import roi_names
from encoding.datasets._registry import roi_classes
from encoding.datasets._unit import Unit
from encoding.evaluation.scores import SCORES, STATISTICS, Score
from encoding.evaluation.splits import WITHIN
from encoding.experiments import Experiment
from encoding.experiments.views import LAYERS, ROI, averaged, rows_of, scores_of, with_networks
from encoding.fits.score_tables import BOTH, EVERY_VERTEX
from encoding.plots.brain.score_maps import score_brain
from encoding.plots.heatmap import quantity_of
from encoding.runs.labels import model_label
from encoding.runtime.csv import to_csv
from encoding.runtime.wording import counted
from pages.parts.experiments.words import rows_in_words
from pages.parts.shared.brain_component import brain_view
from pages.parts.shared.brain_controls import outline_control, say_no_place, surface_control
from pages.parts.shared.chart import chart, origin
from pages.parts.shared.linked import choose
from pages.parts.shared.links import explore_address
from pages.parts.shared.score_choice import choose_score, hemi_choice
from pages.parts.shared.screen import is_narrow, watch_screen
from pages.parts.shared.text import plain

NAMES = {
    "subject": "Subject", "backbone": "Network", "weights": "Weights", "layers": "Layer", "readout": "Readout", "pool": "Pooling",
    "n_components": "PCA components", "split": "Split", "roi": "Region", "frames": "Frames", "over_frames": "Over frames",
    "input": "Input", "layer_scaling": "Layer scaling", "average_repeats": "Average repeats", "hemi": "Hemisphere",
    "fit_hemi": "Hemispheres of the fit",
    "component_scaling": "Component scaling", "reduction": "Reduction", "degree": "Degree", "delays": "Delays",
    "target_groups": "Fitted together", "extra_subjects": "Extra subjects", "feature_budget": "Feature budget",
    "feature_dtype": "Features stored as",
    "rois": "Regions of the fit",
    "test_set": "Test set",
}  # fmt: skip
PLURALS = {
    "subject": "subjects",
    "backbone": "networks",
    "layers": "layers",
    "readout": "readouts",
    "n_components": "numbers of components",
}
NONE = "nothing"
BRAIN_HEIGHT = 330  # px
TEST_SET = "test_set"
OF_R = ("r", "pooled_r")  # scores that the ceiling of r bounds
COUNTS = ("n_vertices", "n_test_stimuli")
HOW = {
    "grid": "Each cell is the score of one combination of the two settings, averaged over the fits that differ in what "
    "is not on an axis; the hover text says how many those are. A cell that is empty was not asked for, or is not finished.",
    "lines": "Each line is a fit. It passes through its settings and ends at its score. Drag along an axis to keep a part of the lines.",
}


@dataclass(frozen=True)
class Shown:
    """What of the experiment's scores the page shows.

    Attributes
    ----------
    key, statistic : of the score, and its statistic over vertices.
    hemi : a hemisphere or :data:`~encoding.fits.score_tables.BOTH`.
    test_set : of splits with several; else empty.
    """

    key: str
    statistic: str
    hemi: str
    test_set: str

    @property
    def score(self) -> Score:
        """The score of :data:`~encoding.evaluation.scores.SCORES`."""
        return SCORES[self.key]

    @property
    def quantity(self) -> str:
        """Label of the values."""
        return quantity_of(self.key, self.statistic)

    @property
    def direction(self) -> dict[str, bool]:
        """Argument of figures whose colours say what is best."""
        return {"lower_is_better": self.score.lower_is_better}

    def of_test_set(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows of the test set that is shown; of fits without named ones all."""
        return table[table["test_set"].isin(["", self.test_set])]


def score_controls(table: pd.DataFrame, unit: Unit) -> Shown:
    """Choose score, its statistic, hemisphere and, where there are several, the test set."""
    *columns, right, further = st.columns([2, 2, 3, 3])
    key, statistic = choose_score(
        scores_of(table), unit, score_key="grid_score", statistic_key="grid_over", statistics=STATISTICS, places=columns
    )
    hemis = list(dict.fromkeys(hemi for hemi in table["hemi"] if hemi != BOTH))
    hemi = hemi_choice(right, [BOTH, *hemis] if len(hemis) > 1 else hemis, unit, key="grid_hemi")
    tests = [name for name in dict.fromkeys(table["test_set"]) if name]
    test_set = tests[0] if tests else ""
    if len(tests) > 1:
        test_set = choose("Test set", "grid_test_set", tests, test_set, place=further)
    return Shown(key, statistic, hemi, test_set)


def grid_panel(table: pd.DataFrame, settings: Sequence[str], what: Shown, fits: Mapping[str, Result], source: str) -> None:
    """Show a score over any two settings, or a setting and the regions, with panels for a third, and a cell's best fit on the brain.

    Parameters
    ----------
    fits : the finished fits by the keys of the table.
    """
    unit = next(iter(fits.values())).plan.subject.unit
    left, right = st.columns([3, 2], gap="medium")
    with left:
        columns = st.columns(4)
        several = [TEST_SET] if table[TEST_SET].nunique() > 1 else []
        names = {name: NAMES[name] for name in (*settings, ROI, *several)}
        known = list(names)
        rows = choose("Up", "up", known, LAYERS if LAYERS in settings else known[0], labels=names.__getitem__, place=columns[0])
        rest = [name for name in known if name != rows] or known
        across = choose("Across", "across", rest, ROI if ROI in rest else rest[0], labels=names.__getitem__, place=columns[1])
        unused = [NONE, *(name for name in rest if name != across)]
        facet = choose("Panels", "panels", unused, NONE, labels=(names | {NONE: NONE}).__getitem__, place=columns[2])
        on_axes = list(dict.fromkeys(name for name in (rows, across, facet) if name != NONE))
        roi = None if ROI in on_axes else _region(columns[3], table, "grid_roi")
        table = table if TEST_SET in on_axes else what.of_test_set(table)
        found = rows_in_words(rows_of(table, what.key, what.statistic, hemi=what.hemi, roi=roi))
        shown = with_networks(found, on_axes if rows != across else [])
        values = averaged(shown, on_axes)
        if values.empty:
            st.info("No finished fit has this score here.")
            return
        facets = None if facet == NONE else facet
        axes = {"rows": rows, "columns": across, "facet": facets}
        figure = plots.score_grid(values, **axes, value="score", quantity=what.quantity, narrow=is_narrow(), **what.direction)
        alt = f"{what.quantity} by {' and '.join(in_text(names[name]) for name in on_axes)}"
        how = unit.fill(HOW["grid"])
        pressed = chart(figure, "score_grid", alt=alt, source=source, how=how, on_select="rerun", selection_mode="points")
        watch_screen()
        told_apart = {*on_axes, "backbone"} if LAYERS in on_axes else {*on_axes}  # layers bear the name of their network
        others = [in_text(NAMES[name]) for name in settings if name not in told_apart]
        if others:
            st.caption(f"Averaged over {', '.join(others)}: up to {values['n'].max()} fits a cell.")
    points = pressed["selection"]["points"]
    cell = dict(zip(on_axes, points[0]["customdata"], strict=False)) if points else {}
    with right, st.container(key="cell_brain_place", gap="xsmall"):
        _cell_brain(shown, cell, what, fits)


def _cell_brain(rows: pd.DataFrame, cell: Mapping[str, str], what: Shown, fits: Mapping[str, Result]) -> None:
    """The score of a cell's best fit on the brain; without a cell, or of one that is gone, of the best of all."""
    scored = rows[rows["score"].notna()]
    chosen = scored[np.logical_and.reduce([scored[name].astype(str) == value for name, value in cell.items()])] if cell else scored
    chosen = chosen if len(chosen) else scored
    best = chosen.loc[chosen["score"].idxmin() if what.score.lower_is_better else chosen["score"].idxmax()]
    result = fits[best["key"]]
    brain = score_brain(result, what.key)
    name = plain(model_label(result.plan.spec))
    if brain is None:
        say_no_place(result.plan.subject)
    else:
        with st.popover("Brain", help="Surface and outlined regions of the brain map.", width="stretch"):
            surface, outlined = surface_control(st), outline_control(st, roi_classes(result.plan.subject))
        chosen_roi = best[ROI] if best[ROI] in roi_names(result.plan.subject) else None
        look = {"surface": surface, "outlined": outlined, "chosen_roi": chosen_roi, "source": origin(result)}
        brain_view(replace(brain, **look), key="cell_brain", height=BRAIN_HEIGHT, linked=True)
    which = "The best fit" if not cell else f"The best of the cell's {len(chosen)} fits" if len(chosen) > 1 else "The cell's fit"
    st.caption(f"{which}: {name}, {what.quantity} {best['score']:z.3f} in {plain(best[ROI])}. A click on a cell shows another.")
    st.link_button("Open it in Explore ↗", explore_address(result.plan.spec), key="cell_explore", help="In a new tab.")


def _region(place: DeltaGenerator, table: pd.DataFrame, key: str) -> str:
    rois = list(dict.fromkeys(table[ROI]))
    return choose("Region", key, rois, EVERY_VERTEX if EVERY_VERTEX in rois else rois[0], place=place)


def fits_panel(table: pd.DataFrame, settings: Sequence[str], what: Shown, specs: Mapping[str, FitSpec], source: str) -> None:
    """Show every fit in one region: a line in parallel coordinates, and a row of a sorted table with a link to Explore."""
    roi = _region(st.columns([2, 3])[0], table, "fits_roi")
    rows = rows_in_words(rows_of(what.of_test_set(table), what.key, what.statistic, hemi=what.hemi, roi=roi))
    rows = rows[rows["score"].notna()].sort_values("score", ascending=what.score.lower_is_better)
    if settings and len(rows) > 1:
        names = [NAMES[name] for name in settings]
        figure = plots.parallel_settings(
            rows.rename(columns=NAMES), settings=names, value="score", quantity=what.quantity, **what.direction
        )
        alt = f"settings and {what.quantity} in {roi} of every fit"
        chart(figure, "lines", alt=alt, source=source, how=HOW["lines"], below=True)
    known = ("low", "high", "ceiling_r") if what.key in OF_R else ("low", "high")
    ends = [name for name in known if rows[name].notna().any()]
    st.dataframe(
        rows.assign(link=[explore_address(specs[key]) for key in rows["key"]]),
        hide_index=True,
        key="fits",
        column_order=["link", *(settings or ["backbone", "layers", "readout"]), "score", *ends, *COUNTS],
        column_config={name: st.column_config.Column(label) for name, label in NAMES.items() if name in rows}
        | {
            "link": st.column_config.LinkColumn("", display_text="Open", width="small"),
            "score": st.column_config.NumberColumn(what.quantity, format="%.3f"),
            "low": st.column_config.NumberColumn("95 % from", format="%.3f"),
            "high": st.column_config.NumberColumn("to", format="%.3f"),
            "ceiling_r": st.column_config.NumberColumn("ceiling of r", format="%.3f"),
            "n_vertices": st.column_config.NumberColumn("n"),
            "n_test_stimuli": st.column_config.NumberColumn("test stimuli"),
        },
        alt=f"every fit's {what.quantity} in {roi}, the best first",
    )


def take_away(experiment: Experiment, table: pd.DataFrame) -> None:
    """Offer the long table and the experiment as files, and the command that gives the same."""
    name = experiment.key.removeprefix("experiment-")[:8]
    left, right = st.columns(2)
    rows = table[table["hemi"] != BOTH]
    left.download_button("Every fit, region and score, CSV", lambda: to_csv(rows), f"{name}.csv", "text/csv", on_click="ignore")
    right.download_button("The experiment, TOML", experiment.to_toml, f"{name}.toml", "text/plain", on_click="ignore")
    st.markdown("**The same from a shell**")
    st.code(f"python -m encoding experiment run {name}.toml --out {name}-table.csv", language="bash")
    with st.expander(f"{name}.toml", type="compact"):
        st.code(experiment.to_toml(), language="toml")


def in_text(name: str) -> str:
    """A setting's name within a sentence: PCA components, layer."""
    return name if name[:2].isupper() else name[:1].lower() + name[1:]


def heading(experiment: Experiment, n_cells: int) -> str:
    """The experiment in one line of Markdown."""
    if experiment.title:
        return plain(experiment.title)
    lists = {name: values for name, values in experiment.vary.items() if name != "split"}
    splits = [split for split in experiment.vary.get("split", ()) if WITHIN not in split]
    lists |= {"split": splits} if len(splits) > 1 else {}
    if not lists:
        return "One fit"
    varied = [
        f"{values if isinstance(values, str) else len(values)} {PLURALS.get(name, f'values of {in_text(NAMES[name])}')}"
        for name, values in lists.items()
    ]
    return f"Which of {counted(n_cells, 'fit')} predicts best, over {', '.join(varied)}?"
