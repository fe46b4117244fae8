"""Partition the targets into groups that share a model: a hemisphere, both, one ROI at a time, or a single vertex.

The partition changes results where targets depend on each other: a network's hidden layers serve all the vertices that it is trained on.
Where each target has a model of its own (ridge and most linear readouts), hemispheres are fitted whole except for a single vertex.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from encoding.datasets import Subject
from encoding.datasets._base import roi_names
from encoding.runtime.registry import UnknownName, unknown

REST = "others"  # the vertices outside every ROI


@dataclass(frozen=True)
class TargetGroup:
    """The targets (columns of the responses) that one model predicts.

    Attributes
    ----------
    name : ``lh``, ``both``, ``lh V1v``, ``lh others`` or ``lh 120``.
    columns : hemisphere to its columns (n_columns,), sorted int64; the model's targets are in this order.
    whole : whether the group holds every column of its hemispheres.
    """

    name: str
    columns: Mapping[str, np.ndarray]
    whole: bool = False

    def places(self) -> dict[str, slice]:
        """Hemisphere to the slice of the model's targets that are its columns."""
        edges = np.cumsum([0, *(len(columns) for columns in self.columns.values())])
        return {hemi: slice(int(edges[i]), int(edges[i + 1])) for i, hemi in enumerate(self.columns)}


def group_rois(subject: Subject, group: TargetGroup) -> dict[str, np.ndarray]:
    """Map each ROI to its targets in a group, sorted, both hemispheres together; ROIs without a target there are left out."""
    targets_of: dict[str, list[np.ndarray]] = {}
    for hemi, place in group.places().items():
        for roi, columns in subject.rois[hemi].items():
            here = np.flatnonzero(np.isin(group.columns[hemi], columns)) + place.start
            if len(here):
                targets_of.setdefault(roi, []).append(here)
    return {roi: np.concatenate(targets) for roi, targets in targets_of.items()}


def target_groups_of(
    subject: Subject, target_groups: str, *, hemis: tuple[str, ...], rois: tuple[str, ...], per_target: bool
) -> tuple[TargetGroup, ...]:
    """Partition a subject's targets into groups that are fitted one after another; no column is in two.

    Parameters
    ----------
    target_groups : one of :data:`encoding.fits.spec.TARGET_GROUPS`.
    hemis : hemispheres to fit.
    rois : names of selected ROIs. With ``roi``, and ``roi:both``, which joins hemispheres, only they are fitted, and if empty every ROI and
        then the vertices outside them.
    per_target : whether each target has a model of its own; groups are then whole hemispheres, or the single vertex.

    Raises
    ------
    ValueError for a hemisphere that is not fitted, or a vertex that the subject does not have.
    """
    if target_groups.startswith("vertex:"):
        return (_vertex(subject, target_groups, hemis),)
    whole = {hemi: np.arange(subject.responses[hemi].shape[1]) for hemi in hemis}
    if target_groups == "both" and not per_target and len(hemis) > 1:
        return (TargetGroup("both", whole, whole=True),)
    if target_groups in ("roi", "roi:both") and not per_target:
        groups = tuple(group for hemi in hemis for group in _by_roi(subject, hemi, rois))
        if target_groups == "roi:both":
            groups = _both_hemispheres(groups)
        if groups:
            return groups
    return tuple(TargetGroup(hemi, {hemi: columns}, whole=True) for hemi, columns in whole.items())


def with_unions(subject: Subject, rois: Sequence[str]) -> Subject:
    """The subject with the ROIs that a spec makes of others, such as ``faces=OFA+FFA-1+FFA-2``, after its own.

    Raises
    ------
    UnknownName where a part is no ROI of the subject; ValueError where the union has the name of one, or parts are missing.
    """
    unions = dict([part.strip() for part in text.split("=", 1)] for text in rois if "=" in text)
    known, made = roi_names(subject), {hemi: dict(named) for hemi, named in subject.rois.items()}
    for name, text in unions.items():
        parts = [part.strip() for part in text.split("+")]
        if name in known:
            raise ValueError(f"{subject.dataset} {subject.name} has an ROI {name!r}; give the union {text!r} another name.")
        if not name or not all(parts):
            raise ValueError(f"Write a union of ROIs as name=ROI+ROI, such as V1=V1v+V1d; not {name + '=' + text!r}.")
        for part in parts:
            if part not in known:
                raise UnknownName(unknown(f"ROI of {subject.dataset} {subject.name}", part, known, show=40))
        for hemi, named in made.items():
            columns = [subject.rois[hemi][part] for part in parts if part in subject.rois[hemi]]
            if columns:
                named[name] = np.unique(np.concatenate(columns))
    return replace(subject, rois=made) if unions else subject


def suggested_unions(classes: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Unions of ROIs that are often wanted, as a spec writes them: ventral and dorsal halves of an area, and all ROIs of a class.

    Parameters
    ----------
    classes : class to its ROIs (:func:`encoding.datasets._registry.roi_classes`).

    >>> suggested_unions({"early": ["V1v", "V1d", "hV4"], "faces": ["OFA", "FFA-1"], "words": ["VWFA-1"]})
    ('V1=V1v+V1d', 'early=V1v+V1d+hV4', 'faces=OFA+FFA-1')
    """
    known = [roi for rois in classes.values() for roi in rois]
    halves = {roi[:-1]: (roi, f"{roi[:-1]}d") for roi in known if roi.endswith("v") and f"{roi[:-1]}d" in known}
    unions = halves | {name: tuple(rois) for name, rois in classes.items() if len(rois) > 1}
    return tuple(f"{name}={'+'.join(parts)}" for name, parts in unions.items() if name not in known)


def _both_hemispheres(groups: Sequence[TargetGroup]) -> tuple[TargetGroup, ...]:
    """Join the groups of one ROI, or of the vertices outside all, over hemispheres."""
    joined: dict[str, dict[str, np.ndarray]] = {}
    for group in groups:
        for hemi, columns in group.columns.items():
            joined.setdefault(group.name.removeprefix(f"{hemi} "), {})[hemi] = columns
    return tuple(TargetGroup(f"both {roi}", columns) for roi, columns in joined.items())


def _vertex(subject: Subject, target_groups: str, hemis: tuple[str, ...]) -> TargetGroup:
    hemi, _, column = target_groups.removeprefix("vertex:").rpartition(":")
    if hemi not in hemis:
        raise ValueError(f"No hemisphere {hemi!r} is fitted, so there is no {target_groups}. Known: {', '.join(hemis)}.")
    n_vertices = subject.responses[hemi].shape[1]
    if int(column) >= n_vertices:
        raise ValueError(f"{hemi} has the vertices 0 to {n_vertices - 1}, so there is no {target_groups}.")
    return TargetGroup(f"{hemi} {int(column)}", {hemi: np.array([int(column)])})


def _by_roi(subject: Subject, hemi: str, selected: tuple[str, ...]) -> list[TargetGroup]:
    """One group for each ROI, then the vertices outside every ROI; a vertex of several ROIs goes with the smallest."""
    known = {roi: columns for roi, columns in subject.rois[hemi].items() if len(columns)}
    owner = np.full(subject.responses[hemi].shape[1], -1)
    names = sorted(known, key=lambda roi: -len(known[roi]))
    for number, roi in enumerate(names):
        if not selected or roi in selected:
            owner[known[roi]] = number
    groups = [
        TargetGroup(f"{hemi} {roi}", {hemi: np.flatnonzero(owner == names.index(roi))})
        for roi in known
        if (owner == names.index(roi)).any()
    ]
    rest, rest_name = np.flatnonzero(owner < 0), REST
    while rest_name in known:  # an ROI of that name
        rest_name = f"{rest_name} (no ROI)"
    return groups if selected or not len(rest) or not groups else [*groups, TargetGroup(f"{hemi} {rest_name}", {hemi: rest})]
