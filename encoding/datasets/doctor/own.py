"""Diagnose a data set of one's own: its ``dataset.toml`` and the files that it names."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from encoding.datasets import DATASETS, data_dir
from encoding.datasets._description import FILE, SubjectFiles, read_description
from encoding.datasets._images import not_listed
from encoding.datasets._own_files import FROM_ONE, read_ceilings, read_image_paths, read_rois, read_rows, read_unlabelled
from encoding.datasets._responses import require_real
from encoding.datasets.doctor._checks import check_doubles, check_images, check_order, check_sizes, check_values
from encoding.datasets.doctor._findings import Finding, found_by
from encoding.datasets.own import OwnDataset, read_places
from encoding.runtime.progress import Report, subprogress
from encoding.storage.store import Store

TITLE = "your own data"
TELLTALES = (FILE,)
LACKS = f"The description must be named {FILE}; docs/own_data.md says what stands in it."


def find(folder: Path) -> list[Path]:
    """List the ``dataset.toml`` files in or directly below ``folder``."""
    return [folder / FILE] if (folder / FILE).is_file() else sorted(folder.glob(f"[!.]*/{FILE}"))


@dataclass(frozen=True)
class Examination:
    """A subject folder that the doctor examines, with what it has read so far."""

    name: str
    files: SubjectFiles
    store: Store
    report: Report = field(compare=False)

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {block: require_real(path).shape for block, path in self.files.responses.items()}


def examine(path: Path, store: Store, report: Report) -> Iterator[Finding]:
    """Yield the findings about one description, and then about each of its subjects."""
    name = path.parent.name
    yield from found_by(check_description(path), name)
    if OwnDataset(path).problem:
        return
    subjects = read_description(path).subjects
    for i, (subject, files) in enumerate(subjects.items()):
        progress = subprogress(report, i / len(subjects), (i + 1) / len(subjects))
        case = Examination(f"{name} {subject}", files, store, progress)
        for check in CHECKS:
            yield from found_by(check(case), case.name)


def check_description(path: Path) -> Iterator[Finding]:
    """Check that the ``dataset.toml`` parses and that its folder has a free name and lies among the data sets."""
    described = read_description(path)
    n_subjects = len(described.subjects)
    yield Finding("ok", f"{FILE} is understood: {described.title}, {n_subjects} subject{'s' if n_subjects > 1 else ''}.")
    if described.simulated:
        yield Finding("ok", "simulated, as its description says.", "No brain was measured.")
    name, here = path.parent.name, data_dir().resolve()
    if name in DATASETS.built_in:
        what = f"{name} is the name of a data set that is built in."
        yield Finding("error", what, "This one can't be opened by it.", "Rename the folder.")
    elif path.parent.parent.resolve() != here:
        what = f"{path.parent} is not in the folder of data sets, {here}."
        yield Finding("warning", what, "It is in no menu.", "Move it there, or set ENCODING_DATA_DIR to the folder above it.")


def check_stimuli(case: Examination) -> Iterator[Finding]:
    """Check the images."""
    paths = read_image_paths(case.files.images)
    yield from check_images("training", paths, case.store, subprogress(case.report, 0, 0.4))
    if case.files.images.files is None:
        yield from check_order(paths)
        if left_out := not_listed(case.files.images.folder):
            yield Finding("warning", left_out, "They are no rows.")
    if unlabelled := read_unlabelled(case.files.images):
        yield from check_images("unlabelled", unlabelled, case.store, subprogress(case.report, 0.4, 0.45))
    elif case.files.images.unlabelled:
        what = f"no images in {case.files.images.unlabelled}."
        yield Finding("warning", what, "There is nothing to predict without responses.", "Put them there, or take unlabelled out.")


def check_rows(case: Examination) -> Iterator[Finding]:
    """Check that images and rows of responses agree, and find duplicates."""
    images = read_image_paths(case.files.images)
    with warnings.catch_warnings(action="ignore"):  # it is a finding below
        paths, groups = read_rows(case.files, images, case.shapes)
    n_groups, n_shown = len(np.unique(groups)), len(set(paths))
    repeated = "" if n_shown == len(paths) else f" of {n_shown:,} images, some repeated"
    kept = "" if n_groups == len(paths) else f" Splits keep {n_groups:,} groups of rows together."
    yield Finding("ok", f"{len(paths):,} rows{repeated}.{kept}")
    if case.files.repeats is not None and images[0] not in paths and images[1] in paths:
        what = f"{case.files.repeats.name} never names image 0 and begins with image 1."
        yield Finding("warning", what, "If it counts from 1, every row is fitted to the wrong image.", FROM_ONE)
    if n_shown < len(images):
        what = f"{len(images) - n_shown:,} of {len(images):,} images belong to no row."
        yield Finding("warning", what, "Perhaps rows are missing.", "repeats gives the image of each row, counted from 0.")
    yield from check_doubles(paths, read_unlabelled(case.files.images), groups, case.store, subprogress(case.report, 0.45, 0.6))


def check_responses(case: Examination) -> Iterator[Finding]:
    """Check the responses of every block."""
    blocks = case.files.responses
    for i, (block, path) in enumerate(blocks.items()):
        report = subprogress(case.report, 0.6 + 0.4 * i / len(blocks), 0.6 + 0.4 * (i + 1) / len(blocks))
        yield from found_by(check_values(path, block, case.store, report))  # damage in one block hides no other


def check_rois(case: Examination) -> Iterator[Finding]:
    """Check the ROIs."""
    for block, (_, n_vertices) in case.shapes.items():
        rois = read_rois(case.files.rois[block], n_vertices)
        if not rois:
            yield Finding("ok", f"no ROIs in {block}.", "There are no ROI bars for it.")
            continue
        inside = len(np.unique(np.concatenate(list(rois.values()))))
        yield Finding("ok", f"{block}: {len(rois)} ROIs hold {inside:,} of {n_vertices:,} vertices.")
        yield from check_sizes(block, rois)


def check_places(case: Examination) -> Iterator[Finding]:
    """Report where the columns lie on the cortex."""
    vertices, sampled = read_places(case.files, case.shapes, case.store)
    if sampled is not None:
        ((_, n_voxels),) = case.shapes.values()
        n_seen = len(np.unique(np.concatenate([columns for _, columns in sampled.values()])))
        yield Finding("ok", f"{n_seen:,} of {n_voxels:,} voxels are seen on the cortical surface.", "The brain map shows these.")
        if n_seen == 0:
            fix = "Save the mask with the affine of MNI space."
            yield Finding("warning", "no voxel of the mask lies in cortex.", "Its affine is of another space.", fix)
    elif vertices is not None:
        counts = ", ".join(f"{int((at < 10_242).sum()):,} of {len(at):,} {block}" for block, at in vertices.items())
        yield Finding("ok", f"places on the cortex are known; the brain map shows those on fsaverage5: {counts}.")
    else:
        yield Finding("ok", "no places on the cortex.", "There is no brain map.", "To have one, name vertices.")


def check_ceiling(case: Examination) -> Iterator[Finding]:
    """Check the noise ceiling, where there is one."""
    if not case.files.has_ceiling:
        yield Finding("ok", "no noise ceilings.", "Scores are shown without them.", "To have them, name ceiling or ncsnr.")
        return
    found = read_ceilings(case.files, case.shapes)
    medians = ", ".join(f"{block} {np.median(values):.3f}" for block, values in found.items())
    yield Finding("ok", f"noise ceilings, medians {medians} of the variance.")


CHECKS: tuple[Callable[[Examination], Iterator[Finding]], ...] = (
    check_stimuli,
    check_rows,
    check_responses,
    check_rois,
    check_places,
    check_ceiling,
)
