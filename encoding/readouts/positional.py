"""Positional readout: an MLP whose output weights are a function of each vertex's position on the cortex."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from encoding.readouts import READOUTS, BadOption, Range, Training, option
from encoding.readouts._network import Shape
from encoding.readouts._train_options import OPTIMISERS, check_share, one_of
from encoding.readouts.mlp import MLP, MLPOptions

if TYPE_CHECKING:
    from torch import nn

    from encoding.readouts._layers import Head

TRUNKS, HEADS = ("mlp", "identity", "conv"), ("weights", "conv")
N_CHANNELS = 256  # of the map of trunk=conv, assumed for an estimate: SAM's
TRAINING_NUMBERS = 40_000_000  # activations of a Conv1d layer held at a time in training
KEPT_TENSORS = 4  # of a Conv1d layer's size, until the gradients are computed


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
    trunk: str = option(
        "mlp",
        "What stands before the output layer: mlp (two hidden layers), identity (components as they are) or conv (Conv2d layers of stride "
        "2 with batch norm and LeakyReLU over the layer's map, then a layer of hidden_2 units; needs --reduction none).",
        choices=TRUNKS,
        added=True,
    )
    trunk_convs: int = option(3, "Number of Conv2d layers of trunk=conv; each halves the map's sides.", added=True)
    trunk_channels: int = option(32, "Number of channels of the Conv2d layers of trunk=conv.", added=True)
    head: str = option(
        "weights",
        "How positions enter: weights (a network makes each vertex's weights of its position) or conv (Conv1d layers over the vertices "
        "read the image's vector and, again at each layer, the positions).",
        choices=HEADS,
        added=True,
    )
    n_convs: int = option(6, "Number of Conv1d layers of head=conv; the last gives the responses.", added=True)
    channels: int = option(64, "Number of channels of the Conv1d layers of head=conv.", added=True)
    kernel_size: int = option(
        1,
        "Vertices that a Conv1d layer of head=conv reads, odd; 1: each vertex by itself. Vertices stand in the order of their numbers.",
        added=True,
    )
    conv_dropout: float = option(0.2, "Dropout rate after every second Conv1d layer of head=conv.", added=True)
    conv_residual: bool = option(False, "A residual (skip) connection around every two Conv1d layers of head=conv.", added=True)
    leak: float = option(0.01, "Negative slope of the LeakyReLU of head=conv and trunk=conv.", label="negative_slope", added=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        bounds = {
            "n_frequencies": (1, 16),
            "hidden_position": (1, 65_536),
            "n_convs": (2, 64),
            "channels": (1, 4_096),
            "kernel_size": (1, 99),
            "trunk_convs": (1, 10),
            "trunk_channels": (1, 4_096),
        }
        for name, (least, most) in bounds.items():
            if not least <= getattr(self, name) <= most:
                raise BadOption(f"{name} must be {least} to {most:,}, not {getattr(self, name)}.")
        one_of("trunk", self.trunk, TRUNKS)
        one_of("head", self.head, HEADS)
        if self.kernel_size % 2 == 0:
            raise BadOption(f"kernel_size must be odd, so that a vertex stands in the middle of what is read, not {self.kernel_size}.")
        check_share("conv_dropout", self.conv_dropout)
        if not 0 <= self.leak < 1:
            raise BadOption(f"leak must be a slope from 0 to below 1, not {self.leak!r}.")
        if self.head == "conv" and self.frame_by_frame:
            raise BadOption(
                "frame_by_frame averages the predictions of frames, which head=conv does not compute one by one. Use head=weights."
            )


class Positional(MLP):
    """The trunk of ``mlp`` and an output layer that is a function of each vertex's position.

    A position enters as sines and cosines of several wavelengths (Vaswani et al. 2017; in space Mildenhall et al. 2020), the
    longest twice the largest extent of the subject's vertices; a network of one hidden layer makes the vertex's weights of them.
    ``own_weights`` adds free weights for each vertex, which start at 0. After training the sum is all that is kept.

    With ``trunk="conv"`` the features of one layer, as they are, pass through Conv2d layers over their places.

    With ``head="conv"`` the image's vector and the encoded position pass together through ``n_convs`` Conv1d layers over the vertices,
    which read the position again at each layer; the model then is no longer linear in the trunk's outputs, and these layers are kept.
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

    def needs_map(self, options: PositionalOptions) -> bool:
        return options.trunk == "conv"

    def shape(self, data: Training, options: PositionalOptions) -> Shape:
        """Input shape of the trunk; for ``trunk="conv"`` with the layer's map, for which the backbone is opened."""
        if options.trunk != "conv":
            return super().shape(data, options)
        from encoding.backbones._maps import feature_map

        found = feature_map(data.open_backbone(), data.layers[0], data.pool)
        places = (found.channels, found.height, found.width, int(found.channels_last))
        if data.X.shape[1] != found.channels * found.height * found.width:
            raise ValueError(f"trunk=conv needs the features as they are: a map {places[:3]}, not {data.X.shape[1]:,} components.")
        return Shape(data.X.shape[1], data.n_frames, places)

    def head(self, data: Training, n_hidden: int, options: PositionalOptions) -> Head:
        from encoding.readouts._layers import PositionalHead

        waves = encode(data.positions, options.n_frequencies)
        if options.head == "conv":
            return self._conv_head(waves, n_hidden, options)
        return PositionalHead(waves, n_hidden, options.hidden_position, own_weights=options.own_weights)

    def empty_head(self, n_hidden: int, n_targets: int, options: PositionalOptions) -> Head:
        return self._conv_head(np.zeros((n_targets, 6 * options.n_frequencies), np.float32), n_hidden, options)

    def _conv_head(self, waves: np.ndarray, n_hidden: int, options: PositionalOptions) -> Head:
        from encoding.readouts._vertex_head import ConvHead

        return ConvHead(
            waves, n_hidden, n_layers=options.n_convs, channels=options.channels, kernel_size=options.kernel_size, leak=options.leak,
            dropout=options.conv_dropout, residual=options.conv_residual, own_weights=options.own_weights,
        )  # fmt: skip

    def trunk(self, shape: Shape, options: PositionalOptions) -> nn.Module:
        from encoding.readouts._layers import MeanOfFrames, Stack, Standardise

        if options.trunk == "mlp":
            return super().trunk(shape, options)
        if options.trunk == "conv":
            from encoding.readouts._map_trunk import map_trunk

            sizes = (options.trunk_convs, options.trunk_channels, options.hidden_2)
            convolved = map_trunk(shape.places, *sizes, dropout=options.dropout_2, leak=options.leak)
            return Stack(Standardise(shape.n_components), *convolved, n_hidden=options.hidden_2)
        n_frames = shape.n_frames if options.frame_by_frame else 1
        averaged = [MeanOfFrames(n_frames)] if n_frames > 1 else []
        return Stack(Standardise(shape.n_components), *averaged, n_hidden=shape.n_components // n_frames)

    def n_weights(self, shape: Shape, options: PositionalOptions) -> tuple[int, int]:
        """Number of trunk weights; of convolutions each counts once for every place that it is applied to."""
        if options.trunk == "mlp":
            return super().n_weights(shape, options)
        if options.trunk == "identity":
            return 0, shape.n_components
        n_in, side = shape.places[:2] if shape.places else (N_CHANNELS, max(1, round((shape.n_components / N_CHANNELS) ** 0.5)))
        applied = 0
        for _ in range(options.trunk_convs):
            side = -(-side // 2)
            applied, n_in = applied + 9 * n_in * options.trunk_channels * side**2, options.trunk_channels
        return applied + n_in * side**2 * options.hidden_2, options.hidden_2

    def cost(self, n: int, p: int, t: int, options: Any) -> tuple[float, float]:
        """The output weights of all vertices are computed once for every batch, Conv1d layers for every image."""
        multiplications, n_bytes = super().cost(n, p, t, options)
        n_bytes += 8.0 * p * min(n, options.batch_size) if options.trunk == "conv" else 0.0
        n_waves, n_between, n_hidden = 6 * options.n_frequencies, options.hidden_position, self.n_weights(Shape(p), options)[1]
        if options.head == "conv":
            channels, n_layers = options.channels, options.n_convs - 1
            convolved = channels * options.kernel_size * (1 + channels * (n_layers - 1)) * t
            held = 4.0 * KEPT_TENSORS * n_layers * min(channels * t * min(n, options.batch_size), max(TRAINING_NUMBERS, channels * t))
            return multiplications + 3.0 * n * convolved * options.n_epochs, n_bytes + held
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
