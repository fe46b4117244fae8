"""Diagnose a subject in the layout of Algonauts 2023, compared with the challenge's own download unless it is simulated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from encoding.datasets._arrays import open_responses, open_vector, require_finite, response_facts
from encoding.datasets._base import FSAVERAGE_VERTICES
from encoding.datasets._ceilings import find_ceiling, read_ceilings
from encoding.datasets._download2023 import DOWNLOADS, ROI_SIZES, Download
from encoding.datasets._responses import FACTS, as_float32
from encoding.datasets._rois import ROI_CLASSES
from encoding.datasets.algonauts2023 import (
    HEMIS,
    Algonauts2023Layout,
    check_rows,
    read_images,
    read_rois,
    read_test_images,
    read_vertices,
)
from encoding.datasets.doctor._checks import check_readable, check_sizes, facts_of_images
from encoding.datasets.doctor._findings import Finding, found_by
from encoding.runtime.progress import Report, subprogress
from encoding.runtime.wording import counted
from encoding.storage.fingerprints import file_facts, file_fingerprint, sha256
from encoding.storage.store import Store

TITLE = "Algonauts 2023"
TELLTALES = ("training_split", "test_split", "training_images", "training_fmri", "roi_masks", "lh_training_fmri.npy", "test_images")
LACKS = "Each subject's folder, subj01 …, should hold training_split, test_split and roi_masks."
IMAGE_SIZE = (425, 425)
AGAIN = "Unpack the download again."


@dataclass(frozen=True)
class Examination:
    """A subject folder that the doctor examines, with what it has read so far."""

    layout: Algonauts2023Layout
    store: Store
    report: Report

    @property
    def name(self) -> str:
        """Name of the subject."""
        return self.layout.folder.name

    @property
    def expected(self) -> Download | None:
        """Reference values of the challenge's subject of this name; None for a simulated one."""
        return None if self.layout.marker.exists() else DOWNLOADS.get(self.name)

    def training_images(self) -> list[Path]:
        """Images with responses."""
        return read_images(self.layout.training_images, split="train")


def find_subjects(folder: Path) -> list[Path]:
    """List the subjects' folders: ``folder`` itself, or those within it or one folder below."""
    folder = folder.resolve()
    if (folder / "training_split").is_dir() or (folder / "roi_masks").is_dir():
        return [folder]
    for pattern in ("subj[0-9][0-9]", "*/subj[0-9][0-9]"):
        if found := sorted(path for path in folder.glob(pattern) if path.is_dir()):
            return found
    return []


find = find_subjects


def examine(folder: Path, store: Store, report: Report) -> Iterator[Finding]:
    """Yield the findings about one subject's folder."""
    case = Examination(Algonauts2023Layout(folder), store, report)
    return (finding for check in CHECKS for finding in found_by(check(case), case.name))


def check_origin(case: Examination) -> Iterator[Finding]:
    """Report whether the subject is simulated, or not one of the challenge's."""
    if case.layout.marker.exists():
        yield Finding("ok", "simulated (SIMULATED.txt).", "No brain was measured; nothing is compared with the real download.")
    elif case.expected is None:
        yield Finding("ok", "not one of the challenge's eight subjects.", "Nothing is compared with the real download.")


def check_training_images(case: Examination) -> Iterator[Finding]:
    """Check the training images."""
    yield from _check_images(case, "train", case.training_images(), subprogress(case.report, 0, 0.4))


def check_test_images(case: Examination) -> Iterator[Finding]:
    """Check the test images."""
    if paths := read_test_images(case.layout):
        yield from _check_images(case, "test", paths, subprogress(case.report, 0.4, 0.45))
    else:
        yield Finding("warning", f"no images in {case.layout.test_images}.", "There is nothing to predict for a submission.", AGAIN)


def _check_images(case: Examination, split: str, paths: list[Path], report: Report) -> Iterator[Finding]:
    facts = facts_of_images(paths, case.store, report)
    kind = "training" if split == "train" else split
    yield from check_readable(kind, paths, facts)
    odd = [path for path, fact in zip(paths, facts, strict=True) if not fact["error"] and tuple(fact["size"]) != IMAGE_SIZE]
    if odd and case.expected:
        yield Finding(
            "warning",
            f"{counted(len(odd), f'{kind} image is', f'{kind} images are')} not 425 x 425, the first {odd[0].name}.",
            "The challenge's are.",
            AGAIN,
        )
    expected = case.expected and (case.expected.n_images if split == "train" else case.expected.n_test)
    yield from _compare(len(paths), expected, f"{kind} image")
    if not any(fact["error"] for fact in facts):
        yield Finding("ok", f"{counted(len(paths), f'{kind} image')}, named by their rows, all readable.")


def check_duplicates(case: Examination) -> Iterator[Finding]:
    """Find byte-identical images across the two splits, or with different NSD ids within the training split."""
    train, test = case.training_images(), read_test_images(case.layout)
    names = file_facts([*train, *test], case.store, name="sha256", learn=sha256, report=subprogress(case.report, 0.45, 0.6))
    first = dict(zip(reversed(names[: len(train)]), reversed(train), strict=True))  # the first of equals wins
    leaks = [(path, first[name]) for path, name in zip(test, names[len(train) :], strict=True) if name in first]
    if leaks:
        many = counted(len(leaks), "test image is a training image", "test images are training images")
        what = f"{many} too, the first {leaks[0][0].name}, which is {leaks[0][1].name}."
        yield Finding("warning", what, "A model has seen them with their responses.", AGAIN)
    twins = [(path, first[name]) for path, name in zip(train, names, strict=False) if first[name] != path]
    if mismatched := [(a.name, b.name) for a, b in twins if a.stem.partition("_")[2] != b.stem.partition("_")[2]]:
        many = counted(len(mismatched), "training image equals one", "training images equal others")
        what = f"{many} of another NSD id, the first {' and '.join(mismatched[0])}."
        yield Finding("warning", what, "A split may put one of them on each side.", AGAIN)
    if not leaks and not mismatched:
        yield Finding("ok", "no image has a double under another name.")


def check_responses(case: Examination, hemi: str) -> Iterator[Finding]:
    """Check one hemisphere's responses."""
    report = subprogress(case.report, *((0.6, 0.8) if hemi == "lh" else (0.8, 1)))
    path = case.layout.responses(hemi)
    n_rows, n_vertices = open_responses(path).shape
    usable = as_float32(path, file_fingerprint(path, case.store), case.store, subprogress(report, 0, 0.5))
    facts = file_facts([usable], case.store, name=FACTS, learn=response_facts, report=subprogress(report, 0.5, 1))[0]
    require_finite(path, facts)
    check_rows(case.layout, case.training_images(), {hemi: open_responses(path)})
    lowest, highest = facts["minimum"], facts["maximum"]
    if lowest == highest:
        yield Finding("error", f"{path.name} holds nothing but {lowest}.", "There is nothing to predict.", AGAIN)
        return
    what = f"{hemi} responses {n_rows:,} x {n_vertices:,}, finite, from {lowest:.4f} to {highest:.4f}"
    known = case.expected and case.expected.ranges[hemi]
    if known and not np.allclose((lowest, highest), known, atol=1e-4):
        meaning = f"An undamaged download has {known[0]:.4f} to {known[1]:.4f}; these were changed or belong to somebody else."
        yield Finding("warning", f"{what}.", meaning, AGAIN)
    else:
        yield Finding("ok", f"{what}{', as in an undamaged download' if known else ''}.")


def check_masks(case: Examination, hemi: str) -> Iterator[Finding]:
    """Check one hemisphere's vertices and ROI masks."""
    n_vertices = open_responses(case.layout.responses(hemi)).shape[1]
    vertices = read_vertices(case.layout, hemi, n_vertices)
    yield from _compare(n_vertices, case.expected and case.expected.n_vertices[hemi], f"{hemi} vertex", f"{hemi} vertices")
    rois = read_rois(case.layout, hemi, n_vertices)
    yield from _check_spaces(case.layout, hemi, vertices)
    for name, size in ROI_SIZES.get((case.name, hemi), {}).items() if case.expected else ():
        yield from _compare(len(rois.get(name, ())), size, f"vertex in {hemi} {name}", f"vertices in {hemi} {name}")
    sizes = {name: len(columns) for name, columns in rois.items()}
    filled = sum(size > 0 for size in sizes.values())
    yield Finding("ok", f"{hemi} masks: {n_vertices:,} vertices, {filled} of {len(sizes)} ROIs have some.")
    yield from check_sizes(hemi, rois)


def _check_spaces(layout: Algonauts2023Layout, hemi: str, vertices: np.ndarray) -> Iterator[Finding]:
    """The labels on fsaverage must be those in challenge space, and 0 elsewhere."""
    for roi_class in ROI_CLASSES:
        path = layout.labels(hemi, roi_class, space="fsaverage")
        here = open_vector(layout.labels(hemi, roi_class), len(vertices), "the responses' vertices are")
        expected = np.zeros(FSAVERAGE_VERTICES, np.int64)
        expected[vertices] = here
        if n_wrong := int((open_vector(path, FSAVERAGE_VERTICES, "fsaverage's vertices are") != expected).sum()):
            what = f"{path.name} and {layout.labels(hemi, roi_class).name} disagree at {counted(n_wrong, 'vertex', 'vertices')}."
            yield Finding("warning", what, "The second is used; one of them belongs to somebody else.", AGAIN)


def check_ceilings(case: Examination) -> Iterator[Finding]:
    """Check the noise ceilings, where there are any."""
    layout, responses = case.layout, {hemi: open_responses(case.layout.responses(hemi)) for hemi in HEMIS}
    vertices = {hemi: read_vertices(layout, hemi, block.shape[1]) for hemi, block in responses.items()}
    ceiling = read_ceilings(layout.ceilings, vertices, n_images=len(responses["lh"]))
    if ceiling is None:
        yield Finding(
            "ok", "no noise ceilings.", "Scores are shown without them.", f"To have them, lay lh.npy and rh.npy in {layout.ceilings[0]}."
        )
        return
    source = find_ceiling(layout.ceilings, "lh")
    medians = ", ".join(f"{hemi} {np.median(values):.3f}" for hemi, values in ceiling.items())
    yield Finding("ok", f"noise ceilings from {source.parent}, medians {medians}.")
    if ".ncsnr." in source.name and not (source.parent / "repeats.npy").exists():
        meaning = "All images count as seen three times: the ceilings are the highest possible."
        yield Finding("warning", f"no repeats.npy beside {source.name}.", meaning, "Save there how often each training image was seen.")


def _compare(number: int, expected: int | None, one: str, many: str = "") -> Iterator[Finding]:
    if expected is not None and number != expected:
        meaning = f"The challenge's download has {expected:,}: part of it is missing or changed."
        yield Finding("warning", f"{counted(number, one, many)}.", meaning, AGAIN)


CHECKS: Sequence[Callable[[Examination], Iterator[Finding]]] = (
    check_origin,
    check_training_images,
    check_test_images,
    check_duplicates,
    *(partial(check_responses, hemi=hemi) for hemi in HEMIS),
    *(partial(check_masks, hemi=hemi) for hemi in HEMIS),
    check_ceilings,
)
