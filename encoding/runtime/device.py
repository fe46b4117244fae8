"""The device and the memory that fits may use."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def choose_device(device: str) -> str:
    """``auto`` resolved to ``cuda`` where there is one; ValueError where cuda is asked for and there is none."""
    import torch

    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device must be auto, cpu or cuda, not {device!r}.")
    found = torch.cuda.is_available()
    if device == "cuda" and not found:
        raise ValueError("No CUDA device was found. Use device='cpu', or 'auto' to take a GPU where there is one.")
    return "cuda" if device != "cpu" and found else "cpu"


def available_memory() -> float:
    """Bytes that may still be taken, a container's limit included."""
    import psutil

    free = float(psutil.virtual_memory().available)
    with suppress(OSError, ValueError, KeyError):  # no such files, or no limit
        group = Path("/sys/fs/cgroup")
        limit = float((group / "memory.max").read_text())
        used = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        free = min(free, limit - float(used["anon"]))
    return free
