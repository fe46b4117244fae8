"""Brain maps of fits: a score, the difference of two, any values of every vertex, and groups of subjects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from encoding.analysis.comparison import Comparison, vertex_differences
from encoding.analysis.group import GroupMap
from encoding.analysis.summaries import highest_possible, largest_share
from encoding.datasets._placement import Placement
from encoding.evaluation.scores import SCORES
from encoding.fits.result import Result
from encoding.plots.brain.brain_map import BrainMap
from encoding.plots.brain.colour_ranges import bulk, rounded_up, score_colours, score_range
from encoding.plots.score_axis import ceiling_name

START_VIEW = "posterior"  # where visual cortex is in sight


def top_of_scale(results: Sequence[Result]) -> float:
    """Common upper end of a colour range from 0 for the r of all vertices of several fits."""
    values = {(place, hemi): result.score(hemi) for place, result in enumerate(results) for hemi in result.plan.hemis}
    return rounded_up(bulk(values)[1])


def score_brain(result: Result, score: str = "r", *, highest: float | None = None) -> BrainMap | None:
    """Map of a score from 0, or of an error from its lowest values, to ``highest``; None where the positions of vertices are unknown.

    Parameters
    ----------
    score : one of :attr:`encoding.fits.score_tables.ScoreTables.score_names`. Of r and R² each vertex also has its ceiling.
    highest : upper end of the colour range; None fits it to the values.
    """
    definition = SCORES[score]
    values = {hemi: result.score(hemi, score) for hemi in result.plan.hemis}
    low, fitted = score_range(score, values)
    most = highest or fitted
    return values_brain(
        result,
        values,
        ceiling=highest_possible(result, score),
        ceiling_name=ceiling_name(score).lower(),
        title=f"{definition.short} per {result.plan.subject.unit}",
        quantity=definition.short,
        colour_range=(low if low < most else 0.0, most),
        colour_map=score_colours(score),
    )


def difference_brain(comparison: Comparison, name: str = "B", *, title: str = "") -> BrainMap | None:
    """Map of a difference, second minus first (purple: second better, orange: first better); None where positions are unknown.

    Parameters
    ----------
    name : letter of the second fit.
    title : of the map; empty for one with the letters.

    Raises
    ------
    ValueError
        If the two do not predict the same vertices.
    """
    values, short = vertex_differences(comparison.first, comparison.second, comparison.score), SCORES[comparison.score].short
    sizes = {hemi: np.abs(each) for hemi, each in values.items()}
    most = rounded_up(bulk(sizes, outside=1)[1])
    brain = values_brain(
        comparison.first,
        values,
        title=title or f"{short} of {name} minus {short} of A, per {comparison.first.plan.subject.unit}",
        colour_range=(-most, most),
        colour_map="PuOr_r" if comparison.lower_is_better else "PuOr",
    )
    return None if brain is None else replace(brain, quantity=f"{short}, {name} minus A")


def share_brain(result: Result) -> BrainMap | None:
    """Map of the layer that has the largest share of each vertex's R²; None where positions are unknown or layers are not separated."""
    best = largest_share(result)
    if not best:
        return None
    layers = list(result.layer_shares(next(iter(best))))
    return values_brain(
        result,
        {hemi: 1.0 + places for hemi, places in best.items()},
        title=f"Layer with the largest share of R² per {result.plan.subject.unit}",
        quantity="Layer",
        colour_range=(0.5, len(layers) + 0.5),
        colour_map="viridis",
        kinds=layers,
    )


def values_brain(
    result: Result, values: Mapping[str, np.ndarray], *, ceiling: Mapping[str, np.ndarray] | None = None, **look: object
) -> BrainMap | None:
    """Map of some values of every vertex, hemisphere to (n_vertices,); None where the positions of vertices are unknown.

    Parameters
    ----------
    look : of :class:`encoding.plots.brain.brain_map.BrainMap`, such as its colours.
    """
    placement = Placement.of(result.plan.subject)
    if placement is None:
        return None
    rois = placement.rois(result.plan.subject.rois)
    return BrainMap(
        values=placement.values(values),
        vertices=placement.vertices,
        columns=placement.columns,
        unit=result.plan.subject.unit,
        rois=rois,
        ceiling=None if ceiling is None else placement.values(ceiling),
        view=START_VIEW,
        **look,
    )


def group_brain(maps: Mapping[str, GroupMap], values: str, *, n_subjects: int, title: str, quantity: str) -> BrainMap:
    """Map of several subjects on fsaverage.

    Parameters
    ----------
    maps : of :func:`encoding.analysis.group.group_maps`.
    values : the attribute of :class:`encoding.analysis.group.GroupMap` that is drawn: ``mean``, ``n_above`` or ``n_subjects``.
    n_subjects : of the group, the upper end of the colour range of counts.
    """
    each = {hemi: np.asarray(getattr(one, values), float) for hemi, one in maps.items()}
    counts = {hemi: one.n_subjects for hemi, one in maps.items()}
    return BrainMap(
        values=each,
        vertices={hemi: one.vertices for hemi, one in maps.items()},
        ceiling=counts if values != "n_subjects" else None,
        ceiling_name="subjects here",
        title=title,
        quantity=quantity,
        colour_range=(0.0, rounded_up(bulk(each)[1])) if values == "mean" else (0.0, float(n_subjects)),
        colour_map="plasma" if values == "mean" else "viridis",
        view=START_VIEW,
    )
