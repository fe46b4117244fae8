"""Find stimuli and vertices by what a person writes, and name vertices."""

from __future__ import annotations

import re

import numpy as np

from encoding.datasets import Subject
from encoding.runtime.registry import unknown


def find_stimulus(subject: Subject, text: str) -> int:
    """Find the row of a stimulus by its number (from 1, in the order of rows) or by its name.

    Digits alone are a number, unless they begin with 0.

    Raises
    ------
    ValueError
        With the nearest name, if there is none.
    """
    text, names = text.strip(), subject.stimuli.names
    if text in names and (text.startswith("0") or not text.isdecimal()):
        return names.index(text)
    if not text.isdecimal():
        raise ValueError(unknown("stimulus", text, names, show=3))
    if not 1 <= int(text) <= subject.n_stimuli:
        raise ValueError(f"{subject.dataset} {subject.name} has the stimuli 1 to {subject.n_stimuli:,}, so no {int(text):,}.")
    return int(text) - 1


def find_vertex(subject: Subject, text: str) -> tuple[str, int]:
    """Parse the block and column of a vertex from text: ``lh 784``, ``lh fsaverage 5274`` by the mesh's number, or both as pages write it,
    ``lh 784 (fsaverage 5274)``.

    Raises
    ------
    ValueError
        With the syntax or the valid range, if there is none.
    """
    both = re.fullmatch(rf"(?:{subject.unit} )?(.*?)(?: \(fsaverage (\d+)\))?", text.strip(), re.IGNORECASE)
    where, _, number = both[1].replace("-", " ").rpartition(" ")
    block = where.strip().removesuffix("fsaverage").strip()
    if block not in subject.responses or not number.isdecimal():
        known = ", ".join(subject.hemis)
        raise ValueError(f"No {subject.unit} {text!r}. Write where it is ({known}) and its number, such as {subject.hemis[0]} 120.")
    column = int(number)
    if where.strip() != block:
        there = np.flatnonzero(subject.vertices[block] == column) if subject.vertices and block in subject.vertices else ()
        if not len(there):
            raise ValueError(f"{block} has no response at fsaverage vertex {column:,}.")
        column = int(there[0])
    check_vertex(subject, block, column)
    if both[2] is not None and int(both[2]) != _mesh_number(subject, block, column):
        raise ValueError(f"{block} {column} is not at fsaverage vertex {int(both[2]):,}: it is {vertex_name(subject, block, column)}.")
    return block, column


def vertex_name(subject: Subject, block: str, column: int) -> str:
    """Name a column of the responses, with its number on the fsaverage mesh where it has one: ``vertex lh 784 (fsaverage 5274)``."""
    number = _mesh_number(subject, block, column)
    return f"{subject.unit} {block} {column}" + (f" (fsaverage {number})" if number is not None else "")


def _mesh_number(subject: Subject, block: str, column: int) -> int | None:
    placed = subject.vertices is not None and block in subject.vertices
    return int(subject.vertices[block][column]) if placed else None


def check_vertex(subject: Subject, block: str, column: int) -> None:
    """Raise ValueError, naming the valid ones, unless the subject has this vertex."""
    if block not in subject.responses:
        raise ValueError(unknown("hemisphere", block, subject.hemis))
    n_vertices = subject.responses[block].shape[1]
    if not 0 <= column < n_vertices:
        raise ValueError(f"{block} has the {subject.unit.many} 0 to {n_vertices - 1}, so no {column}.")
