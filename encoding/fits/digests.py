"""Digests of a subject's ROI masks, cortical positions, noise ceilings and stimulus groups, for the keys of stored results.

A stage's key holds the digest of each of these that the stage reads, and of no other: a changed mask invalidates what was computed with
the mask and leaves the rest valid. The digest depends on the order of values where the stage's result does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np

from encoding.datasets import Subject
from encoding.storage.keys import digest


def rows_digest(rows: np.ndarray) -> str:
    """SHA-256 of row or column numbers (n,), as int64 in their order; the first 20 hexadecimal digits."""
    return hashlib.sha256(np.ascontiguousarray(rows, "<i8")).hexdigest()[:20]


def values_digest(values: np.ndarray) -> str:
    """SHA-256 of an array of any shape, as float64, and its shape; the first 20 hexadecimal digits."""
    values = np.ascontiguousarray(values, "<f8")
    return hashlib.sha256(str(values.shape).encode() + values.tobytes()).hexdigest()[:20]


def columns_digest(columns: Mapping[str, np.ndarray]) -> str:
    """Digest of a mapping from names to column numbers, in the mapping's order."""
    return digest("columns", 1, columns=[[name, rows_digest(numbers)] for name, numbers in columns.items()])


def rois_digest(subject: Subject, hemis: Iterable[str], names: Iterable[str] | None = None) -> str:
    """Digest of the masks of some ROIs in some hemispheres; ``names`` defaults to all ROIs in the subject's order."""
    masks_of = {}
    for hemi in hemis:
        masks = subject.rois[hemi]
        for name in masks if names is None else names:
            masks_of[f"{hemi}\n{name}"] = masks.get(name, np.zeros(0, int))
    return columns_digest(masks_of)


def positions_digest(subject: Subject, columns: Mapping[str, np.ndarray]) -> str:
    """Digest of the fsaverage vertices of some columns of each hemisphere; empty where positions are unknown."""
    if subject.vertices is None:
        return ""
    return columns_digest({hemi: np.asarray(subject.vertices[hemi])[some] for hemi, some in columns.items()})


def ceilings_digest(subject: Subject, hemis: Iterable[str]) -> str:
    """Digest of the noise ceilings of some hemispheres; empty where none are known."""
    if subject.ceiling is None:
        return ""
    return digest("ceilings", 1, ceilings=[[hemi, values_digest(subject.ceiling[hemi])] for hemi in hemis])


def groups_digest(groups: np.ndarray) -> str:
    """Digest of the partition that group labels (n_stimuli,) make, whatever the labels; empty where every stimulus is its own group."""
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    if len(first) == len(groups):
        return ""
    numbers = np.argsort(np.argsort(first))
    return rows_digest(numbers[inverse])
