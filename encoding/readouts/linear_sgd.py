"""Linear layer trained by stochastic gradient descent, with early stopping for all vertices together or per ROI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from encoding.readouts import READOUTS, LinearModel, Model, Range, Training, option
from encoding.readouts._network import NetworkReadout, Shape
from encoding.readouts._stopping import groups_of
from encoding.readouts._train import Trained
from encoding.readouts._train_options import OPTIMISERS, TrainingOptions, one_of
from encoding.runtime.progress import Report, silent

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class LinearSGDOptions(TrainingOptions):
    """Parameters of :class:`LinearSGD`."""

    n_epochs: int = option(100, "Largest number of epochs (passes over the training images).")
    learning_rate: float = option(1e-3, "Learning rate of the optimiser.", search=Range(1e-4, 1e-1, log=True))
    weight_decay: float = option(
        1e-2, "Weight decay (L2 regularisation; decoupled from the gradient with adamw).", search=Range(1e-4, 10.0, log=True)
    )
    optimiser: str = option("adamw", "Optimiser: adamw, adam or sgd.", choices=OPTIMISERS)
    decay_by: float = option(0.5, "Decay factor of the learning rate every decay_every epochs; 1: a constant learning rate.")
    patience: int = option(5, "Early-stopping patience: epochs without a new lowest validation loss before training stops.")
    early_stopping: str = option(
        "all",
        "Early stopping: all (one best epoch for all vertices) or roi (each ROI keeps the weights of its own best epoch).",
        choices=("all", "roi"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("early_stopping", self.early_stopping, ("all", "roi"))


class LinearSGD(NetworkReadout):
    """One linear layer, AdamW (Loshchilov & Hutter 2019) on the squared error, a learning rate that falls in steps.

    Stopping early shrinks the weights as a penalty would. With ``early_stopping="roi"`` every ROI keeps the weights of its own
    best epoch, and so do the vertices in none; a vertex of several ROIs counts with the smallest. There is nothing that subjects
    could share, so extra subjects are not used. The model is linear in the components themselves.
    """

    name, title = "linear_sgd", "Linear, by gradient descent"
    about = "One linear layer trained in small batches and stopped early, for all vertices or for each ROI."
    shares = False
    export_refusal = ""
    options = LinearSGDOptions

    def fit(self, data: Training, options: LinearSGDOptions, *, device: str = "cpu", report: Report = silent) -> Model:
        return super().fit(replace(data, extra_subjects=()), options, device=device, report=report)

    def uses(self, options: LinearSGDOptions) -> tuple[str, ...]:
        return super().uses(options) + (("rois",) if options.early_stopping == "roi" else ())

    def trunk(self, shape: Shape, options: LinearSGDOptions) -> nn.Module:
        from encoding.readouts._layers import Stack, Standardise

        return Stack(Standardise(shape.n_components), n_hidden=shape.n_components)

    def n_weights(self, shape: Shape, options: LinearSGDOptions) -> tuple[int, int]:
        return 0, shape.n_components

    def groups(self, data: Training, options: LinearSGDOptions) -> Sequence[np.ndarray]:
        return groups_of(data.rois, data.n_targets) if options.early_stopping == "roi" else ()

    def model(self, trunk: Any, weights: np.ndarray, intercept: np.ndarray, trained: Trained, recipe: Mapping[str, np.ndarray]) -> Model:
        mean, deviation = (part.double().numpy() for part in (trunk[0].mean, trunk[0].deviation))
        weights = weights / deviation[:, None]
        return LinearModel(weights.astype(np.float32), intercept - mean @ weights, trained.details, trained.history)

    def restore(self, arrays: Mapping[str, np.ndarray], data: Training | None) -> Model:
        return LinearModel.from_arrays(arrays)


READOUTS.register("linear_sgd", LinearSGD())
