"""Words for numbers."""

from __future__ import annotations


def counted(n: int, one: str, many: str = "") -> str:
    """Count things; ``many`` is ``one`` with an s where it is not given.

    Examples
    --------
    >>> counted(1, "weight"), counted(2_000, "weight"), counted(2, "vertex", "vertices")
    ('1 weight', '2,000 weights', '2 vertices')
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"
