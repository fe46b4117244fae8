"""Diagnose the layout of Algonauts 2021: clips, and each person's pickles in both tracks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from encoding.datasets import BadData
from encoding.datasets._tracks2021 import convert
from encoding.datasets._videos import read_frames
from encoding.datasets.algonauts2021 import FULL, MINI_TRACK, N_CLIPS, PERSON, Algonauts2021Layout, read_clips
from encoding.datasets.doctor._checks import TINY
from encoding.datasets.doctor._findings import Finding, found_by
from encoding.runtime.progress import Report, subprogress
from encoding.runtime.wording import counted
from encoding.storage.fingerprints import file_facts, sha256
from encoding.storage.store import Store

TITLE = "Algonauts 2021"
TELLTALES = ("AlgonautsVideos268_All_30fpsmax", "participants_data_v2021", "mini_track", "full_track", "WB.pkl", "V1.pkl")
LACKS = "It should hold AlgonautsVideos268_All_30fpsmax and participants_data_v2021."
N_ALL = 1102
AGAIN = "Unpack the download again."
N_VOXELS = {  # of sub01 … sub10
    "LOC": (1843, 1348, 1237, 1153, 1397, 1356, 1117, 1244, 1515, 1034),
    "FFA": (68, 157, 80, 210, 69, 119, 89, 163, 76, 69),
    "STS": (341, 421, 278, 398, 219, 173, 80, 306, 346, 120),
    "EBA": (351, 183, 376, 368, 309, 308, 101, 55, 191, 162),
    "PPA": (425, 153, 368, 225, 210, 216, 33, 150, 262, 165),
    "V1": (232, 285, 164, 176, 326, 286, 195, 300, 271, 238),
    "V2": (231, 231, 271, 209, 196, 281, 189, 238, 265, 249),
    "V3": (261, 270, 270, 212, 176, 229, 174, 223, 245, 188),
    "V4": (107, 95, 111, 117, 73, 108, 55, 85, 94, 60),
}


def find(folder: Path) -> list[Path]:
    """List the folders with clips or participants in or directly below ``folder``."""
    below = sorted(path for path in folder.glob("*") if path.is_dir()) if folder.is_dir() else []
    return [
        path for path in (folder, *below) if Algonauts2021Layout(path).clips.is_dir() or Algonauts2021Layout(path).participants.is_dir()
    ]


def examine(folder: Path, store: Store, report: Report) -> Iterator[Finding]:
    """Yield the findings about one folder: the clips, then each person in each track."""
    layout = Algonauts2021Layout(folder)
    yield from found_by(check_clips(layout, store, subprogress(report, 0, 0.5)), folder.name)
    subjects = _subjects(layout)
    if not subjects:
        fix = "Unpack participants_data_v2021 beside the clips."
        yield Finding("error", f"{folder.name}: no sub01, sub02 … in mini_track or full_track.", "There are no responses.", fix)
    for i, subject in enumerate(subjects):
        progress = subprogress(report, 0.5 + 0.5 * i / len(subjects), 0.5 + 0.5 * (i + 1) / len(subjects))
        yield from found_by(check_subject(layout, subject, store, progress), subject)


def _subjects(layout: Algonauts2021Layout) -> list[str]:
    tracks = {"mini_track": "", "full_track": FULL}
    people = [
        (path.name, end) for track, end in tracks.items() for path in sorted((layout.participants / track).glob("*")) if path.is_dir()
    ]
    return [f"{person}{end}" for person, end in people if PERSON.fullmatch(person)]


def check_clips(layout: Algonauts2021Layout, store: Store, report: Report) -> Iterator[Finding]:
    """Check that all clips decode and that their number is the challenge's, and find duplicates."""
    if layout.marker.exists():
        yield Finding("ok", "simulated (SIMULATED.txt).", "No brain was measured; nothing is compared with the real download.")
    paths = read_clips(layout.clips)
    facts = file_facts(paths, store, name="clips-1", learn=clip_facts, report=subprogress(report, 0, 0.8))
    if errors := [fact["error"] for fact in facts if fact["error"]]:
        yield Finding(
            "error", f"{len(errors):,} of {counted(len(paths), 'clip')} cannot be read, the first: {errors[0]}", "Fits will stop there."
        )
    else:
        least, most = (choose(fact["n_frames"] for fact in facts) for choose in (min, max))
        frames = f"{least}" if least == most else f"{least} to {most}"
        yield Finding("ok", f"{counted(len(paths), 'clip')}, named by their rows, all readable, of {frames} frames.")
    if len(paths) != N_ALL and not layout.marker.exists():
        meaning = f"The challenge's download has {N_ALL:,}: part of it is missing."
        yield Finding("warning", f"{counted(len(paths), 'clip')}.", meaning, AGAIN)
    yield from _check_doubles(paths, store, subprogress(report, 0.8, 1))


def _check_doubles(paths: Sequence[Path], store: Store, report: Report) -> Iterator[Finding]:
    first: dict[str, Path] = {}
    doubles = []
    for path, name in zip(paths, file_facts(paths, store, name="sha256", learn=sha256, report=report), strict=True):
        if first.setdefault(name, path) != path:
            doubles.append((path, first[name]))
    if doubles:
        clip, double = doubles[0]
        what = f"{counted(len(doubles), 'clip equals another', 'clips equal others')}, the first {clip.name} and {double.name}."
        yield Finding("warning", what, "A split may put one of them on each side.", AGAIN)
    else:
        yield Finding("ok", "no clip has a double under another name.")


def clip_facts(path: Path) -> dict[str, Any]:
    """Count the frames of a clip, with the decoding error, if any."""
    counted = []

    def last(n_frames: int) -> list[int]:
        counted.append(n_frames)
        return [n_frames - 1]

    try:
        read_frames(path, last)
        return {"n_frames": counted[-1], "error": None}
    except BadData as error:
        return {"n_frames": None, "error": str(error)}


def check_subject(layout: Algonauts2021Layout, subject: str, store: Store, report: Report) -> Iterator[Finding]:
    """Check the pickles of one person in one track: shapes, ranges and agreement with the clips."""
    files = layout.files(subject)
    if missing := [path.name for path in files.values() if not path.is_file()]:
        where = next(iter(files.values())).parent
        yield Finding("error", f"{where} lacks {', '.join(missing)}.", "The subject cannot be opened.", AGAIN)
    there = {roi: path for roi, path in files.items() if path.is_file()}
    facts = dict(zip(there, file_facts(there.values(), store, name="tracks-1", learn=track_facts, report=report), strict=True))
    for fact in facts.values():
        if fact["error"]:
            yield Finding("error", fact["error"], "The subject cannot be opened.")
    sound = {roi: fact for roi, fact in facts.items() if not fact["error"]}
    if not sound:
        return
    yield from _check_counts(layout, sound)
    sizes = ", ".join(f"{roi} {fact['n_voxels']:,}" for roi, fact in sound.items())
    lowest, highest = min(fact["minimum"] for fact in sound.values()), max(fact["maximum"] for fact in sound.values())
    yield Finding("ok", f"voxels: {sizes}; mean responses finite, from {lowest:.4f} to {highest:.4f}.")
    ceilings = ", ".join(f"{roi} {fact['ceiling']:.3f}" for roi, fact in sound.items())
    yield Finding(
        "ok", f"reliability over repetitions, medians: {ceilings}.", "A rough noise ceiling: it is from the training clips alone."
    )
    if flat := [roi for roi, fact in sound.items() if fact["minimum"] == fact["maximum"]]:
        yield Finding("error", f"{', '.join(flat)} hold one and the same number.", "There is nothing to predict.", AGAIN)
    if tiny := [f"{roi} ({fact['n_voxels']})" for roi, fact in sound.items() if fact["n_voxels"] < TINY]:
        yield Finding("warning", f"ROIs of fewer than {TINY} voxels: {', '.join(tiny)}.", "Their mean scores say little.")
    if not layout.marker.exists() and not subject.endswith(FULL):
        yield from _compare_voxels(subject, sound)


def _check_counts(layout: Algonauts2021Layout, facts: dict[str, dict[str, Any]]) -> Iterator[Finding]:
    rows = {fact["n_clips"] for fact in facts.values()}
    if len(rows) > 1:
        counts = ", ".join(f"{roi} {fact['n_clips']:,}" for roi, fact in facts.items())
        yield Finding("error", f"ROIs have different numbers of rows: {counts}.", "They belong together.", AGAIN)
        return
    (n_rows,) = rows
    n_clips = len(read_clips(layout.clips))
    if n_clips < n_rows:
        yield Finding("error", f"{counted(n_clips, 'clip')} for {counted(n_rows, 'row')}.", "Each row answers one clip.", AGAIN)
    elif n_rows != N_CLIPS and not layout.marker.exists():
        yield Finding("warning", f"{counted(n_rows, 'row')}.", f"The challenge's download has {N_CLIPS:,}.", AGAIN)
    else:
        yield Finding("ok", f"{n_rows:,} rows answer the first {n_rows:,} clips; {n_clips - n_rows:,} are test clips.")


def _compare_voxels(subject: str, facts: dict[str, dict[str, Any]]) -> Iterator[Finding]:
    number = int(subject.removeprefix("sub")) - 1
    for roi in MINI_TRACK:
        if roi in facts and 0 <= number < 10 and facts[roi]["n_voxels"] != (expected := N_VOXELS[roi][number]):
            meaning = f"The challenge's download has {expected:,}: the file was changed or belongs to somebody else."
            yield Finding("warning", f"{facts[roi]['n_voxels']:,} voxels in {roi}.", meaning, AGAIN)


def track_facts(path: Path) -> dict[str, Any]:
    """Shape and range of one pickle's responses averaged over repetitions, or the error."""
    try:
        averaged = convert({path.stem: path})
    except BadData as error:
        return {"error": str(error)}
    responses = averaged["responses"]
    if not responses.size:
        return {"error": f"{path} holds no responses. {AGAIN}"}
    about = {"n_clips": responses.shape[0], "n_voxels": responses.shape[1], "error": None}
    return about | {"minimum": float(responses.min()), "maximum": float(responses.max()), "ceiling": float(np.median(averaged["ceiling"]))}
