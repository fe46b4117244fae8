"""Deep readout: a stack of widening residual blocks and a linear output layer."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from encoding.readouts import READOUTS, BadOption, Choice, Range, option
from encoding.readouts._network import NetworkReadout, Shape
from encoding.readouts._train_options import OPTIMISERS, TrainingOptions, check_share

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class DeepOptions(TrainingOptions):
    """Parameters of :class:`Deep`."""

    optimiser: str = option("adamw", "Optimiser: adamw, adam or sgd.", choices=OPTIMISERS)
    weight_decay: float = option(
        1e-2, "Weight decay (L2 regularisation; decoupled from the gradient with adamw).", search=Range(1e-4, 1.0, log=True)
    )
    patience: int = option(5, "Early-stopping patience: epochs without a new lowest validation loss before training stops.")
    n_blocks: int = option(3, "Number of blocks.", search=Range(1, 6))
    width: int = option(256, "Width: number of units of the first block.", search=Range(32, 1024, log=True))
    widening: float = option(1.25, "Ratio of the width of each block to that of the block before it.", search=Range(0.75, 1.5))
    leak: float = option(0.01, "Negative slope of the LeakyReLU.", label="negative_slope")
    dropout: float = option(0.3, "Dropout rate of each block.", search=Range(0.0, 0.7))
    residual: bool = option(True, "Residual (skip) connection around each block.", search=Choice((True, False)))
    batch_norm: bool = option(True, "Batch normalisation in each block.", added=True)
    residual_between: bool = option(
        False, "A residual block of the same width after each widening block but the last, which then have no skip connection.", added=True
    )

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
        """Number of units of each block."""
        return [max(1, round(self.width * self.widening**number)) for number in range(self.n_blocks)]


class Deep(NetworkReadout):
    """Blocks of Linear, BatchNorm1d, LeakyReLU and dropout, each wider than the one before, then a linear layer.

    A residual block adds its output to its input (He et al. 2016), with a linear map of the input where the widths differ.
    """

    name, title = "deep", "Deep network"
    about = "Several widening blocks, for relations that two layers do not catch; wants many images."
    options = DeepOptions

    def trunk(self, shape: Shape, options: DeepOptions) -> nn.Module:
        from torch import nn

        from encoding.readouts._layers import Residual, Stack, Standardise

        def block(n_in: int, n_out: int, *, residual: bool) -> nn.Module:
            norm = [nn.BatchNorm1d(n_out)] if options.batch_norm else []
            layers = nn.Linear(n_in, n_out), *norm, nn.LeakyReLU(options.leak), nn.Dropout(options.dropout)
            return Residual(n_in, n_out, *layers) if residual else nn.Sequential(*layers)

        blocks, between = [], options.residual_between
        for number, (n_in, n_out) in enumerate(pairwise((shape.n_components, *options.widths())), 1):
            blocks.append(block(n_in, n_out, residual=options.residual and not between))
            if between and number < options.n_blocks:
                blocks.append(block(n_out, n_out, residual=True))
        return Stack(Standardise(shape.n_components), *blocks, n_hidden=options.widths()[-1])

    def n_weights(self, shape: Shape, options: DeepOptions) -> tuple[int, int]:
        sizes = (shape.n_components, *options.widths())
        if options.residual_between:
            return sum(n_in * n_out for n_in, n_out in pairwise(sizes)) + sum(width**2 for width in sizes[1:-1]), sizes[-1]
        maps = sum(n_in * n_out * (1 + (options.residual and n_in != n_out)) for n_in, n_out in pairwise(sizes))
        return maps, sizes[-1]


READOUTS.register("deep", Deep())
