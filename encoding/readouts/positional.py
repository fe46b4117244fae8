"""Positional readout: an MLP whose output weights are a function of each vertex's position on the cortex."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from encoding.readouts import READOUTS, BadOption, Range, Training, option
from encoding.readouts._network import Shape
from encoding.readouts._train_options import OPTIMISERS
from encoding.readouts.mlp import MLP, MLPOptions

if TYPE_CHECKING:
    from encoding.readouts._layers import Head


@dataclass(frozen=True)
class PositionalOptions(MLPOptions):
    """Parameters of :class:`Positional`."""

    optimiser: str = option("adamw", "Optimiser: adamw, adam or sgd.", choices=OPTIMISERS)
    weight_decay: float = option(
        1e-2, "Weight decay (L2 regularisation; decoupled from the gradient with adamw).", search=Range(1e-4, 1.0, log=True)
    )
    patience: int = option(5, "Early-stopping patience: epochs without a new lowest validation loss before training stops.")
    decimals: int | None = option(
        3, "Decimals to which validation losses are rounded before early stopping compares them. Empty: not rounded."
    )
    n_frequencies: int = option(
        6,
        "Number of frequencies of the positional encoding; each wavelength is half the one before, the longest twice the brain's extent.",
        search=Range(1, 8),
    )
    hidden_position: int = option(
        128, "Number of hidden units of the network from a vertex's position to its weights.", search=Range(16, 512, log=True)
    )
    own_weights: bool = option(True, "Add free weights for each vertex to those that follow from its position.")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, most in (("n_frequencies", 16), ("hidden_position", 65_536)):
            if not 1 <= getattr(self, name) <= most:
                raise BadOption(f"{name} must be 1 to {most:,}, not {getattr(self, name)}.")


class Positional(MLP):
    """The trunk of ``mlp`` and an output layer that is a function of each vertex's position.

    A position enters as sines and cosines of several wavelengths (Vaswani et al. 2017; in space Mildenhall et al. 2020), the
    longest twice the largest extent of the subject's vertices; a network of one hidden layer makes the vertex's weights of them.
    ``own_weights`` adds free weights for each vertex, which start at 0. After training the sum is all that is kept.
    """

    name, title = "positional", "Network that knows positions"
    about = "Vertices that lie close together share what they learn; each may differ by weights of its own."
    options = PositionalOptions

    def check(self, data: Training, options: PositionalOptions) -> None:
        if data.positions is None:
            raise ValueError("positional needs to know where each vertex lies, and this data set does not say. Use mlp or deep.")
        if data.positions.shape != (data.n_targets, 3) or not np.isfinite(data.positions).all():
            extent = f"{int(np.isfinite(data.positions).all(-1).sum()):,} whole positions in an array {data.positions.shape}"
            raise ValueError(f"positional needs three coordinates for each of {data.n_targets:,} vertices; here are {extent}.")

    def uses(self, options: PositionalOptions) -> tuple[str, ...]:
        return (*super().uses(options), "positions")

    def head(self, data: Training, n_hidden: int, options: PositionalOptions) -> Head:
        from encoding.readouts._layers import PositionalHead

        waves = encode(data.positions, options.n_frequencies)
        return PositionalHead(waves, n_hidden, options.hidden_position, own_weights=options.own_weights)

    def cost(self, n: int, p: int, t: int, options: Any) -> tuple[float, float]:
        """The output weights of all vertices are computed once for every batch."""
        multiplications, n_bytes = super().cost(n, p, t, options)
        n_waves, n_between, n_hidden = 6 * options.n_frequencies, options.hidden_position, self.n_weights(Shape(p), options)[1]
        per_batch = 3.0 * t * n_between * (n_waves + n_hidden)
        n_batches = options.n_epochs * np.ceil(n / options.batch_size)
        return multiplications + per_batch * n_batches, n_bytes + 4.0 * t * (n_waves + 2 * n_between + 2 * n_hidden)


def encode(positions: np.ndarray, n_frequencies: int) -> np.ndarray:
    """Encode positions (t, 3) in any unit as sines and cosines of each coordinate at each frequency, float32 (t, 6 n_frequencies).

    Coordinates are taken about the middle of the smallest box that holds all, in units of half its longest side, so in -1 … 1;
    the waves are ``sin(2^k π x / 2)`` and ``cos(2^k π x / 2)`` for k = 0 … n_frequencies - 1: no two corners of the box look alike.
    """
    low, high = positions.min(0), positions.max(0)
    extent = float((high - low).max()) / 2 or 1.0
    x = (positions - (low + high) / 2) / extent
    angles = np.pi / 2 * x[:, :, None].astype(np.float64) * 2.0 ** np.arange(n_frequencies)  # (t, 3, k)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=2).reshape(len(positions), -1).astype(np.float32)


READOUTS.register("positional", Positional())
