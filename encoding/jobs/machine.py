"""What this machine has for fits: processors, memory, a GPU, room on the disk."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from encoding.runtime.device import available_memory, choose_device

ASK_SECONDS = 10.0


@dataclass(frozen=True)
class Machine:
    """Attributes: processor cores that this process may use; bytes of memory and disk that are free; the GPUs that
    torch can use, by name, and the device that fits take; the Dask scheduler that gets the fits instead, where one is named."""

    n_cores: int
    memory: float
    disk: float
    device: str
    cards: tuple[str, ...]
    scheduler: str = ""

    def __str__(self) -> str:
        cores = f"{self.n_cores} processor cores" if self.n_cores > 1 else "one processor core"
        if self.device == "cuda":
            told = f"Fits run on {', '.join(self.cards) or 'a GPU'}, beside {cores}."
        elif self.cards:
            told = f"Fits run on {cores}: there is {', '.join(self.cards)}, but the torch installed here cannot use it."
        else:
            told = f"Fits run on {cores}; no GPU was found."
        if self.scheduler:
            told = f"Fits go to the Dask scheduler at {self.scheduler}. This machine has {cores}."
        return f"{told} {self.memory / 1e9:,.0f} GB of memory and {self.disk / 1e9:,.0f} GB on the disk of results are free."


def machine(root: Path) -> Machine:
    """What is here now; ``root`` is the folder of the Store. Imports torch, which takes seconds the first time."""
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    root.mkdir(parents=True, exist_ok=True)
    return Machine(
        n_cores=n_cores,
        memory=available_memory(),
        disk=float(shutil.disk_usage(root).free),
        device=choose_device("auto"),
        cards=_cards(),
        scheduler=os.environ.get("ENCODING_SCHEDULER", ""),
    )


def _cards() -> tuple[str, ...]:
    """The names of NVIDIA's cards, asked of its driver's own program: torch would take up video memory to tell."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    try:
        asked = [program, "--query-gpu=name", "--format=csv,noheader"]
        found = subprocess.run(asked, capture_output=True, text=True, timeout=ASK_SECONDS, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(line.strip() for line in found.splitlines() if line.strip())
