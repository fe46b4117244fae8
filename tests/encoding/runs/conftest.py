"""One exported fit that every test of the exchange reads, made once."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile

import numpy as np
import pytest
import safetensors.numpy

from encoding import Store, fit
from encoding.analysis.bootstrap import roi_intervals
from encoding.analysis.learning_curve import learning_curve
from encoding.runs.archive import ARRAYS, MANIFEST
from encoding.runs.exchange import packed
from tests.conftest import TINY, register_tiny


def place(dataset):
    """Give the planted subject places on the cortex and noise ceilings."""
    dataset.change(
        vertices={"lh": np.arange(10) * 7, "rh": np.arange(10) * 3},
        ceiling={hemi: np.linspace(0, 1, 10, dtype=np.float32) for hemi in ("lh", "rh")},
    )


@pytest.fixture(scope="session")
def placed_fit(tmp_path_factory):
    """A fit with places, ceilings, intervals and a learning curve, and its file's bytes."""
    with pytest.MonkeyPatch.context() as patch:
        place(register_tiny(patch))
        store = Store(tmp_path_factory.mktemp("sent"))
        result = fit(TINY, store, device="cpu")
        roi_intervals(result)
        learning_curve(TINY, store, device="cpu")
        return result, packed(result)


@pytest.fixture
def exported(placed_fit):
    """The bytes of the exported fit."""
    return placed_fit[1]


@pytest.fixture
def sent(placed_fit, tiny):
    """The fit that was exported, with its data set registered."""
    place(tiny)
    return placed_fit[0]


@pytest.fixture
def elsewhere(tmp_path):
    """A Store with nothing in it."""
    return Store(tmp_path / "elsewhere")


def members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(files) -> io.BytesIO:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return io.BytesIO(out.getvalue())


def rewritten(data: bytes, change) -> io.BytesIO:
    """The file after ``change(manifest, arrays)``, with its checksum made right again; texts are in ``manifest["texts"]``."""
    files = members(data)
    manifest, arrays = json.loads(files[MANIFEST]), safetensors.numpy.load(files[ARRAYS])
    change(manifest, arrays)
    content = safetensors.numpy.save(arrays)
    if isinstance(manifest.get("files"), dict):
        manifest["files"][ARRAYS] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return zipped({MANIFEST: json.dumps(manifest), ARRAYS: content})


def npy(array) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


def as_version_1(data: bytes, change=lambda manifest, files: None) -> io.BytesIO:
    """The same fit as version 1 of the format held it: a ``.npy`` member for each array."""
    files = members(data)
    manifest, arrays = json.loads(files[MANIFEST]), safetensors.numpy.load(files[ARRAYS])
    arrays |= {name: np.array(texts, dtype=str) for name, texts in manifest.pop("texts").items()}
    out = {f"{name}.npy": npy(array) for name, array in arrays.items()}
    change(manifest, out)
    manifest |= {"version": 1}
    manifest["files"] = {name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()} for name, content in out.items()}
    return zipped({MANIFEST: json.dumps(manifest), **out})


def put(name, array):
    """A change of one array."""
    return lambda manifest, arrays: arrays.__setitem__(name, array)


def drop(name):
    """A change that leaves one array out."""
    return lambda manifest, arrays: arrays.pop(name)


def set_texts(name, *texts):
    return lambda manifest, arrays: manifest["texts"].__setitem__(name, list(texts))


def set_manifest(**values):
    return lambda manifest, arrays: manifest.update(values)


def set_made_from(**values):
    return lambda manifest, arrays: manifest["provenance"]["made_from"].update(values)


def set_spec(**values):
    return lambda manifest, arrays: manifest["provenance"]["made_from"]["spec"].update(values)
