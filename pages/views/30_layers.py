"""Layers: which layer predicts which region."""

import streamlit as st

from encoding.runs.labels import network_label, subject_label
from encoding.runtime.wording import counted
from pages.parts.layers.brain import send_layers_ahead
from pages.parts.layers.hierarchy import hierarchy_panel, take_away
from pages.parts.layers.panels import STYLE, score_controls, sweep_panel
from pages.parts.layers.sweep_controls import run_or_find, sweep_controls
from pages.parts.layers.swept import table_of
from pages.parts.shared.badges import facts, simulated_badge
from pages.parts.shared.fit_controls import control_names
from pages.parts.shared.job_progress import say_no_test_score
from pages.parts.shared.link_notes import expect, stop
from pages.parts.shared.server_state import settle
from pages.parts.shared.text import plain
from pages.parts.shared.wording import listed

LOOKED = ("start", "backbones", "layers", "shown", "layer_score", "layer_over", "layer_hemi", "layer_roi", "groups")
LOOKED += ("on_brain", "surface", "outlines", "colours", "hide", "hide_best")

st.html(STYLE)
place = st.container(gap="xsmall")
expect((*control_names(), *LOOKED))
sweep = sweep_controls()
if sweep is None:
    place.title("Which layer predicts which region?", anchor=False)
    stop()
spec = sweep.spec
networks = listed([f"**{plain(network_label(name, sweep.spec_of(sweep.of(name)[0]).weights))}**" for name in sweep.backbones])
question = f"Which of {counted(len(sweep.cells), 'layer')} of {networks} predicts which region of **{plain(subject_label(spec.subject))}**?"
place.title(question, anchor=False)

sweep_result = run_or_find(sweep)
if sweep_result is None or not sweep_result.cells:
    place.markdown(simulated_badge(spec.dataset))
    stop()
first = next(iter(sweep_result.results.values()))
place.markdown(f":small[{facts(first)}]")

if not first.plan.has_test:
    say_no_test_score(first)
    stop()
score, statistic, hemi = score_controls(sweep_result)
sweep_panel(sweep_result, score, statistic, hemi)
hierarchy_panel(sweep_result, hemi)
with st.expander("Take away", key="away", on_change="rerun") as away:
    if away.open:
        take_away(sweep_result, table_of(sweep_result))
send_layers_ahead(sweep_result, score)  # last, as nobody waits for it
settle("a fit is shown")
