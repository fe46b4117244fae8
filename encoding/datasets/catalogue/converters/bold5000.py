"""Convert BOLD5000, release 2.0: single-trial betas of regions, one array a hemisphere and region, and the photographs of every trial."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from encoding.datasets._base import BadData
from encoding.datasets._images import SUFFIXES
from encoding.datasets.catalogue.converters._parts import write_labels
from encoding.datasets.catalogue.fetch import Conversion, Converted
from encoding.datasets.own.array_files import open_array
from encoding.storage.archives import unpack
from encoding.storage.npy import NpyWriter

BETAS, STIMULI = "BOLD5000_GLMsingle_ROI_betas.zip", "BOLD5000_Stimuli.zip"
SIDES = {"lh": "LH", "rh": "RH"}
ROIS = ("EarlyVis", "LOC", "OPA", "PPA", "RSC")
MODEL = "GLMbetas-TYPED-FITHRF-GLMDENOISE-RR_allses"
SHOWN = "/Presented_Stimuli/"  # the folder of photographs in their archive
REPEAT = "rep_"
MAX_BYTES = 20 * 10**9


def convert(work: Conversion) -> Converted:
    """Write one row for each trial, regions side by side, and the photographs that the list of trials names.

    Rows of a photograph stay on one side of every split, and ceilings of single trials come from those that repeat it.
    """
    unpacked = work.folder / "unpacked"
    unpack(work.file(BETAS), unpacked, wanted=lambda name: f"/py/{work.subject}_{MODEL}_" in f"/{name}", max_bytes=MAX_BYTES)
    unpack(work.file(STIMULI), unpacked, wanted=lambda name: name.endswith(f"/{work.subject}_imgnames.txt"), max_bytes=MAX_BYTES)
    names = [line.strip() for line in _find(unpacked, f"{work.subject}_imgnames.txt").read_text().splitlines() if line.strip()]
    rois = {}
    for number, (block, side) in enumerate(SIDES.items()):
        arrays = {roi: open_array(_find(unpacked, f"{work.subject}_{MODEL}_{side}{roi}.npy")) for roi in ROIS}
        for roi, array in arrays.items():
            if array.ndim != 2 or array.shape[0] != len(names):
                raise BadData(f"{side}{roi} of {work.subject} has shape {array.shape}, and its list names {len(names):,} trials.")
        widths = [array.shape[1] for array in arrays.values()]
        with NpyWriter(work.folder / f"{block}.npy", (len(names), sum(widths))) as writer:
            writer.write(np.concatenate([np.asarray(array, np.float32) for array in arrays.values()], axis=1))
        of_column = np.repeat(np.arange(len(ROIS)), widths)
        masks = {roi: of_column == place for place, roi in enumerate(ROIS)}
        rois[block] = {"regions": write_labels(work.folder / f"{block}_regions.npy", masks)}
        work.report(0.1 * (number + 1), f"{block} of {work.subject}")
    paths = _write_images(work, names)
    (work.folder / "stimuli.txt").write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")
    for path in sorted(unpacked.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    unpacked.rmdir()
    return {
        "stimuli": {"files": "./stimuli.txt", "folder": "./images"},
        "responses": {block: f"./{block}.npy" for block in SIDES},
        "rois": rois,
        "ceiling_from": "ncsnr",
    }, "holdout:0.9:5"


def _write_images(work: Conversion, names: list[str]) -> list[str]:
    """Unpack the photographs that trials name; return the path of each trial's below ``images``."""
    wanted = {name.removeprefix(REPEAT) for name in names} | set(names)
    work.report(0.3, "unpacking photographs")
    unpack(
        work.file(STIMULI),
        work.folder / "images",
        wanted=lambda name: SHOWN in name and Path(name).name in wanted and Path(name).suffix.lower() in SUFFIXES,
        max_bytes=MAX_BYTES,
    )
    there = {path.name: path.relative_to(work.folder / "images").as_posix() for path in (work.folder / "images").rglob("*.*")}
    paths = [there.get(name) or there.get(name.removeprefix(REPEAT)) for name in names]
    if None in paths:
        missing = [name for name, path in zip(names, paths, strict=True) if path is None]
        raise BadData(f"{STIMULI} holds {len(missing):,} of {len(names):,} photographs of {work.subject} not, the first {missing[0]}.")
    return paths


def _find(folder: Path, name: str) -> Path:
    """A file that was unpacked, in whatever folder; BadData where it is missing."""
    found = next(folder.rglob(name), None)
    if found is None:
        raise BadData(f"The archives hold no {name}.")
    return found
