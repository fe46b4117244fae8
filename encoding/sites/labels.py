"""Name fits by the settings in which they differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from encoding.runs.labels import model_label

if TYPE_CHECKING:
    from encoding.fits.spec import FitSpec

NAMED = ("backbone", "weights", "layers", "subject", "dataset", "n_components", "readout", "options")
"""Fields of a spec that :func:`labels_of` writes in words of their own; others are written as ``name=value``."""


def labels_of(specs: Sequence[FitSpec]) -> list[str]:
    """Label each fit with its network and layers and with every other setting in which they differ.

    >>> from dataclasses import replace
    >>> from encoding import FitSpec
    >>> labels_of([FitSpec(), replace(FitSpec(), n_components=50)])
    ['Gabor filters energy · PCA 100', 'Gabor filters energy · PCA 50']
    """
    values = [spec.to_dict() for spec in specs]
    varied = {name for name in values[0] if len({repr(each.get(name)) for each in values}) > 1}
    labels = []
    for spec, value in zip(specs, values, strict=True):
        parts = [model_label(spec)]
        parts += [spec.dataset] if "dataset" in varied else []
        parts += [spec.subject] if "subject" in varied else []
        parts += [f"PCA {spec.n_components}" if spec.n_components else "all features"] if "n_components" in varied else []
        if {"readout", "options"} & varied:
            parts.append(" ".join([spec.readout, *(f"{name}={option}" for name, option in spec.options)]))
        parts += [f"{name}={_text(value[name])}" for name in sorted(varied) if name not in NAMED]
        labels.append(" · ".join(parts))
    return labels


def _text(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
