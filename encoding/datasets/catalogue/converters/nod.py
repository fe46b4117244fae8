"""Convert sessions of the Natural Object Dataset: betas of ImageNet photographs on fsLR 32k, ceilings and ROIs."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np

from encoding.datasets._base import BadData
from encoding.datasets.catalogue.fetch import Conversion, Converted
from encoding.datasets.own.array_files import open_array
from encoding.datasets.own.formats import cifti_columns
from encoding.evaluation.noise_ceiling import from_ncsnr_of_rows, ncsnr_of_repeats
from encoding.runtime.progress import subprogress
from encoding.storage.npy import NpyWriter

RUNS = range(1, 11)
CEILINGS, LOCALISERS = "coco", "floc"  # parts that are no sessions of rows
KINDS = ("faces", "bodies", "places", "words")
SIDES = {"lh": "L", "rh": "R"}
AT_ONCE = 4096  # vertices whose ceilings are estimated together
N_AREAS = 180  # of a hemisphere in the parcellation HCP-MMP1; those of the right one have labels from 181
VISUAL = (
    "V1", "V2", "V3", "V4", "V8", "V3A", "V3B", "V6", "V7", "IPS1", "LO1", "LO2", "LO3", "PIT", "V3CD", "V4t", "MT", "MST", "FST",
    "FFC", "VVC", "VMV1", "VMV2", "VMV3", "PHA1", "PHA2", "PHA3",
)  # fmt: skip


def convert(work: Conversion) -> Converted:
    """Write betas z-scored per vertex within each run, the photographs in the order of the events, ROIs and noise ceilings.

    Photographs are fetched here, as only the events name them. Each is shown once, so a ceiling is that of single trials: it comes from
    the ten repeats of the COCO photographs, z-scored within each run as the rows are. ROIs are visual areas of HCP-MMP1 and localisers.
    """
    sessions = sorted(set(work.parts) - {CEILINGS, LOCALISERS})
    if not sessions:
        raise BadData("No session of photographs was named: add imagenet01 to the parts.")
    runs = [(session, run) for session in sessions for run in RUNS]
    betas = [work.file(f"{work.subject}_{session}_run-{run}_beta.dscalar.nii") for session, run in runs]
    shown = [read_events(work.file(f"{work.subject}_{session}_run-{run:02d}_events.tsv")) for session, run in runs]
    places = {block: cifti_columns(betas[0], block) for block in SIDES}
    n_rows = sum(map(len, shown))
    with (
        NpyWriter(work.folder / "lh.npy", (n_rows, len(places["lh"][0]))) as left,
        NpyWriter(work.folder / "rh.npy", (n_rows, len(places["rh"][0]))) as right,
    ):
        for number, (path, names) in enumerate(zip(betas, shown, strict=True)):
            for block, writer in (("lh", left), ("rh", right)):
                writer.write(_read_run(path, block, len(names), places[block][1]))
            work.report(0.4 * (number + 1) / len(betas), f"run {number + 1} of {len(betas)}")
    images = list(dict.fromkeys(name for names in shown for name in names))
    work.more(images, work.folder / "images", subprogress(work.report, 0.4, 1))
    (work.folder / "stimuli.txt").write_text("\n".join(name for names in shown for name in names) + "\n", encoding="utf-8")
    rois = read_areas(work.file("MMP_mpmLR32k.mat"), work.file("roilbl_mmp.csv"), places, work.folder)
    spheres, vertices = {}, {}
    for block, side in SIDES.items():
        spheres[block] = f"./{block}.sphere.32k_fs_LR.surf.gii"
        shutil.copy(work.file(f"{side}.sphere.32k_fs_LR.surf.gii"), work.folder / spheres[block])
        np.save(work.folder / f"{block}_vertices.npy", places[block][1])
        vertices[block] = f"./{block}_vertices.npy"
    if LOCALISERS in work.parts:
        for block, (_, numbers, _) in places.items():
            rois[block] |= {f"floc-{kind}": _write_localiser(work, block, kind, numbers) for kind in KINDS}
    table = {
        "stimuli": {"files": "./stimuli.txt", "folder": "./images"},
        "responses": {block: f"./{block}.npy" for block in SIDES},
        "vertices": {"space": "fsLR", "spheres": spheres, **vertices},
        "rois": rois,
    }
    if CEILINGS in work.parts:
        for block, (_, numbers, _) in places.items():
            np.save(work.folder / f"{block}_ceiling.npy", _ceiling(work, block, numbers))
        table |= {"ceiling": {block: f"./{block}_ceiling.npy" for block in SIDES}, "ceiling_unit": "fraction"}
    return table, "holdout:0.9:5"


def _ceiling(work: Conversion, block: str, vertices: np.ndarray) -> np.ndarray:
    """Noise ceiling of single trials from the runs of COCO photographs, (n_vertices,) float32: row i of every run is photograph i."""
    paths = [work.file(f"{work.subject}_coco_run-{run}_beta.dscalar.nii") for run in RUNS]
    n_rows = open_array(Path(f"{paths[0]}:{block}")).shape[0]
    rows = np.concatenate([_read_run(path, block, n_rows, vertices) for path in paths])
    ncsnr = np.zeros(len(vertices))
    for start in range(0, len(vertices), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        ncsnr[part] = ncsnr_of_repeats(rows[:, part], np.tile(np.arange(n_rows), len(RUNS)), np.repeat(RUNS, n_rows))
    return from_ncsnr_of_rows(ncsnr, np.ones(1))


def _write_localiser(work: Conversion, block: str, kind: str, vertices: np.ndarray) -> str:
    """The mask of a localiser's vertices, those of any label but 0; BadData where it lies on other vertices."""
    path = work.file(f"{work.subject}_floc-{kind}.dlabel.nii")
    labels, own = np.asarray(open_array(Path(f"{path}:{block}"))).ravel(), cifti_columns(path, block)[1]
    if labels.shape != own.shape or len(np.setdiff1d(vertices, own)):
        raise BadData(
            f"{path.name} has {labels.size:,} labels for {len(own):,} vertices, and betas are of {len(vertices):,} {block} vertices."
        )
    np.save(work.folder / f"{block}_floc-{kind}.npy", np.isin(vertices, own[labels > 0]))
    return f"./{block}_floc-{kind}.npy"


def read_events(path: Path) -> list[str]:
    """Paths of the photographs of a run below the data set's ``stimuli``, in the order in which they were shown."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    names = [(row.get("stim_file") or "").strip() for row in rows]
    names = [name for name in names if name and name != "n/a"]
    if not names:
        raise BadData(f"{path.name} names no photograph: it needs a column stim_file.")
    return names


def read_areas(labels: Path, names: Path, places: dict[str, tuple[np.ndarray, np.ndarray, int]], folder: Path) -> dict[str, object]:
    """Save each hemisphere's labels and give the tables of ``dataset.toml`` for them.

    Parameters
    ----------
    labels : ``glasser_MMP``, a label for each cortical column of a CIFTI file, left hemisphere first.
    names : a table whose first column names the areas in the order of their labels, such as ``L_V1_ROI``.

    Raises
    ------
    BadData where there are other columns, or label 1 is not V1.
    """
    values = np.asarray(open_array(Path(f"{labels}:glasser_MMP"))).ravel().astype(int)
    first = [line.split(",")[0].strip().strip('"') for line in names.read_text(encoding="utf-8-sig").splitlines()]
    areas = [cell.split("_")[1] for cell in first if cell.count("_") >= 2][:N_AREAS]
    n_columns = sum(len(columns) for columns, _, _ in places.values())
    if len(values) != n_columns or areas[:1] != ["V1"]:
        raise BadData(f"{labels.name} has {len(values):,} labels for {n_columns:,} columns, and {names.name} begins with {areas[:3]}.")
    known, rois = {name: areas.index(name) + 1 for name in VISUAL if name in areas}, {}
    for block, (columns, _, _) in places.items():
        own = values[columns]
        np.save(folder / f"{block}_areas.npy", np.where(own > N_AREAS, own - N_AREAS, own))
        rois[block] = {"areas": {"labels": f"./{block}_areas.npy", "names": known}}
    return rois


def _read_run(path: Path, block: str, n_rows: int, vertices: np.ndarray) -> np.ndarray:
    """A hemisphere's betas of a run, (n_rows, n_vertices) float32, z-scored per vertex; 0 where a vertex is constant."""
    betas = np.asarray(open_array(Path(f"{path}:{block}")), np.float64)
    if betas.shape != (n_rows, len(vertices)) or not np.array_equal(cifti_columns(path, block)[1], vertices):
        raise BadData(
            f"{path.name} has betas of shape {betas.shape}, where the events name {n_rows} photographs and the first run has "
            f"{len(vertices):,} vertices."
        )
    betas = np.nan_to_num(betas - betas.mean(0))
    spread = betas.std(0)
    return (betas / np.where(spread > 0, spread, 1)).astype(np.float32)
