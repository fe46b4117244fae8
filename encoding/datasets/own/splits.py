"""Named splits of one's own data: a TOML or JSON file of training rows and one or several test sets for each name.

    [generalisation]
    train = ["0:900"]                      rows from 0 to 899
    [generalisation.test]
    inside = ["900:1000"]
    outside = ["sketches/*", "cat.png"]    stimuli by their names, or by the folder they lie in

In JSON the same: ``{"generalisation": {"train": [0, 1, 2], "test": {"inside": [3, 4], "outside": ["cat.png"]}}}``. Where ``test`` is a
list, it is the one test set ``test``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from encoding.datasets._base import BadData
from encoding.datasets._images import require_regular
from encoding.datasets._spelling import decoded
from encoding.datasets.own.sections import Section
from encoding.evaluation.splits import NAMED, NamedSplit
from encoding.runtime.wording import counted
from encoding.storage.files import raise_passing

MAX_BYTES = 64 * 2**20
NAME = re.compile(r"[\w.-]+")
RANGE = re.compile(r"(\d*):(\d*)")


def split_names(path: Path) -> list[str]:
    """The splits of a file as they are chosen, ``named:generalisation``, each followed by its test sets where it has several.

    Raises
    ------
    BadData where the file cannot be understood.
    """
    names = []
    for name, (_, tests) in _read(path).items():
        names.append(f"{NAMED}:{name}")
        names += [f"{NAMED}:{name}:{test}" for test in tests] if len(tests) > 1 else []
    return names


def read_splits(path: Path, rows: Sequence[Path]) -> dict[str, NamedSplit]:
    """Read the splits of a file for the rows of a subject.

    Parameters
    ----------
    rows : the stimulus file of each row.

    Raises
    ------
    BadData where a row or a stimulus is not there, a part is empty, or a row both trains and tests.
    """
    found = {}
    for name, (train, tests) in _read(path).items():
        training = _rows(path, f"{name}.train", train, rows)
        testing = {test: _rows(path, f"{name}.test.{test}", items, rows) for test, items in tests.items()}
        for test, tested in testing.items():
            if len(both := np.intersect1d(training, tested)):
                raise BadData(
                    f"{path}: {name}: {counted(len(both), 'row trains and is', 'rows train and are')} "
                    f"of the test set {test} too, the first {both[0]} "
                    f"({rows[both[0]].name}). Take them out of one."
                )
        found[name] = NamedSplit(training, testing)
    return found


def _read(path: Path) -> dict[str, tuple[list[Any], dict[str, list[Any]]]]:
    """Name to the items of its training part and of each test set."""
    found = {}
    for name, about in _content(path).items():
        if not NAME.fullmatch(name):
            raise BadData(f"{path}: {name!r}: name splits with letters, digits, _ . and -")
        if not isinstance(about, dict) or set(about) != {"train", "test"}:
            raise BadData(f'{path}: {name} needs train = [...] and test = [...], or test sets: [{name}.test] inside = ["900:1000"].')
        tests = about["test"] if isinstance(about["test"], dict) else {"test": about["test"]}
        for part, items in {"train": about["train"], **tests}.items():
            if not isinstance(items, list) or not items:
                raise BadData(f'{path}: {name}, {part}: write a list of rows (12, "0:900") or of stimuli ("cat.png", "sketches/*").')
            if not NAME.fullmatch(part):
                raise BadData(f"{path}: {name}: {part!r}: name test sets with letters, digits, _ . and -")
        found[name] = (about["train"], dict(tests))
    if not found:
        raise BadData(f"{path} names no split. Write [mine] with train = [...] and test = [...].")
    return found


def _content(path: Path) -> Mapping[str, Any]:
    if path.suffix.lower() != ".json":
        return Section.of(path).values
    require_regular(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BadData(f"{path} has {path.stat().st_size:,} bytes, too many for splits.")
        found = json.loads(decoded(path.read_bytes()))
    except (OSError, ValueError, RecursionError) as error:
        raise_passing(error, path)
        raise error if isinstance(error, BadData) else BadData(f"{path} is not JSON ({error}).") from error
    if not isinstance(found, dict):
        raise BadData(f"{path} holds no table of splits. Write names with train and test.")
    return found


def _rows(path: Path, part: str, items: list[Any], rows: Sequence[Path]) -> np.ndarray:
    """Rows that the items of one part name, sorted int64 without repeats."""
    by_name: dict[str, list[int]] = {}
    for row, stimulus in enumerate(rows):
        for known in {stimulus.name, stimulus.stem}:
            by_name.setdefault(known, []).append(row)
    chosen: set[int] = set()
    for item in items:
        if type(item) is int:
            found: Sequence[int] = [item] if 0 <= item < len(rows) else []
        elif not isinstance(item, str):
            raise BadData(f"{path}: {part}: {item!r} is no row and no name of a stimulus.")
        elif match := RANGE.fullmatch(item):
            start, stop = (int(number) if number else None for number in match.groups())
            found = range(len(rows))[start:stop] if (stop or 0) <= len(rows) else []
        elif item in by_name:
            found = by_name[item]
        else:
            found = [row for row, stimulus in enumerate(rows) if fnmatchcase(stimulus.as_posix(), f"*/{item}")]
        if not len(found):
            raise BadData(f"{path}: {part}: {item!r} names none of the {len(rows):,} rows (from 0), nor a stimulus of theirs.")
        chosen.update(found)
    return np.array(sorted(chosen), np.int64)
