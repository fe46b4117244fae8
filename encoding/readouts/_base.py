"""What every readout offers: a map from components to responses, learned from moments or from arrays."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from encoding.readouts._model import LinearModel, Model
from encoding.readouts._options import Options, read_options
from encoding.readouts._training import Training
from encoding.runtime.progress import Report, silent
from encoding.runtime.registry import Registry


class NotConverged(UserWarning):
    """Weights are not as near to the best ones as was asked for. The message says how many, the result's details which."""


class Readout(ABC):
    """One kind of regression.

    Attributes
    ----------
    name, title, about : the registry's name, what a menu shows, one sentence for a newcomer.
    needs : ``moments`` for the linear family; ``arrays`` for readouts of the rows themselves; ``stimuli`` for those that look
        at the pictures, whose models take Stimuli for X.
    per_target : true where a target's model does not depend on which others are fitted with it; then a
        choice of ROI is a choice of columns and nothing is fitted again.
    by_layer : true where each layer has components of its own, and ``Moments.bands`` says which are whose.
    in_order : true where X must hold the frames of a clip one after another.
    shares : true where other subjects may help to train what subjects have in common (``Training.extra_subjects``).
    exact : false where the answer is found by training, so that laws hold to some digits only.
    kept_back : why its models do not go along when a fit is passed on as a file; empty where they are weights of components, which do.
    version : raised by a person when the numbers change.
    options : the class of its parameters.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    about: ClassVar[str]
    needs: ClassVar[str] = "moments"
    per_target: ClassVar[bool] = True
    by_layer: ClassVar[bool] = False
    in_order: ClassVar[bool] = False
    shares: ClassVar[bool] = False
    exact: ClassVar[bool] = True
    export_refusal: ClassVar[str] = ""
    version: ClassVar[int] = 1
    options: ClassVar[type[Options]] = Options

    @abstractmethod
    def fit(self, data: Any, options: Any, *, device: str = "cpu", report: Report = silent) -> Model:
        """The model of every target of ``data``: of :class:`Moments` or :class:`Training`, as ``needs`` says.

        ``report`` is told how far the work is, and what it raises stops it.
        """

    def restore(self, arrays: Mapping[str, np.ndarray], data: Training | None) -> Model:
        """The model that was stored as ``arrays``; ``data`` is what it was fitted on, None where it needs moments alone."""
        return LinearModel.from_arrays(arrays)

    def n_folds(self, options: Any) -> int:
        """How many folds of the training rows :meth:`fit` chooses its parameters on; 1 where it chooses none."""
        return 1

    def cost(self, n: int, p: int, t: int, options: Any) -> tuple[float, float]:
        """Multiplications and bytes that fitting n rows of p components to t targets takes, beyond the moments; for an estimate."""
        return 4.0 * (self.n_folds(options) + 1) * p * p * t, 0.0

    def read(self, values: Mapping[str, Any]) -> Options:
        """The parameters from plain values; BadOption names those that exist where one does not."""
        return read_options(self.name, self.options, values)


READOUTS: Registry[Readout] = Registry("readout", "encoding.readouts", group="encoding_explorer.readouts")
