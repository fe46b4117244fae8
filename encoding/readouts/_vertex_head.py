"""Convolutional head of the readout ``positional`` as a torch module. Imported only when a network is built, since it loads torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from encoding.readouts._layers import Head
from encoding.readouts._model import Columns
from encoding.readouts.positional import TRAINING_NUMBERS

FORWARD_NUMBERS = 16_000_000  # activations of one layer that are held at a time where no gradients are wanted


class PlaceConv(nn.Conv1d):
    """Conv1d over vertices whose input is ``x`` and, as further channels, the position encoding of each vertex; ends are repeated.

    The share of the positions, and that of an ``x`` that is the same for every vertex, are computed once.
    """

    def __init__(self, n_in: int, n_waves: int, n_out: int, kernel_size: int) -> None:
        super().__init__(n_in + n_waves, n_out, kernel_size, padding=kernel_size // 2, padding_mode="replicate")
        self.n_in = n_in

    def forward(self, x: torch.Tensor, waves: torch.Tensor) -> torch.Tensor:
        """(b, n_in, t), or (b, n_in) for all vertices alike, and waves (n_waves, t) -> (b, n_out, t)."""
        of_x, of_place = self.weight[:, : self.n_in], self.weight[:, self.n_in :]
        place = F.conv1d(self._extended(waves[None]), of_place, self.bias)
        if x.ndim == 2:
            return F.linear(x, of_x.sum(2))[:, :, None] + place
        return F.conv1d(self._extended(x), of_x) + place

    def _extended(self, x: torch.Tensor) -> torch.Tensor:
        return F.pad(x, (self.padding[0],) * 2, mode="replicate") if self.padding[0] else x


def images_at_once(channels: int, n_targets: int) -> int:
    """Number of images whose activations are held at a time in training."""
    return max(1, TRAINING_NUMBERS // (channels * n_targets))


class ConvHead(Head):
    """Conv1d layers over vertices, each reading the positions again, from the image's vector (n, h) to responses (n, t).

    Each layer but the last is followed by batch norm and LeakyReLU; the last has one output channel. After every second of them stands
    dropout, before it, where ``residual``, a skip connection around both (about the first two with a linear map, as widths differ).

    In training, a minibatch of more than :data:`~encoding.readouts.positional.TRAINING_NUMBERS` activations a layer is passed in pieces
    of whole images, each with the batch norm of its own images and vertices; only outputs are kept, and activations are computed again
    for the gradient (Chen et al. 2016, Training deep nets with sublinear memory cost). Memory then does not grow with the minibatch.

    Parameters
    ----------
    waves : (t, e) float32, the encoded positions; vertices in the order of the responses' columns.
    """

    folds = False

    def __init__(
        self,
        waves: np.ndarray,
        n_hidden: int,
        *,
        n_layers: int,
        channels: int,
        kernel_size: int,
        dropout: float,
        residual: bool,
        leak: float,
        own_weights: bool,
    ) -> None:
        super().__init__()
        self.n_targets, self.reach, self.leak = len(waves), n_layers * (kernel_size // 2), leak
        self.register_buffer("waves", torch.from_numpy(np.ascontiguousarray(waves.T)))
        widths = [n_hidden, *[channels] * (n_layers - 1), 1]
        self.layers = nn.ModuleList(PlaceConv(n_in, waves.shape[1], n_out, kernel_size) for n_in, n_out in pairwise(widths))
        self.norms = nn.ModuleList(nn.BatchNorm1d(channels) for _ in range(n_layers - 1))
        self.widened = nn.Linear(n_hidden, channels, bias=False) if residual else None
        self.dropout = nn.Dropout(dropout)
        nn.init.zeros_(self.layers[-1].weight)
        nn.init.zeros_(self.layers[-1].bias)
        self.bias = nn.Parameter(torch.zeros(self.n_targets))
        self.own = nn.Parameter(torch.zeros(self.n_targets, n_hidden)) if own_weights else None

    def free(self) -> Iterator[nn.Parameter]:
        """Parameters of single targets: bias and, where there are any, free weights."""
        yield self.bias
        if self.own is not None:
            yield self.own

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return self.columns(z, slice(None))
        every, step = slice(0, self.n_targets), images_at_once(self.layers[0].out_channels, self.n_targets)
        if len(z) <= step:
            return self._of(z, every)
        again = {"use_reentrant": False, "context_fn": lambda: (nullcontext(), self._unchanged_statistics())}
        return torch.cat([checkpoint(self._of, piece, every, **again) for piece in z.split(step)])

    @contextmanager
    def _unchanged_statistics(self) -> Iterator[None]:
        """Keep the running statistics of batch norm, in which each piece counts once, while a piece is passed again."""
        momenta = [norm.momentum for norm in self.norms]
        for norm in self.norms:
            norm.momentum = 0.0
        try:
            yield
        finally:
            for norm, momentum in zip(self.norms, momenta, strict=True):
                norm.momentum = momentum

    def columns(self, z: torch.Tensor, columns: Columns) -> torch.Tensor:
        """Responses of some vertices, computed for those from the first to the last of them and their neighbours in the convolutions."""
        wanted = np.arange(self.n_targets)[columns]
        if not len(wanted):
            return z.new_zeros(len(z), 0)
        some = slice(max(0, int(wanted.min()) - self.reach), min(self.n_targets, int(wanted.max()) + 1 + self.reach))
        step = max(1, FORWARD_NUMBERS // (self.layers[0].out_channels * (some.stop - some.start)))
        local = torch.from_numpy(wanted - some.start).to(z.device)
        return torch.cat([self._of(z[start : start + step], some)[:, local] for start in range(0, max(len(z), 1), step)])

    def _of(self, z: torch.Tensor, some: slice) -> torch.Tensor:
        """Responses of the vertices ``some``, as if there were no others."""
        waves, x, entered = self.waves[:, some], z, z
        for number, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=False), 1):
            x = F.leaky_relu(norm(layer(x, waves)), self.leak)
            if number % 2 == 0:
                if self.widened is not None:
                    x = x + (self.widened(entered)[:, :, None] if entered.ndim == 2 else entered)
                x = entered = self.dropout(x)
        predicted = self.layers[-1](x, waves).squeeze(1) + self.bias[some]
        return predicted if self.own is None else predicted + F.linear(z, self.own[some])
