"""Convert Algonauts 2025 (CNeuroMod): an h5 of segments for each kind of film, (n_samples, 1000) each, to runs of own data."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from encoding.datasets._base import BadData
from encoding.datasets.catalogue.fetch import Conversion, Converted
from encoding.datasets.own.sections import toml_value

TR = 1.49
DROPPED = 5  # samples at either end of a segment, as in the organisers' baseline
N_PARCELS = 1_000
FILMS = ("bourne", "wolf", "life", "figures")
SEGMENT = re.compile(r"(?P<session>ses-\w+)_task-(?P<task>[A-Za-z0-9]+)(_run-(?P<run>\d+))?")


@dataclass(frozen=True)
class Segment:
    """One data set of an h5: its name, the stretch of film that was seen, such as ``life01``, the time it was seen, and its samples."""

    name: str
    task: str
    run: int
    n_samples: int


def convert(work: Conversion) -> Converted:
    """Describe the segments of each part as runs, in the order of the films; responses stay in the h5.

    Samples are named after their stretch of film, so that segments of a film seen twice are of one group, and give a noise ceiling. The
    split ``film`` trains on bourne and wolf and tests life and figures apart, where these are there.
    """
    members, names, tasks = [], [], []
    for place, part in enumerate(work.parts):
        path = work.folder / f"{part}.h5"
        shutil.copyfile(work.file(f"{work.subject}_{part}.h5"), path)
        for segment in read_segments(path):
            members.append(f"./{path.name}:{segment.name}")
            names += [f"{part}/{segment.task}/{sample:05d}" for sample in range(segment.n_samples)]
            tasks.append(segment.task)
        work.report((place + 1) / len(work.parts), f"{part}: {len(members):,} segments")
    (work.folder / "samples.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    shutil.copyfile(work.file("atlas.nii.gz"), work.folder / "atlas.nii.gz")
    table = {
        "time": {"tr": TR, "drop": [DROPPED, DROPPED]},
        "stimuli": {"names": "./samples.txt"},
        "responses": members,
        "vertices": {"parcels": "./atlas.nii.gz"},
    }
    if len(set(tasks)) <= len(tasks) - 1:
        table["ceiling_from"] = "split-half"
    films = [film for film in FILMS if any(task.startswith(film) for task in tasks)]
    if len(films) == len(FILMS):
        split = {"film": {"train": [f"{film}*/*" for film in films[:2]], "test": {film: [f"{film}*/*"] for film in films[2:]}}}
        lines = [f"[film]\ntrain = {toml_value(split['film']['train'])}\n[film.test]"]
        lines += [f"{film} = {toml_value(patterns)}" for film, patterns in split["film"]["test"].items()]
        (work.folder / "splits.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
        table["splits"] = "./splits.toml"
    return table, "holdout:0.8:0"


def read_segments(path: Path) -> list[Segment]:
    """List the segments of an h5 in the order of films, their parts and the times that they were seen.

    Raises
    ------
    BadData where the file is no HDF5, has no segments, or one has another name or shape.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            shapes = {name: getattr(each, "shape", None) for name, each in file.items()}
    except OSError as error:
        raise BadData(f"{path.name} is no HDF5 file ({error}).") from error
    found = []
    for name, shape in shapes.items():
        match = SEGMENT.fullmatch(name)
        if match is None:
            raise BadData(f"{path.name} holds {name!r}, which is no name of a segment such as ses-001_task-bourne01.")
        if shape is None or len(shape) != 2 or shape[1] != N_PARCELS:
            raise BadData(f"{path.name}: {name} has the shape {shape}, where (n_samples, {N_PARCELS:,}) is expected.")
        found.append(Segment(name, match["task"], int(match["run"] or 1), shape[0]))
    if not found:
        raise BadData(f"{path.name} holds no segments.")
    return sorted(found, key=lambda segment: (re.sub(r"\d.*", "", segment.task), segment.run, segment.task))
