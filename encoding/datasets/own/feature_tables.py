"""Feature tables that come with a data set: a row of numbers for each stimulus, from any program, in any format of arrays.

    data/kitchen/features/wordnet.csv        one table for all subjects
                          ann/ratings.npy    and one of ann's alone, which comes before one of that name for all

Rows are in the order of the responses' rows, or in that of the listed stimuli; or a table names its stimuli: in the first column of a text
table, or as the names of the arrays of an archive, one for each stimulus.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from encoding.datasets._arrays import as_float32_advice
from encoding.datasets._base import BadData
from encoding.datasets._spelling import plain
from encoding.datasets.own.array_files import member_shapes, open_array, read_array
from encoding.datasets.own.stimulus_names import as_stems, names_of_stimuli
from encoding.datasets.own.text_tables import is_number, read_lines
from encoding.runtime.registry import UnknownName, unknown
from encoding.runtime.wording import counted
from encoding.storage.fingerprints import file_fingerprint
from encoding.storage.keys import digest
from encoding.storage.store import Store

FOLDER = "features"
ONE = "table"  # name of the layer of a file that holds one array
NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
TEXT = (".csv", ".tsv")
SUFFIXES = (*TEXT, ".npy", ".npz", ".mat", ".h5", ".hdf5")


def find_tables(folder: Path, subject: str = "") -> dict[str, Path]:
    """Find the feature tables of a subject in a data set's folder: name to file. Without a subject, those of all subjects too.

    Of files of one name the subject's own comes first, then the first in the order of :data:`SUFFIXES`.
    """
    top = folder / FOLDER
    below = [top / subject] if subject else sorted(each for each in top.glob("[!.]*") if each.is_dir())
    found: dict[str, Path] = {}
    for place in (*below, top):
        files = [path for path in place.glob("[!.]*") if path.is_file() and path.suffix.lower() in SUFFIXES and NAME.fullmatch(path.stem)]
        for path in sorted(files, key=lambda path: (path.stem, SUFFIXES.index(path.suffix.lower()))):
            found.setdefault(path.stem, path)
    return found


def table_layers(path: Path) -> tuple[str, ...]:
    """Names of a file's layers: its arrays, or :data:`ONE` where its format holds one. BadData where it cannot be read."""
    return tuple(member_shapes(path)) or (ONE,)


@dataclass(frozen=True)
class FeatureTable:
    """A file of features, with rows for the stimuli of a subject. It is read when a layer is.

    Attributes
    ----------
    name : of the file, without its ending.
    stimuli : file name of the stimulus of each row of the responses, or its path.
    listed : those of the stimuli without repeats, in their own order.
    kept, n_samples : where rows are samples of runs, the row that each is of all ``n_samples`` that were taken; else None.
    """

    name: str
    path: Path
    stimuli: Sequence[Path]
    listed: Sequence[Path]
    store: Store | None
    kept: np.ndarray | None = None
    n_samples: int = 0

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """Names of the arrays; one, :data:`ONE`, where the file holds one or an array for each stimulus."""
        return (ONE,) if self._by_stimulus else tuple(self._shapes) or (ONE,)

    @cached_property
    def fingerprint(self) -> str:
        """Digest of the file's bytes and of which of its rows belongs to each stimulus.

        Raises
        ------
        BadData where rows and stimuli do not agree.
        """
        rows = [[str(each) for each in self.rows(layer)] for layer in self.layers]
        return digest("feature_table", 1, file=file_fingerprint(self.path, self.store), rows=rows)

    def columns(self, layer: str) -> tuple[str, ...]:
        """Names of the columns, where a text table has them; else empty."""
        self.check_layer(layer)
        return self._text[0] if self._is_text else ()

    def n_features(self, layer: str) -> int:
        """Number of features of a layer."""
        self.check_layer(layer)
        if self._by_stimulus:
            return int(np.prod(next(iter(self._shapes.values())), dtype=int))
        return int(np.prod(self._shape(layer)[1:], dtype=int))

    def check_layer(self, layer: str) -> None:
        """Raise UnknownName for a layer that the table does not have."""
        if layer not in self.layers:
            raise UnknownName(unknown(f"layer of {self.path}", layer, self.layers))

    def rows(self, layer: str) -> np.ndarray | list[str]:
        """Row of the table for each stimulus, (n_stimuli,) int64; the arrays' names where there is one for each stimulus.

        Raises
        ------
        BadData where the table names a stimulus twice or lacks one, or has another number of rows than there are stimuli.
        """
        if self._by_stimulus:
            return [self._by_stimulus[key] for key in self._keys_of_stimuli(self._by_stimulus)]
        if self._is_text and self._text[1]:
            row_of: dict[str, int] = {}
            for row, key in enumerate(as_stems(self._text[1], self.listed)):
                if row_of.setdefault(plain(key), row) != row:
                    raise BadData(f"{self.path} names the stimulus {key!r} twice. Leave one row for each.")
            return np.array([row_of[key] for key in self._keys_of_stimuli(row_of)], np.int64)
        n_rows = self._shape(layer)[0]
        if self.kept is not None and n_rows == self.n_samples:
            return self.kept
        if n_rows == len(self.listed):
            place = {path: row for row, path in enumerate(self.listed)}
            return np.array([place[path] for path in self.stimuli], np.int64)
        if n_rows == len(self.stimuli):
            return np.arange(n_rows)
        of = "" if layer == ONE else f", {layer},"
        shown = len(self.listed)
        counts = f"{shown:,} stimuli" if shown == len(self.stimuli) else f"{shown:,} stimuli in {len(self.stimuli):,} rows of responses"
        turned = self._shape(layer)[-1] in (shown, len(self.stimuli)) and len(self._shape(layer)) == 2
        fix = "Its columns are as many: save X.T." if turned else "Save a row for each, or a .csv whose first column names the stimulus."
        raise BadData(f"{self.path}{of} has {counted(n_rows, 'row')}, but there are {counts}. {fix}")

    def read(self, layer: str) -> np.ndarray:
        """Read the features of every stimulus, (n_stimuli, n_features) float32.

        Raises
        ------
        BadData where rows and stimuli do not agree, or a value is no number, NaN or infinite; its row and column are named.
        """
        rows = self.rows(layer)
        if self._by_stimulus:
            with np.load(self.path, allow_pickle=False) as arrays:
                X = np.stack([np.asarray(arrays[name], np.float32).ravel() for name in rows])
        elif self._is_text:
            X = self._text[2].astype(np.float32)[rows]
        else:
            values = read_array(self._member(layer))
            if values.dtype.kind not in "biuf":
                advice = as_float32_advice(self.path, values.dtype)
                raise BadData(f"{self.path} holds {values.dtype} where real numbers are needed. {advice}")
            X = np.asarray(values, np.float32).reshape(len(values), -1)[rows]
        if not np.isfinite(X).all():
            row, column = np.argwhere(~np.isfinite(X))[0]
            names = self.columns(layer)
            what = f"column {names[column]!r}" if names else f"column {column} (counted from 0)"
            raise BadData(
                f"{self.path} has NaN or infinity for {self.stimuli[row].name}, row {rows[row]} (counted from 0), {what}. "
                "Replace it by a number, or leave that column out."
            )
        return np.ascontiguousarray(X)

    @property
    def _is_text(self) -> bool:
        return self.path.suffix.lower() in TEXT

    @cached_property
    def _text(self) -> tuple[tuple[str, ...], tuple[str, ...], np.ndarray]:
        """Names of the columns, names of the stimuli where the first column holds them, and the numbers (n_rows, n_features)."""
        names, lines = read_lines(self.path)
        if not lines:
            raise BadData(f"{self.path} holds a line of names and no rows. Save the table again.")
        first, n_columns = [cells[0].strip() for _, cells in lines], len(lines[0][1])
        named = names_of_stimuli(self.path, "".join(names[:1]), first, self.listed, self.stimuli, n_columns=n_columns)
        keyed = len(named) > 0
        if keyed and names and len(names) > 1 and all(map(is_number, names[1:])):
            raise BadData(f"{self.path} begins with a row of numbers. Give it a first line with the names of its columns.")
        values = np.empty((len(lines), n_columns - keyed))
        for row, (number, cells) in enumerate(lines):
            for column, cell in enumerate(cells[keyed:]):
                try:
                    values[row, column] = float(cell or "nan")
                except ValueError as error:
                    name = repr(names[keyed + column]) if names else str(column + 1)
                    raise BadData(
                        f"{self.path}, line {number}, column {name}: {cell[:20]!r} is no number. Leave that column out, or write numbers."
                    ) from error
        if not values.shape[1]:
            raise BadData(f"{self.path} holds no column of numbers beside the names of the stimuli. Add one.")
        return tuple(names[keyed:]), named, values

    @cached_property
    def _by_stimulus(self) -> dict[str, str]:
        """Plain name of a stimulus to that of its array, where an .npz holds an array of one size for each stimulus; else empty."""
        members = {plain(name): name for name in self._shapes} if self.path.suffix.lower() == ".npz" else {}
        return members if len(set(self._shapes.values())) == 1 and all(_key_of(path, members) for path in self.listed) else {}

    @cached_property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return member_shapes(self.path)

    def _shape(self, layer: str) -> tuple[int, ...]:
        shape = self._text[2].shape if self._is_text else open_array(self._member(layer)).shape
        if not shape or 0 in shape:
            raise BadData(f"{self.path} has the shape {shape} where (n_stimuli, n_features) is needed. Save a row for each stimulus.")
        return shape

    def _member(self, layer: str) -> Path:
        return Path(f"{self.path}:{layer}") if self._shapes else self.path

    def _keys_of_stimuli(self, known: Mapping[str, object]) -> list[str]:
        """The key of each stimulus among the ``known``."""
        names, stems = (Counter(plain(getattr(path, part)) for path in self.listed) for part in ("name", "stem"))
        keys = {}
        for path in dict.fromkeys(self.stimuli):
            name, stem = plain(path.name), plain(path.stem)
            keys[path] = _key_of(path, known, alone=names[name] < 2, stem_alone=stems[stem] < 2)
            if not keys[path] and stem in known and stems[stem] > 1:
                alike = " or ".join(each.name for each in self.listed if plain(each.stem) == stem)
                raise BadData(f"{self.path} names {stem!r}, which may be {alike}. Write the names of files with their endings.")
        if missing := [path for path, key in keys.items() if not key]:
            raise BadData(
                f"{self.path} has no row for {len(missing):,} of {len(keys):,} stimuli, the first {missing[0].name}. Its first column "
                f"names stimuli by their files, such as {next(iter(known), '')!r}."
            )
        return [keys[path] for path in self.stimuli]


def _key_of(path: Path, known: Iterable[str], *, alone: bool = True, stem_alone: bool = True) -> str:
    """The name by which a stimulus is known: with its folder or, where no other has it, without, or without its ending as well."""
    names = (f"{path.parent.name}/{path.name}", *((path.name,) if alone else ()), *((path.stem,) if alone and stem_alone else ()))
    return next((key for name in names if (key := plain(name)) in known), "")


def names_of_rows(path: Path) -> tuple[str, ...]:
    """Names of a table's rows, in order: those that it gives, else ``row 1``, ``row 2`` ….

    Raises
    ------
    BadData where it cannot be read, or holds a text table of no rows.
    """
    if path.suffix.lower() in TEXT and (names := FeatureTable(path.stem, path, (), (), None)._text[1]):
        return tuple(name.strip() for name in names)
    shapes = member_shapes(path)
    n_rows = len(open_array(Path(f"{path}:{next(iter(shapes))}") if shapes else path)[(...,)])
    return tuple(f"row {number}" for number in range(1, n_rows + 1))


def open_tables(
    files: Mapping[str, Path],
    stimuli: Sequence[Path],
    listed: Sequence[Path],
    store: Store,
    *,
    kept: np.ndarray | None = None,
    n_samples: int = 0,
) -> dict[str, FeatureTable]:
    """Tables of a subject by name; none is read. Other parameters as in :class:`FeatureTable`."""
    listed = tuple(dict.fromkeys(listed))
    return {name: FeatureTable(name, path, tuple(stimuli), listed, store, kept, n_samples) for name, path in files.items()}
