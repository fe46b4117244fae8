"""Bidirectional LSTM over the frames of a clip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from encoding.readouts import READOUTS, BadOption, Choice, Range, Training, option
from encoding.readouts._network import NetworkReadout, Shape
from encoding.readouts._train_options import OPTIMISERS, TrainingOptions, check_share, one_of

if TYPE_CHECKING:
    from torch import nn

    from encoding.readouts._layers import Head

OUTPUTS = ("linear", "lstm")
N_FRAMES = 16  # assumed by the estimate of cost: the default number of frames of a fit


@dataclass(frozen=True)
class LSTMOptions(TrainingOptions):
    """Parameters of :class:`LSTM`."""

    batch_size: int = option(64, "Batch size: training clips per gradient step.")
    optimiser: str = option("adamw", "Optimiser: adamw, adam or sgd.", choices=OPTIMISERS)
    weight_decay: float = option(
        1e-2, "Weight decay (L2 regularisation; decoupled from the gradient with adamw).", search=Range(1e-4, 1.0, log=True)
    )
    patience: int = option(5, "Early-stopping patience: epochs without a new lowest validation loss before training stops.")
    max_norm: float | None = option(1.0, "Gradient clipping: largest norm of the gradient. Empty: no clipping.")
    n_layers: int = option(2, "Number of stacked LSTM layers.", search=Choice((2, 3)))
    units: int = option(512, "Hidden size of each LSTM layer, per direction.", search=Range(64, 512, log=True))
    hidden: int = option(
        512, "Number of units of the fully connected layer between the last LSTM layer and the vertices.", search=Range(64, 1024, log=True)
    )
    dropout: float = option(0.3, "Dropout rate after every layer.", search=Range(0.0, 0.7))
    output: str = option(
        "linear",
        "What follows the LSTM layers: linear (a fully connected layer and a linear one) or lstm (one more LSTM with a unit for each "
        "vertex, whose state is the prediction; it lies within one deviation of the mean, so read r alone, as with loss=1-r).",
        choices=OUTPUTS,
        added=True,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("output", self.output, OUTPUTS)
        for name in ("n_layers", "units", "hidden"):
            if getattr(self, name) < 1:
                raise BadOption(f"{name} must be 1 or more, not {getattr(self, name)}.")
        check_share("dropout", self.dropout)


class LSTM(NetworkReadout):
    """Bidirectional LSTM layers (Hochreiter & Schmidhuber 1997; Schuster & Paliwal 1997), then two fully connected ones.

    A clip is represented by the last layer's final state of each direction: forwards at the last frame, backwards at the first. A fully
    connected layer with ReLU follows; the second fully connected one is linear, the last layer that every vertex has weights of its own in.
    ``loss="mse+r"`` trains for correlation as well as for small errors.

    With ``output="lstm"`` the states at every frame enter one more LSTM, forwards, with a unit for each vertex, in place of both.
    """

    name, title = "lstm", "Recurrent network over frames"
    about = "Reads a clip's frames in their order, forwards and backwards; for responses to what changes. Needs clips."
    in_order = True
    options = LSTMOptions

    def check(self, data: Training, options: LSTMOptions) -> None:
        if data.n_frames < 2:
            raise ValueError("lstm reads the frames of clips one after another, and here is one of each. Use mlp or deep.")
        if data.X.shape[1] % data.n_frames:
            raise ValueError(f"{data.X.shape[1]:,} components are not {data.n_frames} frames of equally many.")

    def trunk(self, shape: Shape, options: LSTMOptions) -> nn.Module:
        from torch import nn

        from encoding.readouts._layers import Stack, Standardise
        from encoding.readouts._recurrent import BothWays

        every_frame = options.output == "lstm"
        sizes = (shape.n_components // shape.n_frames, shape.n_frames, options.units, options.n_layers)
        reader = BothWays(*sizes, options.dropout, every_frame=every_frame)
        if every_frame:
            return Stack(Standardise(shape.n_components), reader, nn.Dropout(options.dropout), n_hidden=reader.n_hidden)
        after = nn.Linear(reader.n_hidden, options.hidden), nn.ReLU(), nn.Dropout(options.dropout)
        return Stack(Standardise(shape.n_components), reader, nn.Dropout(options.dropout), *after, n_hidden=options.hidden)

    def head(self, data: Training, n_hidden: int, options: LSTMOptions) -> Head:
        if options.output == "linear":
            return super().head(data, n_hidden, options)
        return self.empty_head(n_hidden, data.n_targets, options)

    def empty_head(self, n_hidden: int, n_targets: int, options: LSTMOptions) -> Head:
        from encoding.readouts._recurrent import LSTMHead

        return LSTMHead(n_hidden, n_hidden // (2 * options.units), n_targets)

    def n_weights(self, shape: Shape, options: LSTMOptions) -> tuple[int, int]:
        """Number of trunk weights; those used once a clip and once a frame are each counted once."""
        if options.output == "lstm":
            return self._per_frame(shape, options), shape.n_frames * 2 * options.units
        return self._per_frame(shape, options) + 2 * options.units * options.hidden, options.hidden

    def _per_frame(self, shape: Shape, options: LSTMOptions) -> int:
        inputs = [shape.n_components // shape.n_frames, *[2 * options.units] * (options.n_layers - 1)]
        return sum(2 * 4 * options.units * (n_in + options.units) for n_in in inputs)

    def cost(self, n: int, p: int, t: int, options: LSTMOptions) -> tuple[float, float]:
        """Assume clips of :data:`N_FRAMES` frames, each of which is multiplied by the LSTM's weights."""
        shape = Shape(p, N_FRAMES)
        trunk, n_hidden = self.n_weights(shape, options)
        per_frame, head = self._per_frame(shape, options), n_hidden * t
        if options.output == "lstm":
            head = 4 * t * (2 * options.units + t)
            per_frame += head
        once, again = trunk + head, (N_FRAMES - 1) * per_frame
        return 3.0 * n * (once + again) * options.n_epochs, 4.0 * (n * (p + t) + 5 * once)


READOUTS.register("lstm", LSTM())
