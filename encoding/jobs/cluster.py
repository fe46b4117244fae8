"""Local Dask cluster: a scheduler and its workers in separate processes on this machine.

A client of a Dask scheduler can run code in it, so connections use mutually authenticated TLS. Credentials are created at each start
and passed through pipes; they never appear in a file, argument or environment variable that another account can read.

Dask's own clusters do not fit: LocalCluster re-imports the main script, which fails under Streamlit; SubprocessCluster survives a
killed parent and never reads its scheduler's standard error, whose pipe fills up and blocks it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distributed.security import Security

PROJECT = Path(__file__).parents[2]
CLOSE_SECONDS = 5.0


class Cluster:
    """Start :mod:`encoding.jobs.serve` in a subprocess and keep open the pipe that it lives by.

    Parameters
    ----------
    n_workers : worker processes; by default as :func:`encoding.jobs.serve.worker_environments` says.

    Attributes
    ----------
    address : of the scheduler (``tls://127.0.0.1:PORT``), on the loopback interface only.

    Raises
    ------
    ConnectionError
        If the scheduler does not start.
    """

    def __init__(self, *, n_workers: int | None = None) -> None:
        wanted = {} if n_workers is None else {"ENCODING_WORKERS": str(n_workers)}
        paths = [str(PROJECT), *(path for path in sys.path if path)]  # a worker imports what this process can
        self._scratch = tempfile.mkdtemp(prefix="encoding-jobs-")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "encoding.jobs.serve", self._scratch],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | wanted | {"PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,  # Ctrl-C in the terminal is for the web server, which then closes the pipe
            text=True,
        )
        first_line = self._process.stdout.readline()
        started = json.loads(first_line) if first_line else {"error": "They ended at once; what they printed says why."}
        if "error" in started:
            self.close()
            raise ConnectionError(f"The workers of background jobs cannot be started. {started['error']}")
        self.address: str = started["address"]
        self._certificate, self._private_key = started["certificate"], started["private_key"]

    def security(self) -> Security:
        """TLS credentials of a client of this scheduler."""
        from distributed.security import Security

        return Security(
            require_encryption=True,
            tls_ca_file=self._certificate,
            tls_client_cert=self._certificate,
            tls_client_key=self._private_key,
        )

    @property
    def alive(self) -> bool:
        """Whether the scheduler's process is running."""
        return self._process.poll() is None

    def close(self) -> None:
        """Stop the scheduler and workers, and wait until they have exited."""
        self._process.stdin.close()
        try:
            self._process.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()  # workers watch their parent and follow it
            self._process.wait()
        self._process.stdout.close()
        shutil.rmtree(self._scratch, ignore_errors=True)
