"""Provenance of a result: time, library versions, machine kind and git commit."""

from __future__ import annotations

import datetime
import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

LIBRARIES = ("numpy", "torch", "torchvision", "scikit-learn", "nilearn", "open_clip_torch", "timm")


def environment() -> dict[str, Any]:
    """Time (UTC), library versions, Python, machine kind and git commit of this process."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {
        "created": now,
        "libraries": _versions(),
        "commit": _commit(),
        "python": platform.python_version(),
        "machine": platform.machine(),
    }


@cache
def _versions() -> dict[str, str]:
    installed = {}
    for name in LIBRARIES:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return installed


@cache
def _commit() -> str:
    ask = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(ask, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"
