"""Progress reports: callbacks with the fraction done and a text."""

from __future__ import annotations

from collections.abc import Callable, Mapping

Report = Callable[[float, str], None]
"""``report(fraction, text)``: called often; may raise :class:`Cancelled` to stop the work. The text may be a :class:`Step`."""


class Cancelled(Exception):
    """The work was cancelled."""


class Step(str):
    """Progress text that also names its stage, or carries measurements to draw while the work goes on.

    Attributes
    ----------
    stage : of the work, such as ``readout``; empty where none is named.
    measured : name to value, such as the losses of one ``epoch``; empty where nothing new was measured.
    """

    stage: str
    measured: Mapping[str, float]

    def __new__(cls, text: str, *, stage: str = "", measured: Mapping[str, float] | None = None) -> Step:
        made = super().__new__(cls, text)
        made.stage, made.measured = stage or getattr(text, "stage", ""), measured or getattr(text, "measured", {})
        return made


def silent(fraction: float, text: str) -> None:
    """Ignore progress."""


def subprogress(report: Report, start: float, stop: float, *, stage: str = "") -> Report:
    """Map the progress of a step, 0 to 1, to the interval ``start`` to ``stop`` of the whole, and name its stage if one is given."""
    return lambda fraction, text: report(start + (stop - start) * fraction, Step(text, stage=stage) if stage else text)
