"""Training data of one fold (design matrix, responses, inner folds, ROIs, positions) for readouts not fitted from moments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from encoding.datasets import Chosen, Stimuli
from encoding.storage.npy import read_block

if TYPE_CHECKING:
    from encoding.backbones import Backbone
    from encoding.readouts._checkpoint import Checkpoint

Columns = slice | np.ndarray


class Responses:
    """Lazy view (n, t) of some rows and columns of responses on disk, hemispheres side by side.

    Parameters
    ----------
    blocks : arrays (n_stimuli, t_i), possibly memory-mapped, each with the columns of it that count.
    rows : (n,) row numbers.
    """

    def __init__(self, blocks: Sequence[tuple[np.ndarray, Columns]], rows: np.ndarray) -> None:
        self._blocks = [(array, np.arange(array.shape[1])[columns]) for array, columns in blocks]
        self.rows = np.asarray(rows)
        self._edges = np.cumsum([0, *(len(columns) for _, columns in self._blocks)])

    @property
    def shape(self) -> tuple[int, int]:
        """(n_rows, n_targets)."""
        return len(self.rows), int(self._edges[-1])

    def __getitem__(self, rows_and_columns: tuple[Columns, Columns]) -> np.ndarray:
        """Read rows and columns as a new array, float32 or the responses' wider dtype. Whole rows are read fastest."""
        rows, columns = rows_and_columns
        rows, wanted = self.rows[rows], np.arange(self.shape[1])[columns]
        dtype = np.result_type(np.float32, *(array.dtype for array, _ in self._blocks))
        read = np.empty((len(rows), len(wanted)), dtype)
        for (array, known), start, stop in zip(self._blocks, self._edges, self._edges[1:], strict=False):
            here = np.flatnonzero((wanted >= start) & (wanted < stop))
            if len(here) == len(wanted):  # nothing to put together
                return np.asarray(read_block(array, rows, known[wanted - start])).astype(dtype, copy=False)
            if len(here):
                read[:, here] = read_block(array, rows, known[wanted[here] - start])
        return read

    def some(self, rows: np.ndarray) -> Responses:
        """Select some of the rows, given by position."""
        return Responses(self._blocks, self.rows[rows])


@dataclass(frozen=True)
class Training:
    """Training data of a readout that is not fitted from moments.

    Attributes
    ----------
    X : (n, p) float32, the components of the training rows.
    Y : (n, t), their responses.
    fold : (n,) int from 0 without gaps: folds on which parameters are chosen, repeats of one stimulus in the same. A readout that
        needs a validation set takes fold 0.
    n_frames : the columns of X are so many equal blocks, frame after frame of a clip; 1 for images, and where frames were pooled.
    rois : name to columns of Y, sorted; they may overlap.
    positions : (t, 3) float32, where each target lies on the white or pial surface or in the volume, in millimetres; None where unknown.
    stimuli : the training rows' images or clips, for readouts that look at them.
    open_backbone : opens the network those readouts start from; ``layers`` are the layers of it that the fit names, ``pool`` and
        ``over_frames`` what it keeps of their places and of a clip's frames (:mod:`encoding.backbones._pooling`).
    checkpoint : where a training that may be interrupted keeps its state; None keeps nothing.
    on_epoch : called by a readout that is trained, after each epoch, with its number (from 0) and mean r over targets on its validation
        set; what it raises stops the training.
    extra_subjects : the training rows of other subjects, in the same components, for readouts that share what subjects have in common.
    """

    X: np.ndarray
    Y: Responses
    fold: np.ndarray
    n_frames: int = 1
    rois: Mapping[str, np.ndarray] = field(default_factory=dict)
    positions: np.ndarray | None = None
    stimuli: Stimuli | None = None
    open_backbone: Callable[[], Backbone] | None = None
    layers: tuple[str, ...] = ()
    pool: str = "none"
    over_frames: str = "mean"
    checkpoint: Checkpoint | None = None
    on_epoch: Callable[[int, float], None] | None = None
    extra_subjects: tuple[Training, ...] = ()

    @classmethod
    def of(cls, X: np.ndarray, Y: np.ndarray, fold: np.ndarray | None = None, **more: Any) -> Training:
        """Build from plain arrays X (n, p) and Y (n, t); a single fold by default."""
        fold = np.zeros(len(X), int) if fold is None else fold
        return cls(X, Responses([(Y, slice(None))], np.arange(len(X))), fold, **more)

    @property
    def n_targets(self) -> int:
        """Number of targets."""
        return self.Y.shape[1]

    def some(self, rows: np.ndarray) -> Training:
        """Select some of the rows, given by position; folds are renumbered without gaps."""
        _, fold = np.unique(self.fold[rows], return_inverse=True)
        stimuli = None if self.stimuli is None else Chosen(self.stimuli, rows)
        return replace(self, X=self.X[rows], Y=self.Y.some(rows), fold=fold, stimuli=stimuli, checkpoint=None)
