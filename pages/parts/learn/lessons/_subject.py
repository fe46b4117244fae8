"""Data that several lessons share: the simulated subject's responses over both hemispheres, and feature spaces of its images."""

from __future__ import annotations

import threading

import numpy as np
import streamlit as st

from encoding import FitSpec
from encoding.datasets.simulation.scenes import CATEGORIES
from encoding.evaluation.splits import Fold
from encoding.lessons import _spaces
from pages.parts.learn.lesson import first_plan, subject, subject_key
from pages.parts.shared.server_state import planned, store

PIXELS = FitSpec(backbone="pixels", layers=("rgb",))


@st.cache_resource(show_spinner=False)
def warm() -> threading.Thread:
    """Import libraries and compute components in a thread, once per server, while the first question is read."""
    thread = threading.Thread(target=_spaces.make_ready, args=(PIXELS, store()), name="lessons", daemon=True)
    thread.start()
    return thread


def fold() -> Fold:
    """Training and test rows of Explore's default fit."""
    return first_plan().folds[0]


def responses() -> np.ndarray:
    """Responses (n_stimuli, n_vertices) float32, left hemisphere first; read-only."""
    return _responses(subject_key())


@st.cache_resource(max_entries=2, show_spinner=False)
def _responses(key: str) -> np.ndarray:
    side_by_side = np.concatenate([subject().responses[hemi] for hemi in subject().hemis], axis=1)
    side_by_side.setflags(write=False)
    return side_by_side


def ceiling() -> np.ndarray:
    """Noise ceilings (n_vertices,) float32 as fractions of variance, in the order of :func:`responses`."""
    return np.concatenate([subject().ceiling[hemi] for hemi in subject().hemis])


def columns(roi: str) -> np.ndarray:
    """Columns of :func:`responses` that belong to an ROI, in both hemispheres."""
    few, first = [], 0
    for hemi in subject().hemis:
        few.append(subject().rois[hemi][roi] + first)
        first += subject().responses[hemi].shape[1]
    return np.concatenate(few)


def halves(values: np.ndarray) -> dict[str, np.ndarray]:
    """Split values (n_vertices,) in the order of :func:`responses` by hemisphere."""
    sizes = [subject().responses[hemi].shape[1] for hemi in subject().hemis]
    return dict(zip(subject().hemis, np.split(values, np.cumsum(sizes)[:-1]), strict=True))


def components(spec: FitSpec) -> np.ndarray:
    """Component scores (n_stimuli, p) float32 of a spec; the first call may take a second."""
    return _components(spec, planned(spec).components_key(fold()))


@st.cache_resource(max_entries=4, show_spinner="Making features, once …")
def _components(spec: FitSpec, key: str) -> np.ndarray:
    return _spaces.components(planned(spec), store())


def features(spec: FitSpec) -> np.ndarray:
    """Features (n_stimuli, n_features) float32 before PCA."""
    return _spaces.features(planned(spec), store())


def categories() -> np.ndarray:
    """Share of each category in each image, (n_stimuli, 6) float32 in 0 … 1, known from the simulation."""
    return np.stack([subject().labels[name] for name in CATEGORIES], axis=1).astype(np.float32)
