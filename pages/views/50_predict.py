"""Predict: the response of visual cortex to one image, how far it can be trusted, and what in the image drives it."""

import streamlit as st

from encoding import DATASETS
from pages.parts.data.subject_view import SIMULATED
from pages.parts.predict.choices import WRONG, PredictionRequest, choose_fits, choose_stimulus
from pages.parts.predict.occlusion import occlusion_panel
from pages.parts.predict.panels import (
    brain_panel,
    least_r_choice,
    model_choice,
    models_table,
    nearest_panel,
    regions_panel,
    roi_choice,
    standing,
)
from pages.parts.shared.server_state import settle
from pages.parts.shared.subject_view import SubjectView
from pages.parts.shared.text import plain

st.header("Predict", anchor=False)
fits = choose_fits()
if not fits:
    st.stop()
first = next(iter(fits.values()))
shown = SubjectView(DATASETS.get(first.plan.spec.dataset), first.plan.subject)  # an imported fit's data set may not be known here
simulated = f"{SIMULATED} " if shown.subject.simulated else ""
st.markdown(f"{simulated}What would the visual cortex of **{plain(shown.subject.name)}** do with this {shown.what.removesuffix('s')}?")

result = model_choice(fits)
if refusal := result.prediction_refusal():
    st.error(f"This fit cannot predict new {shown.what}. {plain(refusal)}")
    st.stop()
roi, least_r = roi_choice(result), least_r_choice(shown.subject.unit)
left, right = st.columns([2, 5], gap="medium")
with left:
    stimulus = choose_stimulus(result, shown)
    if stimulus is not None:
        st.image(stimulus.middle, caption=plain(stimulus.name), alt=stimulus.name, width="stretch")
if stimulus is None:
    st.stop()

asked = PredictionRequest(result, shown, stimulus)
try:
    asked.predicted()
except WRONG as wrong:
    st.error(plain(wrong))
    st.stop()
with left:
    st.markdown(standing(asked, least_r))
with right:
    brain_panel(asked, least_r, roi)
models_table([(name, PredictionRequest(each, shown, stimulus)) for name, each in fits.items()], least_r)
regions_panel(asked, least_r, roi)
drives, nearest = st.columns(2, gap="medium")
with drives:
    occlusion_panel(asked, roi)
with nearest:
    nearest_panel(asked, least_r)
settle("an image is predicted")
