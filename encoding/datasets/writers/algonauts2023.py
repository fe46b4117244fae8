"""Write a subject in the exact layout of Algonauts 2023, for classes without the data and for tests of the readers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from encoding.datasets._base import FSAVERAGE_VERTICES, Stimuli, Subject
from encoding.datasets._rois import ROI_CLASSES
from encoding.datasets.algonauts2023 import HEMIS, SUBJECT, Algonauts2023Layout
from encoding.runtime.progress import Report, silent, subprogress
from encoding.runtime.registry import unknown
from encoding.runtime.threads import map_in_threads
from encoding.storage.atomic import atomic_folder

BATCH = 64  # images between two reports of progress
MARKER = """These data are simulated. No brain was measured.

They were written by Encoding Explorer in the layout of the Algonauts 2023 challenge (subject {name} of {dataset}).
"""


def write_algonauts2023(subject: Subject, out: Path, report: Report = silent, *, size: int = 425) -> Path:
    """Write ``subject`` to ``out/<its name>`` in the layout of Algonauts 2023; returns that folder.

    Read back it gives the same responses, ROIs, vertices and ceilings. A folder appears whole or not at all.

    Parameters
    ----------
    subject : with both hemispheres and, for each, places on fsaverage that ascend from column to column.
        Places on fsaverage5 are the first 10,242 of them.
    size : images are cropped to a square and resized to so many pixels a side; the challenge has 425.

    Raises
    ------
    ValueError where the layout cannot hold the subject: another name than subjNN, a hemisphere or its places
    missing, ROIs that the challenge has not, ROIs of one class that overlap. FileExistsError where the folder is there.
    """
    check(subject)
    target = Path(out) / subject.name
    if target.exists():
        raise FileExistsError(f"{target} exists already. Remove it first, or write to another folder.")
    with atomic_folder(target) as scratch:
        layout = Algonauts2023Layout(scratch)
        for folder in (layout.training_images, layout.test_images, layout.responses("lh").parent, layout.mask("lh").parent):
            folder.mkdir(parents=True)
        _write_images(subject, layout, size, subprogress(report, 0, 0.9))
        for hemi in HEMIS:
            report(0.9, f"Writing responses: {hemi}")
            np.save(layout.responses(hemi), np.asarray(subject.responses[hemi], np.float32))  # a memory map is copied block by block
            _write_masks(subject, layout, hemi)
        _write_names(subject, layout)
    return target


def check(subject: Subject) -> None:
    """Check that the layout of Algonauts 2023 can hold ``subject``; ValueError where it cannot."""
    if not SUBJECT.fullmatch(subject.name):
        raise ValueError(f"Algonauts 2023 names its subjects subj01, subj02 …; {subject.name!r} is not such a name.")
    if set(subject.hemis) != set(HEMIS) or subject.vertices is None:
        raise ValueError(
            f"Algonauts 2023 holds lh and rh with their places on fsaverage; {subject.name} has {', '.join(subject.hemis)}"
            f"{' without places' if subject.vertices is None else ''}."
        )
    for hemi in HEMIS:
        vertices = subject.vertices[hemi]
        if (np.diff(vertices) <= 0).any() or vertices.min(initial=0) < 0 or vertices.max(initial=0) >= FSAVERAGE_VERTICES:
            raise ValueError(
                f"The places of {subject.name}'s {hemi} columns must ascend within fsaverage's {FSAVERAGE_VERTICES:,} vertices."
            )
        _check_rois(subject.rois[hemi], hemi)


def _check_rois(rois: Mapping[str, np.ndarray], hemi: str) -> None:
    known = [name for names in ROI_CLASSES.values() for name in names]
    for name in rois:
        if name not in known:
            raise ValueError(f"Algonauts 2023 has no such ROI. {unknown('ROI', name, known, show=len(known))}")
    for roi_class, names in ROI_CLASSES.items():
        here = [name for name in names if name in rois]
        for i, first in enumerate(here):
            for second in here[i + 1 :]:
                if shared := len(np.intersect1d(rois[first], rois[second])):
                    raise ValueError(
                        f"{first} and {second} share {shared:,} {hemi} vertices, but both are of the class {roi_class}, "
                        "which holds one label a vertex."
                    )


def _write_images(subject: Subject, layout: Algonauts2023Layout, size: int, report: Report) -> None:
    ids = _image_ids(subject.groups)
    after = int(ids.max(initial=-1)) + 1
    jobs = [
        (stimuli, i, folder / f"{split}-{i + 1:04d}_nsd-{nsd:05d}.png")
        for stimuli, folder, split, numbers in (
            (subject.stimuli, layout.training_images, "train", ids),
            (subject.unlabelled, layout.test_images, "test", range(after, after + len(subject.unlabelled))),
        )
        for i, nsd in enumerate(numbers)
    ]

    def write(job: tuple[Stimuli, int, Path]) -> None:
        stimuli, index, path = job
        image = stimuli[index]
        if image.size != (size, size):
            image = ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
        image.save(path, compress_level=1)  # three times as fast for files a tenth larger

    for start in range(0, len(jobs), BATCH):
        map_in_threads(write, jobs[start : start + BATCH], device="cpu")
        done = min(start + BATCH, len(jobs))
        report(done / len(jobs), f"Writing images: {done:,} of {len(jobs):,}")


def _image_ids(groups: np.ndarray) -> np.ndarray:
    """An id of five digits per image, equal where groups are: the groups themselves where they can be."""
    if groups.min(initial=0) >= 0 and groups.max(initial=0) < 100_000:
        return groups
    return np.unique(groups, return_inverse=True)[1]


def _write_masks(subject: Subject, layout: Algonauts2023Layout, hemi: str) -> None:
    """The mask of all vertices, each class's labels in both spaces, and the ceiling where it is known."""
    vertices = subject.vertices[hemi]
    mask = np.zeros(FSAVERAGE_VERTICES, np.int32)
    mask[vertices] = 1
    np.save(layout.mask(hemi), mask)
    for roi_class, names in ROI_CLASSES.items():
        labels = np.zeros(len(vertices), np.int32)
        for label, name in enumerate(names, start=1):
            labels[subject.rois[hemi].get(name, [])] = label
        np.save(layout.labels(hemi, roi_class), labels)
        everywhere = np.zeros(FSAVERAGE_VERTICES, np.int32)
        everywhere[vertices] = labels
        np.save(layout.labels(hemi, roi_class, space="fsaverage"), everywhere)
    if subject.ceiling is not None:
        layout.ceilings[0].mkdir(exist_ok=True)
        np.save(layout.ceilings[0] / f"{hemi}.npy", np.asarray(subject.ceiling[hemi], np.float32))


def _write_names(subject: Subject, layout: Algonauts2023Layout) -> None:
    for roi_class, names in ROI_CLASSES.items():
        np.save(layout.names(roi_class), dict(enumerate(("Unknown", *names))), allow_pickle=True)
    if subject.simulated:
        layout.marker.write_text(MARKER.format(name=subject.name, dataset=subject.dataset))
