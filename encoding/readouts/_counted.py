"""Thread-safe progress counter for blocks of targets fitted in parallel."""

from __future__ import annotations

import threading

from encoding.runtime.progress import Report


class Counted:
    """Count finished pieces of work from any thread, and call ``report`` with the fraction done.

    What ``report`` raises is raised in every piece that is counted from then on.
    """

    def __init__(self, report: Report, n_pieces: int, text: str) -> None:
        self._report, self._n_pieces, self._text = report, max(1, n_pieces), text
        self._n_done, self._lock = 0, threading.Lock()
        self._stopped: BaseException | None = None

    def done(self) -> None:
        """Count one more finished piece."""
        with self._lock:
            if self._stopped is not None:
                raise self._stopped
            self._n_done += 1
            try:
                self._report(min(1.0, self._n_done / self._n_pieces), self._text)
            except BaseException as stopped:
                self._stopped = stopped
                raise
