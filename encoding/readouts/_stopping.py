"""Early stopping: keeps the weights of lowest validation loss, for all targets together or per group of targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

    from encoding.readouts._layers import Network

AT_BEST = ("validation_r", "train_mse", "validation_mse")  # what is known of each target at its best epoch


def groups_of(rois: Mapping[str, np.ndarray], n_targets: int) -> list[np.ndarray]:
    """Group targets by ROI, the smallest where there are several, and last those of none; empty groups are left out."""
    owner = np.full(n_targets, -1)
    for number, columns in enumerate(sorted(rois.values(), key=len, reverse=True)):
        owner[columns] = number
    return [np.flatnonzero(owner == number) for number in (*range(len(rois)), -1) if np.any(owner == number)]


class EarlyStopping:
    """Early stopping with the best weights so far of each group of targets; all targets are one group by default."""

    def __init__(
        self, network: Network, n_targets: int, groups: Sequence[np.ndarray] = (), *, patience: int, decimals: int | None = None
    ) -> None:
        self.network, self.patience, self.decimals = network, patience, decimals
        self.groups: list[np.ndarray | slice] = list(groups) or [slice(None)]
        self.least = np.full(len(self.groups), np.inf)
        self.best_epoch = np.zeros(len(self.groups), int)
        self.then = {name: np.full(n_targets, np.nan) for name in AT_BEST}
        self.best = {name: value.detach().clone() for name, value in network.state_dict().items()}

    def see(self, epoch: int, loss: np.ndarray, values: Mapping[str, np.ndarray]) -> None:
        """Keep the weights after ``epoch``, and ``values`` (:data:`AT_BEST`), for each group whose mean of ``loss`` (t,) is the lowest."""
        now = self.network.state_dict()
        for number, columns in enumerate(self.groups):
            value = loss[columns].mean()
            value = value if self.decimals is None else round(value, self.decimals)
            if value < self.least[number] and not self._gave_up(epoch - 1, number):
                self.least[number], self.best_epoch[number] = value, epoch
                for name, kept in self.then.items():
                    kept[columns] = values[name][columns]
                for name, kept in self.best.items():
                    some = columns if len(self.groups) > 1 and name.startswith("heads.0.") else ...
                    kept[some] = now[name][some]

    def _gave_up(self, epoch: int, number: int) -> bool:
        return epoch - self.best_epoch[number] >= self.patience

    def done(self, epoch: int) -> bool:
        """Whether every group has used up its patience."""
        return all(self._gave_up(epoch, number) for number in range(len(self.groups)))

    def details(self) -> dict[str, np.ndarray]:
        """Best epoch of each target and its values then, (t,) each."""
        best_epoch = np.zeros(len(self.then["validation_r"]))
        for columns, epoch in zip(self.groups, self.best_epoch, strict=True):
            best_epoch[columns] = epoch
        return {"best_epoch": best_epoch} | self.then

    def state(self) -> dict[str, np.ndarray | torch.Tensor]:
        """All that :meth:`load` needs to go on from here."""
        tensors = {f"best.{name}": value for name, value in self.best.items()}
        return {"least": self.least, "best_epoch": self.best_epoch} | self.then | tensors

    def load(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from what :meth:`state` gave."""
        import torch

        self.least, self.best_epoch = arrays["least"], arrays["best_epoch"]
        self.then = {name: arrays.get(name, kept) for name, kept in self.then.items()}  # a checkpoint of an earlier version has fewer
        for name, kept in self.best.items():
            kept.copy_(torch.from_numpy(arrays[f"best.{name}"]))
