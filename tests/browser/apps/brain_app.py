"""A page with one brain and a made-up map, for the tests of the viewer. Its keys are what they press."""

import numpy as np
import streamlit as st

from encoding.datasets import _surface as surface
from encoding.plots.brain.brain_map import BrainMap
from pages.parts.shared.brain_component import brain_view, clicked
from pages.parts.shared.late_link import keep_what_was_written

st.set_page_config(layout="wide")
name = st.radio("Map", ["height", "depth", "difference", "error"], key="map", horizontal=True)
shape = st.radio("Surface", ["inflated", "pial", "flat"], key="surface", horizontal=True)
threshold = st.slider("Threshold", 0.0, 1.0, 0.0, key="threshold")
chosen = st.selectbox("ROI", [None, "cap", "strip"], key="roi")

vertices, values, ceiling, rois = {}, {}, {}, {}
for hemi in surface.HEMIS:
    sphere = surface.mesh("sphere", hemi)[0] / 100
    vertices[hemi] = np.flatnonzero(sphere[:, 1] < -0.5)[::-1].astype(
        np.int64
    )  # some 5,000 at the back of the brain, from the last to the first
    x, y, z = sphere[vertices[hemi]].T
    values[hemi] = {"height": (z + 1) / 2, "depth": -y, "difference": x, "error": (z + 1) / 2}[name].astype(np.float32)
    values[hemi][(y < -0.5) & (np.abs(z) < 0.05)] = np.nan
    ceiling[hemi] = np.full(len(y), 0.9, np.float32)
    rois[hemi] = {
        "cap": np.flatnonzero(y < -0.9),
        "strip": np.flatnonzero((np.abs(x) < 0.15) & (y > -0.8) & (z < 0)),
        "empty": np.empty(0, int),
    }


def count_selection() -> None:
    st.session_state["n_selections"] = st.session_state.get("n_selections", 0) + 1
    st.session_state["in_callback"] = clicked("brain", vertices)


brain = BrainMap(
    values=values,
    vertices=vertices,
    rois=rois,
    ceiling=ceiling,
    source="Simulated · made up in this file · fit-0123456789" if name == "height" else "",
    title=f"Made-up map: {name} <b>&amp;</b>",
    colour_range=(-1, 1) if name == "difference" else (0, 1),
    colour_map="RdBu_r" if name == "difference" else "magma",
    threshold=threshold,
    hide_above=name == "error",
    surface=shape,
    outlined=["cap", "strip", "empty"],
    chosen_roi=chosen,
)
with keep_what_was_written():
    selection = brain_view(brain, key="brain", on_select=count_selection, linked=True)
if selection:
    hemi, column = selection
    same = st.session_state["in_callback"] == selection
    st.text(f"selected {hemi} column {column} vertex {vertices[hemi][column]} value {values[hemi][column]:.3f} callback {same}")
else:
    st.text("selected nothing")
if st.button("Press", key="press"):
    st.session_state["n_presses"] = st.session_state.get("n_presses", 0) + 1
st.text(f"pressed {st.session_state.get('n_presses', 0)}")
