"""Predict the test films of Algonauts 2025 from feature tables, and write the file that the challenge takes.

    fmri_predictions_friends_s7.npy     a pickled dictionary: {"sub-01": {"s07e01a": float32 (n_samples, 1000)}}
    fmri_predictions_friends_s7.zip     the same file, to be handed in

How many samples of each segment are asked for stands in the challenge's ``target_sample_number/sub-01_friends-s7_fmri_samples.npy``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from encoding.datasets import BadData
from encoding.datasets._pickles import DAMAGED, StoredArray, as_text, load_plain
from encoding.datasets.catalogue.converters.algonauts2025 import N_PARCELS
from encoding.datasets.own.array_files import find_reader
from encoding.fits.result import Result
from encoding.prediction.inputs import CannotPredict
from encoding.prediction.predict import account, predict, unfitted
from encoding.prediction.submissions import Numpy1Pickler, Submission, zipped
from encoding.prediction.tables import stimuli_in_table
from encoding.runtime.progress import Report, silent, subprogress
from encoding.storage.atomic import atomic_files_into

SETS = {"friends-s7": "friends_s7", "ood": "ood"}  # in names of the challenge's files, and of the submission
SUBJECTS = ("sub-01", "sub-02", "sub-03", "sub-05")
MOST_MISSING = 10  # samples by which a film's table may be shorter than what is asked for; the last is repeated
MAX_NUMBERS_BYTES = 10**6
PICKLE_PROTOCOL = 3


def submit_segments(
    results: Sequence[Result], tables: Path, numbers: Path, folder: str | Path, *, report: Report = silent, device: str = "auto"
) -> Submission:
    """Predict every test segment with each subject's fit and write the challenge's file, or nothing.

    Parameters
    ----------
    results : fits on a feature table, one a subject, of 1,000 parcels.
    tables : folder of feature tables, named after segments, such as ``s07e01a.npy``: a row for each sample of the film.
    numbers : folder of the challenge's ``<subject>_<test set>_fmri_samples.npy`` of one test set.

    Raises
    ------
    CannotPredict, BadData before anything is written: for a segment without table, a table of other columns or too few rows, a subject
    without numbers, or parcels that were not fitted.
    """
    asked = {result.plan.spec.subject: _numbers_of(numbers, result) for result in results}
    if len(asked) < len(results):
        raise CannotPredict("Several of these fits are of one subject. A submission holds one for each.")
    test_set, *others = dict.fromkeys(name for name, _ in asked.values())
    if others:
        raise CannotPredict(f"{numbers} holds numbers of {test_set} and {others[0]}. Name a folder with those of one test set.")
    paths = _tables_of(tables, sorted({segment for _, counts in asked.values() for segment in counts}))
    made: dict[str, dict[str, np.ndarray]] = {}
    for number, result in enumerate(results):
        _check_parcels(result)
        subject, progress = result.plan.spec.subject, subprogress(report, number / len(results), (number + 1) / len(results))
        counts = asked[subject][1]
        made[subject] = {}
        for place, (segment, n_samples) in enumerate(counts.items()):
            progress(place / len(counts), f"predicting {segment} of {subject}")
            stimuli = stimuli_in_table(paths[segment], result, result.store)
            if len(stimuli) < n_samples - MOST_MISSING:
                raise CannotPredict(f"{paths[segment]} has {len(stimuli):,} rows, but {n_samples:,} samples of {segment} are asked for.")
            (predicted,) = predict(result, stimuli, device=device).values()
            made[subject][segment] = predicted[np.minimum(np.arange(n_samples), len(predicted) - 1)]
    folder = Path(folder).expanduser()
    with atomic_files_into(folder) as scratch:
        path = scratch / f"fmri_predictions_{SETS[test_set]}.npy"
        write_dictionary(made, path)
        written = [path, zipped(path.with_suffix(".zip"), [path], scratch)]
        (scratch / "spec.json").write_text(json.dumps({"fits": [account(result) for result in results]}, indent=1))
        files = tuple(folder / each.name for each in (scratch / "spec.json", *written))
    missing = tuple(subject for subject in SUBJECTS if subject not in made)
    return Submission("algonauts2025", tuple(made), missing, files)


def _check_parcels(result: Result) -> None:
    plan = result.plan
    widths = [plan.subject.responses[block].shape[1] for block in plan.subject.hemis]
    if widths != [N_PARCELS] or any(unfitted(plan).values()):
        found = f"{sum(widths) - sum(unfitted(plan).values()):,} fitted columns"
        raise CannotPredict(f"{result.key} has {found}, but the challenge asks for {N_PARCELS:,} parcels, all of them.")


def _tables_of(folder: Path, segments: Sequence[str]) -> dict[str, Path]:
    """The feature table of each segment."""
    there = {path.name.partition(".")[0]: path for path in sorted(folder.glob("[!.]*")) if find_reader(path)} if folder.is_dir() else {}
    if missing := [segment for segment in segments if segment not in there]:
        raise CannotPredict(f"{folder} has no table for {len(missing):,} of {len(segments):,} segments, the first {missing[0]}.npy.")
    return {segment: there[segment] for segment in segments}


def _numbers_of(folder: Path, result: Result) -> tuple[str, dict[str, int]]:
    """Test set, and segment to number of samples asked for, of a fit's subject."""
    subject = result.plan.spec.subject
    found = [(name, path) for name in SETS if (path := folder / f"{subject}_{name}_fmri_samples.npy").is_file()]
    if len(found) != 1:
        names = " or ".join(f"{subject}_{name}_fmri_samples.npy" for name in SETS)
        raise CannotPredict(f"{folder} holds {len(found)} of {names}; one is needed, of the challenge's target_sample_number.")
    ((name, path),) = found
    return name, read_numbers_of_samples(path)


def read_numbers_of_samples(path: Path) -> dict[str, int]:
    """Read segment to number of samples from a pickled dictionary in an ``.npy``, without running the pickle.

    Raises
    ------
    BadData where it holds anything else.
    """
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            read(file)
            start = file.tell()
        stored = load_plain(path, what="a file of numbers of samples", start=start, max_bytes=MAX_NUMBERS_BYTES)
        (found,) = stored.items if isinstance(stored, StoredArray) and isinstance(stored.items, list) else (stored,)
        counts = {str(as_text(segment)): n for segment, n in found.items()}
    except (*DAMAGED, ValueError, TypeError) as error:
        raise BadData(f"{path} holds no numbers of samples ({error}). Copy it again from the challenge.") from error
    if not counts or not all(type(n) is int and 0 < n < 10**6 for n in counts.values()):
        raise BadData(f"{path} holds other values than numbers of samples. Copy it again from the challenge.")
    return counts


def write_dictionary(values: Mapping[str, Mapping[str, np.ndarray]], path: Path) -> None:
    """Write what ``numpy.save(path, values)`` writes, under numpy 1's module names, which numpy 1 and 2 both read."""
    array = np.array(dict(values), dtype=object)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        Numpy1Pickler(file, protocol=PICKLE_PROTOCOL).dump(array)
