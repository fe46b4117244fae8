"""Choice of the compute device, and available memory."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def choose_device(device: str) -> str:
    """Resolve ``auto`` to ``cuda`` where a GPU is available; ValueError where ``cuda`` is requested and none is."""
    import torch

    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device must be auto, cpu or cuda, not {device!r}.")
    has_cuda = torch.cuda.is_available()
    if device == "cuda" and not has_cuda:
        raise ValueError("No CUDA device was found. Use device='cpu', or 'auto' to take a GPU where there is one.")
    return "cuda" if device != "cpu" and has_cuda else "cpu"


def available_memory() -> float:
    """Bytes of memory available to this process: free on the machine, within the limits of its control groups."""
    import psutil

    return min(float(psutil.virtual_memory().available), _free_in_groups())


def _free_in_groups(listing: Path = Path("/proc/self/cgroup"), mount: Path = Path("/sys/fs/cgroup")) -> float:
    """Bytes free under the tightest memory limit of this process's control group (version 2) and those above it; infinite without."""
    free = float("inf")
    try:
        own = next(line.removeprefix("0::/") for line in listing.read_text().splitlines() if line.startswith("0::/"))
    except (OSError, StopIteration):  # no Linux, or version 1
        own = ""
    for group in (mount / own, *(mount / own).parents):
        if not group.is_relative_to(mount):
            break
        with suppress(OSError, ValueError, KeyError):  # no such files here, or no limit
            limit = float((group / "memory.max").read_text())
            used = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            free = min(free, limit - float(used["anon"]))
    return free
