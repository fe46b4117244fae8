"""Diagnose the layout of img2brain: images, the order of their names, responses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from encoding.datasets._responses import require_real
from encoding.datasets.doctor._checks import check_doubles, check_images, check_order, check_values
from encoding.datasets.doctor._findings import Finding, found_by
from encoding.datasets.img2brain import SUBJECT, TOP, Img2Brain, Img2BrainLayout, check_rows, read_test_images, read_training_images
from encoding.runtime.progress import Report, subprogress
from encoding.runtime.wording import counted
from encoding.storage.store import Store

TITLE = "img2brain"
TELLTALES = ("trainingIMG", "testIMG", "trainingfMRI", "training.npy")
LACKS = "It should hold trainingIMG, testIMG and trainingfMRI/training.npy."
N_IMAGES, N_TEST, N_VOXELS = 8857, 984, 10_000
AGAIN = "Unpack the download again."


def find(folder: Path) -> list[Path]:
    """List the folders with trainingIMG in or directly below ``folder``."""
    below = sorted(path for path in folder.glob("*") if path.is_dir()) if folder.is_dir() else []
    layouts = [Img2BrainLayout.below(path) for path in (folder, *below)]
    return list(dict.fromkeys(layout.folder for layout in layouts if layout.is_here))


def examine(folder: Path, store: Store, report: Report) -> Iterator[Finding]:
    """Yield the findings about one folder."""
    layout = Img2BrainLayout(folder)
    checks = (
        check_origin(layout),
        check_training_images(layout, store, subprogress(report, 0, 0.5)),
        check_test_images(layout, store, subprogress(report, 0.5, 0.6)),
        check_rows_and_doubles(layout, store, subprogress(report, 0.6, 0.7)),
        check_responses(layout, store, subprogress(report, 0.7, 1)),
    )
    name = folder.parent.name if folder.name == TOP else folder.name
    return (finding for check in checks for finding in found_by(check, name))


def check_origin(layout: Img2BrainLayout) -> Iterator[Finding]:
    """Report whether the data set is simulated, and whether its folder is where the data set expects it."""
    if layout.marker.exists():
        yield Finding("ok", "simulated (SIMULATED.txt).", "No brain was measured; nothing is compared with the real download.")
    if Img2BrainLayout.below(Img2Brain().layout.folder).folder.resolve() != layout.folder.resolve():
        where = Img2Brain().layout.folder
        yield Finding("warning", f"{layout.folder} is not where the data set is looked for.", "It is in no menu.", f"Move it to {where}.")
    yield Finding("ok", "voxels have neither names nor places here.", "There are no ROIs, no brain map and no noise ceiling.")


def check_training_images(layout: Img2BrainLayout, store: Store, report: Report) -> Iterator[Finding]:
    """Check the training images."""
    paths = read_training_images(layout)
    yield from check_images("training", paths, store, report)
    yield from check_order(paths)
    yield from _compare(layout, "training image", len(paths), N_IMAGES)


def check_test_images(layout: Img2BrainLayout, store: Store, report: Report) -> Iterator[Finding]:
    """Check the test images."""
    if paths := read_test_images(layout):
        yield from check_images("test", paths, store, report)
        yield from _compare(layout, "test image", len(paths), N_TEST)
    else:
        yield Finding("warning", f"no images in {layout.test_images}.", "There is nothing to predict.", AGAIN)


def check_rows_and_doubles(layout: Img2BrainLayout, store: Store, report: Report) -> Iterator[Finding]:
    """Check that images and rows of responses agree in number, and find duplicates."""
    paths = read_training_images(layout)
    yield from check_doubles(paths, read_test_images(layout), np.arange(len(paths)), store, report)
    check_rows(layout, paths, require_real(layout.responses))
    yield Finding("ok", f"one training image for each of {counted(len(paths), 'row')} ({SUBJECT}).")


def check_responses(layout: Img2BrainLayout, store: Store, report: Report) -> Iterator[Finding]:
    """Check the responses."""
    yield from check_values(layout.responses, "training", store, report)
    yield from _compare(layout, "voxel", require_real(layout.responses).shape[1], N_VOXELS)


def _compare(layout: Img2BrainLayout, what: str, number: int, expected: int) -> Iterator[Finding]:
    if number != expected and not layout.marker.exists():
        yield Finding("warning", f"{counted(number, what)}.", f"The download has {expected:,}: part of it is missing or changed.", AGAIN)
