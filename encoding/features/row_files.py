"""What extraction stores of a layer, written while stimuli pass: its features, their sketch, or their sparse random projection."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from encoding.features.half import encode
from encoding.features.random_projection import multiply, random_matrix
from encoding.features.sketch import N_GROUPS, N_NONZEROS, sketch
from encoding.storage.npy import NpyWriter, write_npy

if TYPE_CHECKING:
    import torch


class FeatureRows:
    """A layer's ``X.npy`` while it grows, a batch of rows at a time, as float32 or as :func:`encoding.features.half.encode` makes it."""

    def __init__(self, folder: Path, n_rows: int, dtype: str, files: ExitStack) -> None:
        self._folder, self._files, self._n_rows, self._dtype = folder, files, n_rows, np.dtype(dtype)
        self._scales: list[np.ndarray] = []

    def refer(self, features: np.ndarray) -> int:
        """Begin with the features of the first stimulus, (1, n_features) float32; returns the bytes of a row."""
        self._reference = features[0].copy()
        shape = (self._n_rows, len(self._reference))
        self._writer = self._files.enter_context(NpyWriter(self._folder / "X.npy", shape, self._dtype))
        return self._dtype.itemsize * len(self._reference)

    def write(self, features: np.ndarray) -> None:
        """Append (b, n_features) float32."""
        if self._dtype == np.float16:
            features, scale = encode(features, self._reference)
            self._scales.append(scale)
        self._writer.write(features)

    def close(self) -> None:
        """Write what float16 rows are to be read with."""
        if self._dtype == np.float16:
            write_npy(self._folder / "scale.npy", np.concatenate(self._scales))
            write_npy(self._folder / "reference.npy", self._reference)


class SketchRows:
    """The sketch of a layer while it grows, one row for each stimulus or frame.

    ``Y`` (n_rows, n_columns) float16 holds rows of length about 1; ``squares`` (n_rows,) float64 are squared lengths of the rows of X.
    A sketch of all stimuli is the concatenation of the sketches of its shards.
    """

    def __init__(self, layer: str, folder: Path, n_stimuli: int, n_frames: int, files: ExitStack) -> None:
        self._layer, self._folder, self._n_frames = layer, folder, n_frames
        shape = (n_stimuli * n_frames, N_NONZEROS * N_GROUPS)
        self._writer = files.enter_context(NpyWriter(folder / "Y.npy", shape, "<f2"))
        self._squares: list[np.ndarray] = []
        self._n_features = 0

    def add(self, features: torch.Tensor) -> None:
        """Append the sketch of (b, n_frames * n_features) float32."""
        import torch

        X = features.reshape(len(features) * self._n_frames, -1)
        lengths = torch.linalg.vector_norm(X, dim=1).double()
        self._writer.write((sketch(X, self._layer) / lengths.clamp(min=1e-30)[:, None]).cpu().numpy())
        self._squares.append(lengths.square().cpu().numpy())
        self._n_features = X.shape[1]

    def close(self) -> None:
        """Write the arrays that are kept in memory."""
        write_npy(self._folder / "squares.npy", np.concatenate(self._squares))
        write_npy(self._folder / "n_features.npy", np.array(self._n_features))


class ProjectedRows:
    """The sparse random projection ``P`` (n_rows, n_components) float32 of a layer while it grows, one row for each stimulus or frame."""

    def __init__(self, name: str, n_components: int, folder: Path, n_stimuli: int, n_frames: int, files: ExitStack) -> None:
        self._name, self._n_components, self._folder, self._n_frames = name, n_components, folder, n_frames
        self._writer = files.enter_context(NpyWriter(folder / "P.npy", (n_stimuli * n_frames, n_components), "<f4"))
        self._n_features = 0

    def add(self, features: torch.Tensor) -> None:
        """Append the projection of (b, n_frames * n_features) float32."""
        X = features.reshape(len(features) * self._n_frames, -1).cpu().numpy()
        self._n_features = X.shape[1]
        self._writer.write(multiply(X, random_matrix(self._name, self._n_features, self._n_components)))

    def close(self) -> None:
        """Write the number of features."""
        write_npy(self._folder / "n_features.npy", np.array(self._n_features))
