"""A deeper network: blocks that widen, each passing its input on beside what it makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from encoding.readouts import READOUTS, BadOption, Choice, Range, option
from encoding.readouts._network import NetworkReadout, Shape
from encoding.readouts._train_options import TrainingOptions, check_share

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class DeepOptions(TrainingOptions):
    optimiser: str = option("adamw", "How steps are made: adamw, adam or sgd (with momentum 0.9).")
    weight_decay: float = option(1e-2, "Pull of the weights towards 0.", search=Range(1e-4, 1.0, log=True))
    patience: int = option(5, "Training stops after so many epochs in which the validation loss was not lower than ever before.")
    n_blocks: int = option(3, "Blocks one after another.", search=Range(1, 6))
    width: int = option(256, "Units of the first block.", search=Range(32, 1024, log=True))
    widening: float = option(1.25, "Each block has so many times the units of the one before.", search=Range(0.75, 1.5))
    leak: float = option(0.01, "Slope of the activation below 0.")
    dropout: float = option(0.3, "Share of a block's units left out at random while learning.", search=Range(0.0, 0.7))
    residual: bool = option(True, "Each block adds to its input instead of replacing it.", search=Choice((True, False)))

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("n_blocks", "width"):
            if getattr(self, name) < 1:
                raise BadOption(f"{name} must be 1 or more, not {getattr(self, name)}.")
        if not 0 < self.widening <= 4:
            raise BadOption(f"widening must be above 0 and up to 4, not {self.widening!r}.")
        if not 0 <= self.leak < 1:
            raise BadOption(f"leak must be a slope from 0 to below 1, not {self.leak!r}.")
        check_share("dropout", self.dropout)

    def widths(self) -> list[int]:
        """The units of each block."""
        return [max(1, round(self.width * self.widening**number)) for number in range(self.n_blocks)]


class Deep(NetworkReadout):
    """Blocks of Linear, BatchNorm1d, LeakyReLU and dropout, each wider than the one before, then a linear layer.

    A residual block adds what it makes to its input (He et al. 2016), taken to its width by a linear map where the two differ.
    """

    name, title = "deep", "Deep network"
    about = "Several widening blocks, for relations that two layers do not catch; wants many images."
    options = DeepOptions

    def trunk(self, shape: Shape, options: DeepOptions) -> nn.Module:
        from torch import nn

        from encoding.readouts._layers import Residual, Stack, Standardise

        blocks = []
        for n_in, n_out in pairwise((shape.n_components, *options.widths())):
            layers = nn.Linear(n_in, n_out), nn.BatchNorm1d(n_out), nn.LeakyReLU(options.leak), nn.Dropout(options.dropout)
            blocks.append(Residual(n_in, n_out, *layers) if options.residual else nn.Sequential(*layers))
        return Stack(Standardise(shape.n_components), *blocks, n_hidden=options.widths()[-1])

    def n_weights(self, shape: Shape, options: DeepOptions) -> tuple[int, int]:
        sizes = (shape.n_components, *options.widths())
        maps = sum(n_in * n_out * (1 + (options.residual and n_in != n_out)) for n_in, n_out in pairwise(sizes))
        return maps, sizes[-1]


READOUTS.register("deep", Deep())
