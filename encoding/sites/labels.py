"""Name fits by the settings in which they differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from encoding.fits.spec import FitSpec
from encoding.plots.look import model_name
from encoding.runs.labels import model_label

NAMED = ("backbone", "weights", "layers", "subject", "dataset", "n_components", "readout", "options")
"""Fields of a spec that :func:`labels_of` writes in words of their own; others are written as ``name=value``."""
OF_EVERY_TARGET = ("hemi", "target_groups")
"""Fields whose defaults mean every target, and are not said where other fits are of fewer."""


def labels_of(specs: Sequence[FitSpec], keys: Sequence[str] = ()) -> list[str]:
    """Label each fit with its network and layers and with every other setting in which they differ.

    Parameters
    ----------
    specs : of the fits.
    keys : of the fits, which are added to labels that several have: of composed fits, and of a fit before and after its data changed.

    >>> from dataclasses import replace
    >>> from encoding import FitSpec
    >>> labels_of([FitSpec(), replace(FitSpec(), n_components=50)])
    ['Gabor filters energy · PCA 100', 'Gabor filters energy · PCA 50']
    """
    values = [spec.to_dict() for spec in specs]
    varied = {name for name in values[0] if len({repr(each.get(name)) for each in values}) > 1}
    models, labels = _models(specs), []
    for spec, value, model in zip(specs, values, models, strict=True):
        parts = [model]
        parts += [spec.dataset] if "dataset" in varied else []
        parts += [spec.subject] if "subject" in varied else []
        parts += [spec.reduction_label] if "n_components" in varied else []
        if {"readout", "options"} & varied:
            parts.append(" ".join([spec.readout, *(f"{name}={option}" for name, option in spec.options)]))
        every = [name for name in OF_EVERY_TARGET if value[name] == getattr(FitSpec, name)]
        further = [name for name in sorted(varied) if name not in (*NAMED, *every) and value[name]]
        parts += [f"{name}={_text(value[name])}" for name in further]
        labels.append(" · ".join(parts))
    shared = Counter(labels)
    return [f"{label} · {key}" if shared[label] > 1 else label for label, key in zip(labels, keys, strict=True)] if keys else labels


def _models(specs: Sequence[FitSpec]) -> list[str]:
    """Names of networks and layers; with the source of a network where those of two sources have one name."""
    named: dict[str, set[str]] = {}
    for spec in specs:
        named.setdefault(model_label(spec), set()).add(spec.backbone)
    return [model_label(spec) if len(named[model_label(spec)]) == 1 else model_name(spec) for spec in specs]


def _text(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
