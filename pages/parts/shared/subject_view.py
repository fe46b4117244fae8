"""Subject on the Data and Predict pages, with statistics of its responses computed once for all sessions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import streamlit as st

from encoding.analysis.tuning import Overview, Tuning, overview, response_map, roi_tuning, tuning
from encoding.datasets import Dataset, Subject
from encoding.datasets._base import roi_names
from encoding.datasets._placement import Placement
from encoding.datasets._registry import roi_classes
from pages.parts.shared.server_state import subject_key


@dataclass(frozen=True)
class SubjectView:
    """Subject, its positions and cached statistics of its responses.

    Attributes
    ----------
    dataset : None where this program knows none of that name, as of an imported fit.
    key : names the bytes of its responses and stimuli, so that what is cached of one is never shown of another.
    """

    dataset: Dataset | None
    subject: Subject

    @cached_property
    def key(self) -> str:
        """Cache key of the subject's contents."""
        return subject_key(self.subject)

    @cached_property
    def placement(self) -> Placement | None:
        """Positions of the columns on fsaverage; None where they are unknown."""
        return Placement.of(self.subject)

    @property
    def rois(self) -> tuple[str, ...]:
        """Names of the subject's ROIs."""
        return tuple(roi_names(self.subject))

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        """ROI classes and the ROIs of each that the subject has."""
        return roi_classes(self.subject)

    @property
    def clips(self) -> bool:
        """Whether its stimuli are clips."""
        return self.dataset.clips if self.dataset else self.subject.stimuli.n_frames > 1

    @property
    def what(self) -> str:
        """Word for the stimuli: images or clips."""
        return "clips" if self.clips else "images"

    @property
    def source(self) -> str:
        """Origin of the numbers, for a chart's caption."""
        parts = ["Simulated" if self.subject.simulated else "", f"{self.subject.dataset} {self.subject.name}"]
        return " · ".join(part for part in [*parts, f"measured responses to {self.subject.counted(self.what)}"] if part)

    def overview(self) -> Overview:
        """Descriptive statistics of all responses."""
        return _overview(self.key, self.subject)

    def response(self, row: int) -> dict[str, np.ndarray]:
        """Measured response of every column to a stimulus, the mean over its repeats."""
        return _response(self.key, row, self.subject)

    def tuning(self, block: str, column: int) -> Tuning:
        """Responses of one column to all stimuli, with its statistics."""
        return _tuning(self.key, block, column, self.subject)

    def roi_tuning(self, roi: str) -> Tuning:
        """Mean responses of an ROI to all stimuli, with their statistics."""
        return _roi_tuning(self.key, roi, self.subject)


@st.cache_resource(max_entries=8, show_spinner="Looking at the responses …")
def _overview(key: str, _subject: Subject) -> Overview:
    return overview(_subject)


@st.cache_resource(max_entries=64, show_spinner=False)
def _response(key: str, row: int, _subject: Subject) -> dict[str, np.ndarray]:
    return response_map(_subject, row)


@st.cache_resource(max_entries=64, show_spinner="Reading the response to every stimulus …")
def _tuning(key: str, block: str, column: int, _subject: Subject) -> Tuning:
    return tuning(_subject, block, column)


@st.cache_resource(max_entries=64, show_spinner="Reading the response to every stimulus …")
def _roi_tuning(key: str, roi: str, _subject: Subject) -> Tuning:
    return roi_tuning(_subject, roi)
