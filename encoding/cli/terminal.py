"""Progress bars and tables on a terminal or in a log file."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import TextIO

from encoding.runtime.durations import duration

LINE_SECONDS = 1.0  # between plain lines
BAR_WIDTH = 24


class Progress:
    """Progress callback (:data:`encoding.runtime.progress.Report`): rich's bar on a terminal, else a plain line at most once a second.

    Parameters
    ----------
    stream : text stream, usually standard error. Characters that its encoding lacks are written as ``?``.
    clock : monotonic clock, seconds.
    """

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        from rich import progress
        from rich.console import Console

        console = Console(file=stream)
        self._stream, self._clock = stream, clock
        self._draws = console.is_terminal and not console.is_dumb_terminal
        self._bar = progress.Progress(
            progress.BarColumn(BAR_WIDTH),
            progress.TaskProgressColumn(),
            progress.TimeRemainingColumn(),
            progress.TextColumn("{task.description}", markup=False),
            console=console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            get_time=clock,
        )
        self._task = self._bar.add_task("", total=1.0)
        self._stepped_at, self._shown_at = clock(), -float("inf")

    def __call__(self, fraction: float, text: str) -> None:
        now, task = self._clock(), self._bar.tasks[0]
        fraction = max(task.completed, min(1.0, fraction))
        if fraction - task.completed > now - self._stepped_at:  # the whole within a second: done before, and no sign of the pace
            self._bar.reset(self._task, completed=fraction, description=text)
        else:
            self._bar.update(self._task, completed=fraction, description=text)
        self._stepped_at = now
        if self._draws:
            self._bar.start()
        elif now - self._shown_at >= LINE_SECONDS:
            self._shown_at = now
            left = task.time_remaining
            waiting = f", about {duration(left)} left" if left else ""
            self._write(f"{int(100 * fraction):3d} %  {text}{waiting}")

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        self.close()
        self._write(line)

    def close(self) -> None:
        """Remove the bar; the next report restores it."""
        if self._bar.live.is_started:
            self._bar.stop()

    def _write(self, line: str) -> None:
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        with contextlib.suppress(OSError):  # a log that cannot be written, as on a full disk, ends no fit
            self._stream.write(line.encode(encoding, "replace").decode(encoding) + "\n")
            self._stream.flush()


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, align: str, groups: Sequence[tuple[str, int]] = ()) -> str:
    """Format rows under a header, columns two spaces apart.

    Parameters
    ----------
    header : column titles.
    rows : cells as text.
    align : one character per column, ``<`` or ``>``.
    groups : titles above the header, each with the number of columns that it spans.
    """
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    lines = [
        "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, align, widths, strict=True)).rstrip() for row in (header, *rows)
    ]
    if groups:
        lines.insert(0, _group_line(groups, widths))
    return "\n".join(lines)


def _group_line(groups: Sequence[tuple[str, int]], widths: Sequence[int]) -> str:
    parts, start = [], 0
    for title, n_columns in groups:
        width = sum(widths[start : start + n_columns]) + 2 * (n_columns - 1)
        parts.append(f"{title:^{width}}")
        start += n_columns
    return "  ".join(parts).rstrip()


def file_size(n_bytes: int) -> str:
    """Format bytes in powers of 1,000: ``812 B``, ``3.4 MB``."""
    if n_bytes < 1000:
        return f"{n_bytes} B"
    power = min(3, (len(str(n_bytes)) - 1) // 3)
    return f"{n_bytes / 1000**power:,.1f} {('kB', 'MB', 'GB')[power - 1]}"
