"""Multilayer perceptron: two hidden layers shared by all vertices and a linear output layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from encoding.readouts import READOUTS, BadOption, Choice, Range, option
from encoding.readouts._network import NetworkReadout, Shape
from encoding.readouts._train_options import TrainingOptions, check_share, one_of

if TYPE_CHECKING:
    from torch import nn

ACTIVATIONS = ("relu", "tanh", "none")
SIZES, DROPOUTS = Range(32, 1024, log=True), Range(0.0, 0.7)


@dataclass(frozen=True)
class MLPOptions(TrainingOptions):
    """Parameters of :class:`MLP`."""

    decimals: int | None = option(
        2, "Decimals to which validation losses are rounded before early stopping compares them. Empty: not rounded."
    )
    hidden_1: int = option(512, "Number of units of the first hidden layer.", search=SIZES)
    activation_1: str = option("relu", "Activation function of the first hidden layer: relu, tanh or none.", search=Choice(ACTIVATIONS))
    batch_norm_1: bool = option(True, "Batch normalisation in the first hidden layer.", search=Choice((True, False)))
    dropout_1: float = option(0.5, "Dropout rate of the first hidden layer.", search=DROPOUTS)
    hidden_2: int = option(256, "Number of units of the second hidden layer.", search=SIZES)
    activation_2: str = option("relu", "Activation function of the second hidden layer: relu, tanh or none.", search=Choice(ACTIVATIONS))
    batch_norm_2: bool = option(True, "Batch normalisation in the second hidden layer.", search=Choice((True, False)))
    dropout_2: float = option(0.2, "Dropout rate of the second hidden layer.", search=DROPOUTS)
    batch_norm_after: bool = option(False, "Batch normalisation after each activation function, in place of before it.", added=True)
    frame_by_frame: bool = option(
        False, "Predict from each frame of a clip and average the predictions; needs frames kept as a sequence (over_frames).", added=True
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for number in (1, 2):
            if (size := getattr(self, f"hidden_{number}")) < 1:
                raise BadOption(f"hidden_{number} must be 1 or more, not {size}.")
            one_of(f"activation_{number}", getattr(self, f"activation_{number}"), ACTIVATIONS)
            check_share(f"dropout_{number}", getattr(self, f"dropout_{number}"))


class MLP(NetworkReadout):
    """Two hidden layers, batch norm (Ioffe & Szegedy 2015), an activation and dropout (all optional), then a linear output layer.

    With ``frame_by_frame`` the same layers see each frame of a clip; as the output layer is linear, it reads the mean of their activations.
    """

    name, title = "mlp", "Network with two hidden layers"
    about = "Learns features that all vertices share, and reads each vertex from them."
    options = MLPOptions

    def needs_frames(self, options: MLPOptions) -> bool:
        return options.frame_by_frame

    def trunk(self, shape: Shape, options: MLPOptions) -> nn.Module:
        from encoding.readouts._layers import MeanOfFrames, Stack, Standardise, hidden

        o, n_frames = options, shape.n_frames if options.frame_by_frame else 1
        sizes = (shape.n_components // n_frames, options.hidden_1, options.hidden_2)
        after = {"batch_norm_after": o.batch_norm_after}
        first = hidden(*sizes[:2], activation=o.activation_1, batch_norm=o.batch_norm_1, dropout=o.dropout_1, **after)
        second = hidden(*sizes[1:], activation=o.activation_2, batch_norm=o.batch_norm_2, dropout=o.dropout_2, **after)
        if o.frame_by_frame:
            return Stack(Standardise(shape.n_components), MeanOfFrames(n_frames, *first, *second), n_hidden=o.hidden_2)
        return Stack(Standardise(shape.n_components), *first, *second, n_hidden=o.hidden_2)

    def n_weights(self, shape: Shape, options: MLPOptions) -> tuple[int, int]:
        n_frames = shape.n_frames if options.frame_by_frame else 1  # weights count once for each frame that they multiply
        return options.hidden_1 * (shape.n_components + n_frames * options.hidden_2), options.hidden_2


READOUTS.register("mlp", MLP())
