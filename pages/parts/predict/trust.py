"""How far to trust a prediction: distance to the training images, rank among their predictions, and a prediction interval."""

from __future__ import annotations

import numpy as np
import streamlit as st

from encoding.fits.score_tables import EVERY_VERTEX
from encoding.prediction.references import unlike_text, why_no_interval
from pages.parts.predict.choices import WRONG, PredictionRequest
from pages.parts.shared.text import plain

HELP = (
    "Distance: Euclidean, in the space of the fit's components, to the nearest training image, compared with the same of each test image. "
    "Interval: split conformal, from the absolute errors of the region's mean on test images; it contains the measured mean of at least "
    "95 % of new images that are like the test images."
)


def trust_panel(request: PredictionRequest, roi: str, least_r: float) -> None:
    """Say how unlike the training images an image is, and where its prediction for a region stands."""
    what = request.subject_view.what
    try:
        unlike = request.unlike_training()
        lines = [] if unlike is None else [f"In feature space it is **{unlike_text(unlike, what)}**."]
        if not request.result.plan.has_test:
            unit = request.subject_view.subject.unit
            lines.append(f"The model was fitted to all {what}: no {unit} has a test r, so every one is shown, whatever it is worth.")
        elif request.result.has_data:
            reference, mean = request.reference(roi, least_r)
            name = f"every {request.subject_view.subject.unit}" if roi == EVERY_VERTEX else roi
            half = reference.half_width()
            ends = f" [{mean - half:+z.2f}, {mean + half:+z.2f}]" if np.isfinite(half) else ""
            share = float(reference.percentile(np.array([mean]))[0])
            lines.append(f"**{plain(name)}**: predicted mean **{mean:+z.2f}**{ends}, above {share:.0f} % of those of training {what}.")
            lines += [f"No prediction interval: {why}."] if (why := why_no_interval(request.result)) else []
    except WRONG as wrong:
        st.caption(plain(wrong))
        return
    if lines:
        st.markdown("  \n".join(lines), help=HELP)
