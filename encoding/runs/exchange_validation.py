"""Validate an imported fit archive: array shapes and dtypes, value ranges, plain-text fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from encoding.analysis.bootstrap import INTERVALS_VERSION, ONE_FOLD_VERSION
from encoding.datasets._base import FSAVERAGE_VERTICES
from encoding.evaluation.scores import SCORES, STORED_SCORES
from encoding.evaluation.splits import ALL
from encoding.features.delays import read_delays
from encoding.fits.spec import FitSpec
from encoding.readouts import READOUTS
from encoding.runs.exchange_models import check_models
from encoding.runs.imported import MAX_TEXT, PLAIN, ROWS_OF, Arrays, part_of
from encoding.runs.manifest import BadExchange, Manifest

PARTS = {"about", "fit", "pooled", "intervals", "curve", "model"}
MAX_STIMULI, MAX_FOLDS, MAX_FRAMES, MAX_COMPONENTS = 1_000_000, 1_000, 10_000, 10_000_000
MAX_HEMIS, MAX_ROIS, MAX_DRAWS = 8, 1_000, 1_000_000
MAX_NUMBER = 1e15  # of any number in the manifest
MAX_R = 1.001  # a correlation, with what rounding may add
RANGES = {name: (0.0, np.inf) if SCORES[name].lower_is_better else (-np.inf, MAX_R) for name in STORED_SCORES} | {"r": (-MAX_R, MAX_R)}
FIT_KEY = re.compile(r"fit-[0-9a-f]{20}")
BLOCK_NAME = re.compile(r"[A-Za-z0-9]{1,20}")
PLAIN_TEXT = re.compile(f"[{PLAIN}]*")
MAX_VOXELS = 2**25  # of a volume
MADE_FROM = ("spec", "simulated", "backbone", "device", "fit_seconds")  # fields that are kept


def validated_spec(manifest: Manifest, arrays: Arrays) -> tuple[FitSpec, dict[str, Any]]:
    """Validate an archive as a whole.

    Parameters
    ----------
    arrays : ``part.name`` to array, as :func:`encoding.runs.archive.read_archive` returns them.

    Returns
    -------
    The fit's spec, and its provenance with the known fields of ``made_from`` alone, all of them plain text and numbers.

    Raises
    ------
    BadExchange where arrays do not fit one another or the spec, a value is out of range, or a text is not plain.
    """
    check_arrays(arrays)
    provenance = dict(manifest.provenance)
    made = provenance.get("made_from")
    _require(isinstance(made, dict) and isinstance(made.get("spec"), dict), "no spec")
    _require(isinstance(provenance.get("key"), str) and bool(FIT_KEY.fullmatch(provenance["key"])), "no key of a fit")
    _require(isinstance(made.get("simulated"), bool), "no word on whether it is simulated")
    _require(_is_plain(provenance) and _is_plain(manifest.by), "text that is not plain")
    seconds = made.get("fit_seconds", 0)
    sound = isinstance(provenance.get("libraries", {}), dict) and isinstance(seconds, int | float) and seconds >= 0
    _require(sound, "no sound provenance")
    try:
        spec = FitSpec.from_dict(made["spec"])
        texts = [getattr(spec, name) for name in ("dataset", "subject", "backbone", "weights", "readout", "split", "pool")]
        texts += [*spec.layers, *spec.rois, *spec.extra_subjects]
        _require(all(isinstance(text, str) and text for text in texts), "no sound spec")
        counts = ((spec.n_components, MAX_COMPONENTS), (spec.frames, MAX_FRAMES))
        _require(all(type(n) is int and n <= most for n, most in counts), "no possible number of components or frames in its spec")
        _require(spec == FitSpec.from_dict(spec.to_dict()), "no sound spec")
        spec.to_command(full=True)
    except BadExchange:
        raise
    except (TypeError, AttributeError, KeyError, ValueError) as error:
        raise BadExchange(f"This file cannot be opened: its spec says what cannot be ({error}).") from error
    about = part_of(arrays, "about")
    _require((spec.split == ALL) == (len(about["test_rows"]) == 0), "test rows that do not go with its split")
    _check_models(spec, arrays)
    _require(set(spec.roi_names) <= set(_texts(about, "rois")), "ROIs that it does not have")
    _require(spec.hemi in ("both", *_texts(about, "hemis")), "more than one hemisphere")
    return spec, provenance | {"made_from": {name: made[name] for name in MADE_FROM if name in made}}


def check_arrays(arrays: Arrays) -> None:
    """Check the shape, dtype and range of every array except those of models.

    A score that is unknown to this version is treated as a readout detail, and a missing one as NaN; only ``r`` is required.

    Raises
    ------
    BadExchange where an array is not of the form that :meth:`encoding.runs.imported.Imported.of` reads.
    """
    about, fit = part_of(arrays, "about"), part_of(arrays, "fit")
    _require({name.partition(".")[0] for name in arrays} <= PARTS, "parts of another name")
    hemis = _texts(about, "hemis")
    _require(0 < len(hemis) <= MAX_HEMIS and len(set(hemis)) == len(hemis), "no sound names of hemispheres")
    _require(all(BLOCK_NAME.fullmatch(hemi) for hemi in hemis), "no sound names of hemispheres")
    rois = _texts(about, "rois")
    _require(len(set(rois)) == len(rois), "an ROI twice")
    _require(len(_texts(about, "fingerprints")) == len(hemis), "not one fingerprint for each hemisphere")
    n_folds = _check_rows(about)
    n_vertices = {hemi: _array(fit, f"{hemi}_r", "f", 2).shape[1] for hemi in hemis}
    _check_scores(fit, n_vertices, n_folds, tested=len(about["test_rows"]) > 0)
    pooled = part_of(arrays, "pooled")
    _require(not pooled or set(pooled) == {f"{hemi}_r" for hemi in hemis}, "pooled r of some hemispheres alone")
    for hemi, n in n_vertices.items():
        r = _array(pooled, f"{hemi}_r", "f", 1) if pooled else np.zeros(n)
        _require(r.shape == (n,) and not (np.abs(r) > MAX_R).any(), f"no possible pooled r ({hemi})")
    for hemi, n in n_vertices.items():
        members = _array(about, f"{hemi}_members", "u", 2)
        _require(members.dtype == np.uint8 and members.shape == (len(rois), -(-n // 8)), f"ROIs of another shape ({hemi})")
        _check_places(about, hemi, n)
    for name in ("ceiling", "vertices"):
        _require(len([hemi for hemi in hemis if f"{hemi}_{name}" in about]) in (0, len(hemis)), f"{name} of some hemispheres alone")
    _check_sampled(about, n_vertices)
    _check_grid(about, n_vertices)
    _check_splits(about)
    _require("ceiling_about" not in about or len(_texts(about, "ceiling_about")) == 1, "no sound word on its ceilings")
    _check_intervals(part_of(arrays, "intervals"), hemis)
    _check_curve(part_of(arrays, "curve"), n_vertices)


def _check_scores(fit: Arrays, n_vertices: Mapping[str, int], n_folds: int, *, tested: bool) -> None:
    """Scores and details: of the same names in every hemisphere, one row a fold, and within the range of the score."""
    names = {hemi: {name.removeprefix(f"{hemi}_") for name in fit if name.startswith(f"{hemi}_")} for hemi in n_vertices}
    _require(sum(map(len, names.values())) == len(fit), "scores of no hemisphere")
    _require(len({frozenset(each) for each in names.values()}) == 1, "scores or details of some hemispheres alone")
    for hemi, n in n_vertices.items():
        _require(n > 0, f"no vertices ({hemi})")
        for name in names[hemi]:
            values = _array(fit, f"{hemi}_{name}", "biuf", 2)
            _require(values.shape == (n_folds, n), f"scores of another shape ({hemi}_{name})")
            if name in RANGES:
                low, high = RANGES[name]
                sound = np.isnan(values) | (np.isfinite(values) & (values >= low) & (values <= high))
                _require(bool(sound.all()), f"no possible values of {name} ({hemi})")
    scored = any(np.isfinite(fit[f"{hemi}_r"]).any() for hemi in n_vertices)
    _require(scored == tested, "no vertex with a correlation" if tested else "correlations without test rows")


def _check_models(spec: FitSpec, arrays: Arrays) -> None:
    """Models fit the fit; those of a readout that exports none, or that is not known here, are refused."""
    about, models = part_of(arrays, "about"), part_of(arrays, "model")
    n_frames = int(_array(about, "n_frames", "iu", 0)) if "n_frames" in about else 1
    _require(0 < n_frames <= MAX_FRAMES, "no possible number of frames")
    if not models:
        return
    readout = READOUTS.get(spec.readout)
    _require(readout is not None and not readout.export_refusal, "models of a readout whose models are not sent")
    n_vertices = {hemi: part_of(arrays, "fit")[f"{hemi}_r"].shape[1] for hemi in _texts(about, "hemis")}
    n_spaces = len(spec.layers) if readout.by_layer else 1
    in_order = n_frames if spec.over_frames == "sequence" else 1
    counts = {"n_folds": _check_rows(about), "n_spaces": n_spaces, "n_frames": in_order, "degree": spec.degree}
    wrong = check_models(models, n_vertices, **counts, sparse=spec.reduction != "pca", delay_sets=read_delays(spec.delays))
    _require(not wrong, wrong)


def _check_rows(about: Arrays) -> int:
    """Check training and test rows, and which rows belong together; the number of folds."""
    n_stimuli = _array(about, "n_stimuli", "iu", 0)
    _require(0 < int(n_stimuli) <= MAX_STIMULI, "no possible number of stimuli")
    for name in (name for name in ROWS_OF if name in about):
        of_row = _array(about, name, "iu", 1)
        _require(len(of_row) == int(n_stimuli) and _within(of_row, MAX_STIMULI), f"no possible {name} of its rows")
    n_folds = []
    for name in ("train", "test"):
        rows, sizes = _array(about, f"{name}_rows", "iu", 1), _array(about, f"{name}_sizes", "iu", 1)
        if name == "test" and sizes.tolist() == [0] and not len(rows):  # of the split all, which validated_spec compares
            n_folds.append(1)
            continue
        _require(len(sizes) > 0 and int(sizes.min()) > 0 and int(sizes.max()) <= MAX_STIMULI, f"no {name} rows")
        _require(int(sizes.sum()) == len(rows) and int(rows.min()) >= 0 and int(rows.max()) < int(n_stimuli), f"no such {name} rows")
        n_folds.append(len(sizes))
    _require(n_folds[0] == n_folds[1] <= MAX_FOLDS, "no possible number of folds")
    return n_folds[0]


def _check_places(about: Arrays, hemi: str, n_vertices: int) -> None:
    if f"{hemi}_ceiling" in about:
        ceiling = _array(about, f"{hemi}_ceiling", "f", 1)
        _require(ceiling.shape == (n_vertices,) and bool(((ceiling >= 0) & (ceiling <= 1)).all()), f"no possible ceilings ({hemi})")
    if f"{hemi}_vertices" in about:
        vertices = _array(about, f"{hemi}_vertices", "iu", 1)
        _require(vertices.shape == (n_vertices,) and _within(vertices, FSAVERAGE_VERTICES), f"no possible places ({hemi})")


def _check_sampled(about: Arrays, n_vertices: Mapping[str, int]) -> None:
    expected = [f"{hemi}_{part}" for hemi in ("lh", "rh") for part in ("there", "columns")]
    _require(len([name for name in expected if name in about]) in (0, 4), "places of one hemisphere alone")
    if "lh_there" not in about:
        return
    _require(len(n_vertices) == 1, "places of voxels for more than one block")
    for hemi in ("lh", "rh"):
        vertices, columns = (_array(about, f"{hemi}_{part}", "iu", 1) for part in ("there", "columns"))
        sound = vertices.shape == columns.shape and _within(vertices, FSAVERAGE_VERTICES) and _within(columns, *n_vertices.values())
        _require(sound, f"no possible places ({hemi})")


def _check_grid(about: Arrays, n_vertices: Mapping[str, int]) -> None:
    """The volume that the columns of the one block are voxels of."""
    names = [name for name in ("grid_voxels", "grid_shape", "grid_affine") if name in about]
    _require(len(names) in (0, 3), "half a volume")
    if not names:
        return
    voxels, shape = (_array(about, f"grid_{name}", "iu", 1) for name in ("voxels", "shape"))
    affine = _array(about, "grid_affine", "f", 2)
    _require(len(n_vertices) == 1 and voxels.shape == (*n_vertices.values(),), "a volume of other voxels")
    sound = shape.shape == (3,) and int(shape.min()) > 0 and np.prod(shape, dtype=float) <= MAX_VOXELS
    _require(sound and _within(voxels, int(np.prod(shape))), "no possible volume")
    sound = affine.shape == (4, 4) and bool((np.abs(affine) < MAX_NUMBER).all()) and abs(float(np.linalg.det(affine))) > 0
    _require(sound, "no possible place of its volume")


def _check_splits(about: Arrays) -> None:
    """Splits that came with the data: rows that are there, none of which trains and tests."""
    names = _texts(about, "splits") if "splits" in about else []
    for number, name in enumerate(names):
        train, tests = _array(about, f"split_{number}_train", "iu", 1), _texts(about, f"split_{number}_names")
        _require(len(set(tests)) == len(tests) > 0 and len(set(names)) == len(names), "a split or test set twice")
        for place in range(len(tests)):
            rows = _array(about, f"split_{number}_test_{place}", "iu", 1)
            sound = _within(rows, int(about["n_stimuli"])) and _within(train, int(about["n_stimuli"]))
            _require(sound and not np.isin(rows, train).any(), f"no possible rows of the split {name}")


def _check_intervals(intervals: Arrays, hemis: list[str]) -> None:
    """Check intervals of this release and of the first; those of a later one are never read (:func:`intervals_of`)."""
    version = int(_array(intervals, "version", "iu", 0)) if "version" in intervals else 1
    if not intervals or version > INTERVALS_VERSION:
        return
    n_rois = len(_texts(intervals, "rois"))
    if version >= ONE_FOLD_VERSION:
        for name in ("n_units", "df"):
            _require(1 <= int(_array(intervals, name, "iu", 0)) <= MAX_STIMULI, f"no possible {name} of intervals")
        _require(all(f"{hemi}_value" in intervals for hemi in hemis), "intervals without values")
        for name in (name for name in intervals if name.endswith(("_value", "_low", "_high"))):
            values = _array(intervals, name, "f", 1).astype(float)
            _require(len(values) == n_rois and not (np.abs(values) > MAX_NUMBER).any(), f"no possible intervals ({name})")
            of_score, _, what = name.rpartition("_")
            _require(what == "value" or {f"{of_score}_low", f"{of_score}_high"} <= set(intervals), f"half an interval ({name})")
    for hemi in hemis:
        draws = _array(intervals, f"{hemi}_draws", "f", 2)
        ends = [_array(intervals, f"{hemi}_{end}", "f", 1) for end in ("low", "high")]
        sound = 2 <= len(draws) <= MAX_DRAWS and draws.shape[1] == n_rois and all(len(end) == n_rois for end in ends)
        _require(sound, f"intervals of another shape ({hemi})")
        _require(not any((np.abs(values) > MAX_R).any() for values in (draws, *ends)), f"no possible intervals ({hemi})")
    for name in (name for name in intervals if name.endswith("_draws")):
        drawn = _array(intervals, name, "f", 2)
        sound = 2 <= len(drawn) <= MAX_DRAWS and drawn.shape[1] == n_rois and not (np.abs(drawn) > MAX_NUMBER).any()
        _require(sound, f"no possible intervals ({name})")


def _check_curve(curve: Arrays, n_vertices: Mapping[str, int]) -> None:
    if not curve:
        return
    sizes = _array(curve, "sizes", "iu", 1)
    _require(len(sizes) > 0 and int(sizes.min()) > 0 and int(sizes.max()) <= MAX_STIMULI, "no possible sizes of a learning curve")
    for hemi, n in n_vertices.items():
        for line in ("train", "test"):
            r = _array(curve, f"{hemi}_{line}", "f", 2)
            _require(r.shape == (len(sizes), n), f"a learning curve of another shape ({hemi})")
            _require(not (np.abs(r) > MAX_R).any(), f"no possible learning curve ({hemi})")


def _is_plain(value: Any, depth: int = 0) -> bool:
    """Whether JSON holds nothing but plain short texts, numbers in range, and not too many of them."""
    if isinstance(value, str):
        return len(value) <= MAX_TEXT and bool(PLAIN_TEXT.fullmatch(value))
    if isinstance(value, dict):
        return depth < 6 and len(value) <= 200 and all(_is_plain(each, depth + 1) for pair in value.items() for each in pair)
    if isinstance(value, list):
        return depth < 6 and len(value) <= 1_000 and all(_is_plain(each, depth + 1) for each in value)
    return value is None or isinstance(value, bool) or (isinstance(value, int | float) and abs(value) < MAX_NUMBER)


def _texts(arrays: Arrays, name: str) -> list[str]:
    array = _array(arrays, name, "Uf" if name == "rois" else "U", 1)  # an empty list of ROIs may have been saved as numbers
    sound = len(array) <= MAX_ROIS and (array.dtype.kind == "U" or not len(array)) and array.dtype.itemsize <= 4 * MAX_TEXT
    _require(sound, f"no sound {name}")
    try:
        texts = [str(text) for text in array]
    except ValueError as error:
        raise BadExchange(f"This file cannot be opened: it has no sound {name}.") from error
    _require(all(text and PLAIN_TEXT.fullmatch(text) for text in texts), f"no sound {name}")
    return texts


def _array(arrays: Arrays, name: str, kinds: str, n_dimensions: int) -> np.ndarray:
    array = arrays.get(name)
    _require(array is not None and array.ndim == n_dimensions and array.dtype.kind in kinds, f"no sound {name}")
    return array


def _within(values: np.ndarray, end: int) -> bool:
    return not len(values) or (int(values.min()) >= 0 and int(values.max()) < end)


def _require(holds: bool, problem: str) -> None:
    if not holds:
        raise BadExchange(f"This file cannot be opened: it has {problem}.")
