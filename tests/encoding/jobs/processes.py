"""Jobs are submitted and awaited, and clusters started as the documentation says."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from ast import literal_eval
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests import PROJECT

PATIENCE = 30.0


def began(spec):
    """The process in which a task of this spec began, for each time."""
    trace = Path(spec["trace"])
    return [int(line) for line in trace.read_text().splitlines()] if trace.exists() else []


def until(happened, patience=PATIENCE):
    """Wait for something to become true, at most ``patience`` seconds, and return it."""
    deadline = time.monotonic() + patience
    while not (answer := happened()):
        assert time.monotonic() < deadline, "It never happened."
        time.sleep(0.02)
    return answer


def with_key(spec, name):
    return spec | {"key": f"{spec['key']}-{name}", "trace": f"{spec['trace']}-{name}"}


def submit(jobs, task, spec):
    return jobs.submit(task, spec, key=spec["key"])


def wait(jobs, spec):
    return jobs.wait(spec["key"], timeout=PATIENCE)


def assert_gone(processes):
    until(lambda: not any(map(works, processes)))


def works(process):
    """Whether a process is more than an entry that its parent has yet to read."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def dask_cluster(tmp_path, options_of_the_worker, *, settings=(), protocol="tcp"):
    """A scheduler, which gives up a task with its first worker, and one worker where it has options."""
    file = tmp_path / "scheduler.json"
    environment = os.environ | {"PYTHONPATH": str(PROJECT), "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"} | dict(settings)
    dask = [sys.executable, "-m", "dask"]
    options = ["--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(file)]
    with (tmp_path / "dask.log").open("w") as log:
        start = [subprocess.Popen([*dask, "scheduler", "--protocol", protocol, "--port", "0", *options], env=environment, stderr=log)]
        until(lambda: file.exists() and file.stat().st_size)
        if options_of_the_worker:
            start.append(subprocess.Popen([*dask, "worker", *options, *options_of_the_worker], env=environment, stderr=log))
        try:
            yield literal_eval(file.read_text().replace("null", "None").replace("true", "True").replace("false", "False"))["address"]
        finally:
            family = [child for process in start for child in psutil.Process(process.pid).children(recursive=True)]
            for process in reversed(start):
                process.kill()
                process.wait()
            assert_gone(family)
