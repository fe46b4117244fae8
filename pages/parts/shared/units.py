"""What one measured place is called on the page: a vertex of the cortical surface, or a voxel of a volume, as the data set has it."""

from __future__ import annotations

import streamlit as st

from encoding.datasets import Subject
from encoding.plots import renamed

KEY = "_unit"  # of the session: which of the two the page speaks of


def speak_of(subject: Subject) -> None:
    """From here on the page speaks of this subject's vertices, or voxels."""
    st.session_state[KEY] = subject.unit


def unit() -> str:
    """``vertex`` or ``voxel``."""
    return st.session_state.get(KEY, "vertex")


def said(text: str) -> str:
    """A text about vertices in the subject's own word."""
    return renamed(text, unit())
