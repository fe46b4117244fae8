"""Read arrays in the formats that laboratories keep them in: one reader for each format, found by the ending of the file's name.

A file of several arrays is named with the array's name after a colon: ``betas.mat:Y``, ``betas.h5:session1/Y``, ``trials.csv:session``,
``betas.dscalar.nii:lh``. Nothing is unpickled by Python, and where the format allows it, an array is read by blocks of rows.
"""

from __future__ import annotations

import csv
import io
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

import numpy as np

from encoding.datasets._arrays import open_npy
from encoding.datasets._base import BadData
from encoding.datasets._images import require_regular
from encoding.datasets._other_formats import N_BYTES, is_gifti, is_hdf5, is_matlab5, is_matlab7, is_mgh, is_nifti, is_zip, other_format
from encoding.datasets._pickles import DAMAGED, StoredArray, as_array, as_text, load_plain
from encoding.datasets._spelling import decoded, near_name
from encoding.storage.files import passing_errors_of, raise_passing
from encoding.storage.npy import BAD_HEADER, read_header

WELL_KNOWN = ("betasmd", "modelmd")  # single-trial betas of GLMsingle in Python and MATLAB: (x, y, z, trials) or (units, trials)
MATLAB_CLASSES = {
    "double": "f8", "single": "f4", "logical": "?", "int8": "i1", "int16": "i2", "int32": "i4", "int64": "i8",
    "uint8": "u1", "uint16": "u2", "uint32": "u4", "uint64": "u8",
}  # fmt: skip
CORTEX = {"lh": "CIFTI_STRUCTURE_CORTEX_LEFT", "rh": "CIFTI_STRUCTURE_CORTEX_RIGHT"}
MAX_TEXT_BYTES = 2 * 2**30
MAX_SHOWN = 12  # members of a file that a message lists


class ArrayFile:
    """An array in a file, with its shape and dtype, read where it is indexed with a tuple of slices.

    Attributes
    ----------
    path : file and name of the array, as :func:`split_member` takes them.
    rows_last : whether rows (trials, volumes) are the last axis by the format's own rule: volumes and GLMsingle's betas.
    """

    def __init__(self, path: Path, values: Any, *, rows_last: bool = False) -> None:
        self.path, self._values, self.rows_last = path, values, rows_last
        self.shape, self.dtype = tuple(map(int, values.shape)), np.dtype(values.dtype)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def rows(self, start: int, stop: int, *, last: bool = False) -> np.ndarray:
        """Rows ``start`` to ``stop``, (b, ...): along the first axis, or along the ``last``, which then comes first."""
        part = self[(..., slice(start, stop))] if last else self[slice(start, stop),]
        return np.moveaxis(part, -1, 0) if last else part

    def __getitem__(self, index: tuple[Any, ...]) -> np.ndarray:
        if index[0] is Ellipsis:
            index = (slice(None),) * (self.ndim - len(index) + 1) + index[1:]
        file = split_member(self.path)[0]
        try:
            with passing_errors_of(file):
                return np.asarray(self._values[index])
        except BadData:
            raise
        except (*UNREADABLE, *BAD_HEADER) as error:
            raise_passing(error, file)
            raise _damaged(file, error) from error

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        whole = self[(...,)]
        return whole if dtype is None else whole.astype(dtype)


@dataclass(frozen=True)
class ArrayReader:
    """One format of arrays.

    Attributes
    ----------
    what : name of the format with its article.
    suffixes : endings of file names, in lower case.
    is_one : whether the first bytes of a file (unpacked, where it is gzip) are of this format.
    open : path and name of the array (empty where none was given) to the :class:`ArrayFile`.
    """

    what: str
    suffixes: tuple[str, ...]
    is_one: Callable[[bytes], bool]
    open: Callable[[Path, str], ArrayFile]


def split_member(path: Path) -> tuple[Path, str]:
    """Split ``folder/betas.mat:Y`` into the file and the name of the array in it, which is empty where none is given.

    Examples
    --------
    >>> split_member(Path("data/betas.h5:session1/Y"))
    (PosixPath('data/betas.h5'), 'session1/Y')
    >>> split_member(Path("data/betas.npy"))
    (PosixPath('data/betas.npy'), '')
    """
    text = str(path)
    for place in (i for i, letter in enumerate(text) if letter == ":"):
        file = Path(text[:place])
        if find_reader(file) and not path.exists():
            return file, text[place + 1 :]
    return path, ""


def find_reader(path: Path) -> ArrayReader | None:
    """The reader for the ending of a file's name; None where no reader has it."""
    name = path.name.lower()
    return next((reader for reader in ARRAY_READERS for suffix in reader.suffixes if name.endswith(suffix)), None)


def open_array(path: Path) -> ArrayFile:
    """Open an array in any of :data:`ARRAY_READERS`, without reading it where the format allows that.

    Parameters
    ----------
    path : a file, or a file, a colon and the name of one of its arrays (:func:`split_member`).

    Raises
    ------
    BadData where the file is missing, special, damaged or of another format than its ending says, or holds several arrays of which
    none is named. The message lists the arrays with their shapes, and the line that names one.
    """
    file, member = split_member(path)
    if not file.exists():
        raise BadData(f"{file} is missing. {near_name(file) or 'Copy it there, or name another.'}")
    require_regular(file)
    with passing_errors_of(file), file.open("rb") as stream:
        start = unpacked(stream.read(N_BYTES))
    reader = find_reader(file)
    if reader is None or not reader.is_one(start):
        actual = next((each for each in ARRAY_READERS if each.is_one(start) and each.what != TEXT), None)
        if actual is None or (reader and reader.what == TEXT and other_format(start, file).startswith("text")):
            if reader is None or reader.what == NPY:
                return ArrayFile(path, open_npy(file))  # whose message says what the file is
            raise BadData(f"{file} is no {reader.what.split(' ', 1)[1]}, but {other_format(start, file)}")
        raise BadData(f"{file} is {actual.what} by its content. Rename it, so that its name ends with {actual.suffixes[0]}.")
    try:
        with passing_errors_of(file):
            return reader.open(file, member)
    except BadData:
        raise
    except (*UNREADABLE, *BAD_HEADER) as error:
        raise_passing(error, file)
        raise _damaged(file, error) from error


def member_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Name to shape of the arrays of numbers in an archive (``.npz``, MATLAB, HDF5), in its order; empty for a file of one array.

    Raises
    ------
    BadData as :func:`open_array`.
    """
    require_regular(path)
    name = path.name.lower()
    try:
        with passing_errors_of(path), path.open("rb") as stream:
            start = stream.read(N_BYTES)
            if name.endswith(".npz") and is_zip(start):
                return {member: shape for member, (shape, _) in _npz_headers(path).items()}
            if name.endswith(".mat") and is_matlab5(start):
                return {member: shape for member, (shape, _) in _mat5_headers(path).items()}
            if name.endswith((".mat", ".h5", ".hdf5", ".hdf")) and (is_hdf5(start) or is_matlab7(start)):
                return _hdf5_shapes(path)
    except (*UNREADABLE, *BAD_HEADER) as error:
        raise_passing(error, path)
        raise _damaged(path, error) from error
    return {}


def read_array(path: Path) -> np.ndarray:
    """Read a whole array, in its own shape and dtype; a ``.npy`` file is memory-mapped. BadData as :func:`open_array`."""
    found = open_array(path)
    return found._values if isinstance(found._values, np.ndarray) else np.asarray(found)


def unpacked(start: bytes) -> bytes:
    """The first bytes of a file, unpacked where they are gzip."""
    if start[:2] == b"\x1f\x8b":
        try:
            return zlib.decompressobj(31).decompress(start, N_BYTES)
        except zlib.error:
            return start
    return start


def choose_member(path: Path, member: str, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """The name of the array to read: the one asked for, the only one, or that of GLMsingle's betas.

    Parameters
    ----------
    shapes : of the arrays of numbers in the file, by name.

    Raises
    ------
    BadData where there is no such array, or several and none is named.
    """
    known = [f"{name} {'x'.join(map(str, shape)) or 'one number'}" for name, shape in shapes.items()]
    listed = ", ".join(known[:MAX_SHOWN]) + (f" and {len(known) - MAX_SHOWN} more" if len(known) > MAX_SHOWN else "")
    if member in shapes:
        return member
    if not shapes:
        raise BadData(f"{path} holds no array of numbers. Save the array in it as a plain matrix.")
    first = next(iter(shapes))
    if member:
        raise BadData(f'{path} holds no array {member!r}; it holds {listed}. Write one of these, such as "{path.name}:{first}".')
    if len(shapes) == 1:
        return first
    if found := [name for name in WELL_KNOWN if name in shapes]:
        return found[0]
    raise BadData(f'{path} holds {len(shapes)} arrays: {listed}. Name one, such as "{path.name}:{first}".')


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
        _no_member(path, member, "a .npy file holds one array")
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
        name = choose_member(path, member, {name: array.shape for name, array in arrays.items() if array.dtype is not None})
        values = as_array(arrays[name])
    except BadData:
        raise
    except DAMAGED as error:
        raise_passing(error, path)
        if not member:
            open_npy(path)  # refuses Python objects with the line that saves them as numbers
        raise BadData(f"{path} holds Python objects that are not read ({error}). Save its array as a plain .npy or .h5.") from error
    return ArrayFile(_named(path, name), values, rows_last=name in WELL_KNOWN)


def _holds_objects(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            return read_header(file, objects=True)[2].hasobject
        except BAD_HEADER:
            return False


def _npz_headers(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
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
    name = choose_member(path, member, {name: shape for name, (shape, _) in headers.items()})

    def load() -> np.ndarray:
        with np.load(path, allow_pickle=False) as arrays:
            return arrays[name]

    return ArrayFile(_named(path, name), _Whole(*headers[name], load), rows_last=name in WELL_KNOWN)


def _mat5_headers(path: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    from scipy.io import whosmat

    return {name: (shape, MATLAB_CLASSES[kind]) for name, shape, kind in whosmat(path) if kind in MATLAB_CLASSES}


def _open_mat(path: Path, member: str) -> ArrayFile:
    with path.open("rb") as file:
        start = file.read(N_BYTES)
    if not is_matlab5(start):
        return _open_hdf5(path, member)
    from scipy.io import loadmat

    found = _mat5_headers(path)
    name = choose_member(path, member, {name: shape for name, (shape, _) in found.items()})
    shape, dtype = found[name]
    return ArrayFile(
        _named(path, name), _Whole(shape, dtype, lambda: loadmat(path, variable_names=[name])[name]), rows_last=name in WELL_KNOWN
    )


def _hdf5_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    import h5py

    shapes: dict[str, tuple[int, ...]] = {}
    with path.open("rb") as stream:
        is_matlab = is_matlab7(stream.read(N_BYTES))
    with h5py.File(path, "r") as file:

        def note(name: str, found: Any) -> None:
            if isinstance(found, h5py.Dataset) and found.dtype.kind in "biuf" and not name.startswith(("#refs#", "#subsystem#")):
                if found.attrs.get("MATLAB_class", b"") in (b"char", b"cell"):
                    return
                shapes[name] = found.shape[::-1] if is_matlab else found.shape

        file.visititems(note)  # external and soft links are not followed
    return shapes


def _open_hdf5(path: Path, member: str) -> ArrayFile:
    import h5py

    with path.open("rb") as stream:
        is_matlab = is_matlab7(stream.read(N_BYTES))
    name = choose_member(path, member.strip("/"), _hdf5_shapes(path))
    with h5py.File(path, "r") as file:
        if file[name].is_virtual or file[name].external:
            raise BadData(f"{path}: {name} lies in other files, of which a change would not be seen. Save a copy of it: h5repack.")
    return ArrayFile(_named(path, name), _Hdf5(path, name, reverse=is_matlab), rows_last=name.rpartition("/")[2] in WELL_KNOWN)


def _open_volume(path: Path, member: str) -> ArrayFile:
    """NIfTI, MGH and CIFTI. Of CIFTI rows are maps, and ``lh`` or ``rh`` names the cortical vertices of a hemisphere."""
    import nibabel

    image = nibabel.load(path, keep_file_open=True)
    values = image.dataobj
    scaled = float(getattr(values, "slope", 1)) != 1 or float(getattr(values, "inter", 0)) != 0
    whole = _Proxy(values, np.dtype("f8") if scaled else values.dtype)
    if not isinstance(image, nibabel.Cifti2Image):
        _no_member(path, member, "a volume holds one array")
        return ArrayFile(path, whole, rows_last=True)
    if not member:
        return ArrayFile(path, whole)
    return ArrayFile(_named(path, member), _Columns(whole, cifti_columns(path, member)[0]))


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

    _no_member(path, member, "a GIFTI file is read as one array, a row for each of its maps")
    maps = [np.asarray(each.data) for each in nibabel.load(path).darrays]
    if not maps or len({each.shape for each in maps}) > 1:
        raise BadData(
            f"{path} holds maps of the shapes {[each.shape for each in maps]}. Name a file of maps (.func.gii, .shape.gii), no mesh."
        )
    return ArrayFile(path, np.stack(maps))


def _open_table(path: Path, member: str) -> ArrayFile:
    _, values = read_table(path, member)
    return ArrayFile(_named(path, member), values[:, 0]) if member else ArrayFile(path, values)


def read_table(path: Path, column: str = "") -> tuple[list[str], np.ndarray]:
    """Read numbers from comma-, tab- or semicolon-separated text with or without a line of names.

    Parameters
    ----------
    column : the one to read; empty for all.

    Returns
    -------
    names : of the columns; empty where the first line holds numbers. values : (n_rows, n_columns) float64.

    Raises
    ------
    BadData where a line has another number of cells, a cell is no number, or there is no such column; the line is named.
    """
    names, lines = read_lines(path)
    if column:
        place = names.index(choose_member(path, column, {name: (len(lines),) for name in names}))
        names, lines = [column], [(number, [cells[place]]) for number, cells in lines]
    try:
        values = np.array([cells for _, cells in lines], dtype=np.float64)
    except ValueError:
        for number, cells in lines:
            for place, cell in enumerate(cells):
                if not is_number(cell):
                    where = f"column {names[place]!r}" if names else f"column {place + 1}"
                    raise BadData(
                        f"{path}, line {number}, {where}: {cell[:20]!r} is no number. Leave that column out, "
                        "or write one column's name after the file's and a colon."
                    ) from None
        raise
    return names, values.reshape(len(lines), -1)


def read_lines(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Read the cells of a table as text: names of the columns (none where the first line is numbers), and (line number, cells).

    Raises
    ------
    BadData where it is too large, no text, empty, or a line has another number of cells than the first.
    """
    require_regular(path)
    if path.stat().st_size > MAX_TEXT_BYTES:
        raise BadData(f"{path} has {path.stat().st_size / 1e9:.1f} GB, too many for a table in text. Save the array as .npy.")
    try:
        with passing_errors_of(path):
            text = decoded(path.read_bytes())
    except UnicodeDecodeError as error:
        raise BadData(f"{path} is no text in UTF-8 ({error}). Save it again as UTF-8.") from error
    first = text.split("\n", 1)[0]
    delimiter = "\t" if path.name.lower().endswith(".tsv") or "\t" in first else ";" if ";" in first else ","
    lines = [(number, cells) for number, cells in enumerate(csv.reader(io.StringIO(text), delimiter=delimiter), start=1) if any(cells)]
    if not lines:
        raise BadData(f"{path} is empty. Save the table again.")
    for number, cells in lines:
        if len(cells) != len(lines[0][1]):
            raise BadData(
                f"{path}, line {number} has {len(cells)} cells where line {lines[0][0]} has {len(lines[0][1])}. Save the table again."
            )
    if all(map(is_number, lines[0][1])):
        return [], lines
    names = [cell.strip() for cell in lines[0][1]]
    if names[0] in ("", "Unnamed: 0"):
        raise BadData(
            f"{path} begins with a column without a name, such as pandas writes of its index. Save it with to_csv(..., index=False)."
        )
    return names, lines[1:]


def is_number(cell: str) -> bool:
    """Whether text is a number, NaN and infinity among them."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _no_member(path: Path, member: str, reason: str) -> None:
    if member:
        raise BadData(f'{path}:{member} names an array in the file, but {reason}. Write "{path.name}".')


def _named(path: Path, name: str) -> Path:
    return Path(f"{path}:{name}")


def _damaged(path: Path, error: BaseException) -> BadData:
    return BadData(f"{path} is damaged or cut short ({error}). Copy this file again from where it came.")


UNREADABLE = (
    OSError, ValueError, LookupError, TypeError, EOFError, RuntimeError, ArithmeticError, MemoryError, AttributeError, SyntaxError,
    ExpatError, zlib.error, zipfile.BadZipFile,
)  # fmt: skip
"""What the libraries raise for damaged files."""
NPY, TEXT = "a .npy file", "a table in text"
ARRAY_READERS: tuple[ArrayReader, ...] = (
    ArrayReader(NPY, (".npy",), lambda start: start.startswith(b"\x93NUMPY"), _open_npy),
    ArrayReader("an .npz archive", (".npz",), is_zip, _open_npz),
    ArrayReader("an HDF5 file", (".h5", ".hdf5", ".hdf"), is_hdf5, _open_hdf5),
    ArrayReader("a MATLAB file", (".mat",), lambda start: is_matlab5(start) or is_matlab7(start) or is_hdf5(start), _open_mat),
    ArrayReader("a NIfTI or CIFTI file", (".nii", ".nii.gz"), is_nifti, _open_volume),
    ArrayReader("a GIFTI file", (".gii",), is_gifti, _open_gifti),
    ArrayReader("a FreeSurfer volume", (".mgz", ".mgh"), is_mgh, _open_volume),
    ArrayReader(TEXT, (".csv", ".tsv", ".txt"), lambda start: other_format(start, Path("a")).startswith("text"), _open_table),
)
