"""The parameters that all readouts trained in epochs share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from encoding.readouts._options import BadOption, Options, Range, option


@dataclass(frozen=True)
class TrainingOptions(Options):
    """What every neural readout may be told; each has defaults of its own."""

    n_epochs: int = option(50, "At most so many passes over the training images.")
    batch_size: int = option(150, "Images that are learned from at a time.")
    learning_rate: float = option(1e-3, "How far the weights go in one step.", search=Range(1e-4, 1e-2, log=True))
    weight_decay: float = option(0.0, "Pull of the weights towards 0.", search=Range(1e-6, 1e-1, log=True))
    optimiser: str = option("adam", "How steps are made: adamw, adam or sgd (with momentum 0.9).")
    decay_every: int = option(10, "After so many epochs the learning rate is multiplied by decay_by, again and again.")
    decay_by: float = option(1.0, "What the learning rate is multiplied by every decay_every epochs; 1 leaves it as it is.")
    patience: int = option(3, "Training stops after so many epochs in which the validation loss was not lower than ever before.")
    decimals: int | None = option(None, "Validation losses are compared at so many decimals. Empty: exactly.")
    loss: str = option("mse", "mse: mean squared error; mse+r: half of it, half 1 less the correlation over a batch.")
    validation: float = option(0.1, "Share of the training images that is not learned from and decides when to stop.")
    max_norm: float | None = option(None, "Longest gradient; longer ones are shortened to it. Empty: as they are.")
    mixed_precision: bool = option(True, "On a GPU, multiply in bfloat16 where that is safe: faster, and less exact.")
    seed: int = option(0, "Of everything random: first weights, order of the images, dropout.")

    def __post_init__(self) -> None:
        for name in ("n_epochs", "batch_size", "decay_every", "patience"):
            least = 2 if name == "batch_size" else 1
            if getattr(self, name) < least:
                raise BadOption(f"{name} must be {least} or more, not {getattr(self, name)}.")
        one_of("optimiser", self.optimiser, ("adamw", "adam", "sgd"))
        one_of("loss", self.loss, ("mse", "mse+r"))
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
    if value not in known:
        raise BadOption(f"{name} must be {', '.join(known[:-1])} or {known[-1]}, not {value!r}.")


def check_share(name: str, value: float) -> None:
    """BadOption unless a dropout is in 0 … 1, 1 excluded."""
    if not 0 <= value < 1:
        raise BadOption(f"{name} must be a share from 0 to below 1, not {value!r}.")
