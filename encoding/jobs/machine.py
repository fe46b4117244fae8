"""Describe the hardware available for fits: processor cores, memory, GPUs, disk space."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import joblib

from encoding.runtime.device import available_memory, choose_device

ASK_SECONDS = 10.0


@dataclass(frozen=True)
class Machine:
    """Hardware of one machine.

    Attributes
    ----------
    n_cores : processor cores that this process may use.
    memory, disk : free bytes of memory, and of the disk that holds the Store.
    device : ``cuda`` or ``cpu``, where fits run.
    gpus : names of the installed NVIDIA GPUs, whether or not torch can use them.
    scheduler : address of the external Dask scheduler that runs the fits; empty where none is set.
    """

    n_cores: int
    memory: float
    disk: float
    device: str
    gpus: tuple[str, ...]
    scheduler: str = ""

    def __str__(self) -> str:
        cores = f"{self.n_cores} processor cores" if self.n_cores > 1 else "one processor core"
        if self.device == "cuda":
            text = f"Fits run on {', '.join(self.gpus) or 'a GPU'}, beside {cores}."
        elif self.gpus:
            text = f"Fits run on {cores}: there is {', '.join(self.gpus)}, but the torch installed here cannot use it."
        else:
            text = f"Fits run on {cores}; no GPU was found."
        if self.scheduler:
            text = f"Fits go to the Dask scheduler at {self.scheduler}. This machine has {cores}."
        return f"{text} {self.memory / 1e9:,.0f} GB of memory and {self.disk / 1e9:,.0f} GB on the disk of results are free."


def machine(root: Path) -> Machine:
    """Describe this machine; ``root`` is the folder of the Store. Imports torch, which takes seconds the first time."""
    root.mkdir(parents=True, exist_ok=True)
    return Machine(
        n_cores=joblib.cpu_count(),
        memory=available_memory(),
        disk=float(shutil.disk_usage(root).free),
        device=choose_device("auto"),
        gpus=_gpus(),
        scheduler=os.environ.get("ENCODING_SCHEDULER", ""),
    )


def _gpus() -> tuple[str, ...]:
    """Names of the NVIDIA GPUs, from the driver's own program: torch would take up GPU memory to find out."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    try:
        command = [program, "--query-gpu=name", "--format=csv,noheader"]
        listed = subprocess.run(command, capture_output=True, text=True, timeout=ASK_SECONDS, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(line.strip() for line in listed.splitlines() if line.strip())
