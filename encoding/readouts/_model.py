"""A fitted readout. Whatever its kind, it predicts by ``basis(X) @ weights + intercept``.

For the linear family the basis is X itself; for a neural readout, what its last layer sees; for neighbours and their like,
the share of each training image in a prediction, and then the weights are the training responses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import numpy as np

Columns = slice | np.ndarray


class Weights(Protocol):
    """(h, t) numbers of which some columns are read at a time; an array is one."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, rows_and_columns: tuple[slice, Columns]) -> np.ndarray: ...


@dataclass(frozen=True)
class Model(ABC):
    """What a readout's ``fit`` returns.

    Attributes
    ----------
    weights : (h, t) float32 or float64.
    intercept : (t,) float.
    details : what else the readout found out, per target (t,), such as the ``alpha`` chosen for each.
    history : what it was like on the way, per step (e,), such as the losses of each epoch; names are the same for every model of a readout.
    """

    weights: Weights
    intercept: np.ndarray
    details: Mapping[str, np.ndarray] = field(default_factory=dict)
    history: Mapping[str, np.ndarray] = field(default_factory=dict)

    @abstractmethod
    def basis(self, X: Any) -> Any:
        """What the weights multiply: (n, p) -> (n, h), an array or a SciPy sparse matrix."""

    def predict(self, X: Any, columns: Columns = slice(None)) -> np.ndarray:
        """(n, p) -> (n, t), or of some targets, in the dtype of the weights."""
        return self.predict_from(self.basis(X), columns)

    def predict_from(self, basis: Any, columns: Columns = slice(None)) -> np.ndarray:
        """The rest of :meth:`predict`, for a basis that is there already."""
        predicted = basis @ self.weights[:, columns]
        predicted += self.intercept[columns].astype(predicted.dtype)
        return predicted

    @abstractmethod
    def state(self) -> dict[str, np.ndarray]:
        """The arrays that :meth:`from_arrays` of the same class needs beside those that every model has."""

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything by name, for a Store; no pickle. ``restore`` of the readout reads it back."""
        details = {f"detail_{name}": value for name, value in self.details.items()}
        history = {f"history_{name}": value for name, value in self.history.items()}
        return self.state() | {"intercept": self.intercept} | details | history

    @staticmethod
    def told(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """``intercept``, ``details`` and ``history`` out of :meth:`arrays`, to be passed to a constructor."""
        parts = {
            kind: {name.removeprefix(f"{prefix}_"): value for name, value in arrays.items() if name.startswith(f"{prefix}_")}
            for kind, prefix in (("details", "detail"), ("history", "history"))
        }
        return {"intercept": arrays["intercept"], **parts}


@dataclass(frozen=True)
class LinearModel(Model):
    """``predict(X) = X @ weights + intercept``."""

    def basis(self, X: np.ndarray) -> np.ndarray:
        return X

    def state(self) -> dict[str, np.ndarray]:
        return {"weights": self.weights}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """What :meth:`arrays` gave."""
        return cls(weights=arrays["weights"], **cls.told(arrays))
