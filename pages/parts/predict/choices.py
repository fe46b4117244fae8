"""Choices of the Predict page: finished fits, an image, and their predictions for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import streamlit as st
from PIL import Image

from encoding import Result
from encoding.analysis.lookup import find_stimulus
from encoding.fits.composition import ComposedResult
from encoding.prediction.nearest_stimuli import Patterns
from encoding.prediction.predictor import InMemory, Predictor, folds_unseen, predict_row
from encoding.prediction.references import Distances, RegionReference, region_columns, roi_half_widths
from encoding.prediction.uploads import (
    CLIPS,
    IMAGES,
    MOST_CLIP_BYTES,
    MOST_IMAGE_BYTES,
    MOST_SIDE,
    BadUpload,
    read_clip,
    read_uploaded_image,
)
from encoding.runs.table import short_name, tested
from pages.parts.shared.job_progress import fit_or_find
from pages.parts.shared.link_notes import note
from pages.parts.shared.linked import choose_several, enter
from pages.parts.shared.runs_table import runs_table
from pages.parts.shared.server_state import find_result, opened_run
from pages.parts.shared.start import START
from pages.parts.shared.subject_view import SubjectView
from pages.parts.shared.text import plain

MOST_MODELS = 4
OF_DATA, UPLOAD = "data set", "upload"
WRONG = (LookupError, ValueError, OSError, ImportError)  # what a fit or an image that cannot be used raises


@dataclass(frozen=True)
class Stimulus:
    """Input of a prediction.

    Attributes
    ----------
    frames : an image's only frame, or those of a clip, RGB.
    row : row in the data set; None for an upload.
    key : digest of the pixels.
    """

    frames: tuple[Image.Image, ...]
    name: str
    row: int | None
    key: str

    @property
    def middle(self) -> Image.Image:
        """Middle frame, the one displayed."""
        return self.frames[(len(self.frames) - 1) // 2]


@dataclass(frozen=True)
class PredictionRequest:
    """Finished fit and the image it predicts.

    Attributes
    ----------
    folds : the folds whose models never saw the image; empty where all of them predict.
    """

    result: Result
    subject_view: SubjectView
    stimulus: Stimulus

    @cached_property
    def folds(self) -> tuple[int, ...]:
        """Folds that did not train on the image; empty for an upload."""
        return () if self.stimulus.row is None else folds_unseen(self.result, self.stimulus.row)

    @property
    def is_seen(self) -> bool:
        """Whether every model was trained on the image."""
        return self.stimulus.row is not None and not self.folds

    @property
    def is_tested(self) -> bool:
        """Whether the image is in the fit's test set."""
        return self.stimulus.row is not None and any(self.stimulus.row in fold.test for fold in self.result.plan.folds)

    def predicted(self) -> dict[str, np.ndarray]:
        """Predicted responses of each fitted hemisphere, (n_vertices,) float32."""
        if self.stimulus.row is not None:
            return _of_row(self.result.key, self.stimulus.row, self.result)
        return _of_upload(self.result.key, self.stimulus.key, self.result, self.stimulus.frames)[0]

    def unlike_training(self) -> float | None:
        """Percentage of test stimuli that are nearer to the training stimuli; None for a training stimulus, and where it is unknown."""
        if self.is_seen or (known := _distances(self.result.key, self.result)) is None:
            return None
        if self.stimulus.row is None:
            positions = _of_upload(self.result.key, self.stimulus.key, self.result, self.stimulus.frames)[1]
        else:
            positions = {fold: self.result.components(fold)[[self.stimulus.row]] for fold in self.folds}
        return float(known.percentile(positions)[0])

    def reference(self, roi: str, least_r: float) -> tuple[RegionReference, float]:
        """Predictions of training and errors of test stimuli for a region, and this prediction of its mean response.

        Raises
        ------
        ValueError where no vertex of the region is predicted that well.
        """
        columns = region_columns(self.result, roi, least_r)
        predicted = self.predicted()
        mean = float(np.concatenate([predicted[hemi][chosen] for hemi, chosen in columns.items()]).mean(dtype=float))
        return region_reference(self.result.key, roi, least_r, self.result), mean

    def measured(self) -> dict[str, np.ndarray] | None:
        """Measured responses, mean over repeats, in the shapes of :meth:`predicted`; None for an upload."""
        if self.stimulus.row is None:
            return None
        measured = self.subject_view.response(self.stimulus.row)
        return {hemi: measured[hemi] for hemi in self.result.plan.hemis}


# ---- finished fits


def choose_fits() -> dict[str, Result]:
    """Choose finished fits, by name, the first one first; empty, with a message, while there is none.

    A link names fits by ``fit``, as often as there are fits. All are of one subject: that of the first.
    """
    table = runs_table()
    if table.empty:
        note("fit", "the fit that it asks for is not here. Whoever has it can export it on Jobs & storage")
        result = fit_or_find(START)
        return {} if result is None else {"this fit": result}
    names = {row["key"]: short_name(row) for row in table.to_dict("records")}
    chosen = choose_several(
        "Models",
        "predict_fits",
        list(names),
        _start(names, tested(table)),
        labels=names.__getitem__,
        place=st.sidebar,
        link="fit",
        max_selections=MOST_MODELS,
        placeholder="Choose a finished fit",
        help="Finished fits, made on Explore. The first says which subject it is; others of the same subject can stand beside it.",
    )
    return _opened_fits(chosen, names)


def _start(names: Mapping[str, str], tested: pd.DataFrame) -> list[str]:
    """The fit of a bare Explore, or the newest there is, of those that were tested if there is one."""
    try:
        first = find_result(START)
    except WRONG:
        first = None
    return [first.key if first is not None and first.key in names else next(iter(tested["key"]), next(iter(names)))]


def _opened_fits(chosen: Sequence[str], names: Mapping[str, str]) -> dict[str, Result]:
    results: dict[str, Result] = {}
    for key in chosen:
        result = opened_run(key)
        if isinstance(result, str):
            st.error(plain(result))
            continue
        first = next(iter(results.values()), result)
        if not _same_subject(first, result):
            st.warning(f"{plain(names[key])} is of another subject than the first, so it is left out.")
            continue
        results[names[key]] = result
    if not chosen:
        st.info("Choose a finished fit in the sidebar.")
    return results


def _same_subject(one: Result, other: Result) -> bool:
    a, b = one.plan, other.plan
    same_stimuli = not (one.has_data and other.has_data) or a.stimuli.fingerprint == b.stimuli.fingerprint
    same = a.subject.fingerprints == b.subject.fingerprints and same_stimuli
    return same and (a.spec.dataset, a.spec.subject) == (b.spec.dataset, b.spec.subject)


# ---- the image


def choose_stimulus(result: Result, subject_view: SubjectView) -> Stimulus | None:
    """Choose the image to predict from; None, with a message, while there is none."""
    _leave_upload()
    if not result.has_data:
        st.caption(f"The {subject_view.what} of this imported fit did not come with it. Upload one.")
        return _uploaded(result)
    source = st.segmented_control(
        "Image from" if not subject_view.clips else "Clip from",
        [OF_DATA, UPLOAD],
        key="from",
        bind="query-params",
        default=OF_DATA,
        required=True,
    )
    return _uploaded(result) if source == UPLOAD else _of_data_set(result, subject_view)


def _leave_upload() -> None:
    """Whoever presses the number of an image below an uploaded one wants to see that."""
    now, before = st.session_state.get("stimulus") or "", st.session_state.get("_stimulus_before")
    if before is not None and now not in ("", before) and st.session_state.get("from") == UPLOAD:
        st.session_state["from"] = OF_DATA
    st.session_state["_stimulus_before"] = now


def _of_data_set(result: Result, subject_view: SubjectView) -> Stimulus | None:
    tested = result.plan.has_test
    rows = np.unique(result.test_rows()) if tested else np.arange(subject_view.subject.n_stimuli)  # that Previous and Next go through
    text = enter(
        "Stimulus",
        "stimulus",
        placeholder=f"{rows[0] + 1}",
        help=f"The number (1 to {subject_view.subject.n_stimuli:,}) or the name of one of the {subject_view.what}.",
    )
    try:
        row = find_stimulus(subject_view.subject, text) if text.strip() else int(rows[0])
        frames = _frames(result.plan.stimuli.fingerprint, row, result)
    except WRONG as wrong:
        st.warning(plain(wrong))
        return None
    place = int(np.searchsorted(rows, row))
    before, after = st.columns(2)
    last = rows[place - 1] if place > 0 else rows[-1]
    further = rows[(place + (place < len(rows) and rows[place] == row)) % len(rows)]
    what = "test image" if tested else "image"
    before.button("Previous", key="picture_before", on_click=_go, args=(int(last),), width="stretch", help=f"The {what} before.")
    after.button("Next", key="picture_after", on_click=_go, args=(int(further),), width="stretch", help=f"The next {what}.")
    return Stimulus(frames, subject_view.subject.stimuli.names[row], row, InMemory([frames]).fingerprint)


def _go(row: int) -> None:
    st.session_state["stimulus"] = str(row + 1)


@st.cache_resource(max_entries=16, show_spinner=False)
def _frames(key: str, row: int, _result: Result) -> tuple[Image.Image, ...]:
    return tuple(_result.plan.stimuli.frames(row))


def _uploaded(result: Result) -> Stimulus | None:
    clips = result.plan.of_clips
    kinds, most = (CLIPS, MOST_CLIP_BYTES) if clips else (IMAGES, MOST_IMAGE_BYTES)
    file = st.file_uploader(
        f"{'A clip' if clips else 'An image'} ({kinds})",
        key="upload",
        max_upload_size=most // 2**20,
        help=f"Kept in memory while this page is open, and nowhere else: it is not stored. Sides over {MOST_SIDE:,} pixels are reduced.",
    )
    if file is None:
        st.caption("Only its prediction is computed; the file is not stored and leaves no trace in the cache. Links do not hold it.")
        return None
    frames = _decoded(file.file_id, result.plan.stimuli.n_frames if clips else 0, file)
    if isinstance(frames, str):
        st.error(plain(frames))
        return None
    return Stimulus(frames, "your upload", None, InMemory([frames]).fingerprint)


@st.cache_resource(max_entries=2, show_spinner="Reading the file …", scope="session")
def _decoded(file_id: str, n_frames: int, _file) -> tuple[Image.Image, ...] | str:
    """The frames of an uploaded clip, or the image where ``n_frames`` is 0; what is wrong with it where it cannot be read."""
    try:
        data = _file.getvalue()
        return tuple(read_clip(data, n_frames)) if n_frames else (read_uploaded_image(data),)
    except BadUpload as wrong:
        return str(wrong)


# ---- what is predicted


@st.cache_resource(max_entries=2, show_spinner="Opening the network …")
def predictor(key: str, _result: Result) -> Predictor:
    """Load a fit to predict images on the CPU; GPUs are for jobs."""
    return Predictor.of(_result, device="cpu")


@st.cache_resource(max_entries=64, show_spinner="Predicting …")
def _of_row(key: str, row: int, _result: Result) -> dict[str, np.ndarray]:
    return predict_row(_result, row)


@st.cache_resource(max_entries=16, show_spinner="Predicting …", scope="session")
def _of_upload(
    key: str, stimulus: str, _result: Result, _frames: Sequence[Image.Image]
) -> tuple[dict[str, np.ndarray], dict[int, np.ndarray]]:
    """Predicted responses, and for each fold the component scores (1, k) they are predicted from; none of a composed fit."""
    blocks: dict[int, list[np.ndarray]] = {}
    more = {} if isinstance(_result, ComposedResult) else {"positions": blocks}
    predicted = predictor(key, _result)(InMemory([_frames]), **more)
    return {hemi: values[0] for hemi, values in predicted.items()}, {fold: parts[0] for fold, parts in blocks.items()}


@st.cache_resource(max_entries=8, show_spinner="Measuring how far images are from the training images …")
def _distances(key: str, _result: Result) -> Distances | None:
    return Distances.of(_result)


@st.cache_resource(max_entries=16, show_spinner="Predicting the training images …")
def region_reference(key: str, roi: str, least_r: float, _result: Result) -> RegionReference:
    """Predictions of training and errors of test stimuli for a region, over its vertices with a test r of ``least_r`` or more."""
    return RegionReference.of(_result, region_columns(_result, roi, least_r))


@st.cache_data(max_entries=16, show_spinner="Predicting the test images …")
def roi_widths(key: str, least_r: float, _result: Result) -> dict[tuple[str, str], float]:
    """Half widths of the prediction intervals of every ROI's mean over its vertices with a test r of ``least_r`` or more."""
    return roi_half_widths(_result, least_r)


@st.cache_resource(max_entries=3, show_spinner="Reading measured responses …")
def patterns(key: str, least_r: float, _result: Result) -> Patterns:
    """Measured response patterns of a fit's training stimuli, to compare with a predicted one."""
    return Patterns.of(_result, least_r=least_r)
