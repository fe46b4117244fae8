"""Names of an experiment's fits, for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from encoding.evaluation.splits import WITHIN
from encoding.experiments.candidates import NOT_CHOSEN_OVER
from encoding.experiments.experiment import FIT_HEMI, Cell
from encoding.runs.labels import network_label, split_label, subject_label


def _components(n: str) -> str:
    return f"{n} components" if n != "0" else "all components"


WORDS: dict[str, Callable[[str], str]] = {
    "subject": subject_label,
    "backbone": network_label,
    "split": split_label,
    "n_components": _components,
}
"""Settings whose values are keys or bare numbers; others are read as they are."""


def settings_in_words(settings: Mapping[str, object]) -> str:
    """Settings in one line.

    >>> settings_in_words({"subject": "subj01", "backbone": "gabor", "layers": "energy", "n_components": 60, "split": "kfold:5:0"})
    'subject 1 · Gabor filters · energy · 60 components · 5-fold (seed 0)'
    """
    return " · ".join(WORDS.get(name, str)(str(value)) for name, value in settings.items())


def rows_in_words(table: pd.DataFrame) -> pd.DataFrame:
    """A table of scores whose subjects and networks have their names; numbers stay numbers, and other columns as they are."""
    return table.assign(**{name: table[name].map(WORDS[name]) for name in ("subject", "backbone") if name in table})


def fits_in_words(cells: Sequence[Cell]) -> list[str]:
    """Settings of each fit in one line; where all are tested on one split and validated on one within it, by which of the two."""
    splits = list(dict.fromkeys(cell.spec.split for cell in cells))
    role = {split: "validation" if WITHIN in split else "test" for split in splits}
    short = role if sorted(role.values()) == ["test", "validation"] else {}
    shown = [{**cell.settings, **({"split": short[cell.spec.split]} if short else {})} for cell in cells]
    return [settings_in_words(settings) or cell.label for settings, cell in zip(shown, cells, strict=True)]


def candidates_in_words(cells: Sequence[Cell], over: Sequence[str]) -> dict[str, str]:
    """Label of a candidate, the values of the settings that are chosen over (all where none is named), to these in words."""
    fixed = (*NOT_CHOSEN_OVER, FIT_HEMI)
    chosen = [{name: text for name, text in cell.settings.items() if (name in over if over else name not in fixed)} for cell in cells]
    return {" · ".join(settings.values()): settings_in_words(settings) for settings in chosen}
