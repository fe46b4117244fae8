"""Layers: which layer predicts which region."""

import streamlit as st

from encoding import DATASETS, plots
from pages.parts.layers.hierarchy import hierarchy_panel, take_away
from pages.parts.layers.panels import brain_panel, heatmap_panel, score_controls
from pages.parts.layers.sweep_controls import run_or_find, sweep_controls, table_of
from pages.parts.shared.badges import SIMULATED
from pages.parts.shared.server_state import settle
from pages.parts.shared.text import plain

st.header("Layers", anchor=False)
sweep = sweep_controls()
if sweep is None:
    st.stop()
spec = sweep.spec
networks = "**, **".join(plain(plots.network_name(sweep.spec_of(sweep.of(name)[0]))) for name in sweep.backbones)
question = f"Which of {len(sweep.cells)} layers of **{networks}** predicts which region of **{plain(spec.subject)}**?"
st.markdown(f"{SIMULATED} {question}" if DATASETS[spec.dataset].simulated else question)

found = run_or_find(sweep)
if found is None or not found.cells:
    st.stop()
if not DATASETS[spec.dataset].simulated and next(iter(found.results.values())).plan.subject.simulated:
    st.markdown(f"{SIMULATED} These files say that a simulation wrote them.")

score, hemi = score_controls(found)
heatmap_panel(found, score, hemi)
brain_panel(found, score)
hierarchy_panel(found, hemi)
with st.expander("Take away", key="away", on_change="rerun") as away:
    if away.open:
        take_away(found, table_of(found))
settle("a fit is shown")
