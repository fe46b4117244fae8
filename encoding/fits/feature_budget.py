"""How much room the stored features of a layer may take: the feature budget, as text and from the environment."""

from __future__ import annotations

import os

BUDGET_VARIABLE = "ENCODING_FEATURE_BUDGET"
DEFAULT_BUDGET = 2.0  # GB


def read_budget(text: str) -> float | None:
    """Read a feature budget: a number of GB (10**9 bytes) from 0, or ``none`` for no limit; ValueError for anything else.

    Examples
    --------
    >>> read_budget("0.5"), read_budget("none")
    (0.5, None)
    """
    if text.strip().lower() == "none":
        return None
    try:
        n_gb = float(text)
    except ValueError:
        n_gb = -1.0
    if not 0 <= n_gb < float("inf"):
        raise ValueError(f"A feature budget is a number of GB from 0, or none for no limit; not {text!r}.")
    return n_gb


def budget_text(budget: float | None) -> str:
    """Write a feature budget as :func:`read_budget` reads it, to the last digit.

    Examples
    --------
    >>> budget_text(2.0), budget_text(0.12345678), budget_text(None)
    ('2', '0.12345678', 'none')
    """
    return "none" if budget is None else str(budget).removesuffix(".0")


def default_budget() -> float | None:
    """The feature budget of fits that name none: ``$ENCODING_FEATURE_BUDGET``, else :data:`DEFAULT_BUDGET`.

    Raises
    ------
    ValueError, with the name of the variable, where it is no budget.
    """
    text = os.environ.get(BUDGET_VARIABLE, "").strip()
    try:
        return read_budget(text) if text else DEFAULT_BUDGET
    except ValueError as error:
        raise ValueError(f"The environment variable {BUDGET_VARIABLE} cannot be used: {error}") from error
