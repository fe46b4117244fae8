"""Fetch an open data set: download its files, check them, convert them to own data, remove what is not needed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from filelock import FileLock

from encoding.datasets._base import BadData
from encoding.datasets._registry import data_dir
from encoding.datasets.catalogue.entry import CONVERTERS, Entry, RemoteFile, check_name, find_entry
from encoding.datasets.own.description import FILE
from encoding.datasets.own.sections import toml_value
from encoding.runtime.progress import Report, silent, subprogress
from encoding.storage.archives import BadArchive
from encoding.storage.atomic import atomic_file, leftovers, scratch_folder
from encoding.storage.download import SPARE_BYTES, difference, fetch, reason_of, received_bytes

DOWNLOADS = ".downloads"  # in the folder of data; hidden, so that it is no data set
SUBJECT_FILE = "subject.json"
N_TRIES = 5
N_AT_ONCE, BATCH = 8, 32  # of small files: threads, and files between two reports
SHARE_OF_DOWNLOAD = 0.8  # of the progress


class NotFetched(ConnectionError):
    """A data set could not be fetched; the message says why, what is kept and what to do by hand."""


class NotConfirmed(ValueError):
    """The terms of a data set were not confirmed, or it is not to be had without a form."""


@dataclass(frozen=True)
class Conversion:
    """What a converter works on.

    Attributes
    ----------
    source : folder of downloaded files, under :attr:`RemoteFile.name`.
    folder : empty folder to fill; it becomes ``<data set>/<subject>``.
    root : folder of the data set, for images that subjects share.
    stimuli : folder that the user gave; None where the entry asks for none.
    """

    entry: Entry
    source: Path
    folder: Path
    root: Path
    subject: str
    parts: tuple[str, ...]
    stimuli: Path | None
    report: Report

    def file(self, name: str) -> Path:
        """A downloaded file."""
        return self.source / name

    def more(self, names: Sequence[str], folder: Path, report: Report) -> None:
        """Download files that others of the data set name (:attr:`Entry.more`), and copy them below ``folder`` under their names.

        Raises
        ------
        BadData for a name that leads elsewhere; NotFetched where one cannot be had.
        """
        if strange := [name for name in names if not check_name(name)]:
            raise BadData(f"{strange[0]!r} is no name of a file.")
        done = 0

        def get(name: str) -> None:
            nonlocal done
            target = self.source / "more" / name
            _fetch_file(self.entry, RemoteFile(name=name, address=self.entry.more.format(name=name)), target, silent)
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(target, folder / name)
            done += 1

        with ThreadPoolExecutor(N_AT_ONCE) as pool:
            for start in range(0, len(names), BATCH):
                list(pool.map(get, names[start : start + BATCH]))
                report(done / len(names), f"fetching {done:,} of {len(names):,} files")


Converted = tuple[Mapping[str, Any], str]
"""The subject's table of ``dataset.toml``, with paths relative to :attr:`Conversion.folder`, and the split."""


@dataclass(frozen=True)
class Fetched:
    """What was fetched: the data set's folder, its subjects, and the command that gives a first result."""

    folder: Path
    subjects: tuple[str, ...]
    command: str
    link: str


def fetch_dataset(
    name: str,
    *,
    subjects: Sequence[str] = (),
    parts: Sequence[str] = (),
    stimuli: Path | None = None,
    confirmed: bool = False,
    keep: bool = False,
    report: Report = silent,
) -> Fetched:
    """Download an open data set below :func:`data_dir` and convert it to own data. What is there already is not fetched again.

    Parameters
    ----------
    subjects, parts : those of the entry where none are named.
    stimuli : folder of images or clips, where the entry asks for one.
    confirmed : whether the user has confirmed the terms.
    keep : keep the downloaded files.

    Raises
    ------
    UnknownName; NotConfirmed; NotFetched where a file cannot be had, or the disk has no room; BadData where a file is not what the
    entry says. What arrived is kept, and the next call goes on from there.
    """
    entry = find_entry(name)
    subjects, parts = entry.check_choice(subjects, parts)
    check_allowed(entry, confirmed=confirmed, stimuli=stimuli)
    root = data_dir() / name
    downloads = data_dir() / DOWNLOADS / name
    downloads.mkdir(parents=True, exist_ok=True)
    if (root / FILE).exists() and not _ours(root):
        raise BadData(f"{root} holds data that were not fetched. Rename that folder, and try again.")
    with FileLock(downloads.parent / f"{name}.lock"):
        for left in leftovers(root):  # of a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        missing = [subject for subject in subjects if not _is_here(root / subject, parts)]
        files = entry.remote_files(missing, parts) if missing else []
        _check_room(entry, files, downloads, entry.sizes(missing, parts)[1])
        _download(entry, files, downloads, subprogress(report, 0, SHARE_OF_DOWNLOAD))
        for number, subject in enumerate(missing):
            share = subprogress(report, *(SHARE_OF_DOWNLOAD + 0.2 * step / len(missing) for step in (number, number + 1)))
            _convert(entry, downloads, root, subject, parts, stimuli, share)
        if missing:
            _describe(entry, root)
        if not keep:
            shutil.rmtree(downloads, ignore_errors=True)
    report(1.0, f"{entry.title} is in {root}")
    return Fetched(root, subjects, f"fit --dataset {name} --subject {subjects[0]} {entry.example}".strip(), f"/data?dataset={name}")


def check_allowed(entry: Entry, *, confirmed: bool, stimuli: Path | None = None) -> None:
    """Check that nothing is left for the user to do.

    Raises
    ------
    NotConfirmed, with what that is.
    """
    if entry.form:
        raise NotConfirmed(f"{entry.title} is not fetched: {entry.form}")
    if entry.terms and not confirmed:
        raise NotConfirmed(f"Before {entry.title} is fetched, its terms have to be confirmed: {entry.terms}")
    if entry.stimuli and (stimuli is None or not stimuli.is_dir()):
        missing = f" {stimuli} is no folder." if stimuli else ""
        raise NotConfirmed(f"{entry.title} comes without stimuli. Give the folder that holds them: {entry.stimuli}{missing}")


def is_fetched(entry: Entry, subject: str) -> bool:
    """Whether a subject was fetched and converted."""
    return (data_dir() / entry.name / subject / SUBJECT_FILE).is_file()


def _is_here(folder: Path, parts: tuple[str, ...]) -> bool:
    if not (folder / SUBJECT_FILE).exists():
        return False
    if missing := set(parts) - set(_about(folder)["parts"]):
        raise BadData(f"{folder} was made without {', '.join(sorted(missing))}. Remove that folder to fetch it with all parts you name.")
    return True


def _about(folder: Path) -> dict[str, Any]:
    """What a converter left in a subject's folder: its parts, split and table."""
    try:
        about = json.loads((folder / SUBJECT_FILE).read_text(encoding="utf-8"))
        return {"parts": list(about["parts"]), "split": str(about["split"]), "table": dict(about["table"])}
    except (ValueError, LookupError, TypeError) as error:
        raise BadData(f"{folder / SUBJECT_FILE} is damaged. Remove the folder {folder} to fetch {folder.name} again.") from error


def _ours(root: Path) -> bool:
    return any(root.glob(f"*/{SUBJECT_FILE}"))


def _check_room(entry: Entry, files: Sequence[RemoteFile], downloads: Path, n_made: int) -> None:
    needed = sum(max(0, file.size - received_bytes(downloads / file.name)) for file in files) + n_made
    free = shutil.disk_usage(downloads).free
    if files and needed + SPARE_BYTES > free:
        raise NotFetched(
            f"{entry.title} needs {needed / 1e9:,.1f} GB, and {downloads.parent.parent} has {free / 1e9:,.1f} GB free. "
            "Free some, or set ENCODING_DATA_DIR to a folder on another disk."
        )


def _download(entry: Entry, files: Sequence[RemoteFile], downloads: Path, report: Report) -> None:
    total, done = sum(file.size for file in files) or 1, 0
    for number, file in enumerate(files, start=1):
        target = downloads / file.name
        count = f"file {number:,} of {len(files):,}: "
        step = subprogress(report, done / total, (done + file.size) / total)
        _fetch_file(entry, file, target, lambda fraction, text, step=step, count=count: step(fraction, count + text))
        done += file.size


def _fetch_file(entry: Entry, file: RemoteFile, target: Path, report: Report) -> None:
    if target.is_file() and (wrong := difference(target, sha256=file.sha256, md5=file.md5, n_bytes=file.n_bytes)):  # put there by hand
        raise NotFetched(f"{target} {wrong}. Remove it to fetch {file.name} of {entry.title}, or save the file of {file.address} there.")
    try:
        file = file if target.is_file() else _listed(file, target)
        fetch(file.address, target, sha256=file.sha256, md5=file.md5, n_bytes=file.n_bytes, n_tries=N_TRIES, report=report)
    except OSError as error:
        raise NotFetched(
            f"{file.name} of {entry.title} could not be fetched ({reason_of(error)}). What arrived is kept: "
            f"ask again to go on from there. Or download {file.address} elsewhere and save it as {target}."
        ) from error


def _listed(file: RemoteFile, target: Path) -> RemoteFile:
    """The file that a list of figshare's names, with the address, size and hash that stand there; other files as they are.

    Such an address is that of the list (``https://api.figshare.com/v2/articles/ARTICLE/files``), ``#`` and the file's name.

    Raises
    ------
    OSError where the list cannot be had, or does not name the file.
    """
    address, _, name = file.address.partition("#")
    if not name:
        return file
    listing = target.with_name(f"{target.name}.list.json")
    listing.unlink(missing_ok=True)
    try:
        listed = json.loads(fetch(address, listing, n_tries=N_TRIES).read_bytes())
        found = next((each for each in listed if each["name"] == name), None)
        if found is None:
            raise OSError(f"{address} lists {', '.join(str(each['name']) for each in listed) or 'no file'}, and no {name}")
        return replace(file, address=str(found["download_url"]), n_bytes=int(found["size"]), md5=str(found.get("computed_md5") or file.md5))
    except (ValueError, LookupError, TypeError) as error:
        raise OSError(f"{address} is no list of files ({type(error).__name__}: {error})") from error
    finally:
        listing.unlink(missing_ok=True)


def _convert(entry: Entry, downloads: Path, root: Path, subject: str, parts: tuple[str, ...], stimuli: Path | None, report: Report) -> None:
    """Convert one subject into a scratch folder, which becomes ``root/subject``."""
    convert = import_module(f"{CONVERTERS}.{entry.converter}").convert
    with scratch_folder(root) as scratch:
        folder = scratch / subject
        folder.mkdir()
        work = Conversion(entry, downloads, folder, root, subject, parts, stimuli and stimuli.resolve(), report)
        try:
            table, split = convert(work)
        except (BadData, BadArchive) as error:
            raise BadData(
                f"{entry.title} was fetched, but is not what was expected: {error} {entry.seen} Its files are kept in {downloads}."
            ) from error
        about = {"parts": list(parts), "split": split, "table": table}
        (folder / SUBJECT_FILE).write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")
        folder.rename(root / subject)


def _describe(entry: Entry, root: Path) -> None:
    """Write ``dataset.toml`` from what converters left in each subject's folder."""
    known = {path.parent.name: _about(path.parent) for path in sorted(root.glob(f"*/{SUBJECT_FILE}"))}
    splits = [about["split"] for about in known.values()]
    head = {"title": entry.title, "about": f"{entry.about} {entry.licence}", "split": splits[0]} | ({"clips": True} if entry.clips else {})
    lines = [f"{key} = {toml_value(value)}" for key, value in head.items()]
    for subject, about in known.items():
        lines += ["", f"[subjects.{toml_value(subject)}]"]
        lines += [f"{key} = {toml_value(_below(subject, value))}" for key, value in about["table"].items()]
    with atomic_file(root / FILE, "w") as file:
        file.write("\n".join(lines) + "\n")


PATH_MARK = "./"  # begins a path in what a converter gives


def _below(subject: str, value: Any) -> Any:
    """Paths as seen from the folder of ``dataset.toml``."""
    if isinstance(value, dict):
        return {key: _below(subject, each) for key, each in value.items()}
    if isinstance(value, list):
        return [_below(subject, each) for each in value]
    return f"{subject}/{value.removeprefix(PATH_MARK)}" if isinstance(value, str) and value.startswith(PATH_MARK) else value
