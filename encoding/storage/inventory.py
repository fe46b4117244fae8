"""Inventory of a Store by stage, size and age; pruning of results; and a background check of all checksums."""

from __future__ import annotations

import datetime
import json
import shutil
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from encoding.runtime.progress import Report, silent
from encoding.storage.atomic import atomic_file
from encoding.storage.files import open_regular
from encoding.storage.keys import stage_of
from encoding.storage.locks import is_held
from encoding.storage.store import LOCKS, PROVENANCE, Store

if TYPE_CHECKING:
    import pandas as pd

DAY = 24 * 3600
IRREPLACEABLE = ("imported",)  # stages that this machine cannot compute again
CHECKED_FILE = "checked.json"
SEARCHES = "search"  # the stage whose results are SQLite files that grow, one for each search (:mod:`encoding.analysis.optuna_study`)

STAGES = {
    "stimuli": "images of simulated subjects",
    "responses": "responses of simulated subjects",
    "fingerprints": "checksums of data sets' files",
    "surface": "where voxels lie on the cortex",
    "sampled": "where voxels lie on the cortex",
    "float32": "responses in the form that is read fastest",
    "own-responses": "responses of one's own data, read once",
    "own-means": "means over repeats of one's own responses",
    "own-ceiling": "noise ceilings from repeats",
    "own-runs": "responses of runs, without trends and dropped ends",
    "probe": "what a backbone needs of time and memory",
    "layer_size": "numbers of features of layers",
    "features": "what backbones make of images",
    "sketch": "layers too large to store, multiplied by random signs",
    "shard": "parts of features and sketches that are not joined yet",
    "directions": "directions of layers that are being reduced",
    "sums": "sums of layers that are being reduced",
    "projection": "sparse random projections of layers",
    "components": "principal components of features",
    "projected": "other subjects' features in a fit's components",
    "moments": "sums over training images",
    "delays": "delays that folds of fits on films chose",
    "weights": "readouts' models",
    "fit": "scores of finished fits",
    "intervals": "bootstrap intervals of scores",
    "pooled": "r over all folds together",
    "significance": "permutation tests of fits",
    "partition": "R² of nested fits",
    "similarity": "RSA and CKA of layers and regions",
    "across": "models of one subject tested on another",
    "subject_similarity": "RSA over subjects",
    "spectrum": "spectra of responses and features",
    "curve": "learning curves",
    "basis": "what networks make of test images",
    "occlusion": "parts of images that drive a region",
    "findings": "what validating the folders of data sets found",
    "search": "trials of searches for better parameters",
    "checkpoint": "trainings that were stopped half way",
    "imported": "fits that somebody else sent; nothing here can compute them again",
}
"""Stage to what it is, in a reader's words; a Store may hold others as well."""


@dataclass(frozen=True)
class StoreEntry:
    """One result in the Store: its key, bytes on disk and when it was written (seconds since 1970)."""

    key: str
    n_bytes: int
    written: float

    @property
    def stage(self) -> str:
        """Stage of the result, such as ``features``."""
        return stage_of(self.key)


def entries(store: Store) -> list[StoreEntry]:
    """List every complete result, and the trials of every search, oldest first."""
    entries = []
    for path in store.root.glob(f"{SEARCHES}/*.db"):
        with suppress(FileNotFoundError):
            entries.append(StoreEntry(path.stem, sum(file.stat().st_size for file in _study_files(path)), path.stat().st_mtime))
    for path in store.root.glob(f"*/*/{PROVENANCE}"):
        try:
            n_bytes = sum(file.stat().st_size for file in path.parent.iterdir())
            entries.append(StoreEntry(path.parent.name, n_bytes, path.stat().st_mtime))
        except FileNotFoundError:
            continue
    return sorted(entries, key=lambda one: one.written)


def _study_files(path: Path) -> list[Path]:
    """A search's SQLite file and what SQLite keeps beside it while it writes."""
    return [path, *path.parent.glob(f"{path.name}-*")]


def by_stage(results: Collection[StoreEntry]) -> pd.DataFrame:
    """Table of stages, largest first: ``stage``, ``what`` it is, ``results``, ``bytes``, ``oldest`` and ``newest`` (UTC)."""
    import pandas as pd

    rows = []
    for stage in dict.fromkeys(one.stage for one in results):
        of_it = [one for one in results if one.stage == stage]
        ends = [min(one.written for one in of_it), max(one.written for one in of_it)]
        oldest, newest = (datetime.datetime.fromtimestamp(end, datetime.UTC) for end in ends)
        n_bytes = sum(one.n_bytes for one in of_it)
        rows.append(
            {"stage": stage, "what": STAGES.get(stage, ""), "results": len(of_it), "bytes": n_bytes, "oldest": oldest, "newest": newest}
        )
    table = pd.DataFrame(rows, columns=["stage", "what", "results", "bytes", "oldest", "newest"])
    return table.sort_values("bytes", ascending=False, ignore_index=True)


def chosen(results: Collection[StoreEntry], *, stages: Collection[str] = (), older_days: float = 0.0) -> list[StoreEntry]:
    """Select entries by stage and age.

    Parameters
    ----------
    stages : empty for all but those that cannot be computed again (:data:`IRREPLACEABLE`), which must be named.
    older_days : minimum age in days; 0 for every age.

    Raises
    ------
    ValueError where ``older_days`` is below 0.
    """
    if older_days < 0:
        raise ValueError(f"A number of days of 0 or more is needed, not {older_days:g}.")
    latest = time.time() - older_days * DAY if older_days else float("inf")  # another machine's clock may be ahead
    wanted = [one for one in results if one.stage in stages or (not stages and one.stage not in IRREPLACEABLE)]
    return [one for one in wanted if one.written <= latest]


@dataclass(frozen=True)
class Pruned:
    """Result of :func:`prune`: entries removed, entries kept, and bytes of unfinished and damaged results.

    Attributes
    ----------
    in_use : kept, because a fit or a search that is going on uses them.
    members : key of each entry that is kept because a composed fit which stays needs it, and the key of that fit.
    """

    removed: tuple[StoreEntry, ...]
    in_use: tuple[StoreEntry, ...]
    members: Mapping[str, str] = field(default_factory=dict)
    n_leftovers: int = 0
    leftover_bytes: int = 0

    @property
    def n_bytes(self) -> int:
        """Bytes that were freed."""
        return self.leftover_bytes + sum(one.n_bytes for one in self.removed)


def prune(store: Store, results: Collection[StoreEntry]) -> Pruned:
    """Remove results, unfinished writes of dead processes, and damaged results that were moved aside.

    What a running fit reads or writes is kept, alone or in an experiment, and so are the trials of a running search and the members of a
    composed fit that stays.

    Raises
    ------
    OSError where one may not be removed, as in a Store that is read-only.
    """
    with store.lock("prune"):  # no fit begins meanwhile
        used = in_use(store, results)
        members = needed_members(store, results, used)
        kept = {one.key for one in used} | members.keys()
        removed = tuple(one for one in results if one.key not in kept)
        for one in removed:
            if one.stage == SEARCHES:
                for file in _study_files(store.root / SEARCHES / f"{one.key}.db"):
                    file.unlink(missing_ok=True)
            else:
                store.remove(one.key)
        leftovers = [*store.leftovers(), *store.set_aside()]
        n_bytes = sum(size_of(path) for path in leftovers)
        store.sweep()
        for path in store.set_aside():
            path.unlink() if path.is_symlink() or path.is_file() else shutil.rmtree(path)
    return Pruned(removed, tuple(used), members, len(leftovers), n_bytes)


def in_use(store: Store, results: Collection[StoreEntry]) -> list[StoreEntry]:
    """Entries that :func:`prune` would keep now, because they are in use."""
    keys = store.keys_in_use()
    return [one for one in results if one.key in keys or (one.stage == SEARCHES and is_locked(store, one.key))]


def needed_members(store: Store, results: Collection[StoreEntry], used: Collection[StoreEntry] = ()) -> dict[str, str]:
    """Fits among ``results`` of which a fit that is composed and stays is made, with the key of that fit; empty where none is.

    Parameters
    ----------
    used : entries among ``results`` that stay in any case.

    Notes
    -----
    A composed fit that is a member of another which stays is kept too, with its own members.
    """
    going = {one.key for one in results if one.stage == "fit"} - {one.key for one in used}
    needed: dict[str, str] = {}
    staying = [key for key in store.keys() if stage_of(key) == "fit" and key not in going] if going else []  # noqa: SIM118 - a Store is no dict
    while staying:
        key = staying.pop()
        try:
            made_from = (store.provenance(key) or {}).get("made_from", {})
        except ValueError:  # damaged: `cache verify` says so
            continue
        for member in made_from.get("composition", {}).get("members", ()):
            if member in going and member not in needed:
                needed[member] = key
                staying.append(member)
    return needed


def is_locked(store: Store, key: str) -> bool:
    """Whether a process holds the lock of ``key``; raises OSError where it cannot be looked at."""
    return is_held(store.root / LOCKS / f"{key}.lock")


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    files = [path] if path.is_symlink() or not path.is_dir() else [file for file in path.rglob("*") if not file.is_dir()]
    n_bytes = 0
    for file in files:
        with suppress(FileNotFoundError):
            n_bytes += file.lstat().st_size
    return n_bytes


def check(request: str, store: Store, report: Report = silent, device: str = "auto") -> None:
    """Background job: compare every checksum, move damaged results aside, and store what :func:`last_check` reads."""
    n_results = len(store.keys())
    damaged = store.verify(report=report)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    with atomic_file(store.root / CHECKED_FILE, "w") as file:
        json.dump({"when": now, "checked": n_results, "damaged": damaged}, file)
    report(1.0, f"{n_results:,} results checked, {len(damaged):,} damaged and moved aside")


def last_check(store: Store) -> dict[str, Any] | None:
    """``when`` the Store was checked last (UTC), how many results were ``checked``, and the keys ``damaged``; None if it never was, or what
    was noted of it is damaged.

    Raises
    ------
    OSError where that cannot be read now.
    """
    try:
        with open_regular(store.root / CHECKED_FILE) as file:
            found = json.loads(file.read())
        return {"when": str(found["when"]), "checked": int(found["checked"]), "damaged": list(map(str, found["damaged"]))}
    except (FileNotFoundError, ValueError, LookupError, TypeError, RecursionError):
        return None
