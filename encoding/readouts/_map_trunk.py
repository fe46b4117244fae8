"""Convolutional trunk of the readout ``positional`` as torch modules. Imported only when a network is built, since it loads torch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class ToMap(nn.Module):
    """Flattened features (n, p) -> (n, channels, height, width).

    Parameters
    ----------
    places : channels, height and width, and 1 where features stand place by place, 0 where channel by channel.
    """

    def __init__(self, places: Sequence[int]) -> None:
        super().__init__()
        self.channels, self.height, self.width, self.channels_last = places

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.channels_last:
            return x.unflatten(1, (self.height, self.width, self.channels)).permute(0, 3, 1, 2)
        return x.unflatten(1, (self.channels, self.height, self.width))


def map_trunk(places: Sequence[int], n_layers: int, channels: int, n_hidden: int, *, dropout: float, leak: float) -> list[nn.Module]:
    """Layers from flattened features (n, p) to (n, n_hidden): Conv2d of stride 2, BatchNorm2d and LeakyReLU, then a fully connected one."""
    layers: list[nn.Module] = [ToMap(places)]
    n_in, height, width = places[:3]
    for _ in range(n_layers):
        layers += [nn.Conv2d(n_in, channels, 3, stride=2, padding=1), nn.BatchNorm2d(channels), nn.LeakyReLU(leak)]
        n_in, height, width = channels, -(-height // 2), -(-width // 2)
    return [*layers, nn.Flatten(), nn.Linear(n_in * height * width, n_hidden), nn.LeakyReLU(leak), nn.Dropout(dropout)]
