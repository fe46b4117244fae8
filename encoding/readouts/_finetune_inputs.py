"""Inputs of ``finetune``: prepared images, or the output of the frozen part of a network, computed once and kept on disk."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from math import prod
from typing import TYPE_CHECKING

import joblib
import numpy as np

from encoding.readouts._examples import Inputs
from encoding.runtime.progress import Report, subprogress

if TYPE_CHECKING:
    import torch

    from encoding.backbones import Backbone
    from encoding.backbones._blocks import Cut
    from encoding.datasets import Stimuli

MOST_BYTES = 32 << 30  # kept on disk
SHARE = 0.5  # of the free disk, at most

Make = Callable[[np.ndarray], "torch.Tensor"]  # row numbers -> (b, n_frames, ...) on a device


class PreparedStimuli:
    """Prepared frames of some stimuli by row number, (b, n_frames, 3, height, width) float32; of clips, the frames that ``over`` pools."""

    def __init__(self, stimuli: Stimuli, backbone: Backbone, over: str) -> None:
        self._stimuli, self._backbone = stimuli, backbone
        self._wanted = {"first": slice(0, 1), "last": slice(-1, None)}.get(over, slice(None))

    def __len__(self) -> int:
        return len(self._stimuli)

    def __getitem__(self, rows: np.ndarray) -> torch.Tensor:
        import torch

        def prepared(row: int) -> torch.Tensor:
            return torch.stack([self._backbone.prepare(frame) for frame in self._stimuli.frames(row)[self._wanted]])

        with ThreadPoolExecutor(joblib.cpu_count(), "images") as pool:
            return torch.stack(list(pool.map(prepared, rows.tolist())))


def kept_inputs(
    subjects: Sequence[PreparedStimuli],
    network: torch.nn.Module,
    cut: Cut | None,
    *,
    device: str,
    step: int,
    files: ExitStack,
    report: Report,
) -> tuple[list[Inputs], Cut | None]:
    """Prepare each subject's inputs for a network on ``device``, with the cut that they are the output of; None where they are images.

    The cut's outputs are kept where the disk has room (:data:`MOST_BYTES`, :data:`SHARE`), else the prepared images; where there is no
    room for those, either, images are prepared again for every batch.

    Parameters
    ----------
    step : stimuli that are made at a time. files : closes what is kept.
    """
    import torch

    example = subjects[0][np.arange(1)][0]  # (n_frames, 3, height, width)
    n_rows = sum(map(len, subjects))

    def cut_outputs(images: PreparedStimuli) -> Make:
        def make(rows: np.ndarray) -> torch.Tensor:
            frames = images[rows].to(device)
            return cut.output(network, frames.flatten(0, 1)).unflatten(0, frames.shape[:2])

        return make

    plain: list[Make] = [images.__getitem__ for images in subjects]
    tries = [(cut, [cut_outputs(images) for images in subjects], (len(example), *cut.shape))] if cut else []
    for entered, makes, shape in [*tries, (None, plain, tuple(example.shape))]:
        if 4 * n_rows * prod(shape) > min(MOST_BYTES, SHARE * shutil.disk_usage(tempfile.gettempdir()).free):
            continue
        reports = [subprogress(report, number / len(subjects), (number + 1) / len(subjects)) for number in range(len(subjects))]
        arrays = [_kept(make, len(each), shape, step, files, to) for make, each, to in zip(makes, subjects, reports, strict=True)]
        return [lambda rows, array=array: torch.from_numpy(array[rows]).to(device) for array in arrays], entered
    return [lambda rows, make=make: make(rows).to(device) for make in plain], None


def _kept(make: Make, n_rows: int, shape: tuple[int, ...], step: int, files: ExitStack, report: Report) -> np.ndarray:
    """What ``make`` gives for every row, (n_rows, *shape) float32, mapped from a file that goes with ``files``.

    Written as a plain file: on a full disk that is an error, where a memory map would kill the process.
    """
    import torch

    file = files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - it is entered at once
    for start in range(0, n_rows, step):
        report(start / n_rows, f"images: {start:,} of {n_rows:,}")
        with torch.no_grad():
            made = make(np.arange(start, min(start + step, n_rows)))
        file.write(np.ascontiguousarray(made.cpu().numpy(), np.float32).data)
    file.flush()
    return np.memmap(file, np.float32, mode="r", shape=(n_rows, *shape))
