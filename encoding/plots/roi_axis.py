"""An axis of ROIs: their places class by class, their names and numbers of vertices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from encoding.datasets._unit import Unit
from encoding.plots.look import CLEAR, LINE, SMALL, hemi_name, lay_out

if TYPE_CHECKING:
    import plotly.graph_objects as go

CLASS_GAP, NAME_GAP = 0.8, 1.1  # between two classes of ROIs, without and with a class's name
MOST_CHARACTERS = 100  # of names side by side; more are turned upright
CHARACTER, LINE_HEIGHT = 5.8, 17  # px, at most, of an ROI's name
LEAST_SPAN = 6  # a figure of one ROI is as wide as one of six, so that its bars stay bars


@dataclass(frozen=True)
class Row:
    """Positions of ROIs on the x axis: their centres, and each class's name with its first and last centre."""

    x: Mapping[str, float]
    classes: Sequence[tuple[str, float, float]]

    @property
    def ends(self) -> tuple[float, float]:
        """Range of the x axis."""
        first, last = min(self.x.values(), default=0.0), max(self.x.values(), default=0.0)
        spare = max(0.0, LEAST_SPAN - (last - first + 1.2)) / 2
        return first - 0.6 - spare, last + 0.6 + spare


def arrange(rois: Sequence[str], classes: Mapping[str, Sequence[str]], gap: float = CLASS_GAP) -> Row:
    """Place ROIs class by class, 1 apart, with a ``gap`` between classes; ROIs without class come first, unlabelled.

    Examples
    --------
    >>> arrange(["all", "PPA", "V1v"], {"early": ["V1v"], "places": ["PPA", "RSC"]}).x
    {'all': 0.0, 'V1v': 1.8, 'PPA': 3.6}
    """
    classed = {roi for members in classes.values() for roi in members}
    groups = {"": [roi for roi in rois if roi not in classed]} | {
        name: [m for m in members if m in rois] for name, members in classes.items()
    }
    x: dict[str, float] = {}
    spans, at = [], 0.0
    for name, members in groups.items():
        if not members:
            continue
        x |= {roi: round(at + i, 6) for i, roi in enumerate(members)}
        spans.append((name, x[members[0]], x[members[-1]]))
        at = x[members[-1]] + 1 + gap
    return Row(x, spans)


def separate_classes(fig: go.Figure, row: Row) -> None:
    """A line between any two classes."""
    for _, first, _ in row.classes[1:]:
        x = first - 0.5 - CLASS_GAP / 2
        fig.add_shape(type="line", x0=x, x1=x, y0=0, y1=1.05, yref="paper", line={"color": LINE, "width": 1}, opacity=0.6)


def name_rois(fig: go.Figure, row: Row, counts: Mapping[str, Mapping[str, int]], selected: str | None, unit: Unit) -> None:
    """ROI names along the axis, under each the number of vertices of its bars: ``counts`` of each hemisphere's ROIs."""
    numbers_of = {roi: " · ".join(f"{n:,}" for of in counts.values() if (n := of.get(roi)) is not None) for roi in row.x}
    longest = max(max(len(roi), len(numbers)) for roi, numbers in numbers_of.items())
    upright = longest * len(row.x) > MOST_CHARACTERS
    if upright:
        longest = max(len(roi) + 2 + len(numbers) for roi, numbers in numbers_of.items())
    sides = " · ".join(hemi_name(hemi).split()[0].lower() for hemi in counts) if len(counts) > 1 else ""
    axis = {
        "title": {"text": f"ROI, with the number of {unit.many} {sides}".rstrip(), "font": {"size": SMALL + 1}, "standoff": 8},
        "tickvals": list(row.x.values()),
        "ticktext": [
            f"{f'<b>{roi}</b>' if roi == selected else roi}{'  ' if upright else '<br>'}{numbers}" for roi, numbers in numbers_of.items()
        ],
        "tickfont": {"size": SMALL},
        "tickangle": -90 if upright else 0,
        "range": row.ends,
        "showgrid": False,
        "fixedrange": True,
        "tickcolor": CLEAR,
    }
    lay_out(fig, xaxis=axis, margin={"b": (longest * CHARACTER if upright else 2 * LINE_HEIGHT) + 2 * LINE_HEIGHT})


def class_names(row: Row) -> Iterator[dict]:
    """Notes that name each class above its ROIs."""
    for name, first, last in row.classes:
        place = {"x": (first + last) / 2, "y": 1, "yref": "paper", "yanchor": "bottom"}
        yield place | {"text": name, "showarrow": False, "font": {"size": SMALL}}
