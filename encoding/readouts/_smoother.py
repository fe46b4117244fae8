"""Linear smoothers: models that predict weighted means of training responses (neighbours, trees, similarity encoding).

Only the weighting is stored; training responses are read from the data set.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from encoding.readouts._model import Columns, Model
from encoding.readouts._training import Responses, Training
from encoding.runtime.progress import Report
from encoding.runtime.threads import map_in_threads

COLUMN_BLOCK = 512  # targets predicted at a time: what a core's cache holds of a few thousand rows
ROW_BLOCK = 4_096  # rows predicted at a time, which bounds the basis
READ_BYTES = 64 * 2**20  # of responses in memory while their mean is taken
ENTRIES = 2**24  # of a matrix of distances or similarities at a time


class Deviations:
    """Centred training responses (n, t), read on access.

    Parameters
    ----------
    Y : (n, t) responses.
    mean : (t,) float64, their means.
    """

    def __init__(self, Y: Responses, mean: np.ndarray) -> None:
        self._Y, self._mean = Y, mean

    @property
    def shape(self) -> tuple[int, int]:
        """(n_rows, n_targets)."""
        return self._Y.shape

    @property
    def dtype(self) -> np.dtype:
        """Type of the deviations."""
        return self._Y[:0, :0].dtype

    def __getitem__(self, rows_and_columns: tuple[Columns, Columns]) -> np.ndarray:
        """Rows and columns as a new array, in the dtype of the responses."""
        read = self._Y[rows_and_columns]
        read -= self._mean[rows_and_columns[1]].astype(read.dtype)
        return read

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:, :].astype(dtype or self.dtype, copy=False)


@dataclass(frozen=True)
class Smoother(Model):
    """Model whose ``basis`` (n, n_train) holds the weight of each training row in each prediction.

    ``weights`` are the training responses less their means, and ``intercept`` is those means: shares that add up to 1
    give the weighted mean of the responses themselves.
    """

    def predict(self, X: np.ndarray, columns: Columns = slice(None)) -> np.ndarray:
        """Predict (n, t), or some columns, in the dtype of the responses; in blocks of rows and targets, which bounds memory."""
        wanted = np.arange(len(self.intercept))[columns]
        predicted = np.empty((len(X), len(wanted)), self.weights.dtype)
        for start in range(0, len(X), ROW_BLOCK):
            rows, basis = slice(start, start + ROW_BLOCK), self.basis(X[start : start + ROW_BLOCK])

            def predict_block(first: int, rows: slice = rows, basis: Any = basis) -> None:
                some = slice(first, first + COLUMN_BLOCK)
                predicted[rows, some] = self.predict_from(basis, wanted[some])

            map_in_threads(predict_block, range(0, len(wanted), COLUMN_BLOCK), device="cpu")
        return predicted

    def predict_from(self, basis: Any, columns: Columns = slice(None)) -> np.ndarray:
        """Predict from a computed basis; training rows of weight 0 are not read."""
        import scipy.sparse

        rows: Columns = slice(None)
        if scipy.sparse.issparse(basis):
            rows, place = np.unique(basis.indices, return_inverse=True)
            basis = scipy.sparse.csr_array((basis.data, place, basis.indptr), shape=(basis.shape[0], len(rows)))
        predicted = basis @ self.weights[rows, columns]
        predicted += self.intercept[columns].astype(predicted.dtype)
        return predicted


def mean_response(Y: Responses, report: Report) -> np.ndarray:
    """Mean of each target (t,) float64, in one reading of Y (n, t)."""
    n, t = Y.shape
    step, total = max(1, READ_BYTES // (4 * max(t, 1))), np.zeros(t)
    for start in range(0, n, step):
        total += Y[start : start + step, :].sum(0, dtype=np.float64)
        report(min(1.0, (start + step) / n), "responses: averaging")
    return total / n


def deviations(data: Training, mean: np.ndarray) -> Deviations:
    """Weights of a :class:`Smoother` for training data whose responses have this ``mean`` (t,)."""
    return Deviations(data.Y, mean)


def row_blocks(n: int, width: int) -> Iterator[slice]:
    """Yield blocks of n rows in which a matrix of ``width`` columns has at most :data:`ENTRIES` entries."""
    step = max(1, ENTRIES // max(width, 1))
    return (slice(start, min(start + step, n)) for start in range(0, n, step))


def unit_rows(X: np.ndarray, about: np.ndarray | None = None) -> np.ndarray:
    """Scale rows to length 1, (n, p) float64, so that their products are cosines; rows that are 0 to rounding stay 0.

    Parameters
    ----------
    about : (n_train, p). Rows are taken about the mean of these, and the products are correlations of deviations from the mean training
        image. Pearson's r across principal components would depend on the components' arbitrary signs: the mean over components that it
        subtracts changes when one of them is turned round. Averaged over all signs it is this cosine.
    """
    rows = np.asarray(X, np.float64)
    largest = np.abs(rows).max(1, keepdims=True, initial=0)
    if about is not None:
        rows = rows - np.mean(about, 0, dtype=np.float64)
        largest = np.maximum(largest, np.abs(about).max(initial=0))
    size = np.abs(rows).max(1, keepdims=True, initial=0)
    rows = rows / np.where(size > 0, size, 1)
    length = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    return np.where(size > 1e-13 * largest, rows / np.maximum(length, 1e-300), 0)
