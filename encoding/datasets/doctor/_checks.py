"""Checks shared by several layouts: images, duplicates, responses, ROIs and noise ceilings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from encoding.datasets import BadData
from encoding.datasets._arrays import BLOCK_ROWS, open_npy, open_responses, require_finite, response_facts
from encoding.datasets._images import read_image, readable_formats
from encoding.datasets._responses import FACTS, as_float32, require_real
from encoding.datasets.doctor._findings import Finding
from encoding.runtime.progress import Report, subprogress
from encoding.runtime.wording import counted
from encoding.storage.fingerprints import file_facts, file_fingerprint, sha256
from encoding.storage.store import Store

LEAST_RANGE = 26  # of 255: a tenth
TINY = 20  # vertices; the mean score of fewer says little
NUMBERED = re.compile(r"(\D*)(\d+)(\D*)")


def image_facts(path: Path) -> dict[str, Any]:
    """Measure one image as stored: size, mode, lowest and highest value (0 … 255), and the decoding error, if any."""
    try:
        lowest, highest = zip(*read_image(path).getextrema(), strict=True)
        with Image.open(path, formats=readable_formats()) as image:
            return {"size": image.size, "mode": image.mode, "range": (min(lowest), max(highest)), "error": None}
    except BadData as error:
        return {"size": None, "mode": None, "range": None, "error": str(error)}


def facts_of_images(paths: Sequence[Path], store: Store, report: Report) -> list[dict[str, Any]]:
    """Compute :func:`image_facts` of each path, cached until a file changes."""
    return file_facts(paths, store, name="images-2", learn=image_facts, report=report)


def check_readable(kind: str, paths: Sequence[Path], facts: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """Yield an error where images cannot be decoded, and warnings where they are not RGB or hardly vary."""
    errors = [fact["error"] for fact in facts if fact["error"]]
    if errors:
        yield Finding(
            "error",
            f"{len(errors):,} of {counted(len(paths), f'{kind} image')} cannot be read, the first: {errors[0]}",
            "Fits will stop there.",
        )
    other = [(path, fact["mode"]) for path, fact in zip(paths, facts, strict=True) if fact["mode"] not in (None, "RGB")]
    if other:
        path, mode = other[0]
        what = f"{counted(len(other), f'{kind} image is', f'{kind} images are')} not RGB, the first {path.name} ({mode})."
        yield Finding("warning", what, "They are converted when read.")
    flat = [(path, fact) for path, fact in zip(paths, facts, strict=True) if fact["range"] and np.ptp(fact["range"]) < LEAST_RANGE]
    if flat and any(fact["mode"].startswith("I") for _, fact in flat):
        path, fact = next(each for each in flat if each[1]["mode"].startswith("I"))
        what = counted(len(flat), f"{kind} image hardly varies", f"{kind} images hardly vary")
        what += f"; {path.name} is read as {fact['range'][0]} to {fact['range'][1]} of 255."
        meaning = "Of 16 bits the upper 8 are read, so images that hold 12 bits or fewer come out black or dark."
        yield Finding("warning", what, meaning, "Save them with 8 bits a channel: (values / values.max() * 255).astype('uint8').")


def check_images(kind: str, paths: Sequence[Path], store: Store, report: Report) -> Iterator[Finding]:
    """Check whether images can be read, and of what size they are."""
    paths = list(dict.fromkeys(paths))
    facts = facts_of_images(paths, store, report)
    yield from check_readable(kind, paths, facts)
    sizes = sorted({tuple(fact["size"]) for fact in facts if fact["size"]})
    if any(fact["error"] for fact in facts):
        return
    size = "{} x {}".format(*sizes[0])
    extent = f"all {size}" if len(sizes) == 1 else f"of {len(sizes)} sizes from {size} to {'{} x {}'.format(*sizes[-1])}"
    yield Finding(
        "ok",
        f"{counted(len(paths), f'{kind} image')}, all readable, {extent} pixels.",
        "" if len(sizes) == 1 else "Each network resizes them.",
    )


def check_order(paths: Sequence[Path]) -> Iterator[Finding]:
    """Check that the natural order of names, which defines the order of rows, is unambiguous."""
    names = [path.name for path in paths]
    order = f"rows are in the natural order of file names, from {names[0]} to {names[-1]}."
    if sorted(names) != names:
        row = next(row for row, (mine, theirs) in enumerate(zip(names, sorted(names), strict=True)) if mine != theirs)
        meaning = (
            f"A plain sort would put {sorted(names)[row]} into row {row}, not {names[row]}. If the responses were saved in that order, "
        )
        yield Finding(
            "warning", order, f"{meaning}every row is fitted to another image.", "Make sure of it; names padded with zeros leave no doubt."
        )
    else:
        yield Finding("ok", order)
    if names != sorted(names, key=with_capitals_first):
        meaning = "Capitals are ignored in the order of rows; a program that does not ignore them would order these files otherwise."
        yield Finding("warning", "file names differ in capitals.", meaning, "Make sure of the order, or name files alike.")
    found = [NUMBERED.fullmatch(path.stem) for path in paths]
    if all(found) and len({(match[1], match[3]) for match in found}) == 1:
        numbers = [int(match[2]) for match in found]
        gaps = [(low, high) for low, high in pairwise(numbers) if high - low > 1]
        if gaps:
            n_missing = sum(high - low - 1 for low, high in gaps)
            what = f"the numbers in file names leave out {n_missing:,}, the first {gaps[0][0] + 1}."
            yield Finding(
                "warning", what, "If an image is missing, all rows after it are wrong.", "Copy the missing images, or renumber them."
            )


def with_capitals_first(name: str) -> list[tuple[str, int]]:
    """Sort key of the natural order that distinguishes upper and lower case."""
    return [(text, int(number or -1)) for text, number in re.findall(r"([^0-9]*)([0-9]*)", name)]


def check_doubles(train: Sequence[Path], test: Sequence[Path], groups: np.ndarray, store: Store, report: Report) -> Iterator[Finding]:
    """Find byte-identical images: among those without responses, or in rows that were not known as repeats."""
    names = file_facts([*train, *test], store, name="sha256", learn=sha256, report=report)
    seen, unseen = names[: len(train)], names[len(train) :]
    first = {name: row for row, name in reversed(list(enumerate(seen)))}  # the first of equals wins
    leaks = [(path, train[first[name]]) for path, name in zip(test, unseen, strict=True) if name in first]
    if leaks:
        image, double = leaks[0]
        many = counted(len(leaks), "image without responses is a training image", "images without responses are training images")
        what = f"{many} too, the first {image.name}, which is {double.name}."
        yield Finding("warning", what, "A model has seen them with their responses.", "Take them out, or predict nothing from them.")
    parted = [row for row, name in enumerate(seen) if groups[row] != groups[first[name]]]
    if parted:
        row = parted[0]
        rows = f"{first[seen[row]]} and {row} ({train[row].name})"
        what = f"{counted(len(parted), 'row has', 'rows have')} an image that another row has too, the first rows {rows}."
        yield Finding(
            "warning", what, "They count as one stimulus, which no split parts.", "Take out copies that are not meant as repeats."
        )
    if not leaks and not parted:
        yield Finding("ok", "no image has a duplicate that a split could part.")


def check_values(path: Path, label: str, store: Store, report: Report) -> Iterator[Finding]:
    """Check shape, dtype, NaN and range of one file of responses."""
    (n_rows, n_vertices), dtype = require_real(path).shape, open_npy(path).dtype
    usable = as_float32(path, file_fingerprint(path, store), store, subprogress(report, 0, 0.4))
    facts = file_facts([usable], store, name=FACTS, learn=response_facts, report=subprogress(report, 0.4, 0.7))[0]
    require_finite(path, facts)
    lowest, highest = facts["minimum"], facts["maximum"]
    if lowest == highest:
        yield Finding("error", f"{path.name} holds nothing but {lowest}.", "There is nothing to predict.", "Save the responses again.")
        return
    columns = file_facts([usable], store, name="columns-1", learn=column_facts, report=subprogress(report, 0.7, 1))[0]
    what = f"{label} responses {n_rows:,} x {n_vertices:,} {dtype}, finite, from {lowest:.4f} to {highest:.4f}"
    sd, mean = columns["typical_sd"], columns["typical_mean"]
    mean = mean if abs(mean) > sd / 1000 else 0.0  # rounding's
    spread = f"each vertex varies by {sd:.3g} (median standard deviation) around {mean:.3g}."
    yield Finding("ok", f"{what}; {spread}")
    if usable != path:
        yield Finding("ok", f"{path.name} is {dtype}.", f"A float32 copy of {4 * n_rows * n_vertices / 1e9:.2f} GB is kept in the cache.")
    if columns["n_constant"]:
        what = f"{counted(columns['n_constant'], f'{label} vertex has', f'{label} vertices have')} the same response in every row."
        yield Finding("warning", what, "They have no r.", "Leave them out of the responses and of all that goes with them.")


def column_facts(path: Path) -> dict[str, Any]:
    """Count constant vertices, and compute the medians over vertices of mean and standard deviation."""
    responses = open_responses(path)
    n_rows, n_vertices = responses.shape
    offset = responses[0].astype(np.float64)  # keeps the sums of squares small
    total, squares = np.zeros(n_vertices), np.zeros(n_vertices)
    for start in range(0, n_rows, BLOCK_ROWS):
        block = responses[start : start + BLOCK_ROWS].astype(np.float64) - offset
        total, squares = total + block.sum(0), squares + (block**2).sum(0)
    sd = np.sqrt(np.maximum(squares / n_rows - (total / n_rows) ** 2, 0))
    means = total / n_rows + offset
    return {"n_constant": int((squares == 0).sum()), "typical_sd": float(np.median(sd)), "typical_mean": float(np.median(means))}


def check_sizes(label: str, rois: Mapping[str, np.ndarray]) -> Iterator[Finding]:
    """Report empty and very small ROIs."""
    sizes = {name: len(columns) for name, columns in rois.items()}
    if empty := [name for name, size in sizes.items() if size == 0]:
        yield Finding("ok", f"{label} ROIs without vertices: {', '.join(empty)}.", "That is usual; they are shown as empty.")
    if tiny := [f"{name} ({size})" for name, size in sizes.items() if 0 < size < TINY]:
        yield Finding("warning", f"{label} ROIs of fewer than {TINY} vertices: {', '.join(tiny)}.", "Their mean scores say little.")
