"""Data that several lessons share: the simulated subject's responses over both hemispheres, and feature spaces of its images."""

from __future__ import annotations

import threading
from collections.abc import Sequence

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
    """Have ready what first visits of lessons wait for, once for each server, while somebody reads the question."""
    thread = threading.Thread(target=_spaces.make_ready, args=(PIXELS, store()), name="lessons", daemon=True)
    thread.start()
    return thread


def fold() -> Fold:
    """The training and test images of a bare Explore."""
    return first_plan().folds[0]


def responses() -> np.ndarray:
    """(n_stimuli, n_vertices) float32, the left hemisphere's vertices first; read-only."""
    return _responses(subject_key())


@st.cache_resource(max_entries=2, show_spinner=False)
def _responses(key: str) -> np.ndarray:
    side_by_side = np.concatenate([subject().responses[hemi] for hemi in subject().hemis], axis=1)
    side_by_side.setflags(write=False)
    return side_by_side


def ceiling() -> np.ndarray:
    """(n_vertices,) float32, the noise ceiling as a share of variance, of the same vertices."""
    return np.concatenate([subject().ceiling[hemi] for hemi in subject().hemis])


def columns(roi: str) -> np.ndarray:
    """The columns of :func:`responses` that a region has in both hemispheres."""
    found, first = [], 0
    for hemi in subject().hemis:
        found.append(subject().rois[hemi][roi] + first)
        first += subject().responses[hemi].shape[1]
    return np.concatenate(found)


def halves(values: np.ndarray) -> dict[str, np.ndarray]:
    """Values (n_vertices,) of those columns, by hemisphere."""
    sizes = [subject().responses[hemi].shape[1] for hemi in subject().hemis]
    return dict(zip(subject().hemis, np.split(values, np.cumsum(sizes)[:-1]), strict=True))


def components(spec: FitSpec) -> np.ndarray:
    """(n_stimuli, p) float32, those that Explore uses at these settings; the first time they may take a second."""
    return _components(spec, planned(spec).components_key(fold()))


@st.cache_resource(max_entries=4, show_spinner="Making features, once …")
def _components(spec: FitSpec, key: str) -> np.ndarray:
    return _spaces.components(planned(spec), store())


def features(spec: FitSpec) -> np.ndarray:
    """(n_stimuli, n_features) float32, before PCA."""
    return _spaces.features(planned(spec), store())


def categories() -> np.ndarray:
    """(n_stimuli, 6) float32 in 0 … 1, how much of each category an image shows, as the code that drew it knows."""
    return np.stack([subject().labels[name] for name in CATEGORIES], axis=1).astype(np.float32)


def plain(value: float, digits: int = 2) -> str:
    """A number as text, without a minus before 0.

    >>> plain(-0.001)
    '0.00'
    """
    return f"{round(float(value), digits) + 0.0:.{digits}f}"


def listed(names: Sequence[str]) -> str:
    """``a, b and c``.

    >>> listed(["V1v", "V2v", "hV4"])
    'V1v, V2v and hV4'
    """
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
