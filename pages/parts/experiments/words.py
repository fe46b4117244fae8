"""Names of an experiment's fits, for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from encoding.runs.labels import split_label, subject_label


def _components(n: str) -> str:
    return f"{n} components" if n != "0" else "all components"


WORDS: dict[str, Callable[[str], str]] = {"subject": subject_label, "split": split_label, "n_components": _components}
"""Settings whose values are keys or bare numbers; others are read as they are."""


def settings_in_words(settings: Mapping[str, object]) -> str:
    """Settings in one line.

    >>> settings_in_words({"subject": "subj01", "layers": "energy", "n_components": 60, "split": "kfold:5:0"})
    'subject 1 · energy · 60 components · 5-fold (seed 0)'
    """
    return " · ".join(WORDS.get(name, str)(str(value)) for name, value in settings.items())
