"""ROI sizes and distributions of the responses on the Data page: contents, spread, repeats and noise ceilings."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from encoding import plots
from encoding.analysis.tuning import repeat_counts, roi_sizes
from pages.parts.data.brain import NO_ROI
from pages.parts.data.vertex import region_link
from pages.parts.shared.chart import chart
from pages.parts.shared.glossary import explained
from pages.parts.shared.subject_view import SubjectView
from pages.parts.shared.text import plain

HOW_SIZES = (
    "How many {units} each region has in this subject. Regions differ in size between people and hemispheres, and the mean of a small "
    "one is rough. A region can be empty: its experiment found nothing there in this person. Regions of different kinds overlap."
)
HOW_SPREAD = (
    "How strong the measured responses are, over the stimuli and {units} that were looked at. Where responses were standardised they "
    "lie around 0 with a standard deviation near 1, or below where repeats were averaged. The outermost 0.1 % at either end are cut off."
)
HOW_CEILINGS = (
    "The share of {units} at each noise ceiling: the part of a {unit}'s variance that is not noise, and so could be explained by a "
    "perfect model. Its root is the highest r. Near 0 no model can be distinguished from chance."
)


def regions_panel(subject_view: SubjectView, roi: str | None) -> None:
    """Show ROI sizes; a click on a bar selects an ROI and explains it."""
    if not subject_view.rois:
        st.info("This data set names no ROIs, so there are no sizes to compare.")
        return
    unit = subject_view.subject.unit
    if roi:
        sizes = ", ".join(f"{len(columns.get(roi, ())):,} in {block}" for block, columns in subject_view.subject.rois.items())
        st.markdown(f"**{plain(roi)}** {explained(roi)} {unit.many.capitalize()}: {sizes}.")
        region_link(subject_view, roi=roi)
    else:
        st.caption("A click on a bar, or the sidebar, chooses a region: it stands out in the charts.")
    chart(
        plots.size_bars(roi_sizes(subject_view.subject), classes=subject_view.classes, selected=roi, unit=unit),
        "sizes",
        alt=f"number of {unit.many} of every region, left and right",
        how=unit.fill(HOW_SIZES),
        source=subject_view.source,
        on_select=_choose_clicked,
        selection_mode="points",
    )


def _choose_clicked() -> None:
    if points := st.session_state["sizes"]["selection"]["points"]:
        chosen = points[0]["customdata"][0]
        st.session_state["roi"] = NO_ROI if st.session_state.get("roi") == chosen else chosen


def responses_panel(subject_view: SubjectView) -> None:
    """Show the shape and distribution of the responses, repeats of stimuli and noise ceilings."""
    subject = subject_view.subject
    st.dataframe(_contents(subject_view), alt="what each block of responses holds")
    st.markdown(_repeats(subject_view))
    found = subject_view.overview()
    what = "Measured response, as the data set has it"
    chart(
        plots.response_spread(found, what=what),
        "spread",
        alt="how strong measured responses are",
        how=subject.unit.fill(HOW_SPREAD),
        source=subject_view.source,
    )
    sample = "all" if found.n_rows == subject.n_stimuli else f"{found.n_rows:,}, evenly spaced, of"
    st.caption(f"From {sample} {subject.counted(subject_view.what)} and every {subject.unit}.")
    if subject.ceiling is None:
        st.info("No noise ceiling is known for these responses, so nobody can say how well a perfect model would do.")
        return
    ceilings = {block: np.asarray(values) for block, values in subject.ceiling.items()}
    if subject.ceiling_about:
        st.caption(f"Noise ceilings estimated by {subject.ceiling_about}.")
    figure = plots.score_histogram(ceilings, label="Noise ceiling, share of variance", unit=subject.unit)
    chart(
        figure,
        "ceilings",
        alt=f"distribution of noise ceilings over {subject.unit.many}",
        how=subject.unit.fill(HOW_CEILINGS),
        source=subject_view.source,
        below=True,
    )


def _contents(subject_view: SubjectView) -> pd.DataFrame:
    """What each block of responses holds, a block a column."""
    subject, placed = subject_view.subject, subject_view.subject.vertices or {}
    columns = {
        block: {
            "rows": f"{len(values):,}",
            subject.unit.many: f"{values.shape[1]:,}",
            "ROIs": str(len(subject.rois[block])),
            "of them empty": str(sum(len(held) == 0 for held in subject.rois[block].values())),
            "on the cortex": "known" if block in placed else "voxels" if subject.sampled else "slices" if subject.grid else "unknown",
            "noise ceiling (median)": f"{np.median(subject.ceiling[block]):.3f}" if subject.ceiling else "unknown",
        }
        for block, values in subject.responses.items()
    }
    return pd.DataFrame(columns).rename_axis("responses")


def _repeats(subject_view: SubjectView) -> str:
    """Describe the number of repeats of the stimuli."""
    times, what = repeat_counts(subject_view.subject), subject_view.what
    if set(times) == {1}:
        return f"Each of the {subject_view.subject.n_stimuli:,} {what} is one row; repeats, if there were any, were averaged before."
    words = ", ".join(f"{n:,} {'once' if many == 1 else f'{many} times'}" for many, n in times.items())
    return f"Repeats are rows of their own, which splits keep together: of {sum(times.values()):,} different {what}, {words}."
