"""Sufficient statistics of linear regression (n, Σx, Σy, Σy², X'X, X'Y), one set per inner fold.

For rows in fold f: n, Σx, Σy, Σy², X'X and X'Y. They add, so the moments of a training set are the total less one
fold's, and a penalty is chosen by cross-validation without touching a response again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from encoding.runtime.progress import Report, silent
from encoding.runtime.threads import map_in_threads

if TYPE_CHECKING:
    import torch

MOMENTS_VERSION = 2
ROW_BLOCK = 4_096  # stimuli read at a time: responses are stored row after row
TILE = 384, 1_024  # stimuli x targets that stay in a core's cache while they are shifted, squared and multiplied


@dataclass(frozen=True)
class Moments:
    """Sums for each of F folds, over p components and t targets.

    A constant for each target near its mean, ``shift``, is subtracted from the responses, which keeps the sums accurate; the intercept
    adds it again.

    Attributes
    ----------
    n : (F,) float64, rows.
    x, y, yy : (F, p), (F, t), (F, t) float64: Σx, Σ(y - shift), Σ(y - shift)².
    xx : (F, p, p) float64, X'X.
    xy : (F, p, t), X'(Y - shift), float32 where X and Y are.
    shift : (t,) float64.
    bands : how many components each layer has, in order, where they were made layer by layer; else empty.
    """

    n: np.ndarray
    x: np.ndarray
    y: np.ndarray
    yy: np.ndarray
    xx: np.ndarray
    xy: np.ndarray
    shift: np.ndarray
    bands: tuple[int, ...] = ()

    @property
    def n_folds(self) -> int:
        """Number of folds."""
        return len(self.n)

    @property
    def n_components(self) -> int:
        """Number of components."""
        return self.x.shape[1]

    @property
    def n_targets(self) -> int:
        """Number of targets."""
        return self.y.shape[1]

    def arrays(self) -> dict[str, np.ndarray]:
        """Return every attribute by name, for a Store."""
        return {field.name: np.asarray(getattr(self, field.name)) for field in fields(self) if field.name != "bands" or self.bands}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Moments:
        """Restore from the output of :meth:`arrays`; memory-mapped arrays stay memory-mapped."""
        known = {field.name: arrays[field.name] for field in fields(cls) if field.name != "bands"}
        return cls(**known, bands=tuple(int(size) for size in arrays.get("bands", ())))

    def targets(self, columns: np.ndarray | slice) -> Moments:
        """Select the moments of some targets."""
        return Moments(
            n=self.n, x=self.x, y=self.y[:, columns], yy=self.yy[:, columns],
            xx=self.xx, xy=self.xy[:, :, columns], shift=self.shift[columns], bands=self.bands,
        )  # fmt: skip

    def whole(self) -> Moments:
        """Sum over the folds, as a single fold."""
        sums = {name: getattr(self, name).sum(0, keepdims=True) for name in ("n", "x", "y", "yy", "xx", "xy")}
        return Moments(**sums, shift=self.shift, bands=self.bands)

    @staticmethod
    def side_by_side(parts: Sequence[Moments]) -> Moments:
        """Concatenate moments of the same rows and components along targets."""
        first = parts[0]
        y, yy, shift = (np.concatenate([getattr(part, name) for part in parts], axis=-1) for name in ("y", "yy", "shift"))
        return Moments(first.n, first.x, y, yy, first.xx, np.concatenate([part.xy for part in parts], axis=-1), shift, first.bands)

    @classmethod
    def of(
        cls,
        X: np.ndarray,
        Y: np.ndarray,
        fold: np.ndarray,
        *,
        rows: np.ndarray | None = None,
        device: str = "cpu",
        report: Report = silent,
    ) -> Moments:
        """Compute the moments of some rows of X and Y, in one reading of Y.

        Parameters
        ----------
        X : (n_stimuli, p) float32 or float64, in memory.
        Y : (n_stimuli, t), possibly memory-mapped; read in blocks of rows.
        fold : (n_rows,) int, the fold of each row in ``rows``, from 0 without gaps.
        rows : (n_rows,) sorted row numbers; all rows by default. Other rows are read past and never enter.
        """
        rows = np.arange(len(X)) if rows is None else rows
        sums = Accumulator(X.shape[1], Y.shape[1], int(fold.max()) + 1, dtype=np.result_type(X, np.float32), device=device)
        for start in range(0, len(rows), ROW_BLOCK):
            some = slice(start, start + ROW_BLOCK)
            sums.add(X, Y, rows[some], fold[some])
            report(min(1.0, (start + ROW_BLOCK) / len(rows)), "responses: summing")
        return sums.moments()


class Accumulator:
    """Accumulate moments over blocks of rows, such as steps of a learning curve or the shares of a cluster."""

    def __init__(self, n_components: int, n_targets: int, n_folds: int, *, dtype: np.dtype = np.float32, device: str = "cpu") -> None:
        import torch

        self.device, self.dtype = device, torch.float64 if dtype == np.float64 else torch.float32
        wide = {"dtype": torch.float64, "device": device}
        self.n = np.zeros(n_folds)
        self.x = torch.zeros(n_folds, n_components, **wide)
        self.y = torch.zeros(n_folds, n_targets, **wide)
        self.yy = torch.zeros(n_folds, n_targets, **wide)
        self.xx = torch.zeros(n_folds, n_components, n_components, **wide)
        self.xy = torch.zeros(n_folds, n_components, n_targets, dtype=self.dtype, device=device)
        self.shift: torch.Tensor | None = None

    def add(self, X: np.ndarray, Y: np.ndarray, rows: np.ndarray, fold: np.ndarray) -> None:
        """Add ``rows`` of X (n, p) and Y (n, t), each to its ``fold``."""
        import torch

        tiles: list[tuple[int, np.ndarray, torch.Tensor]] = []
        for number in np.unique(fold):
            chosen = rows[fold == number]
            x = torch.from_numpy(X[chosen]).to(self.device, self.dtype)
            self.n[number] += len(chosen)
            self.x[number] += x.sum(0, dtype=torch.float64)
            self.xx[number].addmm_(x.double().T, x.double())
            n_rows = TILE[0] if self.device == "cpu" else len(chosen)
            tiles += [(number, chosen[start : start + n_rows], x[start : start + n_rows]) for start in range(0, len(chosen), n_rows)]
        if self.shift is None and tiles:
            self.shift = torch.from_numpy(Y[tiles[0][1]]).to(self.device, self.dtype).mean(0)
        n_targets = self.y.shape[1]
        width = TILE[1] if self.device == "cpu" else max(1, n_targets)
        columns = [slice(start, min(start + width, n_targets)) for start in range(0, n_targets, width)]
        map_in_threads(lambda some: self._add_targets(Y, some, tiles), columns, device=self.device)

    def _add_targets(self, Y: np.ndarray, some: slice, tiles: list[tuple[int, np.ndarray, torch.Tensor]]) -> None:
        """Add the sums over responses of some targets; each tile is of one fold: (number, row numbers (b,), X of these rows (b, p))."""
        import torch

        shift = self.shift[some]
        for number, rows, x in tiles:
            y = torch.from_numpy(_read(Y, rows, some)).to(self.device, self.dtype)
            y -= shift
            sums, squares = _sums(y)
            self.y[number, some] += sums
            self.yy[number, some] += squares
            self.xy[number, :, some].addmm_(x.T, y)

    def moments(self) -> Moments:
        """The sums so far, as a snapshot that later additions leave alone."""
        sums = {name: getattr(self, name).cpu().numpy().copy() for name in ("x", "y", "yy", "xx", "xy")}
        return Moments(n=self.n.copy(), shift=self.shift.double().cpu().numpy(), **sums)


def _read(Y: np.ndarray, rows: np.ndarray, columns: slice) -> np.ndarray:
    """A copy of part of Y; rows that follow one another are not gathered one by one."""
    first, last = int(rows[0]), int(rows[-1])
    if last - first + 1 == len(rows) and (np.diff(rows) == 1).all():
        return Y[first : last + 1, columns].copy()
    return Y[rows, columns]


def _sums(y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Σy and Σy² of (b, t), each (t,). On the CPU numpy takes half of torch's time."""
    import torch

    if y.is_cuda:
        return y.sum(0), torch.linalg.vector_norm(y, dim=0).square()
    values = y.numpy()
    return torch.from_numpy(values.sum(0)), torch.from_numpy(np.einsum("ij,ij->j", values, values))


@dataclass(frozen=True)
class Centred:
    """Sums of products about the mean, in float64 torch tensors unless stated otherwise.

    Attributes
    ----------
    n : rows. mean_x : (p,). mean_y : (t,), shift left out.
    xx : (p, p). xy : (p, t), dtype of the moments. yy : (t,).
    """

    n: float
    mean_x: torch.Tensor
    mean_y: torch.Tensor
    xx: torch.Tensor
    xy: torch.Tensor
    yy: torch.Tensor


def centred(moments: Moments, folds: np.ndarray, *, device: str = "cpu", about: Centred | None = None) -> Centred:
    """Add up the moments of several folds and centre them.

    Parameters
    ----------
    folds : (n,) numbers of the folds, or (F,) bool.
    about : centred training folds, about whose means a validation fold is taken; None for the folds' own means.
    """
    import torch

    def total(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array[folds].sum(0)).to(device)

    n, x, y, yy, xx, xy = float(moments.n[folds].sum()), *map(total, (moments.x, moments.y, moments.yy, moments.xx, moments.xy))
    mean_x, mean_y = (x / n, y / n) if about is None else (about.mean_x, about.mean_y)
    cross = torch.outer(x, mean_x)
    xx -= cross + cross.T - n * torch.outer(mean_x, mean_x)
    xy -= (torch.outer(mean_x, y - n * mean_y) + torch.outer(x, mean_y)).to(xy.dtype)
    yy -= 2 * mean_y * y - n * mean_y.square()
    return Centred(n, mean_x, mean_y, xx, xy, yy)
