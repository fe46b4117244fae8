"""Tests mirror ``encoding/`` and ``pages/``, folder for folder; browser tests stand together in ``browser/``."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[1]
SHARED = PROJECT.parent / "shared"  # real weights, photographs and maps beside a checkout; tests skip where it is absent


def with_nightly(values: Iterable[Any], *, always: Iterable[Any]) -> list[Any]:
    """``values`` as parameters of a test; those that are not in ``always`` run in the nightly round alone: see CONTRIBUTING.md."""
    always = list(always)
    return [value if value in always else pytest.param(value, marks=pytest.mark.nightly) for value in values]
