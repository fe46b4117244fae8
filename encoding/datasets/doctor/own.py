"""Diagnose a data set of one's own: its ``dataset.toml`` and the files that it names."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from encoding.datasets import DATASETS, data_dir
from encoding.datasets._films import FACTS, film_facts
from encoding.datasets._images import not_listed
from encoding.datasets._other_formats import N_BYTES
from encoding.datasets.doctor._checks import check_doubles, check_images, check_order, check_sizes, check_values
from encoding.datasets.doctor._findings import Finding, found_by
from encoding.datasets.doctor.algonauts2021 import clip_facts
from encoding.datasets.own.array_files import find_reader, open_array, split_member
from encoding.datasets.own.arrays import ArrayFile
from encoding.datasets.own.columns import read_ceilings, read_rois
from encoding.datasets.own.dataset import OwnDataset, ceilings_from_repeats, response_matrices
from encoding.datasets.own.description import FILE, SubjectFiles
from encoding.datasets.own.feature_tables import FeatureTable, find_tables, open_tables
from encoding.datasets.own.formats import TEXT
from encoding.datasets.own.masks import VoxelMask, open_mask
from encoding.datasets.own.parsing import read_description
from encoding.datasets.own.places import SPHERES, read_places
from encoding.datasets.own.response_files import ResponseMatrix, read_rows_of
from encoding.datasets.own.rows import FROM_ONE, Rows, check_groups, read_rows
from encoding.datasets.own.runs import check_lengths, windows
from encoding.datasets.own.sides import files_of_sides, is_named_other
from encoding.datasets.own.splits import read_splits
from encoding.datasets.own.stimuli import read_image_paths, read_unlabelled
from encoding.evaluation.noise_ceiling import describe_repeats
from encoding.evaluation.splits import NAMED
from encoding.runtime.progress import Report, subprogress
from encoding.runtime.wording import counted
from encoding.storage.fingerprints import file_facts, first_equal_files
from encoding.storage.store import Store

TITLE = "your own data"
MAX_EXPLAINED = 20  # files of one block
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
    tables: Mapping[str, Path] = field(default_factory=dict)

    @cached_property
    def matrices(self) -> dict[str, ResponseMatrix]:
        """Responses of each block."""
        return response_matrices(self.files)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """(n_rows, n_columns) of each block."""
        return {block: matrix.shape for block, matrix in self.matrices.items()}

    @cached_property
    def rows(self) -> Rows:
        """Stimulus, session and group of each row."""
        with warnings.catch_warnings(action="ignore"):  # it is a finding of check_rows
            return read_rows(self.files, read_image_paths(self.files.images), self.matrices, self.store)

    @cached_property
    def mask(self) -> VoxelMask | None:
        """The voxels that are columns; None where columns are none of a volume."""
        return open_mask(self.files.mask)


def examine(path: Path, store: Store, report: Report) -> Iterator[Finding]:
    """Yield the findings about one description, and then about each of its subjects."""
    name = path.parent.name
    yield from found_by(check_description(path), name)
    if OwnDataset(path).problem:
        return
    subjects = read_description(path).subjects
    for i, (subject, files) in enumerate(subjects.items()):
        progress = subprogress(report, i / len(subjects), (i + 1) / len(subjects))
        case = Examination(f"{name} {subject}", files, store, progress, find_tables(path.parent, subject))
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
    """Check the images, or clips."""
    images = case.files.images
    paths, unlabelled = read_image_paths(images), read_unlabelled(images)
    if images.films:
        films = list(dict.fromkeys(images.films))
        facts = file_facts(films, case.store, name=FACTS, learn=film_facts, report=subprogress(case.report, 0, 0.45))
        if errors := [fact["error"] for fact in facts if fact["error"]]:
            what = f"{len(errors):,} of {len(films):,} films cannot be read, the first: {errors[0]}"
            yield Finding("error", what, "Fits will stop there.")
            return
        seconds = {film: fact["seconds"] for film, fact in zip(films, facts, strict=True)}
        check_lengths(windows(case.files, case.rows.runs, case.rows.samples["kept"]), seconds, case.rows.runs, case.rows.samples["kept"])
        yield Finding("ok", f"{len(films):,} films of {sum(seconds.values()) / 60:,.1f} minutes, as long as their runs.")
        return
    if images.of_runs:
        yield Finding("ok", "no stimuli: samples have numbers.", "Fits are on feature tables, given/<name>, with a row for each sample.")
        return
    if images.names:
        yield Finding("ok", f"{len(paths):,} names of stimuli without images.", "Fits are on feature tables, given/<name>.")
        return
    if images.events:
        tables = ", ".join(path.name for path in images.events[:3]) + (" …" if len(images.events) > 3 else "")
        yield Finding("ok", f"column {images.column!r} of {tables} names the stimulus of {len(paths):,} rows.")
    elif images.files is None:
        yield from check_order(paths)
        if not images.subfolders and (left_out := not_listed(images.folder)):
            yield Finding("warning", left_out, "They are no rows.")
    if images.clips:
        every = list(dict.fromkeys([*paths, *unlabelled]))
        facts = file_facts(every, case.store, name="clips-1", learn=clip_facts, report=subprogress(case.report, 0, 0.45))
        if errors := [fact["error"] for fact in facts if fact["error"]]:
            what = f"{len(errors):,} of {counted(len(every), 'clip')} cannot be read, the first: {errors[0]}"
            yield Finding("error", what, "Fits will stop there.")
        else:
            yield Finding("ok", f"{counted(len(every), 'clip')}, all readable.")
    else:
        yield from check_images("training", paths, case.store, subprogress(case.report, 0, 0.4))
        if unlabelled:
            yield from check_images("unlabelled", unlabelled, case.store, subprogress(case.report, 0.4, 0.45))
    if images.unlabelled and not unlabelled:
        what = f"no {'clips' if images.clips else 'images'} in {images.unlabelled}."
        yield Finding("warning", what, "There is nothing to predict without responses.", "Put them there, or take unlabelled out.")


def check_sides(case: Examination) -> Iterator[Finding]:
    """Warn of files that are named after the other hemisphere than they are given for."""
    if named := [(block, path) for block, path in files_of_sides(case.files) if is_named_other(path, block)]:
        block, path = named[0]
        more = f", and {counted(len(named) - 1, 'more file is', 'more files are')} named so" if len(named) > 1 else ""
        what = f"{path.name} is given for {block}, but its name is of the other hemisphere{more}."
        yield Finding("warning", what, "Left and right may be swapped.", f"Look at {FILE}, or rename the file.")


def check_rows(case: Examination) -> Iterator[Finding]:
    """Check that images and rows of responses agree, and find duplicates."""
    images, paths, groups = case.rows.listed, case.rows.paths, case.rows.groups
    if (sessions := case.rows.work.sessions) is not None:
        n_each = np.bincount(sessions)
        yield Finding(
            "ok",
            f"{counted(len(n_each), 'session')} of {n_each.min():,} to {n_each.max():,} rows, in each of which every column is z-scored.",
        )
    if case.files.average:
        yield Finding("ok", f"{len(case.rows.measured):,} measured rows become {len(paths):,}: the mean of each stimulus.")
    if (runs := case.rows.runs) is not None:
        lengths, work = np.bincount(runs.of_row), case.rows.work.runs
        dropped = f", of which {len(work.kept) - len(paths):,} at their ends are left out" if len(paths) < len(work.kept) else ""
        done = [text for text, asked in (("trends are taken out", work.detrend is not None or work.high_pass is not None),
                                         ("columns are z-scored", work.zscore)) if asked]  # fmt: skip
        within = f" {' and '.join(done).capitalize()} within each." if done else ""
        seconds = f"one every {work.tr:g} s"
        yield Finding(
            "ok", f"{counted(len(lengths), 'run')} of {lengths.min():,} to {lengths.max():,} samples, {seconds}{dropped}.{within}"
        )
    n_groups, n_shown = len(np.unique(groups)), len(set(paths))
    repeated = "" if n_shown == len(paths) else f" of {counted(n_shown, 'image')}, some repeated"
    kept = "" if n_groups == len(paths) else f" Splits keep {counted(n_groups, 'group')} of rows together."
    yield Finding("ok", f"{counted(len(paths), 'row')}{repeated}.{kept}")
    if case.files.repeats is not None and images[0] not in paths and images[1] in paths:
        what = f"{case.files.repeats.name} never names image 0 and begins with image 1."
        yield Finding("warning", what, "If it counts from 1, every row is fitted to the wrong image.", FROM_ONE)
    if n_shown < len(set(images)) and runs is None:
        what = f"{len(images) - n_shown:,} of {len(images):,} images belong to no row."
        yield Finding("warning", what, "Perhaps rows are missing.", "repeats gives the image of each row, counted from 0.")
    if case.files.images.names is None and runs is None:
        if case.files.groups is not None:
            check_groups(case.files, case.rows.groups, paths, first_equal_files(paths, case.store))
        yield from check_doubles(paths, read_unlabelled(case.files.images), groups, case.store, subprogress(case.report, 0.45, 0.6))


def check_responses(case: Examination) -> Iterator[Finding]:
    """Check the responses of every block."""
    blocks = case.files.responses
    for i, (block, paths) in enumerate(blocks.items()):
        report = subprogress(case.report, 0.6 + 0.4 * i / len(blocks), 0.6 + 0.4 * (i + 1) / len(blocks))
        yield from found_by(_check_block(case, block, paths, report))  # damage in one block hides no other


def _check_block(case: Examination, block: str, paths: Sequence[Path], report: Report) -> Iterator[Finding]:
    """Check the responses of one block, as they are after all that is asked for them."""
    matrix, work = case.matrices[block], case.rows.work
    if matrix.is_plain and work.sessions is None and work.stimuli is None and not (work.runs and work.runs.changes):
        yield from check_values(paths[0], block, case.store, report)
        return
    for path in paths[:MAX_EXPLAINED]:
        array = open_array(path)
        reader = find_reader(split_member(path)[0])
        shape = "x".join(map(str, array.shape))
        rows = " (rows are the last axis)" if array.rows_last or matrix.transposed else ""
        what = f"{block}: {array.path.name} is {reader.what if reader else 'an array'} of {array.dtype}, {shape}{rows}."
        yield Finding("ok", what)
        if reader is not None and reader.what == TEXT and _may_hold_decimal_commas(array):
            what = f"{block}: {array.path.name} holds whole numbers alone, in {counted(array.shape[1], 'column')}."
            meaning = "Where commas stand for decimal points, each number is read as two."
            yield Finding("warning", what, meaning, "Write numbers with a point, should that be so.")
    rows, key = read_rows_of(matrix, work, case.store, subprogress(report, 0, 0.5))
    gigabytes = 4 * matrix.shape[0] * matrix.shape[1] / 1e9
    yield Finding(
        "ok", f"{block}: its {len(paths)} files are one matrix of {rows.shape[0]:,} rows.", f"A copy of {gigabytes:.2f} GB is in the cache."
    )
    path = paths[0] if key not in case.store else case.store.path(key) / "Y.npy"
    yield from check_values(path, block, case.store, subprogress(report, 0.5, 1))


def _may_hold_decimal_commas(array: ArrayFile) -> bool:
    """Whether a table could be the two sides of decimal commas: pairs of columns of whole numbers, the second not negative."""
    with array.file.open("rb") as file:
        if array.ndim != 2 or array.shape[1] % 2 or b"," not in file.read(N_BYTES):
            return False
    values = np.asarray(array)
    return bool(np.array_equal(values, np.rint(values)) and (values[:, 1::2] >= 0).all())


def check_rois(case: Examination) -> Iterator[Finding]:
    """Check the ROIs."""
    for block, (_, n_vertices) in case.shapes.items():
        rois = read_rois(case.files.rois[block], n_vertices, case.mask)
        if not rois:
            yield Finding("ok", f"no ROIs in {block}.", "There are no ROI bars for it.")
            continue
        inside = len(np.unique(np.concatenate(list(rois.values()))))
        yield Finding("ok", f"{block}: {counted(len(rois), 'ROI holds', 'ROIs hold')} {inside:,} of {n_vertices:,} vertices.")
        yield from check_sizes(block, rois)


def check_places(case: Examination) -> Iterator[Finding]:
    """Report where the columns lie on the cortex."""
    vertices, sampled, grid = read_places(case.files, case.matrices, case.store)
    n_columns = sum(n for _, n in case.shapes.values())
    if sampled is not None:
        seen = {hemi if hemi in case.shapes else "": set() for hemi in sampled}
        for hemi, (_, columns) in sampled.items():
            seen[hemi if hemi in case.shapes else ""].update(columns.tolist())
        what = "voxels" if grid else "columns"
        n_seen = sum(map(len, seen.values()))
        yield Finding("ok", f"{n_seen:,} of {n_columns:,} {what} are seen on the cortical surface.", "The brain map shows these.")
        if n_seen == 0:
            fix = "Save the mask with the affine of MNI space." if grid else "Save the atlas with the affine of MNI space."
            yield Finding("warning", f"no {what[:-1]} lies in cortex.", "The affine is of another space.", fix)
    elif vertices is not None:
        counts = ", ".join(f"{int((at < 10_242).sum()):,} of {len(at):,} {block}" for block, at in vertices.items())
        yield Finding("ok", f"places on the cortex are known; the brain map shows those on fsaverage5: {counts}.")
    elif grid is not None:
        what = f"{len(grid.voxels):,} voxels of a volume {grid.shape} in the subject's own space."
        yield Finding("ok", what, "There is no brain map; the Data page shows slices.")
    elif case.files.places is not None and case.files.places.space == "fsLR":
        sphere = SPHERES[0].format(side="L")
        fix = f"Put {sphere} and that of R into {data_dir()}, or name them: vertices.spheres = {{ lh = ..., rh = ... }}."
        yield Finding(
            "warning", f"{n_columns:,} columns are vertices of fsLR 32k.", "There is no brain map without the sphere to fsaverage.", fix
        )
    else:
        yield Finding("ok", "no places on the cortex.", "There is no brain map.", "To have one, name vertices.")


def check_ceiling(case: Examination) -> Iterator[Finding]:
    """Check the noise ceiling, where there is one."""
    if not case.files.has_ceiling:
        what = "To have them, name ceiling or ncsnr"
        repeated = len(np.unique(case.rows.measured)) < len(case.rows.measured)
        what += ', or write ceiling_from = "ncsnr": rows repeat stimuli.' if repeated else "."
        yield Finding("ok", "no noise ceilings.", "Scores are shown without them.", what)
        return
    how = ""
    if case.files.ceiling_from:
        found = ceilings_from_repeats(case.files, case.matrices, case.rows, case.store)
        how = f", from {case.files.ceiling_from} of {describe_repeats(case.rows.measured)}"
    else:
        found = read_ceilings(case.files, case.shapes, case.rows.measured, case.mask)
    medians = ", ".join(f"{block} {np.median(values):.3f}" for block, values in found.items())
    yield Finding("ok", f"noise ceilings, medians {medians} of the variance{how}.")


def check_splits(case: Examination) -> Iterator[Finding]:
    """Check the named splits, where there are any: their rows are there, and none parts the rows of a stimulus or group."""
    if case.files.splits is None:
        return
    for name, split in read_splits(case.files.splits, case.rows.paths).items():
        tests = ", ".join(f"{test} {len(rows):,}" for test, rows in split.tests.items())
        yield Finding("ok", f"split {NAMED}:{name}: {counted(len(split.train), 'row trains', 'rows train')}; test sets: {tests}.")
        for test, rows in split.tests.items():
            if len(torn := np.intersect1d(case.rows.groups[split.train], case.rows.groups[rows])):
                what = f"{NAMED}:{name}:{test} trains and tests on rows of {len(torn):,} of the same stimuli or groups."
                yield Finding("error", what, "It is refused.", f"Put all rows of each on one side in {case.files.splits.name}.")


def check_tables(case: Examination) -> Iterator[Finding]:
    """Check the feature tables: their rows agree with the stimuli, and their values are numbers."""
    for name, table in open_tables(case.tables, case.rows.paths, case.rows.listed, case.store, **case.rows.samples).items():
        yield from found_by(_check_table(name, table))  # damage in one table hides no other


def _check_table(name: str, table: FeatureTable) -> Iterator[Finding]:
    sizes = ", ".join(f"{layer} {counted(table.read(layer).shape[1], 'column')}" for layer in table.layers)
    yield Finding("ok", f"features given/{name}: {sizes}.")


CHECKS: tuple[Callable[[Examination], Iterator[Finding]], ...] = (
    check_stimuli,
    check_sides,
    check_rows,
    check_responses,
    check_rois,
    check_places,
    check_ceiling,
    check_splits,
    check_tables,
)
