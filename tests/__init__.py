"""Tests mirror ``encoding/`` and ``pages/``, folder for folder; browser tests stand together in ``browser/``."""

from pathlib import Path

PROJECT = Path(__file__).parents[1]
SHARED = PROJECT.parent / "shared"  # real weights, photographs and maps beside a checkout; tests skip where it is absent
