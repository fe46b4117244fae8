"""Features stored in half the room: float16 differences from the first stimulus, each row times a power of two.

A float16 has 11 significant bits and reaches from 6e-8 to 65,504. Features as they are may lie outside (an untrained network, a layer
before its normalisation), and where they are far from 0 the rounding error of 2**-12 outweighs what differs between stimuli. So
``x - x0``, with ``x0`` of the first stimulus, is divided by the power of two that brings its largest number to 2**14 … 2**15 and
rounded. The error is at most 2**-11 of each difference (and 2**-40 of a row's largest), so the variance that it adds is below
2**-22 = 2.4e-7 of the mean square of the differences, whatever offset and scale features have.
"""

from __future__ import annotations

import numpy as np

FEATURE_DTYPES = ("float32", "float16")
TOP_EXPONENT = 15  # of 2, which the largest number of a row stays below
LEAST_EXPONENT = -126  # of 2 in a scale: the least float32 that keeps all its digits


def encode(X: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Encode rows of features as float16.

    Parameters
    ----------
    X : (b, n_features) float32.
    reference : (n_features,) float32, features of the first stimulus.

    Returns
    -------
    half : (b, n_features) float16.
    scale : (b,) float32 powers of two; ``half * scale[:, None] + reference`` are the features.

    Raises
    ------
    ValueError where a difference is beyond the range of float32.
    """
    import torch

    differences = torch.from_numpy(np.ascontiguousarray(X)) - torch.from_numpy(np.array(reference))
    low, high = differences.aminmax(dim=1)
    top = torch.maximum(-low, high)
    if not torch.isfinite(top).all():
        raise ValueError("Features differ by more than float32 can hold, so they cannot be stored as float16 either.")
    exponents = (torch.frexp(top)[1] - TOP_EXPONENT).clamp(min=LEAST_EXPONENT)
    scale = torch.ldexp(torch.ones_like(top), exponents)
    return (differences / scale[:, None]).half().numpy(), scale.numpy()


class HalfRows:
    """Features (n_rows, n_features) that are stored as float16 and read as float32, a block at a time.

    Indexed by rows, or by rows and columns, as a numpy array is; it gives new float32 arrays.

    Parameters
    ----------
    half, scale, reference : as :func:`encode` made them, ``half`` possibly memory-mapped. ``reference`` (f, n_features) where the rows are
        the f frames of each stimulus in turn.
    """

    ndim, dtype = 2, np.dtype(np.float32)

    def __init__(self, half: np.ndarray, scale: np.ndarray, reference: np.ndarray) -> None:
        self._half, self._scale, self._reference = half, scale, np.atleast_2d(reference)
        self.shape = half.shape

    def __len__(self) -> int:
        return len(self._half)

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)

    def __getitem__(self, index: object) -> np.ndarray:
        rows, columns = index if isinstance(index, tuple) else (index, slice(None))
        numbers, n_frames = np.arange(len(self))[rows], len(self._reference)
        block = self._half[rows][..., columns].astype(np.float32)
        block *= self._scale[numbers][..., None]
        block += self._reference[numbers % n_frames if n_frames > 1 else 0][..., columns]
        return block

    def reshape(self, n_rows: int, n_features: int = -1) -> HalfRows:
        """Take every stimulus (one row) as several rows of equally many features, one for each frame."""
        n_frames = n_rows // max(1, len(self))
        half = self._half.reshape(n_rows, n_features)
        return HalfRows(half, np.repeat(self._scale, n_frames), self._reference.reshape(-1, half.shape[1]))
