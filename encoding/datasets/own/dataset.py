"""A data set that a ``dataset.toml`` describes, and the search for those below the folder of data."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np

from encoding.datasets._base import BadData, NamedStimuli, Stimuli, Subject
from encoding.datasets._films import FACTS, FilmSamples, film_facts
from encoding.datasets._images import ImageFiles
from encoding.datasets._registry import DATASETS, Dataset, data_dir
from encoding.datasets._videos import VideoFiles
from encoding.datasets.own.array_files import split_member
from encoding.datasets.own.columns import n_trials, read_ceilings, read_rois
from encoding.datasets.own.description import FILE, Description, SubjectFiles
from encoding.datasets.own.feature_tables import FOLDER, find_tables, open_tables
from encoding.datasets.own.masks import open_mask
from encoding.datasets.own.parsing import read_description
from encoding.datasets.own.places import place_files, places_are_known, read_places
from encoding.datasets.own.response_files import (
    ResponseMatrix,
    ncsnr_from_rows,
    open_matrix,
    read_rows_of,
    read_single_rows,
    rows_are_known,
)
from encoding.datasets.own.rows import Rows, check_groups, read_rows
from encoding.datasets.own.runs import check_lengths, windows
from encoding.datasets.own.sides import require_sides
from encoding.datasets.own.splits import read_splits, split_names
from encoding.datasets.own.stimuli import read_image_paths, read_unlabelled
from encoding.evaluation.noise_ceiling import describe_repeats, from_ncsnr_of_rows
from encoding.runtime.progress import Report, silent, subprogress
from encoding.runtime.registry import UnknownName, unknown
from encoding.storage.files import is_passing
from encoding.storage.fingerprints import file_facts, file_fingerprint, files_fingerprint, first_equal, first_equal_files, is_remembered
from encoding.storage.store import Store


class OwnDataset(Dataset):
    """Data set described by a ``dataset.toml``. An invalid one is listed too, without subjects and with the error in :meth:`where`.

    Attributes
    ----------
    problem : what keeps the description from being used; empty where nothing does.
    is_passing : whether that is an error of the system and not of the description, so that it is worth another try.
    """

    is_passing = False

    def __init__(self, path: Path) -> None:
        self.path, self.name, self.title, self.problem = path, path.parent.name, path.parent.name, ""
        self.description: Description | None = None
        try:
            self.description = read_description(path)
        except Exception as error:  # whatever it is, it is this data set's alone: a list of all must not fail
            odd = "" if isinstance(error, BadData) else f"{path} cannot be used: {type(error).__name__}: "
            self.problem = self.about = f"{odd}{error}"
            self.is_passing = is_passing(error)
            return
        for name in ("title", "about", "simulated", "split", "clips"):
            setattr(self, name, getattr(self.description, name))

    def subjects(self) -> tuple[str, ...]:
        return tuple(self.description.subjects) if self.description else ()

    def roi_names(self) -> Mapping[str, tuple[str, ...]]:
        return self.description.roi_names if self.description else {}

    def where(self) -> str:
        return self.problem or f"{', '.join(self.subjects())}, described in {self.path}."

    def is_ready(self, subject: str, store: Store) -> bool:
        """Whether every file has been checked and has not changed since."""
        files = self._files(subject)
        if not is_remembered([split_member(path)[0] for paths in files.responses.values() for path in paths], store):
            return False
        matrices = response_matrices(files)
        paths = read_image_paths(files.images)
        rows = read_rows(files, paths, matrices)
        stored = [*stimulus_files(files, rows), *read_unlabelled(files.images)]
        if not is_remembered(files.images.films, store, name=FACTS):
            return False
        if not places_are_known(files, store) or not is_remembered(stored, store):
            return False
        rows = read_rows(files, paths, matrices, store)
        return all(rows_are_known(matrix, rows.work, store) for matrix in matrices.values())

    def feature_tables(self, subject: str = "") -> Mapping[str, Path]:
        return find_tables(self.path.parent, subject)

    def watched(self, subject: str) -> list[Path]:
        files = self._files(subject)
        tables = (self.path.parent / FOLDER, self.path.parent / FOLDER / subject, *self.feature_tables(subject).values())
        regions = (about.path for block in files.rois.values() for about in block.values())
        maps = (path for each in (files.ceiling, files.ncsnr) for path in (each or {}).values())
        images = (
            files.images.folder,
            files.images.files,
            files.images.names,
            files.images.unlabelled,
            *files.images.events,
            *files.images.films,
        )
        runs = files.time.runs if files.time else None
        others = (files.averaged, files.repeats, files.groups, files.sessions, files.splits, runs)
        responses = (path for paths in files.responses.values() for path in paths)
        every = (self.path, *responses, *place_files(files.places), *regions, *maps, *images, *others, *tables)
        return list(dict.fromkeys(split_member(path)[0] for path in every if isinstance(path, Path)))

    def open(self, subject: str, store: Store, report: Report = silent) -> Subject:
        """Open a subject. On first use all files are read once for checks and fingerprints, which ``store`` remembers."""
        files = self._files(subject)
        matrices = response_matrices(files)
        shapes = {block: matrix.shape for block, matrix in matrices.items()}
        rows = read_rows(files, read_image_paths(files.images), matrices, store, subprogress(report, 0, 0.1))
        unlabelled = read_unlabelled(files.images)
        mask = open_mask(files.mask)
        rois = {block: read_rois(files.rois[block], shape[1], mask) for block, shape in shapes.items()}
        ceiling = read_ceilings(files, shapes, rows.measured, mask)
        vertices, sampled, grid = read_places(files, matrices, store)
        responses, fingerprints = {}, {}
        for i, (block, matrix) in enumerate(matrices.items()):
            progress = subprogress(report, 0.1 + 0.4 * i / len(matrices), 0.1 + 0.4 * (i + 1) / len(matrices))
            responses[block], fingerprints[block] = read_rows_of(matrix, rows.work, store, progress)
        about = ""
        if files.ceiling_from:
            ceiling = ceilings_from_repeats(files, matrices, rows, store)
            about = f"{files.ceiling_from} of {describe_repeats(rows.measured)}"
        kind = VideoFiles if self.clips else ImageFiles
        stimuli = self._stimuli(files, rows, store, subprogress(report, 0.5, 0.95))
        if rows.runs is None:
            equal = first_equal(rows.paths) if files.images.names else first_equal_files(rows.paths, store)
            if files.groups is not None:
                check_groups(files, rows.groups, rows.paths, equal)
            groups, ids, samples = rows.groups[equal], None if files.groups is None else equal, {}
        else:
            groups, ids = rows.groups, rows.measured
            samples = {"runs": rows.runs.of_row[rows.samples["kept"]], "tr": files.time.tr}
        return Subject(
            dataset=self.name,
            name=subject,
            stimuli=stimuli.with_tables(open_tables(self.feature_tables(subject), rows.paths, rows.listed, store, **rows.samples)),
            unlabelled=kind(unlabelled, fingerprint=files_fingerprint(unlabelled, store, subprogress(report, 0.95, 1))),
            responses=responses,
            fingerprints=fingerprints,
            rois=rois,
            vertices=vertices,
            sampled=sampled,
            grid=grid,
            ceiling=ceiling,
            ceiling_about=about,
            simulated=self.simulated,
            splits={} if files.splits is None else read_splits(files.splits, rows.paths),
            groups=groups,
            stimulus_ids=ids,
            **samples,
        )

    def _stimuli(self, files: SubjectFiles, rows: Rows, store: Store, report: Report) -> Stimuli:
        """The stimuli of a subject's rows: images, clips, samples of films, or names alone."""
        images, paths = files.images, stimulus_files(files, rows)
        if images.films:
            facts = dict(zip(paths, file_facts(paths, store, name=FACTS, learn=film_facts, report=report), strict=True))
            if errors := [fact["error"] for fact in facts.values() if fact["error"]]:
                raise BadData(errors[0])
            shown = windows(files, rows.runs, rows.samples["kept"])
            check_lengths(shown, {path: fact["seconds"] for path, fact in facts.items()}, rows.runs, rows.samples["kept"])
            return FilmSamples(shown, {path: file_fingerprint(path, store) for path in paths})
        if images.names is not None or images.of_runs:
            return NamedStimuli(map(str, rows.paths), source=str(images.names or self.path))
        kind = VideoFiles if self.clips else ImageFiles
        return kind(paths, fingerprint=files_fingerprint(paths, store, report))

    def splits(self, subject: str) -> list[str]:
        files = self._files(subject)
        return [] if files.splits is None else split_names(files.splits)

    def _files(self, subject: str) -> SubjectFiles:
        if self.description is None:
            raise BadData(self.problem)
        if subject not in self.description.subjects:
            raise UnknownName(unknown(f"subject of {self.name}", subject, self.subjects()))
        return self.description.subjects[subject]


def stimulus_files(files: SubjectFiles, rows: Rows) -> list[Path]:
    """Files of the stimuli of a subject's rows, each film once; none where there are names alone."""
    if files.images.films:
        return list(dict.fromkeys(files.images.films))
    return [] if files.images.names is not None or files.images.of_runs else rows.paths


def response_matrices(files: SubjectFiles) -> dict[str, ResponseMatrix]:
    """The responses of every block, as their files hold them; BadData where a file has no such responses,
    or any file of the subject is of the other hemisphere than it is given for."""
    require_sides(files)
    return {block: open_matrix(paths, transposed=files.transposed, mask=files.mask) for block, paths in files.responses.items()}


def ceilings_from_repeats(files: SubjectFiles, matrices: Mapping[str, ResponseMatrix], rows: Rows, store: Store) -> dict[str, np.ndarray]:
    """Noise ceilings of the rows of a subject, per block (n_columns,) float32, from measured rows of the same stimulus.

    Raises
    ------
    BadData where fewer than two stimuli have repeats.
    """
    ceilings = {}
    for block, matrix in matrices.items():
        single, fingerprint = (read_single_rows if rows.runs is None else read_rows_of)(matrix, rows.work, store)
        try:
            sessions = rows.work.sessions if rows.runs is None else None
            ncsnr = ncsnr_from_rows(single, fingerprint, rows.measured, files.ceiling_from, store, sessions=sessions)
        except ValueError as error:
            raise BadData(f"{files.responses[block][0]}: {error} Take ceiling_from out to work without a ceiling.") from error
        ceilings[block] = from_ncsnr_of_rows(ncsnr, n_trials(files, rows.measured))
    return ceilings


def find_own(folder: Path | None = None) -> dict[str, OwnDataset]:
    """Find the folders in ``folder`` (by default :func:`data_dir`) that hold a ``dataset.toml``, by name.

    A description is parsed again once its file changes.
    """
    folder = folder or data_dir()
    found = {}
    for path in sorted(folder.glob(f"[!.]*/{FILE}")) if folder.is_dir() else []:
        name = path.parent.name
        try:
            about = path.stat()
            known = _described(path, about.st_mtime_ns, about.st_ctime_ns, about.st_size)
        except (FileNotFoundError, NotADirectoryError):  # a broken link, or removed meanwhile
            continue
        except OSError:
            known = None
        if name in DATASETS.built_in:
            data = OwnDataset(path)
            data.name = f"{name} (own data)"
            data.description, data.problem = None, f"{path.parent}: {name} is the name of a data set that is built in. Rename the folder."
            data.about = data.problem
        else:
            data = OwnDataset(path) if known is None or known.is_passing else known
        found[data.name] = data
    return found


@lru_cache(maxsize=256)
def _described(path: Path, *state: int) -> OwnDataset:
    return OwnDataset(path)
