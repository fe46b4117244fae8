"""Predict a challenge's test set and write the challenge's submission files.

    algonauts2023    subj01/lh_pred_test.npy, rh_pred_test.npy    float32 (n_images, n_vertices), a folder a subject
                     algonauts2023_submission.zip                 the same files, to be handed in
    algonauts2021    mini_track.pkl, full_track.pkl               {ROI: {"sub01": float64 (n_clips, n_voxels)}}, the full track's ROI is WB
                     mini_track.zip, full_track.zip               the same files, to be handed in

Both are the formats of the challenges' development kits.
"""

from __future__ import annotations

import json
import pickle
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np

from encoding.datasets._download2023 import DOWNLOADS
from encoding.datasets.algonauts2021 import BLOCK, FULL, MINI_TRACK, N_CLIPS
from encoding.datasets.doctor.algonauts2021 import N_ALL, N_VOXELS
from encoding.fits.result import Result
from encoding.prediction.predict import CannotPredict, account, predict, unfitted, write_predictions
from encoding.runtime.progress import Report, silent, subprogress
from encoding.runtime.registry import UnknownName
from encoding.storage.atomic import atomic_files_into

PEOPLE = tuple(f"sub{number:02d}" for number in range(1, 11))
KIT_ROIS = ("LOC", "FFA", "STS", "EBA", "PPA", "V1", "V2", "V3", "V4")  # the mini track's, in the development kit's order
PICKLE_PROTOCOL = 3  # Python 3's default at the time of the challenge


@dataclass(frozen=True)
class Submission:
    """Files of a submission.

    Attributes
    ----------
    challenge : name of the data set. subjects : those in it.
    missing : subjects that a whole submission would hold as well.
    files : every file, those to be handed in last.
    too_large : true where a file to be handed in is larger than the challenge takes.
    """

    challenge: str
    subjects: tuple[str, ...]
    missing: tuple[str, ...]
    files: tuple[Path, ...]
    too_large: bool = False


Write = Callable[[Sequence[Result], Path, Report, str], list[Path]]
"""``write(results, folder, report, device)`` -> the files, one of the results a subject; those to be handed in last."""


@dataclass(frozen=True)
class Challenge:
    """Requirements of one challenge.

    Attributes
    ----------
    tracks : the subjects that must be handed in together.
    expected : a subject's number of test stimuli and, per block of responses, of columns; None for one that the challenge does not have.
    most_bytes : the largest file it takes; 0 where no limit is known.
    """

    tracks: tuple[tuple[str, ...], ...]
    expected: Callable[[str], tuple[int, Mapping[str, int]] | None]
    write: Write
    most_bytes: int = 0

    def missing(self, subjects: Collection[str]) -> tuple[str, ...]:
        """Subjects that a whole submission holds beside these."""
        begun = [track for track in self.tracks if set(track) & set(subjects)]
        return tuple(subject for track in begun for subject in track if subject not in subjects)


def submit(results: Sequence[Result], folder: str | Path, *, report: Report = silent, device: str = "auto") -> Submission:
    """Predict the test set of each fit's subject and write the challenge's own files, all of them or none.

    Parameters
    ----------
    results : fits to one challenge's subjects, one a subject.

    Raises
    ------
    As :func:`check`, before any work, and :func:`encoding.prediction.predict.predict`.
    """
    challenge, folder = check(results), Path(folder).expanduser()
    subjects = tuple(sorted(result.plan.spec.subject for result in results))
    with atomic_files_into(folder) as scratch:
        written = challenge.write(sorted(results, key=lambda result: result.plan.spec.subject), scratch, report, device)
        too_large = 0 < challenge.most_bytes < written[-1].stat().st_size
        (scratch / "spec.json").write_text(json.dumps({"fits": [account(result) for result in results]}, indent=1))
        files = tuple(folder / path.relative_to(scratch) for path in (scratch / "spec.json", *written))
    return Submission(results[0].plan.spec.dataset, subjects, challenge.missing(subjects), files, too_large)


def check(results: Sequence[Result]) -> Challenge:
    """Validate that fits can be submitted together and return their challenge.

    Raises
    ------
    UnknownName where their data set has no challenge. CannotPredict where they are of several data sets, two are of one subject, a fit
    lacks vertices that the challenge requires, or its subject's test set is missing or not of the challenge's size.
    """
    names = list(dict.fromkeys(result.plan.spec.dataset for result in results))
    for name in names:
        if name not in CHALLENGES:
            raise UnknownName(f"{name} has no challenge to submit to. Those that have: {', '.join(CHALLENGES)}.")
    if len(names) != 1:
        raise CannotPredict(f"A submission is to one challenge; these fits are of {' and '.join(names) or 'none'}.")
    times = Counter(result.plan.spec.subject for result in results)
    if twice := [subject for subject, number in times.items() if number > 1]:
        raise CannotPredict(f"{times[twice[0]]} of these fits are of {twice[0]}. A submission holds one for each subject.")
    for result in results:
        _check_whole(result)
        _check_counts(result, CHALLENGES[names[0]])
    return CHALLENGES[names[0]]


def _check_whole(result: Result) -> None:
    plan = result.plan
    for hemi, n in unfitted(plan).items():
        if n:
            spec, of = plan.spec, plan.subject.responses[hemi].shape[1]
            chosen = f"target groups {spec.target_groups}, hemi {spec.hemi}" + (f", ROIs {' '.join(spec.rois)}" if spec.rois else "")
            raise CannotPredict(
                f"{result.key} has no model for {n:,} of {of:,} vertices in {hemi} ({chosen}). The challenge asks for all of them: "
                "fit with --target-groups hemisphere and --hemi both."
            )


def _check_counts(result: Result, challenge: Challenge) -> None:
    """Against the challenge's own numbers, for a subject that is not simulated."""
    subject = result.plan.subject
    if not len(subject.unlabelled):
        raise CannotPredict(f"The test stimuli of {subject.dataset} {subject.name} are not here. Unpack them beside the training stimuli.")
    expected = None if subject.simulated else challenge.expected(subject.name)
    if expected is None:
        return
    n_test, widths = expected
    if len(subject.unlabelled) != n_test:
        raise CannotPredict(
            f"{subject.dataset} {subject.name} has {len(subject.unlabelled):,} test stimuli here; the challenge's are {n_test:,}. "
            "Unpack the download again."
        )
    for block, width in widths.items():
        if (here := subject.responses[block].shape[1]) != width:
            raise CannotPredict(
                f"{subject.dataset} {subject.name} has {here:,} vertices in {block} here; the challenge's are {width:,}. "
                "Unpack the download again."
            )


def _write_2023(results: Sequence[Result], folder: Path, report: Report, device: str) -> list[Path]:
    written = []
    for number, result in enumerate(results):
        of_subject = folder / result.plan.spec.subject
        of_subject.mkdir()
        paths = {hemi: of_subject / f"{hemi}_pred_test.npy" for hemi in result.plan.subject.hemis}
        progress = subprogress(report, 0.9 * number / len(results), 0.9 * (number + 1) / len(results))
        write_predictions(result, result.plan.subject.unlabelled, paths, report=progress, device=device)
        for path in paths.values():
            _require_finite(np.load(path, mmap_mode="r"), result)
        written += paths.values()
    report(0.9, "zipping")
    return [*written, zipped(folder / "algonauts2023_submission.zip", written, folder)]


def _write_2021(results: Sequence[Result], folder: Path, report: Report, device: str) -> list[Path]:
    written = []
    for track, rois, full in (("mini_track", KIT_ROIS, False), ("full_track", ("WB",), True)):
        of_track = [result for result in results if result.plan.spec.subject.endswith(FULL) == full]
        predictions: dict[str, dict[str, np.ndarray]] = {roi: {} for roi in rois}
        for result in of_track:
            number, subject = results.index(result), result.plan.subject
            part = subprogress(report, number / len(results), (number + 1) / len(results))
            predicted = predict(result, subject.unlabelled, report=part, device=device)[BLOCK].astype(np.float64)
            _require_finite(predicted, result)
            for roi in rois:
                columns = slice(None) if full else subject.rois[BLOCK][roi]
                predictions[roi][subject.name.removesuffix(FULL)] = np.ascontiguousarray(predicted[:, columns])
        if of_track:
            path = folder / f"{track}.pkl"
            write_pickle(predictions, path)
            written += [path, zipped(folder / f"{track}.zip", [path], folder)]
    return written


def write_pickle(values: Any, path: Path) -> None:
    """Pickle plain containers of arrays under numpy 1's module names, which numpy 1 and 2 both read."""
    with path.open("wb") as file:
        Numpy1Pickler(file, protocol=PICKLE_PROTOCOL).dump(values)


class Numpy1Pickler(pickle._Pickler):
    """A pickler that writes numpy 1's module names."""

    def save_global(self, obj: Any, name: str | None = None) -> None:
        module = getattr(obj, "__module__", "")
        if not module.startswith("numpy._core"):
            return super().save_global(obj, name)
        self.write(f"c{module.replace('numpy._core', 'numpy.core')}\n{name or obj.__name__}\n".encode())
        return self.memoize(obj)


def _require_finite(predicted: np.ndarray, result: Result) -> None:
    if not np.isfinite(predicted).all():
        raise CannotPredict(f"{result.key} predicts NaN or infinity for some vertices; the challenge cannot score them. Fit it again.")


def zipped(target: Path, files: Iterable[Path], folder: Path) -> Path:
    """Files by their names in ``folder``, without a parent folder. Compressed: eight subjects are over 300 MB as they stand."""
    with ZipFile(target, "w", ZIP_DEFLATED) as archive:
        for path in files:
            archive.write(path, path.relative_to(folder))
    return target


def _expected_2023(subject: str) -> tuple[int, Mapping[str, int]] | None:
    known = DOWNLOADS.get(subject)
    return known and (known.n_test, known.n_vertices)


def _expected_2021(subject: str) -> tuple[int, Mapping[str, int]] | None:
    """The full track's voxels are not among the numbers that are known."""
    person = subject.removesuffix(FULL)
    if person not in PEOPLE:
        return None
    n_voxels = sum(N_VOXELS[roi][PEOPLE.index(person)] for roi in MINI_TRACK)
    return N_ALL - N_CLIPS, {} if subject.endswith(FULL) else {BLOCK: n_voxels}


CHALLENGES = {
    "algonauts2021": Challenge((PEOPLE, tuple(f"{person}{FULL}" for person in PEOPLE)), _expected_2021, _write_2021),
    "algonauts2023": Challenge((tuple(DOWNLOADS),), _expected_2023, _write_2023, most_bytes=300 * 10**6),
}
