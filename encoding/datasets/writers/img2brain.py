"""Write a subject in the layout of img2brain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from encoding.datasets._base import Stimuli, Subject
from encoding.datasets.img2brain import MARKER, TOP, Img2BrainLayout
from encoding.runtime.progress import Report, silent, subprogress
from encoding.runtime.threads import map_in_threads
from encoding.storage.atomic import atomic_folder

BATCH = 64  # images between two reports of progress


def write_img2brain(subject: Subject, out: Path, report: Report = silent, *, size: int = 425) -> Path:
    """Write ``subject`` to ``out/Data_img2brain`` in the layout of img2brain; returns that folder, which appears only once complete.

    Its blocks of responses stand side by side, in their order, as voxels. What the layout cannot hold (ROIs, places, ceilings) is
    left out, and images are compressed as JPEG: what is read back has the same responses and almost the same images.

    Parameters
    ----------
    size : images are cropped to a square and resized to so many pixels a side; the real ones have 425.

    Raises
    ------
    FileExistsError where the folder is there.
    """
    target = Path(out) / TOP
    if target.exists():
        raise FileExistsError(f"{target} exists already. Remove it first, or write to another folder.")
    with atomic_folder(target) as folder:
        layout = Img2BrainLayout(folder)
        layout.responses.parent.mkdir(parents=True)
        _write_images(subject.stimuli, layout.training_images, size, subprogress(report, 0, 0.85))
        _write_images(subject.unlabelled, layout.test_images, size, subprogress(report, 0.85, 0.95))
        report(0.95, "Writing responses")
        np.save(layout.responses, np.concatenate([np.asarray(block, np.float32) for block in subject.responses.values()], axis=1))
        if subject.simulated:
            layout.marker.write_text(MARKER.format(name=subject.name, dataset=subject.dataset))
    return target


def _write_images(stimuli: Stimuli, folder: Path, size: int, report: Report) -> None:
    folder.mkdir(parents=True)

    def write(index: int) -> None:
        image = ImageOps.fit(stimuli[index], (size, size), Image.Resampling.BICUBIC)
        image.save(folder / f"{index + 1:04d}.jpg", quality=95)

    for start in range(0, len(stimuli), BATCH):
        done = min(start + BATCH, len(stimuli))
        map_in_threads(write, range(start, done), device="cpu")
        report(done / len(stimuli), f"Writing {folder.name}: {done:,} of {len(stimuli):,}")
