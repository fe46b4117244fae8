"""Guess the intended layout of a folder that matches none."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from types import ModuleType

LEAST_LIKENESS = 0.85
MOST_ENTRIES = 1_000  # looked at; a data set's own names come long before


def nearest(folder: Path, layouts: Sequence[ModuleType]) -> str:
    """Describe the layout that a folder resembles most, by the names in it and one level below; empty where none is similar.

    Names are compared without regard to case and dashes and with tolerance for typing errors.
    """
    if not folder.exists():
        return "There is no such folder."
    if not folder.is_dir():
        return "It is a file."
    names = list(dict.fromkeys(path.name for path in islice(_entries(folder), MOST_ENTRIES)))
    if not names:
        return "It is empty."
    close = {layout: _matches(names, layout.TELLTALES) for layout in layouts}
    best = max(layouts, key=lambda layout: sum(_likeness(*pair) for pair in close[layout]))
    if not close[best]:
        return ""
    evidence = ", ".join(mine if mine == theirs else f"{mine}, perhaps meant as {theirs}" for mine, theirs in close[best][:3])
    return f"It looks most like {best.TITLE} ({evidence}). {best.LACKS}"


def _entries(folder: Path) -> Iterable[Path]:
    yield from sorted(folder.glob("*"))
    yield from folder.glob("*/*")


def _matches(names: Sequence[str], telltales: Sequence[str]) -> list[tuple[str, str]]:
    """Each telltale for which there is a name close enough, after that name."""
    nearest_names = [max(names, key=lambda name: _likeness(name, telltale)) for telltale in telltales]
    return [pair for pair in zip(nearest_names, telltales, strict=True) if _likeness(*pair) >= LEAST_LIKENESS]


def _likeness(name: str, telltale: str) -> float:
    """How much two names are alike, 0 … 1."""
    return difflib.SequenceMatcher(None, *(re.sub("[-_ ]", "", text.lower()) for text in (name, telltale))).ratio()
