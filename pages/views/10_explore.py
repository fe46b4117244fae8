"""Explore: fit one encoding model and look at it from every side."""

import streamlit as st

from encoding import DATASETS
from pages.parts.controls import fit_controls
from pages.parts.focus import focus_controls
from pages.parts.handles import roi_table
from pages.parts.panels import (
    SCORE_NAMES,
    brain_panel,
    curve_panel,
    distribution_panel,
    prediction_panel,
    roi_panel,
    score_controls,
    score_values,
)
from pages.parts.running import complete, fit_or_find
from pages.parts.takeaway import take_away

st.title("Explore")
try:
    spec = fit_controls()
except ValueError as wrong:
    st.error(str(wrong))
    st.stop()

dataset = DATASETS[spec.dataset]
st.markdown(f"How well does **{' + '.join(spec.layers)}** of **{spec.backbone}** predict the visual cortex of **{spec.subject}**?")
if dataset.simulated:
    st.info("Simulated: no brain was measured. " + dataset.about, icon="🧪")

result = fit_or_find(spec)
if result is None:
    st.stop()

table = roi_table(result.key, spec, result)
focus = focus_controls(result, table)
score, statistic = score_controls(result)

brain_panel(result, focus, score)
roi_panel(result, table, focus, score, statistic)

st.subheader(focus.label[0].upper() + focus.label[1:])
prediction_panel(result, focus)
left, right = st.columns(2)
with left:
    curve_panel(result, focus)
    complete(spec, result)
with right:
    distribution_panel(result, focus)

with st.expander("Take away", icon="📦"):
    values = {hemi: score_values(result, hemi, score) for hemi in result.plan.hemis}
    take_away(result, table, values, f"{SCORE_NAMES[score]} per vertex, {spec.backbone} {' + '.join(spec.layers)}")
