"""Verify the files of a stored result: provenance, checksums and shapes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from encoding.storage.files import DAMAGE_ERRNOS, open_regular, passing_errors_of
from encoding.storage.npy import read_npy

PROVENANCE = "provenance.json"
State = tuple[int, int, int]  # modification time in ns, bytes, inode


class Damage(ValueError):
    """A stored result is not what was written. The message says how."""


def read_provenance(path: Path, key: str) -> dict[str, Any] | None:
    """Read and validate the provenance of the result ``key`` at ``path``; None where it was removed meanwhile.

    Raises
    ------
    Damage where it cannot be understood or names another key.
    """
    try:
        with open_regular(path) as file:
            provenance = json.loads(file.read())
    except FileNotFoundError:  # removed meanwhile
        return None
    except OSError as error:
        if error.errno in DAMAGE_ERRNOS:
            raise Damage(f"{PROVENANCE}: {error.strerror}") from error
        raise
    except (ValueError, RecursionError) as error:
        raise Damage(f"{PROVENANCE} cannot be read: {type(error).__name__}") from error
    if not isinstance(provenance, dict) or provenance.get("key") != key:
        raise Damage(f"{PROVENANCE} is not that of {key}")
    files = provenance.get("files")
    if not isinstance(provenance.get("made_from"), dict) or not isinstance(files, dict) or not all(map(_is_listing, files.items())):
        raise Damage(f"{PROVENANCE} lacks what every result has")
    return provenance


def check_file(path: Path, about: Mapping[str, Any], expected_layout: list[Any] | None, *, known: State | None) -> State:
    """Verify an array's file and return its state.

    Parameters
    ----------
    about : its ``bytes`` and ``sha256`` when it was written. expected_layout : its shape and dtype, where they were noted.
    known : state of the file when it was verified last; an unchanged file is not read again.

    Raises
    ------
    Damage where the file is missing or is not what was written.
    """
    try:
        with passing_errors_of(path):
            state = file_state(path)
            if known == state:
                return state
            if state[1] != about["bytes"] or checksum(path) != dict(about):
                raise Damage(f"{path.name} is not what was written")
            if expected_layout is not None and layout(path) != expected_layout:
                raise Damage(f"{path.name} has another shape than what was written")
            read_npy(path, mapped_from=0)
    except OSError as error:
        if error.errno in DAMAGE_ERRNOS:
            raise Damage(f"{path.name}: {error.strerror}") from error
        raise
    except Damage:
        raise
    except ValueError as error:
        raise Damage(str(error)) from error
    return state


def file_state(path: Path) -> State:
    """Modification time (ns), size (bytes) and inode of a file, which change whenever its content does."""
    about = path.stat()
    return about.st_mtime_ns, about.st_size, about.st_ino


def checksum(path: Path) -> dict[str, Any]:
    """Size in ``bytes`` and ``sha256`` of a file."""
    with open_regular(path) as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def layout(path: Path) -> list[Any]:
    """Shape and dtype of an array's file, as JSON holds them."""
    array = read_npy(path, mapped_from=0)
    return [list(array.shape), array.dtype.str]


def _is_listing(entry: tuple[Any, Any]) -> bool:
    """Whether an entry of ``files`` is a plain file name with its size in bytes and SHA-256."""
    name, about = entry
    return isinstance(about, dict) and set(about) == {"bytes", "sha256"} and Path(name).name == name
