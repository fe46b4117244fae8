"""Fitted models: every readout predicts by ``basis(X) @ weights + intercept``.

The basis is X itself for linear models, the activations of the last hidden layer for networks, and for smoothers (neighbours, trees,
similarity encoding) the weight of each training image in a prediction; the weights then are the training responses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import numpy as np

Columns = slice | np.ndarray


class Weights(Protocol):
    """An (h, t) matrix that is read some columns at a time; an array, or one that stays on disk."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(h, t)."""

    def __getitem__(self, rows_and_columns: tuple[slice, Columns]) -> np.ndarray: ...


@dataclass(frozen=True)
class Model(ABC):
    """A fitted readout: predicts responses from components or stimuli, and stores its arrays.

    Attributes
    ----------
    weights : (h, t) float32 or float64.
    intercept : (t,) float.
    details : further results per target, (t,) each, such as the chosen ``alpha``.
    history : the course of the training, (n_epochs,) each, such as losses; names are the same for every model of a readout.
    """

    weights: Weights
    intercept: np.ndarray
    details: Mapping[str, np.ndarray] = field(default_factory=dict)
    history: Mapping[str, np.ndarray] = field(default_factory=dict)

    @abstractmethod
    def basis(self, X: Any) -> Any:
        """Matrix that the weights multiply: (n, p) -> (n, h), an array or a SciPy sparse matrix."""

    def predict(self, X: Any, columns: Columns = slice(None)) -> np.ndarray:
        """Predict (n, t) from X (n, p), or some columns of it, in the dtype of the weights."""
        return self.predict_from(self.basis(X), columns)

    def predict_from(self, basis: Any, columns: Columns = slice(None)) -> np.ndarray:
        """``basis @ weights + intercept`` of some targets, for a basis that is computed already."""
        predicted = basis @ self.weights[:, columns]
        predicted += self.intercept[columns].astype(predicted.dtype)
        return predicted

    @abstractmethod
    def state(self) -> dict[str, np.ndarray]:
        """Arrays beyond those of :meth:`shared_fields` that restoring the model needs."""

    def arrays(self) -> dict[str, np.ndarray]:
        """Return every array of the model by name, for a Store; the readout's ``restore`` reads them back."""
        details = {f"detail_{name}": value for name, value in self.details.items()}
        history = {f"history_{name}": value for name, value in self.history.items()}
        return self.state() | {"intercept": self.intercept} | details | history

    @staticmethod
    def shared_fields(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """Constructor arguments shared by all models (``intercept``, ``details``, ``history``), read from :meth:`arrays`."""
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
        """Restore a model from the output of :meth:`arrays`."""
        return cls(weights=arrays["weights"], **cls.shared_fields(arrays))
