"""Minibatches of one subject: inputs and z-scored responses, split into learning and validation rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from encoding.readouts._training import Responses
from encoding.runtime.progress import Report, silent

if TYPE_CHECKING:
    import torch

Inputs = Callable[[np.ndarray], Any]  # row numbers -> a tensor (b, ...) on the device
ROW_BLOCK = 256  # rows read, or predicted, at a time: of 40,000 targets 40 MB
CONSTANT = 4e-14  # variance over squared mean that rounding of float32 alone can make
IN_MEMORY = {"cpu": 2 << 30, "cuda": 16 << 30}  # bytes of responses that are held at once; more are read again for every batch


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of each column over the learning rows.

    Attributes
    ----------
    mean, deviation : (t,) float64; the deviation of a constant column is 1. constant : (t,) bool.
    """

    mean: np.ndarray
    deviation: np.ndarray
    constant: np.ndarray

    @classmethod
    def of(cls, blocks: Iterator[np.ndarray]) -> Scale:
        """Compute from blocks of rows (b, t). A value near each mean is subtracted first, so that sums of squares stay accurate."""
        n, shift = 0, None
        for block in blocks:
            if shift is None:
                shift = np.asarray(block[0], np.float64)
                total, squares = np.zeros_like(shift), np.zeros_like(shift)
            less = block - shift
            n, total, squares = n + len(block), total + less.sum(0), squares + np.einsum("ij,ij->j", less, less)
        variance = np.maximum(squares / n - (total / n) ** 2, 0)
        constant = variance <= CONSTANT * (shift + total / n) ** 2
        return cls(shift + total / n, np.where(constant, 1.0, np.sqrt(variance)), constant)

    def apply(self, rows: np.ndarray) -> np.ndarray:
        """Standardise (b, t) to mean 0 and deviation 1, float32."""
        return ((rows - self.mean) / self.deviation).astype(np.float32)


class Examples:
    """Learning and validation examples of one subject.

    Parameters
    ----------
    inputs : the network's input for some row numbers, on ``device``.
    Y : (n, t). Responses that take no more than :data:`IN_MEMORY` are held in standard units on the device.
    fold : (n,) int; fold 0 is the validation set.
    validates : false for an extra subject, who needs no validation set.

    Raises
    ------
    ValueError where there is no fold but 0, fewer than two rows to learn from, or a response that is no number.
    """

    def __init__(
        self, inputs: Inputs, Y: Responses, fold: np.ndarray, *, validates: bool = True, device: str = "cpu", report: Report = silent
    ) -> None:
        self.inputs, self.device, self._Y = inputs, device, Y
        self.validation, self.learning = np.flatnonzero(fold == 0), np.flatnonzero(fold != 0)
        if len(self.learning) < 2 or (validates and not len(self.validation)):
            sizes = f"{len(self.learning)} to learn from and {len(self.validation)} to validate on"
            raise ValueError(f"A network needs at least 2 training images and a validation set beside them; here are {sizes}.")
        self.scale = Scale.of(self._read(self.learning, report))
        if not np.isfinite(self.scale.mean).all():
            raise ValueError(f"{np.sum(~np.isfinite(self.scale.mean)):,} targets have responses that are no numbers (NaN or infinite).")
        whole = 4 * Y.shape[0] * Y.shape[1] <= IN_MEMORY["cuda" if device.startswith("cuda") else "cpu"]
        self._held = self._hold(report) if whole else None

    @property
    def n_targets(self) -> int:
        """Number of targets."""
        return self._Y.shape[1]

    def responses(self, rows: np.ndarray) -> torch.Tensor:
        """(b, t) float32 in standard units, on the device."""
        import torch

        if self._held is not None:
            return self._held[torch.tensor(rows, device=self.device)]
        return torch.from_numpy(self.scale.apply(self._Y[rows, :])).to(self.device)

    def _hold(self, report: Report) -> torch.Tensor:
        import torch

        responses = torch.empty(self._Y.shape, dtype=torch.float32, device=self.device)
        start = 0
        for block in self._read(np.arange(len(responses)), report):
            responses[start : start + len(block)] = torch.from_numpy(self.scale.apply(block))
            start += len(block)
        return responses

    def _read(self, rows: np.ndarray, report: Report) -> Iterator[np.ndarray]:
        for start in range(0, len(rows), ROW_BLOCK):
            report(0, f"responses: reading row {start:,} of {len(rows):,}")
            yield self._Y[rows[start : start + ROW_BLOCK], :]


def array_inputs(X: np.ndarray, device: str) -> Inputs:
    """Function from row numbers to rows of X (n, p), float32 on the device."""
    import torch

    inputs = torch.from_numpy(np.ascontiguousarray(X, np.float32)).to(device)
    return lambda rows: inputs[torch.tensor(rows, device=device)]


def batches(rows: np.ndarray, size: int, generator: torch.Generator) -> list[np.ndarray]:
    """Yield ``rows`` in random order, ``size`` at a time; a single leftover row joins the previous batch, as batch norm needs two."""
    import torch

    order = rows[torch.randperm(len(rows), generator=generator).numpy()]
    made = [order[start : start + size] for start in range(0, len(order), size)]
    if len(made) > 1 and len(made[-1]) == 1:
        made[-2:] = [np.concatenate(made[-2:])]
    return made
