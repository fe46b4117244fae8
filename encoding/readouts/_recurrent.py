"""Recurrent layers of the readout ``lstm`` as torch modules. Imported only when a network is built, since it loads torch."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from encoding.readouts._examples import ROW_BLOCK
from encoding.readouts._layers import Head
from encoding.readouts._model import Columns


class BothWays(nn.Module):
    """(b, n_frames * n_in), frame after frame -> (b, 2 * units): the last layer's state forwards after the last frame, then backwards
    after the first; with ``every_frame`` (b, n_frames * 2 * units), its states at each frame.

    Dropout stands between layers.
    """

    def __init__(self, n_in: int, n_frames: int, units: int, n_layers: int, dropout: float, *, every_frame: bool = False) -> None:
        super().__init__()
        self.n_frames, self.n_hidden, self.every_frame = n_frames, 2 * units * (n_frames if every_frame else 1), every_frame
        dropout = dropout if n_layers > 1 else 0.0
        self.lstm = nn.LSTM(n_in, units, n_layers, batch_first=True, dropout=dropout, bidirectional=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states, (state, _) = self.lstm(x.unflatten(1, (self.n_frames, -1)))  # (2 * n_layers, b, units), both ways of a layer together
        return states.flatten(1) if self.every_frame else torch.cat([state[-2], state[-1]], 1)


class LSTMHead(Head):
    """LSTM with a unit for each target, whose state after the last frame is the response: (n, n_frames * n_in) -> (n, t), within -1 … 1.

    Targets are coupled by the recurrent weights (4 t, t), so none has parameters of its own.
    """

    folds = False

    def __init__(self, n_hidden: int, n_frames: int, n_targets: int) -> None:
        super().__init__()
        self.n_frames, self.n_targets = n_frames, n_targets
        self.lstm = nn.LSTM(n_hidden // n_frames, n_targets, batch_first=True)

    def free(self) -> Iterator[nn.Parameter]:
        """No parameters: none belongs to one target alone."""
        return iter(())

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.lstm(z.unflatten(1, (self.n_frames, -1)))[1][0][0]

    def columns(self, z: torch.Tensor, columns: Columns) -> torch.Tensor:
        """Responses of some targets; all are computed, a block of rows at a time."""
        return torch.cat([self(z[start : start + ROW_BLOCK])[:, columns] for start in range(0, max(len(z), 1), ROW_BLOCK)])
