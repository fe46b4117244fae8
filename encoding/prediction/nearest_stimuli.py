"""Find the stimuli of a data set whose measured responses correlate most with a predicted pattern."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from encoding.fits.result import Result
from encoding.prediction.reliable import reliable
from encoding.storage.npy import read_block

MOST_VERTICES = 2_000  # the best predicted; more change the order hardly and take 8,857 x 4 bytes each
BLOCK_ROWS = 256  # read at a time
LEAST_VERTICES = 3  # below this a correlation over vertices says nothing


@dataclass(frozen=True)
class Patterns:
    """Measured responses of the best predicted vertices, ready to be correlated with a predicted pattern.

    Attributes
    ----------
    columns : per hemisphere, the columns that are compared, sorted.
    rows : (n,) int, the stimuli, ascending; of repeats the first.
    stimuli : (n,) int, the subject's ``stimulus_of_row`` of these rows.
    mean : (v,) float32, each vertex's mean response to them, hemispheres one after another.
    patterns : (n, v) float32, each row's deviation from that mean, centred over vertices and of length 1.
    """

    columns: Mapping[str, np.ndarray]
    rows: np.ndarray
    stimuli: np.ndarray
    mean: np.ndarray
    patterns: np.ndarray

    @classmethod
    def of(cls, result: Result, *, least_r: float, most: int = MOST_VERTICES) -> Patterns:
        """Collect measured responses to the training stimuli (of any fold) at reliably predicted vertices.

        Parameters
        ----------
        result : finished fit.
        least_r : lowest test r of a vertex.
        most : maximum number of vertices; of more, those with the highest r are taken.

        Notes
        -----
        Repeats of a stimulus count once, by their first row.
        """
        subject, columns = result.plan.subject, reliable(result, least_r, most=most)
        train = np.unique(np.concatenate([fold.train for fold in result.plan.folds]))
        stimuli, first = np.unique(subject.stimulus_of_row[train], return_index=True)
        order = np.argsort(train[first])
        rows, stimuli = train[first][order], stimuli[order]
        responses = np.empty((len(rows), sum(map(len, columns.values()))), np.float32)
        for start in range(0, len(rows), BLOCK_ROWS):
            some = rows[start : start + BLOCK_ROWS]
            parts = [np.asarray(read_block(subject.responses[hemi], some, chosen), np.float32) for hemi, chosen in columns.items()]
            responses[start : start + len(some)] = np.concatenate(parts, axis=1)
        mean = responses.mean(0)
        return cls(columns, rows, stimuli, mean, _unit(responses - mean))

    @property
    def n_vertices(self) -> int:
        """Number of vertices compared, over both hemispheres."""
        return len(self.mean)

    def nearest(self, predicted: Mapping[str, np.ndarray], n: int, *, without: Sequence[int] = ()) -> tuple[np.ndarray, np.ndarray]:
        """The ``n`` stimuli whose measured pattern correlates most with a predicted one.

        Parameters
        ----------
        predicted : per fitted hemisphere (n_vertices,), every vertex of it.
        without : stimuli that are left out, as ``Subject.stimulus_of_row`` numbers them, such as the predicted one itself.

        Returns
        -------
        Rows, highest first, and the correlation of each: Pearson's r over vertices of the deviations from each vertex's mean response
        to training stimuli. Both empty where fewer than three vertices can be compared, or the prediction is the same everywhere.
        """
        pattern = np.concatenate([np.asarray(predicted[hemi])[chosen] for hemi, chosen in self.columns.items()] or [np.zeros(0)])
        none = np.zeros(0, int), np.zeros(0)
        if self.n_vertices < LEAST_VERTICES or not np.isfinite(pattern).all():
            return none
        pattern = _unit((pattern - self.mean)[None])[0]
        if not pattern.any():
            return none
        r = self.patterns @ pattern
        allowed = np.flatnonzero(~np.isin(self.stimuli, list(without)))
        order = allowed[np.argsort(-r[allowed], kind="stable")][:n]
        return self.rows[order], r[order].astype(float)


def _unit(values: np.ndarray) -> np.ndarray:
    """(n, v) -> rows centred over vertices and of length 1; rows that are the same everywhere become 0."""
    if not values.shape[1]:
        return values
    centred = values - values.mean(1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.divide(centred, length, out=np.zeros_like(centred), where=length > 1e-6 * np.sqrt(values.shape[1]))
