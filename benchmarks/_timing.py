"""Timing and memory of one piece of work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def timed(work: Callable[[], T], *, times: int = 1) -> tuple[float, T]:
    """The least wall-clock seconds of several runs, and the last run's result."""
    best = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        result = work()
        best = min(best, time.perf_counter() - start)
    return best, result


def worked(work: Callable[[], T]) -> tuple[float, T, float]:
    """Wall-clock seconds of some work in this process, its result, and the processor seconds of all its threads."""
    before = time.process_time()
    seconds, result = timed(work)
    return seconds, result, time.process_time() - before


class PeakMemory:
    """Highest resident memory of this process inside a ``with`` block, file pages left out, in bytes.

    Memory-mapped responses and the page cache are not the process's own; what would fail for want of
    memory is its anonymous memory, read from ``/proc/self/status`` (Linux) every 5 ms.
    """

    def __enter__(self) -> PeakMemory:
        self.start = self.peak = _anonymous()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.005):
            self.peak = max(self.peak, _anonymous())


def _anonymous() -> int:
    with Path("/proc/self/status").open() as file:
        line = next(line for line in file if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024
