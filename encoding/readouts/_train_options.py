"""Parameters shared by all readouts trained by stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from encoding.readouts._options import BadOption, Options, Range, option

OPTIMISERS, LOSSES, LOSS_SCALES, KEPT = ("adamw", "adam", "sgd"), ("mse", "1-r", "mse+r"), ("vertex", "mean"), ("loss", "r")


@dataclass(frozen=True)
class TrainingOptions(Options):
    """Parameters of every neural readout; subclasses override the defaults."""

    n_epochs: int = option(50, "Largest number of epochs (passes over the training images).")
    batch_size: int = option(150, "Batch size: training images per gradient step.")
    learning_rate: float = option(1e-3, "Learning rate of the optimiser.", search=Range(1e-4, 1e-2, log=True))
    weight_decay: float = option(
        0.0, "Weight decay (L2 regularisation; decoupled from the gradient with adamw).", search=Range(1e-6, 1e-1, log=True)
    )
    optimiser: str = option("adam", "Optimiser: adamw, adam or sgd.", choices=OPTIMISERS)
    momentum: float = option(0.9, "Momentum of sgd; torch.optim.SGD has 0 by default. Other optimisers have none.", added=True)
    loss_scale: str = option(
        "vertex",
        "What a learning rate is of, for the weights that a vertex has of its own: vertex (its own loss, so that the rate means the same "
        "however many are trained together) or mean (the mean over all vertices, as torch's MSELoss).",
        choices=LOSS_SCALES,
        added=True,
    )
    decay_every: int = option(
        10, "Step size of the learning-rate schedule, in epochs: after each such step the rate is multiplied by decay_by."
    )
    decay_by: float = option(1.0, "Decay factor of the learning rate every decay_every epochs; 1: a constant learning rate.")
    patience: int = option(3, "Early-stopping patience: epochs without a new lowest validation loss before training stops.")
    decimals: int | None = option(
        None, "Decimals to which validation losses are rounded before early stopping compares them. Empty: not rounded."
    )
    loss: str = option(
        "mse",
        "Loss function: mse (mean squared error), 1-r (1 - Pearson r over the batch, which leaves the mean and the size of predictions "
        "open: read their r alone), or mse+r (the mean of both).",
        choices=LOSSES,
    )
    keep: str = option(
        "loss",
        "Whose best epoch is kept: that of the lowest validation loss (loss), or of the highest mean r on the validation images (r).",
        choices=KEPT,
        added=True,
    )
    validation: float = option(0.1, "Validation fraction: share of the training images held out for early stopping.")
    max_norm: float | None = option(None, "Gradient clipping: largest norm of the gradient. Empty: no clipping.")
    mixed_precision: bool = option(True, "Mixed precision on a GPU (bfloat16 autocast): faster, less exact.")
    seed: int = option(0, "Random seed of the initial weights, the order of the images and dropout.")

    def __post_init__(self) -> None:
        for name in ("n_epochs", "batch_size", "decay_every", "patience"):
            least = 2 if name == "batch_size" else 1
            if getattr(self, name) < least:
                raise BadOption(f"{name} must be {least} or more, not {getattr(self, name)}.")
        for name, known in (("optimiser", OPTIMISERS), ("loss", LOSSES), ("loss_scale", LOSS_SCALES), ("keep", KEPT)):
            one_of(name, getattr(self, name), known)
        if not 0 <= self.momentum < 1:
            raise BadOption(f"momentum must be a number from 0 to below 1, not {self.momentum!r}.")
        for name in ("learning_rate", "decay_by", "max_norm"):
            value = getattr(self, name)
            if value is not None and not (np.isfinite(value) and value > 0):
                raise BadOption(f"{name} must be a number above 0, not {value!r}.")
        if not (np.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise BadOption(f"weight_decay must be a number of 0 or more, not {self.weight_decay!r}.")
        if not 0 < self.validation <= 0.5:
            raise BadOption(f"validation must be a share above 0 and up to 0.5, not {self.validation!r}.")
        if self.seed < 0:
            raise BadOption(f"seed must be 0 or more, not {self.seed}.")


def one_of(name: str, value: str, known: Sequence[str]) -> None:
    """Check that an option has one of its known values; BadOption names them."""
    if value not in known:
        raise BadOption(f"{name} must be {', '.join(known[:-1])} or {known[-1]}, not {value!r}.")


def check_share(name: str, value: float) -> None:
    """BadOption unless a dropout rate is in [0, 1)."""
    if not 0 <= value < 1:
        raise BadOption(f"{name} must be a share from 0 to below 1, not {value!r}.")
