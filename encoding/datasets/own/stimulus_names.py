"""Find out whether the first column of a feature table names stimuli, also where these are numbers, and which stimuli these are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from encoding.datasets._base import BadData
from encoding.datasets._spelling import plain
from encoding.datasets.own.text_tables import is_number

KEYS = ("stimulus", "stim_file", "image", "file", "filename", "file_name")  # a first column of such a name holds stimuli
LIKELY = ("stim", "stimuli", "images", "img", "picture", "pictures", "pic", "photo", "item", "row")  # may hold stimuli, or their numbers
LIKELY_ENDS = ("id", "ids", "name", "names", "index", "idx")  # of a column's name of several words
LEAST_ROWS = 3  # that count from 0 or 1, for it to be no chance


def names_of_stimuli(
    path: Path, header: str, cells: Sequence[str], listed: Sequence[Path], stimuli: Sequence[Path], *, n_columns: int
) -> tuple[str, ...]:
    """The first column of a table, where it names the stimuli; empty where it is a feature, as a single column of numbers is.

    Parameters
    ----------
    path : of the table. header : name of the column, empty where it has none. cells : (n_rows,) of it. n_columns : of the table.
    listed, stimuli : as in :class:`encoding.datasets.own.feature_tables.FeatureTable`.

    Raises
    ------
    BadData where it holds distinct whole numbers that look like names of stimuli or rows and are not those of the stimuli.
    """
    if header.lower() in KEYS or any(cell and not is_number(cell) for cell in cells):
        return tuple(cells)
    numbers = [_whole(cell) for cell in cells]
    if n_columns == 1 or None in numbers:
        return ()
    keys, stems = [plain(name) for name in as_stems(cells, listed)], {plain(each.stem) for each in listed}
    distinct = len(set(numbers)) == len(numbers)
    if stems and ((distinct and stems <= set(keys)) or keys == [plain(each.stem) for each in stimuli]):
        return tuple(cells)
    n_known = len(stems & set(keys))
    counts_rows = len(numbers) >= LEAST_ROWS and sorted(numbers) in ([*range(len(numbers))], [*range(1, len(numbers) + 1)])
    if distinct and (counts_rows or _is_likely(header) or (n_known and 2 * n_known >= len(stems))):
        known = f"{n_known:,} are among the names of {len(stems):,} stimuli" if stems else "none is known to be a stimulus"
        called = f", {header!r}," if header else ""
        raise BadData(
            f"The first column of {path}{called} holds {len(numbers):,} distinct whole numbers, of which {known}. "
            "Name the column file where it names stimuli, leave it out where it counts rows, or move it behind another if it is a feature."
        )
    return ()


def as_stems(names: Sequence[str], listed: Sequence[Path]) -> list[str]:
    """Names as the stimuli have them: where all are whole numbers, ``22`` and ``22.0`` become the stem of ``022.png``."""
    stem_of = {int(path.stem): path.stem for path in listed if path.stem.isascii() and path.stem.isdecimal()}
    numbers = [_whole(name) for name in names]
    if len(stem_of) < len(listed) or None in numbers:  # 1.png and 01.png are not told apart by numbers
        return list(names)
    return [stem_of.get(number, name) for number, name in zip(numbers, names, strict=True)]


def _whole(cell: str) -> int | None:
    """The whole number that a text is; None where it is none."""
    return int(float(cell)) if is_number(cell) and float(cell).is_integer() else None


def _is_likely(header: str) -> bool:
    words = re.findall(r"[a-z]+", header.lower())
    return words[-1:] != [] and (words[-1] in LIKELY_ENDS or (len(words) == 1 and words[0] in LIKELY))
