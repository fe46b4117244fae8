"""Held-out loss (mean squared error or -r) of linear weights, from moments."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from encoding.readouts._moments import Centred, Moments, centred

if TYPE_CHECKING:
    import torch

SELECTIONS = ("r2", "r")


class HeldOut:
    """Moments of one held-out fold, from which the :meth:`loss` of linear weights is computed.

    Parameters
    ----------
    moments : of F folds, p components and t targets.
    fold : number of the held-out fold, 0 … F - 1.
    train : the other folds, centred, whose means are subtracted from the held-out rows too where ``select`` is ``r2``.
    select : ``r2`` (the loss is the mean squared error) or ``r`` (the loss is -r); lower is better.
    """

    def __init__(self, moments: Moments, fold: int, train: Centred, select: str, *, device: str) -> None:
        held_out = centred(moments, np.array([fold]), device=device, about=train if select == "r2" else None)
        self.select, self.n = select, held_out.n
        self.xx, self.xy, self.yy = held_out.xx.to(train.xy.dtype), held_out.xy, held_out.yy.to(train.xy.dtype)

    def loss(self, weights: torch.Tensor) -> torch.Tensor:
        """Held-out loss (t,) of weights (p, t)."""
        import torch

        if self.select == "r2":
            quadratic = torch.addmm(self.xy, self.xx, weights, beta=-2)
            return (quadratic.mul_(weights).sum(0) + self.yy) / self.n
        predicted = (self.xx @ weights).mul_(weights).sum(0)
        cross = (self.xy * weights).sum(0)
        scale = predicted.clamp(min=0).sqrt() * self.yy.clamp(min=0).sqrt()  # the product under one root may overflow in float32
        return torch.where(scale > 0, -cross / scale, 0.0)
