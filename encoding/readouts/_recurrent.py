"""Bidirectional LSTM of the readout ``lstm`` as a torch module. Imported only when a network is built, since it loads torch."""

from __future__ import annotations

import torch
from torch import nn


class BothWays(nn.Module):
    """(b, n_frames * n_in), frame after frame -> (b, 2 * units): the last layer's state forwards after the last frame, then backwards
    after the first.

    Dropout stands between layers.
    """

    def __init__(self, n_in: int, n_frames: int, units: int, n_layers: int, dropout: float) -> None:
        super().__init__()
        self.n_frames, self.n_hidden = n_frames, 2 * units
        dropout = dropout if n_layers > 1 else 0.0
        self.lstm = nn.LSTM(n_in, units, n_layers, batch_first=True, dropout=dropout, bidirectional=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _, (state, _) = self.lstm(x.unflatten(1, (self.n_frames, -1)))  # (2 * n_layers, b, units), both ways of a layer together
        return torch.cat([state[-2], state[-1]], 1)
