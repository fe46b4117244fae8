"""Progress reports: callbacks with the fraction done and a text."""

from __future__ import annotations

from collections.abc import Callable

Report = Callable[[float, str], None]
"""``report(fraction, text)``: called often; may raise :class:`Cancelled` to stop the work."""


class Cancelled(Exception):
    """The work was cancelled."""


def silent(fraction: float, text: str) -> None:
    """Ignore progress."""


def subprogress(report: Report, start: float, stop: float) -> Report:
    """Map the progress of a step, 0 to 1, to the interval ``start`` to ``stop`` of the whole."""
    return lambda fraction, text: report(start + (stop - start) * fraction, text)
