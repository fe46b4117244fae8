"""Occlusion maps: the fall of an ROI's predicted response as a grey patch covers each place of an image.

After Zeiler & Fergus 2014 (Visualizing and understanding convolutional networks), with the mean response of an ROI in place of a class
score.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from encoding.datasets import Stimuli
from encoding.datasets._images import GREY
from encoding.fits.score_tables import ScoreTables
from encoding.prediction.predictor import Columns, InMemory, Predictor
from encoding.runs.table import open_run
from encoding.runtime.progress import Report, silent, subprogress
from encoding.storage.keys import digest
from encoding.storage.store import Store

OCCLUSION_VERSION = 2
LEAST_GRID, MOST_GRID = 2, 24
LEAST_PATCH, MOST_PATCH = 0.02, 0.9  # of the image's side


class Covered(Stimuli):
    """An image or clip with a grey patch at each place of a grid: uncovered first, then row by row from the upper left.

    Parameters
    ----------
    frames : its frames as RGB, of one size; the patch covers the same place of each.
    n_grid : places along each side. Patches are centred on the cells of an ``n_grid`` x ``n_grid`` division of the image.
    patch : the patch's height and width as shares of the image's; parts beyond the edge are cut off.

    Raises
    ------
    ValueError for a grid or a patch out of bounds.
    """

    def __init__(self, frames: Sequence[Image.Image], *, n_grid: int, patch: float) -> None:
        if not LEAST_GRID <= n_grid <= MOST_GRID:
            raise ValueError(f"A grid has {LEAST_GRID} to {MOST_GRID} places a side, not {n_grid}.")
        if not LEAST_PATCH <= patch <= MOST_PATCH:
            raise ValueError(f"A patch covers {LEAST_PATCH} to {MOST_PATCH} of a side, not {patch}.")
        self._frames, self.n_frames = tuple(frames), len(frames)
        self.n_grid, self.patch = n_grid, patch
        self.names = ("uncovered", *(f"covered at {y + 1}, {x + 1}" for y in range(n_grid) for x in range(n_grid)))

    @property
    def fingerprint(self) -> str:
        """Digest of the image's pixels and of the grid of patches."""
        return digest("covered", 1, picture=InMemory([self._frames]).fingerprint, n_grid=self.n_grid, patch=self.patch)

    def box(self, index: int) -> tuple[int, int, int, int] | None:
        """Pixels that stimulus ``index`` covers, (left, upper, right, lower) in Pillow's convention; None for the first, uncovered one."""
        if index == 0:
            return None
        width, height = self._frames[0].size
        row, column = divmod(index - 1, self.n_grid)
        edges = []
        for side, place in ((width, column), (height, row)):
            centre, half = side * (place + 0.5) / self.n_grid, side * self.patch / 2
            edges.append((max(0, round(centre - half)), min(side, max(round(centre + half), round(centre - half) + 1))))
        (left, right), (upper, lower) = edges
        return left, upper, right, lower

    def __getitem__(self, index: int) -> Image.Image:
        return self._cover(self._frames[(self.n_frames - 1) // 2], index)

    def frames(self, index: int) -> list[Image.Image]:
        """Frames of stimulus ``index`` as RGB, with its patch drawn on each."""
        return [self._cover(frame, index) for frame in self._frames]

    def _cover(self, frame: Image.Image, index: int) -> Image.Image:
        box = self.box(index)
        if box is None:
            return frame
        covered = frame.copy()
        covered.paste(GREY, box)
        return covered


@dataclass(frozen=True)
class Occlusion:
    """Change of an ROI's predicted response as parts of an image are covered.

    Attributes
    ----------
    uncovered : predicted response to the uncovered image: the mean over the ROI's vertices, in the unit of the responses.
    drop : (n_grid, n_grid) float32, ``uncovered`` less the response with the patch there; row 0 is the top. Where it is above 0 the
        part that was covered drives the region, below 0 it holds it down.
    patch : side of the patch as a share of the image's.
    """

    uncovered: float
    drop: np.ndarray
    patch: float


def occlude(
    predictor: Predictor,
    frames: Sequence[Image.Image],
    columns: Columns,
    *,
    n_grid: int,
    patch: float,
    folds: Sequence[int] = (),
    report: Report = silent,
) -> Occlusion:
    """Cover an image place by place and predict an ROI's mean response each time.

    Parameters
    ----------
    frames : of the image (one) or clip, as RGB.
    columns : hemisphere to the region's columns.
    n_grid, patch : as for :class:`Covered`.
    folds : whose models predict; none named means all of them.

    Raises
    ------
    ValueError where the region has no fitted vertex, or as :class:`Covered`. CannotPredict as ``Predictor``.
    """
    columns = {hemi: chosen for hemi, chosen in columns.items() if len(chosen)}
    if not columns:
        raise ValueError("This region has no vertices in this subject, so nothing drives it.")
    predicted = predictor(Covered(frames, n_grid=n_grid, patch=patch), folds=folds, columns=columns, report=report)
    every = np.concatenate(list(predicted.values()), axis=1)
    fitted = np.isfinite(every[0])
    if not fitted.any():
        raise ValueError("No vertex of this region was fitted, so nothing can be predicted of it.")
    means = every[:, fitted].mean(1, dtype=np.float64)
    return Occlusion(float(means[0]), (means[0] - means[1:]).astype(np.float32).reshape(n_grid, n_grid), patch)


@dataclass(frozen=True)
class OcclusionRequest:
    """Request for an occlusion map, computed by a job. The image is passed in memory and not stored; the map is.

    Attributes
    ----------
    fit : key of the finished fit.
    roi : the region, or ``all``.
    columns : names the region's columns (:func:`columns_digest`), so that a map is of the region as it is, not of its name.
    folds : whose models predict; empty means all.
    image : digest of the pixels of the frames (:class:`encoding.prediction.predictor.InMemory`).
    frames : the image, or the clip's frames, each by :func:`as_png`; they are no part of the key.
    """

    fit: str
    roi: str
    columns: str
    n_grid: int
    patch: float
    folds: tuple[int, ...]
    image: str
    frames: tuple[bytes, ...] = field(repr=False, compare=False)

    @property
    def key(self) -> str:
        """Key of the map in the Store, and of the job that computes it."""
        made = {"fit": self.fit, "roi": self.roi, "columns": self.columns, "picture": self.image, "folds": list(self.folds)}
        return digest("occlusion", OCCLUSION_VERSION, n_grid=self.n_grid, patch=self.patch, **made)


def compute(request: OcclusionRequest, store: Store, report: Report = silent, device: str = "auto") -> Occlusion:
    """Compute the requested map, at most once in a Store.

    Raises
    ------
    As :func:`encoding.runs.table.open_run`, :meth:`encoding.prediction.predictor.Predictor.of` and :func:`occlude`.
    """
    if (cached := stored(request.key, store)) is not None:
        return cached
    result = open_run(request.fit, store, subprogress(report, 0, 0.1))
    report(0.1, "opening the network")
    if columns_digest(result, request.roi) != request.columns:
        raise ValueError(f"The vertices of {request.roi} changed after this map was requested. Open the page again.")
    predictor = Predictor.of(result, device=device)
    columns = {hemi: result.columns(request.roi, hemi) for hemi in result.plan.hemis}
    frames = [from_png(frame) for frame in request.frames]
    shape = {"n_grid": request.n_grid, "patch": request.patch, "folds": request.folds}
    occlusion = occlude(predictor, frames, columns, **shape, report=subprogress(report, 0.15, 1))
    if result.has_data:
        result.plan.check_unchanged(store)
    arrays = {"drop": occlusion.drop, "uncovered": np.array(occlusion.uncovered), "patch": np.array(occlusion.patch)}
    made_from = {"fit": request.fit, "roi": request.roi, "picture": request.image, "simulated": result.plan.subject.simulated}
    store.put(request.key, arrays, made_from | {"n_grid": request.n_grid, "device": predictor.device})
    return occlusion


def columns_digest(result: ScoreTables, roi: str) -> str:
    """Digest of an ROI's column indices in every fitted hemisphere."""
    return digest("columns", 1, **{hemi: result.columns(roi, hemi).tolist() for hemi in result.plan.hemis})


def stored(key: str, store: Store) -> Occlusion | None:
    """Return the occlusion map that :func:`compute` stored under a key; None where there is none."""
    arrays = store.get(key) if key in store else None
    return None if arrays is None else Occlusion(float(arrays["uncovered"]), np.array(arrays["drop"]), float(arrays["patch"]))


def as_png(frame: Image.Image) -> bytes:
    """Encode a frame as PNG, the form in which a job receives it."""
    out = io.BytesIO()
    frame.save(out, "PNG", compress_level=1)
    return out.getvalue()


def from_png(data: bytes) -> Image.Image:
    """Decode a frame at once: Pillow would at its first use, where several threads break each other's decoding of it."""
    with Image.open(io.BytesIO(data), formats=["PNG"]) as frame:
        return frame.copy()
