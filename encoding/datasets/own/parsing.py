"""Parse a ``dataset.toml`` into a :class:`Description`. None of the files that it names is opened."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from encoding.datasets._base import BadData
from encoding.datasets.own.array_files import find_reader, split_member
from encoding.datasets.own.description import BLOCK, SPACES, Description, Places, Regions, StimulusFiles, SubjectFiles, Timing
from encoding.datasets.own.sections import Section
from encoding.evaluation.noise_ceiling import UNITS
from encoding.evaluation.splits import check_split
from encoding.runtime.registry import unknown

BLOCK_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")  # shown before a vertex's number, so without spaces or dashes
VOLUME_SPACES = ("MNI", "native")
RESERVED_BLOCKS = ("both", "roi", "rois", "hemisphere", "vertex")
RESERVED_ROIS = ("all", "others")  # the rows of every vertex, and the target group of those in no ROI
MAX_ROI_NAME = 80
CEILING_METHODS = ("ncsnr", "split-half")
RUNS_SPLIT = "holdout:0.8:0"  # of runs, where none is named
MAX_DEGREE = 20


def read_description(path: Path) -> Description:
    """Parse and validate a ``dataset.toml``.

    Raises
    ------
    BadData for an unknown key (with the nearest known one), a missing key or an impossible value.
    """
    top = Section.of(path)
    top.knows("title", "about", "simulated", "clips", "split", "splits", "stimuli", "subjects", "time")
    subjects = top.section("subjects")
    if not subjects.values:
        raise BadData(f'{path} names no subject. Add [subjects.me] with responses = "responses.npy" below it.')
    found = {name: _subject(part, top) for name, part in subjects.sections()}
    return Description(
        path=path,
        title=top.text("title", path.parent.name),
        about=top.text("about", f"Your own data, described in {path}."),
        simulated=top.flag("simulated"),
        split=top.checked("split", check_split, RUNS_SPLIT if any(files.time for files in found.values()) else "holdout:0.9:5"),
        subjects=found,
        clips=top.flag("clips") or any(files.images.films for files in found.values()),
    )


def _subject(part: Section, top: Section) -> SubjectFiles:
    part.knows(
        "stimuli", "responses", "rois", "vertices", "ceiling", "ceiling_unit", "ceiling_from", "ncsnr", "averaged", "repeats", "groups",
        "transposed", "sessions", "zscore", "average", "splits", "time",
    )  # fmt: skip
    if "responses" not in part:
        raise BadData(f'{part.file}: [{part.name}] needs responses = "responses.npy", or one file each for lh and rh.')
    responses = _responses(part)
    for block in responses:
        if not BLOCK_NAME.fullmatch(block):
            raise BadData(f"{part.file}: {part.name}.responses.{block}: name blocks with letters, digits and _, such as lh and rh.")
        if block in RESERVED_BLOCKS:
            raise BadData(f"{part.file}: {part.name}.responses.{block}: {block!r} has a meaning of its own here. Choose another name.")
        if longer := [other for other in responses if other.startswith(f"{block}_")]:
            raise BadData(
                f"{part.file}: [{part.name}.responses] has {block} and {longer[0]}; a block's name must not continue another's with _."
            )
    ceiling, ncsnr = (_by_block(part, key, responses) if key in part else None for key in ("ceiling", "ncsnr"))
    given = [key for key in ("ceiling", "ncsnr", "ceiling_from") if key in part]
    if len(given) > 1:
        raise BadData(f"{part.file}: [{part.name}] has both {' and '.join(given[:2])}. Keep one of them.")
    unit = part.text("ceiling_unit") or None
    if unit and (not ceiling or unit not in UNITS):
        known = ", ".join(f'"{name}"' for name in UNITS)
        raise BadData(f"{part.file}: {part.name}.ceiling_unit is one of {known}, and says it of ceiling.")
    if "ceiling_from" in part and part.text("ceiling_from") not in CEILING_METHODS:
        raise part.wrong("ceiling_from", '"ncsnr" or "split-half", both from rows that repeat a stimulus')
    if "zscore" in part and part.text("zscore") != "session":
        raise part.wrong("zscore", '"session": every column is z-scored within each session')
    if ncsnr and "averaged" in part and part.flag("average"):
        raise BadData(f"{part.file}: [{part.name}] averages its own rows, so ncsnr is of single rows. Take averaged out.")
    if ncsnr and "averaged" not in part and not part.flag("average"):
        raise BadData(f"{part.file}: [{part.name}] has ncsnr, so say how many trials each row is the mean of: averaged = 3.")
    time = _timing(part.section("time") if "time" in part else top.section("time"))
    if time and part.flag("average"):
        raise BadData(f"{part.file}: [{part.name}] averages rows, which are samples of runs. Take average or time out.")
    return SubjectFiles(
        images=_stimulus_files(part.section("stimuli") if "stimuli" in part else top.section("stimuli"), top.flag("clips"), time),
        responses=responses,
        rois=_rois(part, responses),
        places=_places(part.section("vertices"), responses) if "vertices" in part else None,
        ceiling=ceiling,
        ceiling_unit=unit,
        ncsnr=ncsnr,
        averaged=_averaged(part),
        repeats=part.file_at("repeats"),
        groups=part.file_at("groups"),
        transposed=part.flag("transposed"),
        sessions=_file_or_column(part, "sessions"),
        zscore="zscore" in part,
        average=part.flag("average"),
        ceiling_from=part.text("ceiling_from") or None,
        splits=part.file_at("splits") or top.file_at("splits"),
        time=time,
    )


def _timing(part: Section) -> Timing | None:
    """What ``[time]`` says; None where there is no such table."""
    if not part.values:
        return None
    part.knows("tr", "runs", "drop", "detrend", "high_pass", "zscore")
    tr, high_pass = (_seconds(part, key, what) for key, what in (("tr", "seconds from one sample to the next"), ("high_pass", "Hz")))
    if tr is None:
        raise BadData(f"{part.file}: [{part.name}] needs tr, the seconds from one sample to the next, such as tr = 1.49.")
    drop, detrend = part.values.get("drop", [0, 0]), part.values.get("detrend")
    if not (isinstance(drop, list) and len(drop) == 2 and all(type(n) is int and n >= 0 for n in drop)):
        raise part.wrong("drop", "two whole numbers, the samples left out at the beginning and at the end of each run: [5, 5]")
    if detrend is not None and not (type(detrend) is int and 0 <= detrend <= MAX_DEGREE):
        raise part.wrong("detrend", f"the degree of a polynomial, 0 to {MAX_DEGREE} (1 is a line)")
    if high_pass is not None and high_pass >= 0.5 / tr:
        raise part.wrong("high_pass", f"below half the sampling rate, {0.5 / tr:g} Hz, such as 0.01")
    return Timing(
        tr, runs=_file_or_column(part, "runs"), drop=tuple(drop), detrend=detrend, high_pass=high_pass, zscore=part.flag("zscore")
    )


def _seconds(part: Section, key: str, what: str) -> float | None:
    """A number above 0; None where the key is missing."""
    value = part.values.get(key)
    if value is not None and not (type(value) in (int, float) and 0 < value < float("inf")):
        raise part.wrong(key, f"a number above 0, {what}")
    return value if value is None else float(value)


def _stimulus_files(part: Section, clips: bool, time: Timing | None) -> StimulusFiles:
    part.knows("folder", "files", "unlabelled", "events", "column", "subfolders", "names", "films", "starts", "window")
    if "films" in part:
        return _films(part, time)
    for key in ("starts", "window"):
        if key in part:
            raise BadData(f"{part.file}: [{part.name}] has {key}, which is of films, and names none.")
    if not part.values and time:
        return StimulusFiles(None)
    if "names" in part:
        if len(part.values) > 1:
            raise BadData(f"{part.file}: [{part.name}] has names, which are of stimuli without images and stand alone.")
        return StimulusFiles(None, names=part.file_at("names"))
    if not any(key in part for key in ("folder", "files", "events")):
        raise BadData(
            f'{part.file}: [{part.name}] must say where the images are: folder = "images", files = "stimuli.txt", or '
            'events = "events.tsv"; or, where there are none, names = "names.txt", or [time] where rows are samples of runs.'
        )
    if "files" in part and "events" in part:
        raise BadData(f"{part.file}: [{part.name}] has both files and events, which each list the stimuli of the rows. Keep one of them.")
    return StimulusFiles(
        folder=part.file_at("folder"),
        files=part.file_at("files"),
        unlabelled=part.file_at("unlabelled"),
        events=part.files_at("events"),
        column=part.text("column", StimulusFiles.column),
        subfolders=part.flag("subfolders"),
        clips=clips,
    )


def _films(part: Section, time: Timing | None) -> StimulusFiles:
    """Films of the runs."""
    part.knows("films", "starts", "window")
    if time is None:
        raise BadData(f"{part.file}: [{part.name}] has films, so say when samples of them were taken: [time] with tr = 2.0, in seconds.")
    films, starts = part.files_at("films"), part.values.get("starts", [])
    if not (isinstance(starts, list) and all(type(at) in (int, float) and 0 <= at < float("inf") for at in starts)):
        raise part.wrong("starts", "a list of seconds into the film, one for each run, at which the run's first sample was taken")
    if starts and len(starts) != len(films):
        raise BadData(f"{part.file}: [{part.name}] has {len(films)} films and {len(starts)} starts. Write one for each run.")
    window = _seconds(part, "window", "seconds of the film that each sample shows")
    return StimulusFiles(None, clips=True, films=films, starts=tuple(map(float, starts)), window=window)


def _file_or_column(part: Section, key: str) -> Path | str | None:
    """File with a number for each row, or the name of a column of the events."""
    text = part.text(key)
    if not text:
        return None
    path = part.file_at(key)
    return path if find_reader(split_member(path)[0]) else text


def _responses(part: Section) -> dict[str, tuple[Path, ...]]:
    """Files of each block of responses, whose rows follow one another."""
    value = part.values["responses"]
    if isinstance(value, str | list):
        return {BLOCK: part.files_at("responses")}
    if not isinstance(value, dict):
        raise part.wrong(
            "responses", "one file in quotes or a table of files, one each for lh, rh; a list of files holds rows one after the other"
        )
    found = part.section("responses")
    if not found.values:
        raise BadData(f'{part.file}: [{found.name}] is empty. Name a file, such as lh = "lh.npy".')
    return {block: found.files_at(block) for block in found.values}


def _by_block(part: Section, key: str, responses: Mapping[str, Any]) -> dict[str, Path]:
    """One file for each block of responses. Where the responses are one block, so is everything about them."""
    if _is_one_block(part):
        if not isinstance(part.values[key], str):
            raise part.wrong(key, "one file, as responses is")
        return {BLOCK: part.file_at(key)}
    if not isinstance(part.values[key], dict):
        raise part.wrong(key, f"a table of files, one each for {', '.join(responses)}")
    found = part.section(key)
    found.knows(*responses)
    if missing := [block for block in responses if block not in found]:
        raise BadData(f"{part.file}: [{found.name}] has no {missing[0]}, which has responses. Name a file for each block, or for none.")
    return found.files()


def _is_one_block(part: Section) -> bool:
    return not isinstance(part.values["responses"], dict)


def _rois(part: Section, responses: Mapping[str, Any]) -> dict[str, dict[str, Regions]]:
    found = part.section("rois")
    if _is_one_block(part):
        return {BLOCK: _block_rois(found)}
    found.knows(*responses)
    return {block: _block_rois(found.section(block)) for block in responses}


def _block_rois(part: Section) -> dict[str, Regions]:
    return {key: _regions(part, key) for key in part.values}


def _regions(part: Section, key: str) -> Regions:
    if isinstance(part.values[key], str):
        check_roi_name(part, key)
        return Regions(part.file_at(key))
    if not isinstance(part.values[key], dict):
        raise part.wrong(key, 'a mask\'s file in quotes, or a table such as { labels = "faces.npy", names = ["OFA", "FFA"] }')
    table = part.section(key)
    table.knows("labels", "names")
    if "labels" not in table or "names" not in table:
        raise BadData(f'{part.file}: [{table.name}] needs both labels = "faces.npy" and names = ["OFA", "FFA"] (label 1 first).')
    names = _label_names(table, table.values["names"])
    for name in names:
        check_roi_name(table, name)
    return Regions(table.file_at("labels"), names)


def check_roi_name(part: Section, name: str) -> None:
    """Check that an ROI's name is not reserved and can stand in a URL and a table.

    Raises
    ------
    BadData where it cannot.
    """
    if name in RESERVED_ROIS:
        raise BadData(f"{part.file}: [{part.name}] names an ROI {name!r}, which stands for vertices of no ROI here. Choose another name.")
    if not name.strip() or name != name.strip() or not name.isprintable() or len(name) > MAX_ROI_NAME:
        raise BadData(
            f"{part.file}: [{part.name}] names an ROI {name[:20]!r}: write 1 to {MAX_ROI_NAME} printable characters, without spaces around."
        )


def _label_names(table: Section, names: Any) -> dict[str, int]:
    """ROI to label: a list counts from 1, a table gives each name its number."""
    if isinstance(names, list) and all(isinstance(name, str) for name in names) and len(set(names)) == len(names):
        return {name: label for label, name in enumerate(names, start=1)}
    if isinstance(names, dict) and all(type(label) is int for label in names.values()):
        return dict(names)
    raise table.wrong(
        "names", 'different names in quotes, label 1 first (["OFA", "FFA"]), or names with their labels ({ OFA = 1, FFA = 7 })'
    )


def _places(part: Section, responses: Mapping[str, Any]) -> Places:
    part.knows("space", "mask", "parcels", "spheres", *responses)
    space = part.text("space")
    if "mask" in part:
        if len(responses) > 1 or set(part.values) - {"mask", "space"} or space not in ("", *VOLUME_SPACES):
            raise BadData(
                f"{part.file}: [{part.name}] has a mask, which places the voxels of one block and stands alone, or beside "
                'space = "MNI" or "native".'
            )
        return Places(space=space or None, mask=part.file_at("mask"))
    if "parcels" in part:
        if len(responses) > 1 or len(part.values) > 1:
            raise BadData(f"{part.file}: [{part.name}] has parcels, which place the columns of one block and stand alone.")
        if isinstance(part.values["parcels"], str):
            return Places(parcels=part.file_at("parcels"))
        table = part.section("parcels")
        table.knows("lh", "rh")
        return Places(parcels=table.files())
    if space not in SPACES:
        found = f" {unknown('space', space, SPACES)}" if space else ""
        choices = 'space = "fsaverage", "fsaverage6", "fsaverage5" or "fsLR", mask = "mask.nii.gz" or parcels = "atlas.nii.gz"'
        raise BadData(f"{part.file}: [{part.name}] needs {choices}.{found}")
    if strange := [block for block in responses if block not in ("lh", "rh")]:
        raise BadData(
            f"{part.file}: [{part.name}] has a space, but the responses are named {strange[0]!r}, which is no hemisphere. "
            "Give responses as lh and rh, or leave the vertices out."
        )
    spheres = part.section("spheres")
    spheres.knows("lh", "rh")
    if spheres.values and space != "fsLR":
        raise BadData(f"{part.file}: [{spheres.name}] are the meshes of fsLR in the space of fsaverage; {space} needs none.")
    return Places(space=space, files={block: part.file_at(block) for block in responses if block in part}, spheres=spheres.files())


def _averaged(part: Section) -> int | Path | None:
    value = part.values.get("averaged")
    if value is None or (type(value) is int and value in (1, 2, 3)):
        return value
    if not isinstance(value, str):
        raise part.wrong("averaged", "1, 2 or 3 trials, or the path of an array with that number for each row")
    return part.file_at("averaged")
