"""Cache a folder's findings in the Store until a file in it changes."""

from __future__ import annotations

import hashlib
import os
from dataclasses import fields
from pathlib import Path

import numpy as np

from encoding.datasets.doctor import Finding, diagnose
from encoding.runtime.progress import Report, silent
from encoding.storage.keys import digest
from encoding.storage.store import Store

FINDINGS_VERSION = 3
PARTS = tuple(field.name for field in fields(Finding))


def checkup(folder: Path, store: Store, report: Report = silent) -> list[Finding]:
    """Examine a folder (:func:`encoding.datasets.doctor.diagnose`) and store the findings, replacing earlier ones."""
    before = folder_state(folder)
    findings = diagnose(folder, store, report)
    if folder_state(folder) == before:  # else they are of files that have changed meanwhile
        key = findings_key(before)
        store.remove(key)
        store.put(key, {part: np.array([getattr(finding, part) for finding in findings]) for part in PARTS}, {"folder": str(folder)})
    return findings


def kept_findings(state: str, store: Store) -> list[Finding] | None:
    """Return the stored findings of a :func:`folder_state`; None where there are none."""
    stored = store.get(findings_key(state))
    return None if stored is None else [Finding(*map(str, each)) for each in zip(*(stored[part] for part in PARTS), strict=True)]


def findings_key(state: str) -> str:
    """Store key of the findings."""
    return digest("findings", FINDINGS_VERSION, folder=state)


def folder_state(folder: Path) -> str:
    """Digest of the files below a folder: paths, sizes and modification times. No file is opened.

    Linked folders are followed, each once. A hundred thousand files take some three quarters of a second.
    """
    digested, seen = hashlib.sha256(), set()
    for place, folders, _ in os.walk(folder.resolve(), followlinks=True):
        about = Path(place).stat()
        if (about.st_dev, about.st_ino) in seen:
            folders.clear()
            continue
        seen.add((about.st_dev, about.st_ino))
        folders.sort()
        with os.scandir(place) as entries:
            states = {entry.name: entry.stat() for entry in entries if entry.is_file()}
        lines = [f"{name} {states[name].st_size} {states[name].st_mtime_ns}" for name in sorted(states)]
        digested.update(os.fsencode("\n".join([place, *lines, ""])))
    return digested.hexdigest()
