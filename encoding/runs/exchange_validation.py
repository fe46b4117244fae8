"""What is checked of a fit that somebody sent, before any of it is believed: shapes, ranges, names and texts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from encoding.datasets._base import FSAVERAGE_VERTICES
from encoding.evaluation.scores import STORED_SCORES
from encoding.fits.spec import FitSpec
from encoding.readouts import READOUTS
from encoding.runs.exchange_models import wrong_with
from encoding.runs.imported import Arrays, part_of

PARTS = {"about", "fit", "intervals", "curve", "model"}
MOST_STIMULI, MOST_FRAMES = 1_000_000, 10_000
MOST_TEXT = 200  # characters of a name
FIT_KEY = re.compile(r"fit-[0-9a-f]{20}")
BLOCK_NAME = re.compile(r"[A-Za-z0-9]{1,20}")
PLAIN = re.compile(r"[\w .:/+@,()=*&~^%'-]*")  # nothing that Markdown or HTML would read as a picture or a tag
TOLD = ("spec", "simulated", "backbone", "device", "fit_seconds")  # of what a fit was made from


class Contradiction(ValueError):
    """Arrays of an exported fit do not fit one another, or say what cannot be."""


def checked(manifest: Mapping[str, Any], arrays: Arrays) -> FitSpec:
    """The spec of a fit that was sent, once its arrays and its account of itself were found sound.

    ``manifest["provenance"]`` is left with the fields that are known, all of them plain text and numbers.

    Raises
    ------
    Contradiction where something does not fit.
    """
    check_arrays(arrays)
    told = manifest["provenance"]
    made = told.get("made_from")
    _require(isinstance(made, dict) and isinstance(made.get("spec"), dict), "no spec")
    _require(isinstance(told.get("key"), str) and bool(FIT_KEY.fullmatch(told["key"])), "no key of a fit")
    _require(isinstance(made.get("simulated"), bool), "no word on whether it is simulated")
    _require(_is_plain(told) and _is_plain(manifest["by"]), "text that is not plain")
    _require(isinstance(told.get("libraries", {}), dict) and isinstance(made.get("fit_seconds", 0), int | float), "no sound provenance")
    try:
        spec = FitSpec.from_dict(made["spec"])
        texts = [getattr(spec, name) for name in ("dataset", "subject", "backbone", "weights", "readout", "split", "pool")]
        texts += [*spec.layers, *spec.rois, *spec.extra_subjects]
        _require(all(isinstance(text, str) and text for text in texts) and isinstance(spec.n_components, int), "no sound spec")
        _require(spec == FitSpec.from_dict(spec.to_dict()), "no sound spec")
        spec.to_command()
    except (TypeError, AttributeError, KeyError, ValueError) as error:
        raise Contradiction(f"This file cannot be opened: its spec says what cannot be ({error}).") from error
    about = part_of(arrays, "about")
    _check_models(spec, arrays)
    _require(set(spec.rois) <= set(_texts(about, "rois")), "ROIs that it does not have")
    _require(spec.hemi in ("both", *_texts(about, "hemis")), "more than one hemisphere")
    told["made_from"] = {name: made[name] for name in TOLD if name in made}
    return spec


def check_arrays(arrays: Arrays) -> None:
    """Contradiction unless every array, those of models apart, has the shape and range that :meth:`Imported.of` counts on."""
    about, fit = part_of(arrays, "about"), part_of(arrays, "fit")
    _require({name.partition(".")[0] for name in arrays} <= PARTS, "parts of another name")
    hemis = _texts(about, "hemis")
    _require(0 < len(hemis) <= 8 and len(set(hemis)) == len(hemis), "no sound names of hemispheres")
    _require(all(BLOCK_NAME.fullmatch(hemi) for hemi in hemis), "no sound names of hemispheres")
    rois = _texts(about, "rois")
    _require(len(set(rois)) == len(rois), "an ROI twice")
    _require(len(_texts(about, "fingerprints")) == len(hemis), "not one fingerprint for each hemisphere")
    n_folds = _check_rows(about)
    known = set()
    for hemi in hemis:
        r = _array(fit, f"{hemi}_r", "f", 2)
        n_vertices = r.shape[1]
        _require(n_vertices > 0 and not (np.abs(r) > 1.001).any(), f"no possible correlations ({hemi})")
        known |= {name for name in fit if name.startswith(f"{hemi}_")}
        for name in [*STORED_SCORES, *(name.removeprefix(f"{hemi}_") for name in fit if name.startswith(f"{hemi}_"))]:
            _require(_array(fit, f"{hemi}_{name}", "biuf", 2).shape == (n_folds, n_vertices), f"scores of another shape ({hemi}_{name})")
        members = _array(about, f"{hemi}_members", "u", 2)
        _require(members.dtype == np.uint8 and members.shape == (len(rois), -(-n_vertices // 8)), f"ROIs of another shape ({hemi})")
        _check_vertices(about, hemi, n_vertices)
    _require(known == set(fit), "scores of no hemisphere")
    for name in ("ceiling", "vertices"):
        _require(len([hemi for hemi in hemis if f"{hemi}_{name}" in about]) in (0, len(hemis)), f"{name} of some hemispheres alone")
    _check_sampled(about, {hemi: fit[f"{hemi}_r"].shape[1] for hemi in hemis})
    _check_intervals(part_of(arrays, "intervals"), hemis)
    _check_curve(part_of(arrays, "curve"), {hemi: fit[f"{hemi}_r"].shape[1] for hemi in hemis})


def _check_models(spec: FitSpec, arrays: Arrays) -> None:
    """Models, where there are some, fit the fit; those of a readout that sends none, or that is not known here, are refused."""
    about, models = part_of(arrays, "about"), part_of(arrays, "model")
    n_frames = int(_array(about, "n_frames", "iu", 0)) if "n_frames" in about else 1
    _require(0 < n_frames <= MOST_FRAMES, "no possible number of frames")
    if not models:
        return
    known = READOUTS.get(spec.readout)
    _require(known is not None and not known.export_refusal, "models of a readout whose models are not sent")
    n_vertices = {hemi: part_of(arrays, "fit")[f"{hemi}_r"].shape[1] for hemi in _texts(about, "hemis")}
    n_spaces = len(spec.layers) if known.by_layer else 1
    in_order = n_frames if spec.over_frames == "sequence" else 1
    wrong = wrong_with(models, n_vertices, n_folds=_check_rows(about), n_spaces=n_spaces, n_frames=in_order)
    _require(not wrong, wrong)


def _check_rows(about: Arrays) -> int:
    """The number of folds."""
    n_stimuli = _array(about, "n_stimuli", "iu", 0)
    _require(0 < int(n_stimuli) <= MOST_STIMULI, "no possible number of stimuli")
    lengths = []
    for name in ("train", "test"):
        rows, sizes = _array(about, f"{name}_rows", "iu", 1), _array(about, f"{name}_sizes", "iu", 1)
        _require(len(sizes) > 0 and int(sizes.min()) > 0 and int(sizes.max()) <= MOST_STIMULI, f"no {name} rows")
        _require(int(sizes.sum()) == len(rows) and int(rows.min()) >= 0 and int(rows.max()) < int(n_stimuli), f"no such {name} rows")
        lengths.append(len(sizes))
    _require(lengths[0] == lengths[1] <= 1_000, "no possible number of folds")
    return lengths[0]


def _check_vertices(about: Arrays, hemi: str, n_vertices: int) -> None:
    if f"{hemi}_ceiling" in about:
        ceiling = _array(about, f"{hemi}_ceiling", "f", 1)
        _require(ceiling.shape == (n_vertices,) and bool(((ceiling >= 0) & (ceiling <= 1)).all()), f"no possible ceilings ({hemi})")
    if f"{hemi}_vertices" in about:
        vertices = _array(about, f"{hemi}_vertices", "iu", 1)
        _require(vertices.shape == (n_vertices,) and _within(vertices, FSAVERAGE_VERTICES), f"no possible places ({hemi})")


def _check_sampled(about: Arrays, n_vertices: Mapping[str, int]) -> None:
    named = [f"{hemi}_{part}" for hemi in ("lh", "rh") for part in ("there", "columns")]
    _require(len([name for name in named if name in about]) in (0, 4), "places of one hemisphere alone")
    if "lh_there" not in about:
        return
    _require(len(n_vertices) == 1, "places of voxels for more than one block")
    for hemi in ("lh", "rh"):
        there, columns = (_array(about, f"{hemi}_{part}", "iu", 1) for part in ("there", "columns"))
        sound = there.shape == columns.shape and _within(there, FSAVERAGE_VERTICES) and _within(columns, *n_vertices.values())
        _require(sound, f"no possible places ({hemi})")


def _check_intervals(found: Arrays, hemis: list[str]) -> None:
    if not found:
        return
    n_rois = len(_texts(found, "rois"))
    for hemi in hemis:
        draws = _array(found, f"{hemi}_draws", "f", 2)
        ends = [_array(found, f"{hemi}_{end}", "f", 1) for end in ("low", "high")]
        _require(draws.shape[1] == n_rois and all(len(end) == n_rois for end in ends), f"intervals of another shape ({hemi})")


def _check_curve(found: Arrays, n_vertices: Mapping[str, int]) -> None:
    if not found:
        return
    n_sizes = len(_array(found, "sizes", "iu", 1))
    for hemi, n in n_vertices.items():
        for line in ("train", "test"):
            _require(_array(found, f"{hemi}_{line}", "f", 2).shape == (n_sizes, n), f"a learning curve of another shape ({hemi})")


def _is_plain(value: Any, depth: int = 0) -> bool:
    """Whether JSON holds nothing but plain short texts, numbers and not too many of them."""
    if isinstance(value, str):
        return len(value) <= MOST_TEXT and bool(PLAIN.fullmatch(value))
    if isinstance(value, dict):
        return depth < 6 and len(value) <= 200 and all(_is_plain(each, depth + 1) for pair in value.items() for each in pair)
    if isinstance(value, list):
        return depth < 6 and len(value) <= 1_000 and all(_is_plain(each, depth + 1) for each in value)
    return value is None or isinstance(value, bool) or (isinstance(value, int | float) and abs(value) < 1e15)


def _texts(arrays: Arrays, name: str) -> list[str]:
    array = _array(arrays, name, "Uf" if name == "rois" else "U", 1)  # no ROI at all may have been saved as numbers
    sound = len(array) <= 1_000 and (array.dtype.kind == "U" or not len(array)) and array.dtype.itemsize <= 4 * MOST_TEXT
    _require(sound, f"no sound {name}")
    try:
        texts = [str(text) for text in array]
    except ValueError as error:
        raise Contradiction(f"This file cannot be opened: it has no sound {name}.") from error
    _require(all(text and PLAIN.fullmatch(text) for text in texts), f"no sound {name}")
    return texts


def _array(arrays: Arrays, name: str, kinds: str, n_dimensions: int) -> np.ndarray:
    array = arrays.get(name)
    _require(array is not None and array.ndim == n_dimensions and array.dtype.kind in kinds, f"no sound {name}")
    return array


def _within(values: np.ndarray, end: int) -> bool:
    return not len(values) or (int(values.min()) >= 0 and int(values.max()) < end)


def _require(right: bool, what: str) -> None:
    if not right:
        raise Contradiction(f"This file cannot be opened: it has {what}.")
