"""Where a long training keeps its state, so that one that was killed goes on from there."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from encoding.storage.keys import digest
from encoding.storage.store import Store

CHECKPOINT_VERSION = 1


class Checkpoint:
    """The latest state of one training. Two places are written in turn, so that a kill while writing leaves the state before.

    Parameters
    ----------
    name : of the result that the training will give; states of other trainings are never read.
    """

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._keys = [digest("checkpoint", CHECKPOINT_VERSION, of=name, place=place) for place in (0, 1)]

    def load(self) -> dict[str, np.ndarray] | None:
        """The arrays saved last, in memory and writable; None where there are none."""
        found = [self._store.get(key) for key in self._keys]
        states = sorted((state for state in found if state is not None), key=lambda state: int(state["saved"]))
        return {name: np.array(value) for name, value in states[-1].items() if name != "saved"} if states else None

    def save(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep ``arrays`` in place of what was kept before."""
        found = [self._store.get(key) for key in self._keys]
        numbers = [-1 if state is None else int(state["saved"]) for state in found]
        older = self._keys[int(np.argmin(numbers))]
        self._store.remove(older)
        self._store.put(older, {**arrays, "saved": np.array(max(numbers) + 1)}, {})

    def clear(self) -> None:
        """Forget every state: the training has given its result."""
        for key in self._keys:
            self._store.remove(key)
