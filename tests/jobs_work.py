"""Stand-in tasks for the tests of background jobs, which worker processes import. ``spec`` is a plain dict."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import time
import warnings
from pathlib import Path

import numpy as np

from encoding.storage.store import DamagedResult


def _begin(spec):
    """Leave a line that says in which process the task began."""
    with Path(spec["trace"]).open("a") as trace:
        trace.write(f"{os.getpid()}\n")


def count(spec, store, report, device):
    """Ten steps, each reported, of ``seconds`` in all."""
    _begin(spec)
    for step in range(10):
        report(step / 10, f"Step {step + 1} of 10")
        time.sleep(spec.get("seconds", 0.0) / 10)
    store.put(spec["key"], {"answer": np.array([42.0])}, {"device": device})
    report(1.0, "Done")


def hold(spec, store, report, device):
    """Reports once, then stays in one call that hears nothing."""
    _begin(spec)
    report(0.3, "Holding")
    time.sleep(120)


def multiply(spec, store, report, device):
    """One product that takes half a minute or more and leaves Python out all the while."""
    _begin(spec)
    A = np.ones((12_000, 12_000), np.float32)
    report(0.3, "Multiplying")
    A @ A


def keep(spec, store, report, device):
    """A search that takes ages and keeps Python's lock: no other thread of the process can run."""
    _begin(spec)
    report(0.3, "Searching")
    time.sleep(1.0)  # for the report to leave
    re.match("(a+)+$", "a" * 50 + "b")


def die(spec, store, report, device):
    """Its process ends the first time, as if the system had run out of memory."""
    _begin(spec)
    report(0.5, "Filling memory")
    if len(Path(spec["trace"]).read_text().splitlines()) == 1:
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)


def fail(spec, store, report, device):
    """Raises."""
    raise ValueError("Only 3 images for 5 folds.")


def burst(spec, store, report, device):
    """A thousand reports at once, then silence for a second."""
    for step in range(1000):
        report(step / 2000, f"Image {step} of 1000")
    report(0.5, "Fitting")
    time.sleep(1.0)


def warn(spec, store, report, device):
    """Finds something damaged."""
    report(0.1, "Reading")
    warnings.warn("features-1 is damaged; it is computed again.", DamagedResult, stacklevel=1)


def surroundings(spec, store, report, device):
    """Write down what the worker process looks like."""
    reading, writing = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("spawn").Process(target=writing.send, args=("a job may start processes",))
    child.start()
    child.join()
    found = {"cwd": str(Path.cwd()), "cores": os.cpu_count(), "child": reading.recv() if reading.poll() else None}
    Path(spec["trace"]).write_text(repr(found | {"OMP_NUM_THREADS": os.environ["OMP_NUM_THREADS"]}))
