"""Digests of what a stage may read of a subject beside stimuli and responses: ROI masks, places, ceilings, groups of stimuli.

A stage's key holds the digest of each of these that it reads, and of no other: a changed mask makes new what was computed with the mask
and leaves the rest valid. Order counts where a stage's result depends on it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np

from encoding.datasets import Subject
from encoding.storage.keys import digest


def rows_digest(rows: np.ndarray) -> str:
    """20 hexadecimal digits that name whole numbers (row or column numbers) in their order."""
    return hashlib.sha256(np.ascontiguousarray(rows, "<i8")).hexdigest()[:20]


def values_digest(values: np.ndarray) -> str:
    """20 hexadecimal digits that name real numbers, as float64, with their shape."""
    values = np.ascontiguousarray(values, "<f8")
    return hashlib.sha256(str(values.shape).encode() + values.tobytes()).hexdigest()[:20]


def columns_digest(columns: Mapping[str, np.ndarray]) -> str:
    """The name of some names with their columns, in their order."""
    return digest("columns", 1, columns=[[name, rows_digest(numbers)] for name, numbers in columns.items()])


def rois_digest(subject: Subject, hemis: Iterable[str], names: Iterable[str] | None = None) -> str:
    """The name of the masks of some ROIs (by default all, in the subject's order) in some hemispheres."""
    found = {}
    for hemi in hemis:
        masks = subject.rois[hemi]
        for name in masks if names is None else names:
            found[f"{hemi}\n{name}"] = masks.get(name, np.zeros(0, int))
    return columns_digest(found)


def positions_digest(subject: Subject, columns: Mapping[str, np.ndarray]) -> str:
    """The name of the places on the cortex of some columns of each hemisphere; of none where they are unknown."""
    if subject.vertices is None:
        return ""
    return columns_digest({hemi: np.asarray(subject.vertices[hemi])[some] for hemi, some in columns.items()})


def ceilings_digest(subject: Subject, hemis: Iterable[str]) -> str:
    """The name of the noise ceilings of some hemispheres; of none where they are unknown."""
    if subject.ceiling is None:
        return ""
    return digest("ceilings", 1, ceilings=[[hemi, values_digest(subject.ceiling[hemi])] for hemi in hemis])


def groups_digest(groups: np.ndarray) -> str:
    """The name of groups of stimuli (n_stimuli,) by who is with whom, in order of appearance; empty where each row stands alone."""
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    if len(first) == len(groups):
        return ""
    numbers = np.argsort(np.argsort(first))
    return rows_digest(numbers[inverse])
