"""Progress and tables for people who read a terminal, or the log file it was turned into."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from typing import TextIO

from encoding.runtime.durations import duration

REDRAW_SECONDS = 0.1  # of a bar
LINE_SECONDS = 1.0  # between plain lines
BAR_WIDTH = 24


class Progress:
    """A :data:`encoding.runtime.progress.Report` that people see: a bar on a terminal, else a plain line at most once a second."""

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._draws = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._time_left = TimeLeft(clock)
        self._fraction, self._shown_at, self._bar_is_up = 0.0, -float("inf"), False

    def __call__(self, fraction: float, text: str) -> None:
        self._fraction = max(self._fraction, min(1.0, fraction))
        left = self._time_left.after(self._fraction)
        waiting = "" if left is None or left < 0.5 else f"{duration(left)} left"
        now = self._clock()
        if now - self._shown_at < (REDRAW_SECONDS if self._draws else LINE_SECONDS):
            return
        self._shown_at = now
        percent = f"{int(100 * self._fraction):3d} %"
        if self._draws:
            full = int(BAR_WIDTH * self._fraction)
            line = f"[{'#' * full}{'.' * (BAR_WIDTH - full)}] {percent}  {waiting:<15}  {text}"
            self._stream.write("\r" + line[: shutil.get_terminal_size().columns - 1] + "\x1b[K")
            self._bar_is_up = True
        else:
            self._stream.write(f"{percent}  {text}{', about ' if waiting else ''}{waiting}\n")
        self._stream.flush()

    def say(self, line: str) -> None:
        """Write a line of its own, above the bar."""
        self.close()
        self._stream.write(line + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Take the bar away."""
        if self._bar_is_up:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._bar_is_up, self._shown_at = False, -float("inf")


class TimeLeft:
    """Seconds that work still takes, at the pace it has had so far.

    Steps that would do the whole work within a second were found done already: they say nothing of the pace.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._fraction, self._seen_at = 0.0, clock()
        self._done = self._seconds = 0.0

    def after(self, fraction: float) -> float | None:
        """The estimate once ``fraction`` is done; None until a second of work was seen."""
        step, seconds = fraction - self._fraction, self._clock() - self._seen_at
        if seconds >= REDRAW_SECONDS:  # shorter steps come in bursts
            if step <= seconds:
                self._done, self._seconds = self._done + step, self._seconds + seconds
            self._fraction, self._seen_at = fraction, self._seen_at + seconds
        if self._seconds < 1 or self._done <= 0:
            return None
        return self._seconds / self._done * (1 - fraction)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, align: str, groups: Sequence[tuple[str, int]] = ()) -> str:
    """Rows under a header, columns two spaces apart.

    Parameters
    ----------
    align : one letter a column, ``<`` or ``>``.
    groups : titles over the header, each with the number of columns it stands over.
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
    """``812 B``, ``3.4 MB``: in powers of 1,000."""
    if n_bytes < 1000:
        return f"{n_bytes} B"
    power = min(3, (len(str(n_bytes)) - 1) // 3)
    return f"{n_bytes / 1000**power:,.1f} {('kB', 'MB', 'GB')[power - 1]}"
