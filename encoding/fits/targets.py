"""Which targets are fitted together: a hemisphere, both, one ROI at a time, or a single vertex.

It matters where targets depend on each other: a network's hidden layers serve all the vertices it is trained on. Where each
target has a model of its own (ridge and most of the linear family) only a single vertex is treated apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from encoding.datasets import Subject

REST = "others"  # the vertices that no ROI holds


@dataclass(frozen=True)
class TargetGroup:
    """Targets that one model predicts.

    Attributes
    ----------
    name : ``lh``, ``both``, ``lh V1v``, ``lh others`` or ``lh 120``.
    columns : hemisphere to its columns, sorted int64; targets of the model are in this order.
    whole : true where every column of each of these hemispheres is there.
    """

    name: str
    columns: Mapping[str, np.ndarray]
    whole: bool = False

    def places(self) -> dict[str, slice]:
        """Hemisphere to the targets of the model that are its columns."""
        edges = np.cumsum([0, *(len(columns) for columns in self.columns.values())])
        return {hemi: slice(int(edges[i]), int(edges[i + 1])) for i, hemi in enumerate(self.columns)}


def group_rois(subject: Subject, group: TargetGroup) -> dict[str, np.ndarray]:
    """ROI to the targets of a group that belong to it, sorted, both hemispheres together; without those that have none there."""
    found: dict[str, list[np.ndarray]] = {}
    for hemi, place in group.places().items():
        for roi, columns in subject.rois[hemi].items():
            here = np.flatnonzero(np.isin(group.columns[hemi], columns)) + place.start
            if len(here):
                found.setdefault(roi, []).append(here)
    return {roi: np.concatenate(targets) for roi, targets in found.items()}


def target_groups_of(
    subject: Subject, target_groups: str, *, hemis: tuple[str, ...], rois: tuple[str, ...], per_target: bool
) -> tuple[TargetGroup, ...]:
    """The parts that are fitted one after another; no column is in two.

    Parameters
    ----------
    rois : those asked for; with ``roi`` only they are fitted, and every ROI and the vertices outside them where there are none.
    per_target : whether other targets make no difference, so that hemispheres serve for everything but a single vertex.

    Raises
    ------
    ValueError for a vertex that the subject does not have.
    """
    if target_groups.startswith("vertex:"):
        return (_vertex(subject, target_groups, hemis),)
    whole = {hemi: np.arange(subject.responses[hemi].shape[1]) for hemi in hemis}
    if target_groups == "both" and not per_target and len(hemis) > 1:
        return (TargetGroup("both", whole, whole=True),)
    if target_groups == "roi" and not per_target:
        found = tuple(part for hemi in hemis for part in _by_roi(subject, hemi, rois))
        if found:
            return found
    return tuple(TargetGroup(hemi, {hemi: columns}, whole=True) for hemi, columns in whole.items())


def _vertex(subject: Subject, target_groups: str, hemis: tuple[str, ...]) -> TargetGroup:
    hemi, _, column = target_groups.removeprefix("vertex:").rpartition(":")
    if hemi not in hemis:
        raise ValueError(f"No hemisphere {hemi!r} is fitted, so there is no {target_groups}. Known: {', '.join(hemis)}.")
    n_vertices = subject.responses[hemi].shape[1]
    if int(column) >= n_vertices:
        raise ValueError(f"{hemi} has the vertices 0 to {n_vertices - 1}, so there is no {target_groups}.")
    return TargetGroup(f"{hemi} {int(column)}", {hemi: np.array([int(column)])})


def _by_roi(subject: Subject, hemi: str, asked: tuple[str, ...]) -> list[TargetGroup]:
    """A vertex of several ROIs goes with the smallest; those of none come last."""
    known = {roi: columns for roi, columns in subject.rois[hemi].items() if len(columns)}
    owner = np.full(subject.responses[hemi].shape[1], -1)
    names = sorted(known, key=lambda roi: -len(known[roi]))
    for number, roi in enumerate(names):
        if not asked or roi in asked:
            owner[known[roi]] = number
    parts = [
        TargetGroup(f"{hemi} {roi}", {hemi: np.flatnonzero(owner == names.index(roi))})
        for roi in known
        if (owner == names.index(roi)).any()
    ]
    rest, rest_name = np.flatnonzero(owner < 0), REST
    while rest_name in known:  # an ROI of that name
        rest_name = f"{rest_name} (no ROI)"
    return parts if asked or not len(rest) or not parts else [*parts, TargetGroup(f"{hemi} {rest_name}", {hemi: rest})]
