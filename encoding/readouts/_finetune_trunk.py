"""Trunk of ``finetune``: a backbone up to the layers of a fit, whose last blocks are trained.

Imported only when one is built, since it loads torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

from encoding.backbones._blocks import Cut
from encoding.backbones._capture import capture
from encoding.backbones._modules import ModuleBackbone
from encoding.backbones._pooling import over_frames
from encoding.readouts._examples import Scale
from encoding.readouts._layers import ACTIVATIONS, Standardise

NETWORK = "network."
FORWARD_PIXELS = 32 * 224 * 224  # pixels passed forward at a time where no gradients are wanted
LEAST = 0.1  # deviation of a feature, as a share of its layer's: one that hardly varies is not blown up


class Trunk(nn.Module):
    """PreparedStimuli (b, n_frames, 3, height, width) -> (b, n_hidden): backbone, pooling, standard units, bottleneck.

    Only the tensors that learn, and those behind the backbone, are in ``state_dict``; the others are the backbone's own and never change.
    The backbone stays in evaluation mode, so its batch norms keep their statistics and it drops nothing out.

    Parameters
    ----------
    sizes : features of each layer, pooled and with frames side by side where they are not pooled.
    tuned : names of the backbone's parameters that learn.
    hidden : units of the bottleneck; 0 for none.
    """

    def __init__(
        self,
        backbone: ModuleBackbone,
        layers: Sequence[str],
        sizes: Sequence[int],
        tuned: Sequence[str],
        *,
        pool: str,
        over: str,
        hidden: int,
        activation: str,
        dropout: float,
        flip: bool = False,
    ) -> None:
        super().__init__()
        self.network, self.calls = backbone.network.eval(), backbone.calls
        self.layers, self.sizes, self.tuned = tuple(layers), tuple(sizes), frozenset(tuned)
        self.pool, self.over, self.flip = pool, over, flip
        self.axes = backbone.axes(self.layers, pool)
        self.enter_at(None)
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(name in self.tuned)
        self.standardise = Standardise(sum(sizes))
        bottleneck = [nn.Linear(sum(sizes), hidden), ACTIVATIONS[activation]()] if hidden else []
        self.bottleneck = nn.Sequential(*bottleneck, nn.Dropout(dropout))
        self.n_hidden = hidden or sum(sizes)
        self.register_state_dict_post_hook(_leave_out_the_frozen)
        self.register_load_state_dict_post_hook(_miss_none_of_the_frozen)

    def train(self, mode: bool = True) -> Trunk:
        super().train(mode)
        self.network.eval()
        return self

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Forward pass of images, or of the cut's output (b, n_frames, ...) where there is a cut."""
        return self.bottleneck(self.standardise(self.features(x)))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """The layers side by side, (b, n_features) float32; a few images at a time where no gradients are wanted."""
        if torch.is_grad_enabled():
            return self._features(x)
        n_pixels = x.shape[1] * int(np.prod(self.size if self.cut else x.shape[3:]))
        step = max(1, FORWARD_PIXELS // n_pixels)
        return torch.cat([self._features(x[start : start + step]) for start in range(0, len(x), step)])

    def _features(self, x: torch.Tensor) -> torch.Tensor:
        n_frames, frames = x.shape[1], x.flatten(0, 1)
        if self.flip and self.training:
            mirrored = (torch.rand(len(x)) < 0.5).repeat_interleave(n_frames).to(x.device)
            frames = torch.where(mirrored.view(-1, 1, 1, 1), frames.flip(-1), frames)
        outputs = self._captured(frames)
        return torch.cat([over_frames(outputs[layer], n_frames, self.over) for layer in self.layers], 1)

    def _captured(self, frames: torch.Tensor) -> Mapping[str, torch.Tensor]:
        wanted = (self.calls, self.layers, self.pool)
        if self.cut is None:
            return capture(self.network, frames, *wanted, axes=self.axes, learning=True)
        with self.cut.entered(self.network, frames):
            unseen = frames.new_zeros(()).expand(len(frames), 3, *self.size)
            return capture(self.network, unseen, *wanted, axes=self.axes, learning=True)

    def enter_at(self, cut: Cut | None, size: Sequence[int] = (1, 1)) -> None:
        """Take the output of ``cut`` as input, for images of ``size`` (height, width); None takes images again."""
        self.cut, self.size = cut, tuple(size)

    def load_scale(self, scale: Scale) -> None:
        """Take means and deviations of the features (n_features,)."""
        deviation = np.where(scale.constant, 0, scale.deviation)
        edges = np.cumsum([0, *self.sizes])
        for start, stop in pairwise(edges):
            part = deviation[start:stop]
            part[:] = np.maximum(part, LEAST * (np.sqrt(np.mean(part**2)) or 1 / LEAST))
        self.standardise.load(Scale(scale.mean, deviation, scale.constant))


def _leave_out_the_frozen(trunk: Trunk, tensors: dict[str, Any], prefix: str, _: Any) -> None:
    start = prefix + NETWORK
    for name in [name for name in tensors if name.startswith(start) and name.removeprefix(start) not in trunk.tuned]:
        del tensors[name]


def _miss_none_of_the_frozen(trunk: Trunk, keys: Any) -> None:
    """A state has no frozen tensors, and none of them is missing."""
    tuned = {f"{NETWORK}{name}" for name in trunk.tuned}
    keys.missing_keys[:] = [name for name in keys.missing_keys if (at := name.find(NETWORK)) < 0 or name[at:] in tuned]
