"""Base class of readouts: regressions from components (or stimuli) to responses, and the registry of them."""

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
    """The optimality residual of some targets exceeds its limit. The message counts them; ``details["kkt"]`` holds each one's."""


class Readout(ABC):
    """A kind of regression: its options, what it uses of its training data, fit, restore and cost.

    Attributes
    ----------
    name, title, about : the registry's name, what a menu shows, one sentence for a newcomer.
    uses_moments : true for the linear family, whose :meth:`fit` takes :class:`Moments`; others take a :class:`Training`.
    uses_components : false where models are trained on, and predict from, the stimuli themselves: their X is a ``Stimuli``.
    restores_from_data : true where :meth:`restore` reads the training data (neighbours keep no copy of the responses).
    per_target : true where a target's model does not depend on the targets fitted with it; a choice of ROI then is a choice of
        columns and nothing is fitted again.
    by_layer : true where each layer has its own PCA, and ``Moments.bands`` holds the number of components of each.
    in_order : true where X must hold the frames of a clip in temporal order.
    shares : true for multi-subject training (``Training.extra_subjects``): a shared trunk and a linear head per subject.
    exact : true where the solution is computed to numerical precision, false where it is found by stochastic gradient descent.
    export_refusal : reason why fitted models of this readout cannot be exported; empty if they can.
    version : part of every key of its models; raised when its numbers change.
    options : the dataclass of its parameters.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    about: ClassVar[str]
    uses_moments: ClassVar[bool] = True
    uses_components: ClassVar[bool] = True
    restores_from_data: ClassVar[bool] = False
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
        """Fit a model of every target.

        Parameters
        ----------
        data : :class:`Moments` where ``uses_moments``, else :class:`Training`; p components, t targets.
        options : an instance of ``self.options``.
        device : ``cpu`` or ``cuda``.
        report : called with the fraction done and a text; an exception that it raises stops the fit.
        """

    def restore(self, arrays: Mapping[str, np.ndarray], data: Training | None) -> Model:
        """Restore a model from its stored ``arrays``; ``data`` is its training data where ``restores_from_data``, otherwise None."""
        return LinearModel.from_arrays(arrays)

    def needs_frames(self, options: Any) -> bool:
        """Whether a fit needs clips whose frames are kept as a sequence."""
        return self.in_order

    def needs_map(self, options: Any) -> bool:
        """Whether a fit needs the features of one layer as they are, in the order of its channels and places."""
        return False

    def n_folds(self, options: Any) -> int:
        """Number of inner cross-validation folds of the training rows on which :meth:`fit` chooses parameters; 1 where it chooses none."""
        return 1

    def fewest_rows(self, options: Any) -> int:
        """Number of training rows below which :meth:`fit` refuses, or has next to nothing to choose parameters on."""
        return 4 * self.n_folds(options)

    def uses(self, options: Any) -> tuple[str, ...]:
        """List what a fit reads beside components (or stimuli) and responses; each enters the key of the model.

        Returns
        -------
        Some of ``groups`` (which stimuli stay in one inner fold), ``rois`` (``Training.rois``), ``positions``
        (``Training.positions``) and ``extra_subjects`` (``Training.extra_subjects``).
        """
        return (("groups",) if self.n_folds(options) > 1 else ()) + (("extra_subjects",) if self.shares else ())

    def delays_apart(self, options: Any) -> bool:
        """Whether each delay of a layer's components is a band of its own, where ``by_layer``."""
        return False

    def targets_apart(self, options: Any) -> bool:
        """Whether with these parameters each target has a model of its own, whatever is fitted with it; :attr:`per_target` by default."""
        return self.per_target

    def cost(self, n: int, p: int, t: int, options: Any) -> tuple[float, float]:
        """Estimated multiply-adds and bytes of fitting n rows of p components to t targets, beyond the moments."""
        return 4.0 * (self.n_folds(options) + 1) * p * p * t, 0.0

    def read(self, values: Mapping[str, Any]) -> Options:
        """Read parameters from plain values (as of JSON); BadOption names the known ones where one does not exist."""
        return read_options(self.name, self.options, values)


READOUTS: Registry[Readout] = Registry("readout", "encoding.readouts", group="encoding_explorer.readouts")
