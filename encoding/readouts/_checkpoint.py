"""Checkpoints of a long training, from which an interrupted one resumes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from encoding.storage.keys import digest
from encoding.storage.store import Store

CHECKPOINT_VERSION = 1


class Checkpoint:
    """Latest state of one training; two slots are written in turn, so that a kill during writing leaves the previous state.

    Parameters
    ----------
    name : of the result that the training will give; states of other trainings are never read.
    """

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._keys = [digest("checkpoint", CHECKPOINT_VERSION, of=name, place=place) for place in (0, 1)]

    def load(self) -> dict[str, np.ndarray] | None:
        """Load the arrays saved last, in memory and writable; None where there are none."""
        attempts = [self._store.get(key) for key in self._keys]
        states = sorted((state for state in attempts if state is not None), key=lambda state: int(state["saved"]))
        return {name: np.array(value) for name, value in states[-1].items() if name != "saved"} if states else None

    def save(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Save ``arrays`` in place of the previous state."""
        attempts = [self._store.get(key) for key in self._keys]
        numbers = [-1 if state is None else int(state["saved"]) for state in attempts]
        older = self._keys[int(np.argmin(numbers))]
        self._store.remove(older)
        self._store.put(older, {**arrays, "saved": np.array(max(numbers) + 1)}, {})

    def clear(self) -> None:
        """Remove every state, once the result of the training is stored."""
        for key in self._keys:
            self._store.remove(key)
