"""Experiments: grids of fits."""

import streamlit as st

from encoding import Result
from encoding.evaluation.splits import WITHIN
from encoding.experiments.experiment import FIT_HEMI, VARIABLE
from encoding.experiments.views import LAYERS, readable, scores_of, varied_settings
from encoding.runtime.wording import counted
from pages.parts.experiments.choice import choice_panel
from pages.parts.experiments.grid_controls import experiment_controls
from pages.parts.experiments.panels import fits_panel, grid_panel, heading, score_controls, take_away
from pages.parts.experiments.progress import finished_fits, plan_or_explain, run_panel, table_of
from pages.parts.experiments.recipe_choice import is_recipe, recipe_panel
from pages.parts.shared.badges import simulated_badge
from pages.parts.shared.link_notes import expect, stop
from pages.parts.shared.server_state import settle, store
from pages.parts.shared.text import plain

GRID = ("experiment", "dataset", "subjects", "backbones", "weight_sets", "layer_names", "readouts", "n_components", "validate", "title")
GRID += ("pools", "splits", "regions", "fitted_together", "budget", "curves")
LOOKED = ("grid_score", "grid_over", "grid_hemi", "grid_test_set", "up", "across", "panels", "grid_roi", "fits_roi", "choose_over")
LOOKED += ("per", "case", "compose", "refit", "winners_brain", "surface", "outlines")

place = st.container(gap="xsmall")
expect((*GRID, *LOOKED))
experiment = experiment_controls()
if is_recipe(linked := st.query_params.get("experiment", "")):
    recipe_panel(linked)
if experiment is None:
    place.title("Which of many fits predicts best?", anchor=False)
    stop()
try:
    cells = experiment.cells()
    planned = plan_or_explain(cells)
except (LookupError, ValueError, OSError) as wrong:
    st.error(plain(wrong))
    stop()
place.title(heading(experiment, sum(WITHIN not in cell.spec.split for cell in cells)), anchor=False)
finished = finished_fits(planned)
place.markdown(simulated_badge(experiment.base.dataset, finished[0].plan.subject if finished else None))
run_panel(experiment, cells, planned, len(finished))
if not finished:
    stop()

subject = finished[0].plan.subject
whole = table_of(finished)
table = readable(whole[~whole["split"].str.contains(WITHIN)])
settings = varied_settings(table, [name for name in (*VARIABLE, FIT_HEMI) if name in table and name != "hemi"]) or [LAYERS]
simulated = "Simulated · " if subject.simulated else ""
source = f"{simulated}{experiment.base.dataset} · {len(finished):,} of {counted(len(cells), 'fit')}"
if scores_of(table):
    what = score_controls(table, subject.unit)
    scored = (plan for each in finished for plan in (*each.plan.scored_test_sets.values(), each.plan))
    fits = {plan.key: Result(plan, store()) for plan in scored}
    grid_panel(table, settings, what, fits, source)
    st.header("Which one wins?", anchor=False)
    if not any(WITHIN in cell.spec.split for cell in cells):
        st.info(
            "The best cell above was found on the test images, which flatters it. With **Validation fits** in the sidebar the winner of "
            "every region is chosen on other images, and its test score says what it is worth."
        )
    else:
        choice_panel(experiment, planned, settings, what, source)
    st.header("Every fit", anchor=False)
    fits_panel(table, settings, what, {key: each.plan.spec for key, each in fits.items()}, source)
elif not table.empty:
    st.info("The finished fits train on every image, for submissions: they have no test score.")
with st.expander("Take away", key="away", on_change="rerun") as away:
    if away.open:
        take_away(experiment, whole)
settle("a fit is shown")
