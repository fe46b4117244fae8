"""Digests of a subject's target columns, cortical positions and stimulus groups, for the keys of stored results.

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


def columns_digest(columns: Mapping[str, np.ndarray]) -> str:
    """Digest of a mapping from names to column numbers, in the mapping's order."""
    return digest("columns", 1, columns=[[name, rows_digest(numbers)] for name, numbers in columns.items()])


def positions_digest(subject: Subject, columns: Mapping[str, np.ndarray]) -> str:
    """Digest of the fsaverage vertices of some columns of each hemisphere; empty where positions are unknown."""
    if subject.vertices is None:
        return ""
    return columns_digest({hemi: np.asarray(subject.vertices[hemi])[some] for hemi, some in columns.items()})


def groups_digest(groups: np.ndarray) -> str:
    """Digest of the partition that group labels (n_stimuli,) make, whatever the labels; empty where every stimulus is its own group."""
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    if len(first) == len(groups):
        return ""
    numbers = np.argsort(np.argsort(first))
    return rows_digest(numbers[inverse])


def reads_digest(columns: Iterable[tuple[str, np.ndarray]], labels: Iterable[np.ndarray]) -> str:
    """SHA-256 of named column numbers (n,) and of the partitions that labels of rows (n_rows,) make, as hexadecimal digits."""
    read = hashlib.sha256()
    for name, numbers in columns:
        read.update(f"{name};".encode() + np.ascontiguousarray(numbers, "<i8").tobytes())
    for each in labels:
        read.update(np.unique(each, return_inverse=True)[1].astype("<i8").tobytes())
    return read.hexdigest()
