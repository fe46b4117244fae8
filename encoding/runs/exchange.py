"""Export a finished fit as one file that opens without its data set, and import such a file.

The file (:mod:`encoding.runs.archive`) holds scores and readout details of every vertex, ROIs, noise ceilings, places on the cortex,
training and test rows and, where they were computed, bootstrap draws and the learning curve. It holds no stimulus and no response, so
nothing of a data set that may not be passed on leaves with it; whoever has the data fits again by the command in the manifest. Models
of linear readouts are included unless ``models=False`` (:mod:`encoding.runs.exchange_models`): with them the receiver predicts new
stimuli. Weights of networks are never included.

An imported fit is stored under a key of its own (``imported-…``) and never stands in for one that this machine would compute.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from encoding.analysis.bootstrap import intervals_of
from encoding.analysis.learning_curve import curve_key
from encoding.backbones._base import JOIN
from encoding.fits.score_tables import ScoreTables
from encoding.fits.spec import FitSpec
from encoding.runs.archive import read_archive, write_archive
from encoding.runs.exchange_models import model_arrays
from encoding.runs.exchange_validation import PLAIN_TEXT, validated_spec
from encoding.runs.imported import Imported, arrays_of
from encoding.runs.manifest import FORMAT_VERSION, MAX_CHARACTERS, Manifest
from encoding.storage.atomic import atomic_file
from encoding.storage.files import open_regular
from encoding.storage.keys import digest
from encoding.storage.store import PROVENANCE, Store

KEPT = ("key", "created", "commit", "libraries", "machine", "python", "made_from")  # of a fit's provenance
BAD_SENDER = f"The sender is one line of {MAX_CHARACTERS} characters at most: letters, digits and . , : @ / + - ( ) '."
IMPORTING = threading.Semaphore(1)  # files that are unpacked at a time, as each may take some hundred MiB of memory


def export(result: ScoreTables, path: str | Path, *, by: str = "", models: bool = True) -> Path:
    """Write a finished fit into one file.

    Parameters
    ----------
    path : of the file; by custom it ends in ``.zip``.
    by : name of the sender, shown to the receiver; may be empty.
    models : whether its models are included, where they can be (:func:`encoding.runs.exchange_models.export_refusal`).

    Raises
    ------
    FileExistsError where there is such a file. FileNotFoundError where the fit is no longer in the Store.
    """
    path = Path(path).expanduser()
    if path.exists():
        raise FileExistsError(f"{path} exists already. Name another file.")
    content = packed(result, by=by, models=models)
    with atomic_file(path, overwrite=False) as file:
        file.write(content)
    return path


def is_sender(by: str) -> bool:
    """Check that a text is valid as the name of a sender."""
    return len(by) <= MAX_CHARACTERS and PLAIN_TEXT.fullmatch(by) is not None


def packed(result: ScoreTables, *, by: str = "", models: bool = True) -> bytes:
    """Return the content of the file that :func:`export` writes."""
    if not is_sender(by):
        raise ValueError(BAD_SENDER)
    arrays = arrays_of(
        result,
        intervals=intervals_of(result) if result.plan.has_test else None,
        curve=result.derived(curve_key(result.key, result.plan)),
    )
    if models:
        arrays |= {f"model.{name}": array for name, array in model_arrays(result).items()}
    command = _without_path(result.plan.spec).to_command(full=True)
    manifest = Manifest(version=FORMAT_VERSION, by=by, command=command, provenance=_provenance(result), files={})
    return write_archive(manifest, arrays)


def import_(file: str | Path | BinaryIO, store: Store, *, name: str = "") -> Imported:
    """Open a file that :func:`export` wrote and keep what it holds in the Store, marked as imported and from whom.

    Nothing in the file is trusted: sizes are bounded before anything is unpacked, every array is validated
    (:mod:`encoding.runs.exchange_validation`), no member is written under its own name, and no pickle is read. One file is unpacked
    at a time; other threads wait.

    Parameters
    ----------
    file : its path, or an open binary file.
    name : the file's name, for the provenance.

    Raises
    ------
    BadExchange where it is no such file, is damaged, or contradicts itself. FileNotFoundError where there is no file. NotRegular for a
    pipe or a device.
    """
    if isinstance(file, str | Path):
        path = Path(file).expanduser()
        if not path.exists():
            raise FileNotFoundError(f"There is no file {path}.")
        with open_regular(path) as opened:
            return import_(opened, store, name=name or path.name)
    with IMPORTING:
        manifest, arrays = read_archive(file)
        spec, provenance = validated_spec(manifest, arrays)
        content: dict[str, Any] = {"files": {member: sums.sha256 for member, sums in manifest.files.items()}}
        content |= {"texts": dict(manifest.texts)} if manifest.version > 1 else {}
        key = digest("imported", manifest.version, **content, spec=spec.for_digest(), by=manifest.by)
        with store.lock(key):
            if key not in store:
                made_from = {**provenance["made_from"], "spec": spec.to_dict()}
                imported = {"by": manifest.by, "file": name[:MAX_CHARACTERS], "fit": provenance["key"]}
                store.put(key, arrays, made_from | {"imported": imported})
                _keep_origin(key, provenance, store)
    return open_imported(key, store)


def open_imported(key: str, store: Store) -> Imported:
    """Open an imported fit by its key, without its data set.

    Raises
    ------
    FileNotFoundError where it is not in the Store.
    """
    arrays, provenance = store.get(key), store.provenance(key)
    if arrays is None or provenance is None:
        raise FileNotFoundError(f"{key} is not in the Store. Import its file again.")
    return Imported.of(key, FitSpec.from_dict(dict(provenance["made_from"]["spec"])), arrays, provenance, store)


def _provenance(result: ScoreTables) -> dict[str, Any]:
    """What made the fit, without this machine's own matters, such as folders."""
    made = {name: result.provenance[name] for name in KEPT if name in result.provenance}
    before = made.get("made_from", {})
    made_from = {"simulated": result.plan.subject.simulated, "spec": _without_path(result.plan.spec).to_dict()}
    made_from |= {name: before[name] for name in ("backbone", "device", "fit_seconds") if name in before}
    return {**made, "key": before.get("imported", {}).get("fit", result.key), "made_from": made_from}


def _without_path(spec: FitSpec) -> FitSpec:
    """The spec with only the name of a weights file: its folder is private."""
    texts = spec.weights.split(JOIN) if JOIN in spec.backbone else [spec.weights]
    return replace(spec, weights=JOIN.join(text if text.startswith("random:") else re.split(r"[/\\]", text)[-1] for text in texts))


def _keep_origin(key: str, origin: Mapping[str, Any], store: Store) -> None:
    """Replace this machine's time, commit and libraries by the sender's; the time of the import stays beside them."""
    path = store.path(key) / PROVENANCE
    own = json.loads(path.read_text())
    own["made_from"]["imported"]["when"] = own["created"]
    merged = own | {name: origin[name] for name in ("created", "commit", "libraries", "machine", "python") if name in origin}
    with atomic_file(path, "w") as file:
        json.dump(merged, file, indent=1, sort_keys=True)
