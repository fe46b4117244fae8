"""Torch's random numbers, of which a process has one state for all its threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

ONE_AT_A_TIME = threading.RLock()  # held by whoever draws from a random state of the whole process that was seeded for it


@contextmanager
def seeded(seed: int, device: str = "cpu") -> Iterator[None]:
    """Seed torch's random numbers within the block; the state from before is restored afterwards. Other threads' blocks wait."""
    import torch

    on_gpu = device.startswith("cuda")
    with ONE_AT_A_TIME, torch.random.fork_rng(devices=[torch.device(device).index or 0] if on_gpu else []):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reach every GPU too
        if on_gpu:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
