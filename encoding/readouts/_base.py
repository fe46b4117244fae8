"""What every readout offers: a map from components to responses, learned from moments or from arrays."""

from __future__ import annotations

import dataclasses
import types
import typing
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from encoding.moments import Moments
from encoding.registry import Registry, unknown


class BadOption(ValueError):
    """A readout has no such parameter, or not with such a value. The message holds those it has."""


@dataclass(frozen=True)
class LinearModel:
    """``predict(X) = X @ weights + intercept``.

    Attributes
    ----------
    weights : (p, t) float32 or float64. intercept : (t,).
    details : what else the readout found out, per target (t,), such as the ``alpha`` chosen for each.
    """

    weights: np.ndarray
    intercept: np.ndarray
    details: Mapping[str, np.ndarray] = field(default_factory=dict)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """(n, p) -> (n, t), in the dtype of the weights."""
        predicted = X @ self.weights
        predicted += self.intercept.astype(predicted.dtype)
        return predicted

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything by name, for a Store; details are prefixed."""
        return {"weights": self.weights, "intercept": self.intercept} | {f"detail_{name}": value for name, value in self.details.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> LinearModel:
        """What :meth:`arrays` gave."""
        details = {name.removeprefix("detail_"): value for name, value in arrays.items() if name.startswith("detail_")}
        return cls(arrays["weights"], arrays["intercept"], details)


@dataclass(frozen=True)
class Options:
    """A readout's parameters; each a field with a default and, in its metadata, a ``help`` sentence."""


def option(default: Any, help: str) -> Any:
    """A field of :class:`Options`."""
    return field(default=default, metadata={"help": help})


class Readout(ABC):
    """One kind of regression.

    Attributes
    ----------
    name, title, about : the registry's name, what a menu shows, one sentence for a newcomer.
    needs : ``moments`` for the linear family, ``arrays`` for the others.
    per_target : true where a target's model does not depend on which others are fitted with it; then a
        choice of ROI is a choice of columns and nothing is fitted again.
    version : raised by a person when the numbers change.
    options : the class of its parameters.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    about: ClassVar[str]
    needs: ClassVar[str] = "moments"
    per_target: ClassVar[bool] = True
    version: ClassVar[int] = 1
    options: ClassVar[type[Options]] = Options

    @abstractmethod
    def fit(self, moments: Moments, options: Options, *, device: str = "cpu") -> LinearModel:
        """The model for every target of ``moments``."""

    def n_folds(self, options: Options) -> int:
        """How many folds of the training rows :meth:`fit` chooses its parameters on; 1 where it chooses none."""
        return 1

    def read(self, values: Mapping[str, Any]) -> Options:
        """The parameters from plain values; BadOption names those that exist where one does not."""
        known = {field.name: field for field in dataclasses.fields(self.options)}
        for name in values:
            if name not in known:
                raise BadOption(
                    unknown(f"parameter of {self.name}", name, known) if known else f"{self.name} has no parameters, so no {name!r}."
                )
        kinds = typing.get_type_hints(self.options)
        return self.options(**{name: self._read_one(name, value, kinds[name], known[name].default) for name, value in values.items()})

    def _read_one(self, name: str, value: Any, kind: Any, default: Any) -> Any:
        """``value`` as its field's type, so that equal parameters are equal however they were written: 10 is 10.0."""
        for option in typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,):
            with suppress(TypeError, ValueError):
                return _as_type(value, option)
        raise BadOption(f"{self.name} cannot use {name}={value!r}. Its default: {default!r}.")


def _as_type(value: Any, kind: Any) -> Any:
    """``value`` as a plain type or a tuple of one; TypeError or ValueError where that would change it."""
    if typing.get_origin(kind) is tuple:
        if isinstance(value, str):
            raise TypeError
        return tuple(_as_type(each, typing.get_args(kind)[0]) for each in value)
    if kind is types.NoneType or isinstance(value, bool) or kind in (bool, str):
        if isinstance(value, kind):
            return value
        raise TypeError
    made = kind(value)
    if isinstance(value, str) or (made != value and made == made):
        raise ValueError
    return made


READOUTS: Registry[Readout] = Registry("readout", "encoding.readouts")
