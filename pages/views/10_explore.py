"""Explore: fit one encoding model and inspect its scores, brain map, predictions and training."""

import streamlit as st

from encoding import DATASETS, plots
from encoding.analysis.summaries import best_roi
from encoding.backbones._base import JOIN
from encoding.datasets._base import roi_names
from pages.parts.explore.composed import intervals_panel, linked_fit, members_panel
from pages.parts.explore.downloads import take_away
from pages.parts.explore.panels import brain_panel, density_panel, extremes_panel, prediction_panel, roi_panel, test_sets_panel
from pages.parts.explore.search_panel import search_panel
from pages.parts.explore.selection import focus_controls
from pages.parts.explore.training_panels import curve_panel, distribution_panel, shares_panel
from pages.parts.shared.badges import SIMULATED
from pages.parts.shared.fit_controls import fit_controls
from pages.parts.shared.job_progress import complete, fit_or_find, say_no_test_score
from pages.parts.shared.score_choice import score_choice
from pages.parts.shared.server_state import roi_table, settle
from pages.parts.shared.text import plain

st.header("Explore", anchor=False)
composed = "fit" in st.query_params
if composed:
    result = linked_fit(st.query_params["fit"])
    if result is None:
        st.stop()
    spec = result.plan.spec
else:
    try:
        spec = fit_controls()
    except ValueError as wrong:
        st.error(plain(wrong))
        st.stop()

dataset = DATASETS[spec.dataset]
layers, backbone, subject = plain(" + ".join(spec.layers)), plain(plots.network_name(spec)), plain(spec.subject)
model = f"do **{plain(plots.model_name(spec))}** together" if JOIN in spec.backbone else f"does **{layers}** of **{backbone}**"
model = f"does a model composed of **{len(result.members)} fits**" if composed else model
question = f"How well {model} predict the visual cortex of **{subject}**?"
st.markdown(f"{SIMULATED} {question}" if dataset.simulated else question)

if not composed:
    search_panel(spec)
    result = fit_or_find(spec)
    if result is None:
        st.stop()
if result.plan.subject.simulated and not dataset.simulated:
    st.markdown(f"{SIMULATED} These files say that a simulation wrote them.")

if not result.plan.has_test:
    say_no_test_score(result)
    if composed:
        members_panel(result)
    st.stop()

table = roi_table(result)
focus = focus_controls(result, table)
best = f" Best predicted region: {best_roi(table)}." if roi_names(result.plan.subject) else ""
what = ("clips" if dataset.clips else "images") + (" (repeats averaged before they are scored)" if spec.average_repeats else "")
for kept in (each for each in result.kept_variance() if each["reduced"]):
    names = plain(" + ".join(kept["layers"]))
    st.caption(f"{names}: larger than the feature budget, so reduced in the pass; components keep {kept['explained']:.1%} of its variance.")
how = "composed" if composed else f"{spec.components_label}, {spec.readout}"
st.caption(f"{result.n_train:,} training and {result.n_test:,} test {what}, {how}.{best}")

test_sets_panel(result)
score, statistic = score_choice([result], score_key="score", statistic_key="over")
brain = brain_panel(result, focus, score)
roi_panel(result, table, focus, score, statistic)
if composed:
    intervals_panel(result)
    members_panel(result)
else:
    shares_panel(result, table, focus)

st.subheader(plain(focus.label[0].upper() + focus.label[1:]), anchor=False)
prediction_panel(result, focus)
left, right = st.columns(2)
with left:
    if composed:
        st.caption("A learning curve and losses are those of single members: open one above.")
    else:
        curve_panel(result, focus)
        complete(spec, result)
with (
    right,
    st.expander(f"Mean r can hide a lot: r of every {result.plan.subject.unit}", key="distribution", on_change="rerun") as distribution,
):
    if distribution.open:
        distribution_panel(result, focus)

with st.expander(f"Residuals of every {result.plan.subject.unit} and image", key="every_residual", on_change="rerun") as residuals:
    if residuals.open:
        density_panel(result, focus)

with st.expander(
    f"{result.plan.subject.unit.many.capitalize()} predicted best and worst", key="extreme_open", on_change="rerun"
) as extremes:
    if extremes.open:
        extremes_panel(result, focus, score)

with st.expander("Take away", key="away", on_change="rerun") as away:
    if away.open:
        take_away(result, table, brain, score=score, statistic=statistic)
settle("a fit is shown")
