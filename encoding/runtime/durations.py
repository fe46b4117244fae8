"""Format durations as text."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Format a duration in seconds, 0 or more.

    Examples
    --------
    >>> duration(8.4), duration(200), duration(3900)
    ('8 s', '3 min 20 s', '1 h 05 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
