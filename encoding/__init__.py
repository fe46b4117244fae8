"""Brain encoding models: stimuli -> features -> components -> responses. No interface code lives here."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from encoding.backbones import BACKBONES
    from encoding.datasets import DATASETS
    from encoding.fits.result import Result
    from encoding.fits.spec import FitSpec
    from encoding.pipeline import fit
    from encoding.readouts import READOUTS
    from encoding.storage.store import Store

__all__ = ["BACKBONES", "DATASETS", "READOUTS", "FitSpec", "Result", "Store", "fit"]

_MODULES = {
    "BACKBONES": "encoding.backbones",
    "DATASETS": "encoding.datasets",
    "READOUTS": "encoding.readouts",
    "FitSpec": "encoding.fits.spec",
    "Result": "encoding.fits.result",
    "Store": "encoding.storage.store",
    "fit": "encoding.pipeline",
}


def __getattr__(name: str) -> Any:
    """Import a name on first use, so that the command line, whose package this is, starts at once and can be interrupted."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
