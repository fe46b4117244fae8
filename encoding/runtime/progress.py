"""How far a piece of work has come, said by the work itself."""

from __future__ import annotations

from collections.abc import Callable

Report = Callable[[float, str], None]
"""``report(fraction, text)``: called often; may raise :class:`Cancelled` to stop the work."""


class Cancelled(Exception):
    """Somebody asked for this work to stop."""


def silent(fraction: float, text: str) -> None:
    """A report that nobody reads."""


def subprogress(report: Report, start: float, stop: float) -> Report:
    """A report for the part of the work between two fractions of the whole."""
    return lambda fraction, text: report(start + (stop - start) * fraction, text)
