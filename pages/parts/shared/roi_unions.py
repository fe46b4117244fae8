"""Choice of the regions of a fit: a subject's own, unions of them, and which vertices are fitted together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from encoding.datasets import Subject
from encoding.datasets._base import roi_names
from encoding.datasets._registry import roi_classes
from encoding.fits.targets import suggested_unions, with_unions
from pages.parts.shared.linked import choose_several

FITTED_TOGETHER = ("hemisphere", "both", "roi", "roi:both")
TOGETHER_HELP = (
    "Which vertices share a model, where a readout lets them: those of a hemisphere, of both, or of a region, in each hemisphere or in "
    "both. Of ridge and most linear readouts every vertex has a model of its own."
)


def regions_control(subjects: Sequence[Subject], *, key: str = "rois", place: Any = st) -> tuple[str, ...]:
    """Choose the regions that are reported, and fitted where vertices are fitted by region; empty for all of them.

    A union, such as ``V1=V1v+V1d`` for both halves of V1, is typed or chosen, and is a region of its own in all tables.

    Parameters
    ----------
    subjects : whose regions are offered; may be empty while none is open, when names can be typed.
    key : of the setting, in the session and in the link.
    place : where the widget is drawn; None for nowhere, as in :mod:`pages.parts.shared.linked`.

    Raises
    ------
    UnknownName, ValueError
        Where a subject lacks a region, or a union cannot be read.
    """
    offered: dict[str, None] = {}
    for subject in subjects:
        offered |= dict.fromkeys((*roi_names(subject), *suggested_unions(roi_classes(subject))))
    rois = choose_several(
        "Regions",
        key,
        list(offered),
        (),
        new=True,
        place=place,
        placeholder="All of them",
        help="Choose regions or unions of them, or type a union as name=region+region: V1=V1v+V1d, faces=OFA+FFA-1+FFA-2.",
    )
    for subject in subjects:
        known = with_unions(subject, rois).rois
        for roi in rois:
            if "=" not in roi and not any(roi in named for named in known.values()):
                with_unions(subject, [f"union={roi}"])  # says which names there are
    return tuple(rois)
