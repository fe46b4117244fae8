"""A finished fit as one file that another person can open without its data set, and the safe way to open such a file.

The file is a zip of ``manifest.json`` and ``.npy`` arrays: scores and readout details of every vertex, ROIs, noise ceilings, places on
the cortex, which rows trained and tested, and, where they were computed, bootstrap draws and the learning curve. It holds no
stimulus and no response, so nothing of a data set that may not be passed on leaves with it; whoever has the data fits again by the
command in the manifest. Linear readouts' models go along unless told otherwise (:mod:`encoding.runs.exchange_models`): with them the
receiver predicts new pictures. Networks' own weights are never sent.

An imported fit is kept under a name of its own (``imported-…``) and never stands in for one that this machine would compute.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from encoding.analysis.bootstrap import intervals_of
from encoding.analysis.learning_curve import curve_key
from encoding.fits.result import Result
from encoding.fits.spec import FitSpec
from encoding.runs.exchange_models import models_of
from encoding.runs.exchange_validation import PLAIN, Contradiction, checked
from encoding.runs.imported import Imported, arrays_of
from encoding.storage.keys import digest
from encoding.storage.store import PROVENANCE, Store

FORMAT, FORMAT_VERSION = "encoding-explorer-fit", 1
MANIFEST = "manifest.json"
MOST_FILE_BYTES = 256 * 2**20
MOST_BYTES = 1024 * 2**20  # of all arrays together, unpacked
MOST_MEMBERS = 400
MOST_MANIFEST_BYTES = 2**20
MOST_CHARACTERS = 200  # of who sent it
BLOCK_BYTES = 2**20
EPOCH = (1980, 1, 1, 0, 0, 0)  # of every member, so that equal content is an equal file
UNREADABLE = (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError, OverflowError)
KEPT = ("key", "created", "commit", "libraries", "machine", "python", "made_from")  # of a fit's provenance


NO_SENDER = f"Who sends it is one line of {MOST_CHARACTERS} characters at most: letters, digits and . , : @ / + - ( ) '."


class BadExchange(ValueError):
    """A file is no exported fit, or not a sound one. The message says what is wrong with it."""


def export(result: Result, path: str | Path, *, by: str = "", models: bool = True) -> Path:
    """Write a finished fit into one file.

    Parameters
    ----------
    path : of the file; by custom it ends in ``.zip``.
    by : who sends it, as the receiver will read it; nothing is said of that otherwise.
    models : whether its models go along, where they can (:func:`encoding.runs.exchange_models.why_kept_back`).

    Raises
    ------
    FileExistsError where there is such a file. FileNotFoundError where the fit is no longer in the Store.
    """
    path = Path(path).expanduser()
    if path.exists():
        raise FileExistsError(f"{path} exists already. Name another file.")
    path.parent.mkdir(parents=True, exist_ok=True)
    content = packed(result, by=by, models=models)
    with path.open("xb") as file:
        file.write(content)
    return path


def is_sender(by: str) -> bool:
    """Whether a text may say who sends a fit."""
    return len(by) <= MOST_CHARACTERS and PLAIN.fullmatch(by) is not None


def packed(result: Result, *, by: str = "", models: bool = True) -> bytes:
    """The file that :func:`export` writes."""
    if not is_sender(by):
        raise ValueError(NO_SENDER)
    arrays = arrays_of(result, intervals=intervals_of(result), curve=_curve_of(result))
    if models:
        arrays |= {f"model.{name}": array for name, array in models_of(result.plan, result.store).items()}
    files = {f"{name}.npy": _npy(array) for name, array in arrays.items()}
    listed = {name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()}
    manifest = {"format": FORMAT, "version": FORMAT_VERSION, "by": by, "command": _without_path(result.plan.spec).to_command()}
    manifest |= {"provenance": _provenance(result), "files": listed}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {MANIFEST: json.dumps(manifest, indent=1, sort_keys=True).encode(), **files}.items():
            member = zipfile.ZipInfo(name, EPOCH)
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, data)
    return out.getvalue()


def import_(file: str | Path | BinaryIO, store: Store, *, name: str = "") -> Imported:
    """Open a file that :func:`export` wrote and keep what it holds in the Store, marked as imported and from whom.

    Nothing of the file is trusted: sizes are bounded before anything is unpacked, every array is checked against its checksum and
    against the others, no member is ever written under its own name, and no pickle is read.

    Parameters
    ----------
    file : its path, or an open binary file.
    name : the file's name, for the provenance.

    Raises
    ------
    BadExchange where it is no such file, is damaged, or contradicts itself. FileNotFoundError where there is no file.
    """
    if isinstance(file, str | Path):
        path = Path(file).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f"There is no file {path}.")
        with path.open("rb") as opened:
            return import_(opened, store, name=name or path.name)
    manifest, arrays = _unpacked(file)
    try:
        spec = checked(manifest, arrays)
    except Contradiction as error:
        raise BadExchange(str(error)) from error
    sums = {array: about["sha256"] for array, about in manifest["files"].items()}
    key = digest("imported", FORMAT_VERSION, files=sums, spec=spec.for_digest(), by=manifest["by"])
    with store.lock(key):
        if key not in store:
            made_from = {**manifest["provenance"]["made_from"], "spec": spec.to_dict()}
            imported = {"by": manifest["by"], "file": name[:MOST_CHARACTERS], "fit": manifest["provenance"]["key"]}
            store.put(key, arrays, made_from | {"imported": imported})
            _keep_origin(key, manifest["provenance"], store)
    return open_imported(key, store)


def open_imported(key: str, store: Store) -> Imported:
    """The imported fit of that key, without its data set.

    Raises
    ------
    FileNotFoundError where it is not in the Store.
    """
    arrays, made = store.get(key), store.provenance(key)
    if arrays is None or made is None:
        raise FileNotFoundError(f"{key} is not in the Store. Import its file again.")
    return Imported.of(key, FitSpec.from_dict(dict(made["made_from"]["spec"])), arrays, made, store)


def _unpacked(file: BinaryIO) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The manifest and every array by its name, all of it bounded and checked against the manifest."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    if size > MOST_FILE_BYTES:
        raise BadExchange(f"This file has {size / 2**20:,.0f} MiB; an exported fit has {MOST_FILE_BYTES // 2**20} MiB at most.")
    try:
        with zipfile.ZipFile(file) as archive:
            members = _listed(archive)
            manifest = _manifest(_read(archive, members.pop(MANIFEST), MOST_MANIFEST_BYTES))
            if set(members) != set(manifest["files"]):
                odd = sorted(set(members) ^ set(manifest["files"]))[0]
                raise BadExchange(f"The file's list of contents and its contents differ: {odd!r}.")
            arrays = {name.removesuffix(".npy"): _array(archive, member, manifest["files"][name]) for name, member in members.items()}
    except UNREADABLE as error:
        raise BadExchange(f"This is no exported fit, or it is damaged: {error}") from error
    return manifest, arrays


def _listed(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Name to member; BadExchange unless all are plain files of sound names and bounded number and size."""
    members = archive.infolist()
    if len(members) > MOST_MEMBERS:
        raise BadExchange(f"This file has {len(members):,} members; an exported fit has {MOST_MEMBERS} at most.")
    named: dict[str, zipfile.ZipInfo] = {}
    for member in members:
        if member.filename in named:
            raise BadExchange(f"{member.filename!r} is twice in this file.")
        if member.filename != MANIFEST and not _is_array_name(member.filename):
            raise BadExchange(f"{member.filename!r} is not what an exported fit holds. Nothing was unpacked.")
        if member.flag_bits & 1:
            raise BadExchange(f"{member.filename!r} is encrypted.")
        named[member.filename] = member
    if MANIFEST not in named:
        raise BadExchange(f"This zip has no {MANIFEST}, so it is no exported fit.")
    if (total := sum(member.file_size for member in members)) > MOST_BYTES:
        raise BadExchange(f"Unpacked, this file takes {total / 2**20:,.0f} MiB; an exported fit takes {MOST_BYTES // 2**20} MiB at most.")
    return named


def _is_array_name(name: str) -> bool:
    """``part.array.npy``: letters, digits, ``_`` and ``-`` with one dot between; so no folder, no ``..``, no drive.

    >>> [_is_array_name(name) for name in ("fit.lh_r.npy", "../fit.npy", "/etc/fit.npy", "a.b.npy.exe")]
    [True, False, False, False]
    """
    parts = name.split(".")
    plain = all(part and part.isascii() and part.replace("_", "").replace("-", "").isalnum() for part in parts)
    return len(name) <= 80 and len(parts) == 3 and parts[2] == "npy" and plain


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int) -> bytes:
    """A member's bytes, stopping at once where it is longer than it says or than it may be."""
    most = min(most, member.file_size)
    out = bytearray()
    with archive.open(member) as opened:
        while block := opened.read(BLOCK_BYTES):
            out += block
            if len(out) > most:
                raise BadExchange(f"{member.filename!r} is longer than it may be.")
    if len(out) != member.file_size:
        raise BadExchange(f"{member.filename!r} is shorter than it says.")
    return bytes(out)


def _manifest(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadExchange(f"{MANIFEST} cannot be read: {error}") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise BadExchange("This zip is no exported fit.")
    if found.get("version") != FORMAT_VERSION:
        raise BadExchange(f"Another version of this program exported this fit (format {found.get('version')!r}, not {FORMAT_VERSION}).")
    listed = found.get("files")
    sound = isinstance(listed, dict) and all(isinstance(about, dict) and set(about) == {"bytes", "sha256"} for about in listed.values())
    by = found.get("by")
    if not sound or not isinstance(found.get("provenance"), dict) or not isinstance(by, str) or len(by) > MOST_CHARACTERS:
        raise BadExchange(f"{MANIFEST} does not say what it has to.")
    return found


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, about: Mapping[str, Any]) -> np.ndarray:
    data = _read(archive, member, MOST_BYTES)
    if len(data) != about["bytes"] or hashlib.sha256(data).hexdigest() != about["sha256"]:
        raise BadExchange(f"{member.filename!r} is not what was exported: its checksum differs.")
    try:
        return _plain_array(data)
    except (ValueError, OSError, EOFError, TypeError, MemoryError, SyntaxError, OverflowError) as error:
        raise BadExchange(f"{member.filename!r} is no array: {error}") from error


def _plain_array(data: bytes) -> np.ndarray:
    """The array of a ``.npy`` file's bytes, read-only; ValueError unless it is one of numbers or texts, just as long as its shape says."""
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"version {version} of .npy is not read")
    shape, columns_first, dtype = readers[version](file)
    if dtype.kind not in "biufU" or dtype.hasobject or dtype.fields is not None:
        raise ValueError("it holds something other than numbers and names")
    if math.prod(shape) * dtype.itemsize != len(data) - file.tell():
        raise ValueError("its length is not that of its shape")
    if not math.prod(shape):
        return np.zeros(shape, dtype)
    return np.frombuffer(data, dtype, offset=file.tell()).reshape(shape, order="F" if columns_first else "C")


def _npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, np.array(array, order="C"), allow_pickle=False)
    return out.getvalue()


def _curve_of(result: Result) -> Mapping[str, np.ndarray] | None:
    found = getattr(result, "curve", None)
    return result.store.get(curve_key(result.plan)) if found is None else found


def _provenance(result: Result) -> dict[str, Any]:
    """What made the fit, less what is this machine's own business, such as folders."""
    made = {name: result.provenance[name] for name in KEPT if name in result.provenance}
    before = made.get("made_from", {})
    told = {"simulated": result.plan.subject.simulated, "spec": _without_path(result.plan.spec).to_dict()}
    told |= {name: before[name] for name in ("backbone", "device", "fit_seconds") if name in before}
    return {**made, "key": before.get("imported", {}).get("fit", result.key), "made_from": told}


def _without_path(spec: FitSpec) -> FitSpec:
    """The spec with the name alone of a weights file, whose folder is nobody else's business."""
    return spec if spec.weights.startswith("random:") else replace(spec, weights=re.split(r"[/\\]", spec.weights)[-1])


def _keep_origin(key: str, origin: Mapping[str, Any], store: Store) -> None:
    """Put the origin's time, commit and libraries in the place of this machine's; when it was imported stays beside them."""
    path = store.path(key) / PROVENANCE
    own = json.loads(path.read_text())
    own["made_from"]["imported"]["when"] = own["created"]
    told = own | {name: origin[name] for name in ("created", "commit", "libraries", "machine", "python") if name in origin}
    scratch = path.with_suffix(".writing")
    scratch.write_text(json.dumps(told, indent=1, sort_keys=True))
    scratch.replace(path)
