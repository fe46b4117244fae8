"""Links between pages: the file of a page, and the query parameters that show a fit on Explore."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

from encoding import BACKBONES, DATASETS, READOUTS, FitSpec
from encoding.analysis.layer_sweep import Sweep
from encoding.backbones._base import JOIN
from encoding.fits.composition import ComposedSpec, is_composed
from encoding.fits.feature_budget import budget_text, default_budget
from encoding.fits.open import stored_origin
from pages.parts.shared.server_state import store
from pages.parts.shared.start import START

VIEWS = Path(__file__).parents[2] / "views"
EXPLORE = "explore"  # the page's address


def view(name: str) -> Path | None:
    """The file of a page, by the name in its address; None where there is no such page."""
    return next(iter(sorted(VIEWS.glob(f"[0-9]*_{name}.py"))), None)


def explore_address(spec: FitSpec, **looks: str) -> str:
    """Address of Explore at the settings of a fit, relative to the other pages; ``looks`` are further parameters of the link."""
    return f"{EXPLORE}?{urlencode(explore_query(spec) | looks, doseq=True)}"


def layers_address(sweep: Sweep, **looks: str) -> str:
    """Address of Layers at a sweep, as :func:`explore_address`."""
    return f"layers?{urlencode(layers_query(sweep) | looks, doseq=True)}"


def explore_query(spec: FitSpec, *, full: bool = False) -> dict[str, str | list[str]]:
    """Query parameters of a link to a fit on Explore: the controls that are not at their defaults.

    Explore reports every region, so the first of ``spec.rois`` becomes the region looked at; all of them are in the link where that would
    change the fit: where one is a union of regions, or vertices are fitted together by region. Where each vertex has a model of its own
    anyway, ``target_groups`` of one vertex becomes the vertex looked at. A composed fit, which no controls describe, is linked by its key.
    With ``full`` defaults are spelled out as well, so that the link means the same where a default changes.
    A link is never empty, as one without parameters returns to the settings that the session had last.
    """
    if isinstance(spec, ComposedSpec):
        return {"fit": spec.key}
    names = {
        name: name
        for name in (
            "dataset",
            "subject",
            "backbone",
            "weights",
            "input",
            "pool",
            "frames",
            "over_frames",
            "layer_scaling",
            "component_scaling",
            "reduction",
            "degree",
            "delays",
            "readout",
            "split",
            "average_repeats",
            "hemi",
            "feature_dtype",
        )
    }
    names |= {"layers": "layer", "n_components": "components", "extra_subjects": "extra_subjects"}
    values = {key: getattr(spec, name) for name, key in names.items() if full or getattr(spec, name) != getattr(START, name)}
    if spec.dataset in DATASETS and DATASETS[spec.dataset].split != START.split:  # what a link without a split means there
        values["split"] = spec.split
    if full and not spec.extra_subjects:
        del values["extra_subjects"]
    for name in spec.without_effect:
        values.pop(names[name], None)
    if "backbone" in values:
        values["layer"] = spec.layers
        values["backbone"], *further = spec.backbone.split(JOIN)
        values |= {"more_networks": tuple(further)} if further else {}
    options = spec.with_defaults().options if full else spec.options
    options = [(name, v) for name, v in options if v is not None or getattr(READOUTS[spec.readout].options(), name) is not None]
    values |= {f"{spec.readout}_{name}": ", ".join(map(_text, v)) if isinstance(v, tuple) else v for name, v in options}
    if full or spec.feature_budget != default_budget():
        values["feature_budget"] = budget_text(spec.feature_budget)
    if spec.rois:
        values["roi"] = spec.roi_names[0]
        if spec.target_groups.startswith("roi") or any("=" in roi for roi in spec.rois):
            values["rois"] = spec.rois
    if spec.target_groups.startswith("vertex:") and spec.targets_apart:
        values["vertex"] = spec.target_groups.removeprefix("vertex:").replace(":", " ")
    elif not spec.targets_apart and (full or spec.target_groups != START.target_groups):
        values["target_groups"] = spec.target_groups
    values = values or {"dataset": spec.dataset}
    return {key: list(value) if isinstance(value, tuple) else _text(value) for key, value in values.items()}


def stored_query(key: str) -> dict[str, str | list[str]] | None:
    """Query parameters of a link to a finished fit on Explore; None where its spec cannot be read today."""
    try:
        made_from = stored_origin(key, store())
        if is_composed(made_from):
            return {"fit": key}
        return explore_query(FitSpec.from_dict(dict(made_from["spec"])))
    except (LookupError, ValueError, TypeError):
        return None


def layers_query(sweep: Sweep) -> dict[str, str | list[str]]:
    """Query parameters of a link to a sweep on Layers."""
    specs = [replace(sweep.spec, backbone=backbone, layers=sweep.of(backbone)[0][1:]) for backbone in sweep.backbones]
    values = {name: value for spec in specs for name, value in explore_query(spec).items() if name not in ("backbone", "layer")}
    every = [(backbone, layer) for backbone in sweep.backbones for layer in BACKBONES[backbone].layers(backbone)]
    chosen = [] if list(sweep.cells) == every else [" ".join(cell) for cell in sweep.cells]
    return values | {"backbones": list(sweep.backbones)} | ({"layers": chosen} if chosen else {})


def _text(value: object) -> str:
    """A value as a link writes it: 10 rather than 10.0, true rather than True, none rather than None."""
    return str(value).lower() if isinstance(value, bool) or value is None else str(value).removesuffix(".0")
