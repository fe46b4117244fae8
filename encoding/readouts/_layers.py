"""Layers of neural readouts as torch modules. Imported only when a network is built, since it loads torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from encoding.readouts._examples import Scale
from encoding.readouts._model import Columns

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "none": nn.Identity}


class Standardise(nn.Module):
    """Standardise (n, p) by the mean and deviation of the learning rows; the first layer of a trunk."""

    def __init__(self, n_components: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_components))
        self.register_buffer("deviation", torch.ones(n_components))

    def load(self, scale: Scale) -> None:
        """Set the means and deviations (p,); until then the layer is the identity."""
        self.mean.copy_(torch.from_numpy(scale.mean))
        self.deviation.copy_(torch.from_numpy(scale.deviation))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - self.mean) / self.deviation


class Stack(nn.Sequential):
    """Sequence of layers with the number of its outputs, ``n_hidden``."""

    def __init__(self, *layers: nn.Module, n_hidden: int) -> None:
        super().__init__(*layers)
        self.n_hidden = n_hidden


class Residual(nn.Module):
    """Residual block ``layers(x) + x``, with a linear map of x where the widths differ."""

    def __init__(self, n_in: int, n_out: int, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.passed = nn.Identity() if n_in == n_out else nn.Linear(n_in, n_out, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x) + self.passed(x)


class MeanOfFrames(nn.Module):
    """Layers applied to each of n_frames equal blocks of the columns, and their mean: (n, n_frames * p) -> (n, h)."""

    def __init__(self, n_frames: int, *layers: nn.Module) -> None:
        super().__init__()
        self.n_frames, self.layers = n_frames, nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x.unflatten(1, (self.n_frames, -1)).flatten(0, 1)).unflatten(0, (len(x), self.n_frames)).mean(1)


class Head(nn.Module):
    """Output layer (n, h) -> (n, t); a linear one is stored as weights (h, t) and a bias (t,) once trained (:meth:`folded`).

    Attributes
    ----------
    folds : false where the layer itself is kept, and predicts by :meth:`columns`.
    """

    folds: ClassVar[bool] = True
    n_targets: int

    def folded(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights (h, t) and bias (t,)."""
        raise NotImplementedError

    def free(self) -> Iterator[nn.Parameter]:
        """Parameters of single targets, on which no other target's loss depends."""
        raise NotImplementedError

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        weights, bias = self.folded()
        return torch.addmm(bias, z, weights)

    def columns(self, z: torch.Tensor, columns: Columns) -> torch.Tensor:
        """Output of some targets (n, t)."""
        return self(z)[:, columns]


class LinearHead(Head):
    """Linear layer with weights of each target's own, which start at 0, so that training starts from predicting the mean."""

    def __init__(self, n_hidden: int, n_targets: int) -> None:
        super().__init__()
        self.n_targets = n_targets
        self.weight = nn.Parameter(torch.zeros(n_targets, n_hidden))
        self.bias = nn.Parameter(torch.zeros(n_targets))

    def folded(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights (h, t) and bias (t,)."""
        return self.weight.T, self.bias

    def free(self) -> Iterator[nn.Parameter]:
        """Parameters without weight sharing between targets."""
        return self.parameters()


class PositionalHead(Head):
    """Output weights as a function of each target's position, a network of one hidden layer, plus free weights as an option.

    Parameters
    ----------
    waves : (t, e) float32, the encoded positions.
    """

    def __init__(self, waves: np.ndarray, n_hidden: int, n_between: int, *, own_weights: bool) -> None:
        super().__init__()
        self.n_targets = len(waves)
        self.register_buffer("waves", torch.from_numpy(waves), persistent=False)
        self.between = nn.Linear(waves.shape[1], n_between)
        self.generate = nn.Linear(n_between, n_hidden)
        nn.init.zeros_(self.generate.weight)
        nn.init.zeros_(self.generate.bias)
        self.bias = nn.Parameter(torch.zeros(self.n_targets))
        self.own = nn.Parameter(torch.zeros(self.n_targets, n_hidden)) if own_weights else None

    def folded(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights (h, t), generated from positions plus free ones, and bias (t,)."""
        weights = self.generate(torch.relu(self.between(self.waves)))
        return (weights if self.own is None else weights + self.own).T, self.bias

    def free(self) -> Iterator[nn.Parameter]:
        """Parameters of single targets: bias and, where there are any, free weights."""
        yield self.bias
        if self.own is not None:
            yield self.own


class Network(nn.Module):
    """Shared trunk (n, ...) -> (n, h) and an output layer for each subject; the first subject's is kept after training."""

    def __init__(self, trunk: nn.Module, heads: Sequence[Head]) -> None:
        super().__init__()
        self.trunk, self.heads = trunk, nn.ModuleList(heads)

    def forward(self, x: torch.Tensor, subject: int = 0) -> torch.Tensor:
        return self.heads[subject](self.trunk(x))


def hidden(n_in: int, n_out: int, *, activation: str, batch_norm: bool, dropout: float, batch_norm_after: bool = False) -> list[nn.Module]:
    """One hidden layer: linear, activation with an optional batch norm before or after it, dropout."""
    layers: list[nn.Module] = [nn.Linear(n_in, n_out), ACTIVATIONS[activation]()]
    if batch_norm:
        layers.insert(2 if batch_norm_after else 1, nn.BatchNorm1d(n_out))
    if dropout:
        layers.append(nn.Dropout(dropout))
    return layers
