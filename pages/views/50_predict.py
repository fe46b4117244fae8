"""Predict: responses to one image, their reliability, and the parts of the image that drive them."""

import streamlit as st

from encoding import DATASETS
from encoding.prediction.inputs import why_not_images
from encoding.runs.labels import subject_label
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
from pages.parts.predict.ranking import ranking_panel
from pages.parts.predict.trust import trust_panel
from pages.parts.shared.badges import simulated_badge
from pages.parts.shared.link_notes import expect, stop
from pages.parts.shared.server_state import settle
from pages.parts.shared.subject_view import SubjectView
from pages.parts.shared.text import plain

st.html("<style>@media (max-width: 1199px) {.st-key-stimulus_image {max-width: 14rem}}</style>")  # above the brain
place = st.container(gap="xsmall")
expect(("fit", "from", "stimulus", "roi", "least_r", "map", "grid", "patch", "surface", "predict_outlines"))
fits = choose_fits()
if not fits:
    place.title("What would visual cortex do with this image?", anchor=False)
    stop()
first = next(iter(fits.values()))
subject_view = SubjectView(DATASETS.get(first.plan.spec.dataset), first.plan.subject)  # an imported fit's data set may not be known here
whose, what = plain(subject_label(subject_view.subject.name)), subject_view.what.removesuffix("s")
place.title(f"What would the visual cortex of **{whose}** do with this {what}?", anchor=False)
place.markdown(simulated_badge(first.plan.spec.dataset, subject_view.subject))

result = model_choice(fits)
if refusal := result.prediction_refusal() or why_not_images(result.plan.spec.backbone):
    st.error(f"This fit cannot predict new {subject_view.what}. {plain(refusal)}")
    stop()
roi, least_r = roi_choice(result), least_r_choice(result)
left, right = st.columns([2, 5], gap="medium")
with left:
    stimulus = choose_stimulus(result, subject_view)
    if stimulus is not None:
        with st.container(key="stimulus_image"):
            st.image(stimulus.middle, caption=plain(stimulus.name), alt=stimulus.name, width="stretch")
if stimulus is None:
    stop()

request = PredictionRequest(result, subject_view, stimulus)
try:
    request.predicted()
except WRONG as wrong:
    st.error(plain(wrong))
    stop()
with left:
    st.markdown(standing(request, least_r))
    trust_panel(request, roi, least_r)
with right, st.container(key="brain_place"):
    brain_panel(request, least_r, roi)
models_table([(name, PredictionRequest(each, subject_view, stimulus)) for name, each in fits.items()], least_r)
regions_panel(request, least_r, roi)
ranking_panel(result, roi, least_r)
drives, nearest = st.columns(2, gap="medium")
with drives:
    occlusion_panel(request, roi)
with nearest:
    nearest_panel(request, least_r)
settle("an image is predicted")
