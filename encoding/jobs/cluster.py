"""A scheduler and its workers on this machine, in processes of their own.

Dask's ready-made clusters do not fit here: LocalCluster re-imports the main script, which dies under Streamlit, and
SubprocessCluster survives a killed parent and never reads its scheduler's error pipe, which fills up and blocks it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).parents[2]
CLOSE_SECONDS = 5.0


class Cluster:
    """Starts :mod:`encoding.jobs.serve` and holds the pipe that keeps it alive.

    Attributes
    ----------
    address : where the scheduler listens, on the loopback interface alone.

    Raises
    ------
    RuntimeError where the scheduler does not start.
    """

    def __init__(self) -> None:
        paths = [str(PROJECT), *(path for path in sys.path if path)]  # a worker imports what this process can
        self._scratch = tempfile.mkdtemp(prefix="encoding-jobs-")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "encoding.jobs.serve", self._scratch],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,  # Ctrl-C in the terminal is for the web server, which then closes the pipe
            text=True,
        )
        self.address = self._process.stdout.readline().strip()
        if not self.address:
            self.close()
            raise RuntimeError(f"The scheduler for background jobs ended at once with code {self._process.returncode}; it says why above.")

    @property
    def alive(self) -> bool:
        """Whether the scheduler's process still runs."""
        return self._process.poll() is None

    def close(self) -> None:
        """End scheduler and workers; returns when they are gone."""
        self._process.stdin.close()
        try:
            self._process.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()  # workers watch their parent and follow it
            self._process.wait()
        self._process.stdout.close()
        shutil.rmtree(self._scratch, ignore_errors=True)
