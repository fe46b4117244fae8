"""The formats that arrays of own data may have, one reader for each, which reads by blocks of rows where the format allows it."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from encoding.datasets._arrays import as_float32_advice, open_npy
from encoding.datasets._base import BadData
from encoding.datasets._other_formats import N_BYTES, is_gifti, is_hdf5, is_matlab5, is_matlab7, is_mgh, is_nifti, is_zip, other_format
from encoding.datasets._pickles import DAMAGED, StoredArray, as_array, as_text, load_plain
from encoding.datasets.own.arrays import ArrayFile, choose_member, refuse_member
from encoding.datasets.own.text_tables import read_table
from encoding.storage.files import raise_passing
from encoding.storage.npy import BAD_HEADER, read_header

MATLAB_CLASSES = {
    "double": "f8", "single": "f4", "logical": "?", "int8": "i1", "int16": "i2", "int32": "i4", "int64": "i8",
    "uint8": "u1", "uint16": "u2", "uint32": "u4", "uint64": "u8",
}  # fmt: skip
CORTEX = {"lh": "CIFTI_STRUCTURE_CORTEX_LEFT", "rh": "CIFTI_STRUCTURE_CORTEX_RIGHT"}


@dataclass(frozen=True)
class ArrayReader:
    """One format of arrays.

    Attributes
    ----------
    what : name of the format with its article.
    suffixes : endings of file names, in lower case.
    is_one : whether the first bytes of a file (unpacked, where it is gzip) are of this format.
    open : path and name of the array (empty where none was given) to the :class:`ArrayFile`.
    members : path to name, shape and dtype of the arrays of numbers in the file; None for a format of one array.
    """

    what: str
    suffixes: tuple[str, ...]
    is_one: Callable[[bytes], bool]
    open: Callable[[Path, str], ArrayFile]
    members: Callable[[Path], dict[str, tuple[tuple[int, ...], Any]]] | None = None


class _Whole:
    """An array that its format reads as a whole, once, when it is first indexed."""

    def __init__(self, shape: tuple[int, ...], dtype: Any, load: Callable[[], np.ndarray]) -> None:
        self.shape, self.dtype, self._load = shape, dtype, load

    @cached_property
    def _loaded(self) -> np.ndarray:
        return self._load()

    def __getitem__(self, index: tuple[Any, ...]) -> np.ndarray:
        return self._loaded[index]


class _Hdf5:
    """A data set of an HDF5 file, opened for each block that is read; with ``reverse``, with its axes in MATLAB's order."""

    def __init__(self, path: Path, name: str, *, reverse: bool) -> None:
        import h5py

        self.path, self.name, self.reverse = path, name, reverse
        with h5py.File(path, "r") as file:
            self.shape, self.dtype = file[name].shape[:: -1 if reverse else 1], file[name].dtype

    def __getitem__(self, index: tuple[Any, ...]) -> np.ndarray:
        import h5py

        index = index + (slice(None),) * (len(self.shape) - len(index))
        with h5py.File(self.path, "r") as file:
            return file[self.name][index[::-1]].T if self.reverse else file[self.name][index]


class _Columns:
    """Some adjacent or scattered columns of a (n_rows, n_columns) array."""

    def __init__(self, values: Any, columns: np.ndarray) -> None:
        self._values, self._columns = values, columns
        self.shape, self.dtype = (values.shape[0], len(columns)), values.dtype

    def __getitem__(self, index: tuple[Any, ...]) -> np.ndarray:
        return np.asarray(self._values[index[:1]])[:, self._columns[index[1] if len(index) > 1 else slice(None)]]


def _open_npy(path: Path, member: str) -> ArrayFile:
    if not _holds_objects(path):
        refuse_member(path, member, "a .npy file holds one array")
        return ArrayFile(path, open_npy(path))
    with path.open("rb") as file:
        read_header(file, objects=True)
        start = file.tell()
    try:
        stored = load_plain(path, what="a file of betas", start=start)
        items = stored.items if isinstance(stored, StoredArray) else []
        table = items[0] if len(items) == 1 and isinstance(items[0], dict) else {}
        arrays = {str(as_text(name)): values for name, values in table.items() if isinstance(values, StoredArray)}
        if not arrays:
            raise ValueError("it holds no dict of arrays, as GLMsingle's .npy does")
        name = choose_member(path, member, {name: (each.shape, each.dtype) for name, each in arrays.items() if each.dtype is not None})
        values = as_array(arrays[name])
    except BadData:
        raise
    except DAMAGED as error:
        raise_passing(error, path)
        if not member:
            open_npy(path)  # refuses Python objects with the line that saves them as numbers
        raise BadData(f"{path} holds Python objects that are not read ({error}). Save its array as a plain .npy or .h5.") from error
    return ArrayFile(path, values, name)


def _holds_objects(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            return read_header(file, objects=True)[2].hasobject
        except BAD_HEADER:
            return False


def _npz_headers(path: Path) -> dict[str, tuple[tuple[int, ...], Any]]:
    headers = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith(".npy"):
                with archive.open(name) as file:
                    shape, _, dtype = read_header(file, objects=True)
                if not dtype.hasobject:
                    headers[name.removesuffix(".npy")] = (shape, dtype)
    return headers


def _open_npz(path: Path, member: str) -> ArrayFile:
    headers = _npz_headers(path)
    name = choose_member(path, member, headers)

    def load() -> np.ndarray:
        with np.load(path, allow_pickle=False) as arrays:
            return arrays[name]

    return ArrayFile(path, _Whole(*headers[name], load), name)


def _mat_headers(path: Path) -> dict[str, tuple[tuple[int, ...], Any]]:
    if not is_matlab5(_start(path)):
        return _hdf5_headers(path)
    from scipy.io import whosmat

    return {name: (shape, MATLAB_CLASSES[kind]) for name, shape, kind in whosmat(path) if kind in MATLAB_CLASSES}


def _open_mat(path: Path, member: str) -> ArrayFile:
    if not is_matlab5(_start(path)):
        return _open_hdf5(path, member)
    from scipy.io import loadmat

    headers = _mat_headers(path)
    name = choose_member(path, member, headers)

    def load() -> np.ndarray:
        values = loadmat(path, variable_names=[name])[name]
        if values.dtype.kind == "c":  # which the header does not say
            raise BadData(f"{path}:{name} holds {values.dtype} where real numbers are needed. {as_float32_advice(path, values.dtype)}")
        return values

    return ArrayFile(path, _Whole(*headers[name], load), name)


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(N_BYTES)


def _hdf5_headers(path: Path) -> dict[str, tuple[tuple[int, ...], Any]]:
    import h5py

    headers: dict[str, tuple[tuple[int, ...], Any]] = {}
    is_matlab = is_matlab7(_start(path))
    with h5py.File(path, "r") as file:

        def note(name: str, found: Any) -> None:
            if isinstance(found, h5py.Dataset) and found.dtype.kind in "biuf" and not name.startswith(("#refs#", "#subsystem#")):
                if found.attrs.get("MATLAB_class", b"") in (b"char", b"cell"):
                    return
                headers[name] = found.shape[::-1] if is_matlab else found.shape, found.dtype

        file.visititems(note)  # external and soft links are not followed
    return headers


def _open_hdf5(path: Path, member: str) -> ArrayFile:
    import h5py

    name = choose_member(path, member.strip("/"), _hdf5_headers(path))
    with h5py.File(path, "r") as file:
        if file[name].is_virtual or file[name].external:
            raise BadData(f"{path}: {name} lies in other files, of which a change would not be seen. Save a copy of it: h5repack.")
    return ArrayFile(path, _Hdf5(path, name, reverse=is_matlab7(_start(path))), name)


def _open_volume(path: Path, member: str) -> ArrayFile:
    """NIfTI, MGH and CIFTI. Of CIFTI rows are maps, and ``lh`` or ``rh`` names the cortical vertices of a hemisphere."""
    import nibabel

    image = nibabel.load(path, keep_file_open=True)
    values = image.dataobj
    scaled = float(getattr(values, "slope", 1)) != 1 or float(getattr(values, "inter", 0)) != 0
    whole = _Proxy(values, np.dtype("f8") if scaled and values.dtype.kind in "iuf" else values.dtype)
    if not isinstance(image, nibabel.Cifti2Image):
        refuse_member(path, member, "a volume holds one array")
        return ArrayFile(path, whole, rows_last=True)
    if not member:
        return ArrayFile(path, whole)
    return ArrayFile(path, _Columns(whole, cifti_columns(path, member)[0]), member)


class _Proxy:
    """A nibabel array proxy with the dtype that its values have once they are scaled."""

    def __init__(self, values: Any, dtype: np.dtype) -> None:
        self._values, self.shape, self.dtype = values, values.shape, dtype

    def __getitem__(self, index: Any) -> np.ndarray:
        return np.asarray(self._values[index])


def cifti_columns(path: Path, hemi: str) -> tuple[np.ndarray, np.ndarray, int]:
    """Columns of a CIFTI file that are cortical vertices of a hemisphere.

    Returns
    -------
    columns : (n,) int64. vertices : (n,) int64, their vertices of the surface. size : number of vertices of that surface.

    Raises
    ------
    BadData where the file has no such vertices.
    """
    import nibabel

    axis = nibabel.load(path).header.get_axis(1)
    if hemi not in CORTEX or not isinstance(axis, nibabel.cifti2.BrainModelAxis):
        raise BadData(
            f'{path} holds no {hemi!r}: write "{path.name}:lh" or "{path.name}:rh" for the vertices of a hemisphere of a dense file.'
        )
    columns = np.flatnonzero(axis.name == CORTEX[hemi])
    if not len(columns):
        raise BadData(f"{path} holds no vertices of {CORTEX[hemi]}; it holds {', '.join(sorted(set(axis.name)))}.")
    return columns, np.asarray(axis.vertex[columns], np.int64), int(axis.nvertices[CORTEX[hemi]])


def _open_gifti(path: Path, member: str) -> ArrayFile:
    import nibabel

    refuse_member(path, member, "a GIFTI file is read as one array, a row for each of its maps")
    maps = [np.asarray(each.data) for each in nibabel.load(path).darrays]
    if not maps or len({each.shape for each in maps}) > 1:
        raise BadData(
            f"{path} holds maps of the shapes {[each.shape for each in maps]}. Name a file of maps (.func.gii, .shape.gii), no mesh."
        )
    return ArrayFile(path, np.stack(maps))


def _open_table(path: Path, member: str) -> ArrayFile:
    _, values = read_table(path, member)
    return ArrayFile(path, values[:, 0], member) if member else ArrayFile(path, values)


NPY, TEXT = "a .npy file", "a table in text"
ARRAY_READERS: tuple[ArrayReader, ...] = (
    ArrayReader(NPY, (".npy",), lambda start: start.startswith(b"\x93NUMPY"), _open_npy),
    ArrayReader("an .npz archive", (".npz",), is_zip, _open_npz, _npz_headers),
    ArrayReader("an HDF5 file", (".h5", ".hdf5", ".hdf"), is_hdf5, _open_hdf5, _hdf5_headers),
    ArrayReader(
        "a MATLAB file", (".mat",), lambda start: is_matlab5(start) or is_matlab7(start) or is_hdf5(start), _open_mat, _mat_headers
    ),
    ArrayReader("a NIfTI or CIFTI file", (".nii", ".nii.gz"), is_nifti, _open_volume),
    ArrayReader("a GIFTI file", (".gii",), is_gifti, _open_gifti),
    ArrayReader("a FreeSurfer volume", (".mgz", ".mgh"), is_mgh, _open_volume),
    ArrayReader(TEXT, (".csv", ".tsv", ".txt"), lambda start: other_format(start, Path("a")).startswith("text"), _open_table),
)
