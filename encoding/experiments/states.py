"""State of an experiment as text: the same rows and summary on a terminal and in a notebook, where they are a live table."""

from __future__ import annotations

import html
import threading
from collections.abc import Sequence

from encoding.experiments.progress import CellState, Run, Status
from encoding.runtime.durations import duration

N_SHOWN = 30  # cells in a table
DRAW_SECONDS = 1.0


def shown_states(labels: Sequence[str], status: Status, *, n_shown: int = N_SHOWN, unfinished_first: bool = False) -> list[tuple[str, str]]:
    """Label and state of each fit; of more than ``n_shown`` the failed or the unfinished ones, and a last row with the number of others."""
    rows = [(label, state_text(cell)) for label, cell in zip(labels, status.cells, strict=True)]
    if len(rows) <= n_shown:
        return rows
    order = ("failed", "cancelled", "running", "waiting", "done")
    if unfinished_first:
        order = ("running", "failed", "waiting", "cancelled", "done")
    ranked = sorted(range(len(rows)), key=lambda number: order.index(status.cells[number].state))[:n_shown]
    return [*(rows[number] for number in sorted(ranked)), (f"… and {len(rows) - n_shown:,} more", "")]


def state_text(cell: CellState) -> str:
    """A fit's state with the stage that runs, or why it failed."""
    if cell.state == "running":
        return f"{cell.stage} {cell.fraction:.0%}"
    why = f": {cell.error_kind}: {cell.error}" if cell.error else ""
    return f"{cell.state}{' without intervals' if cell.state == 'done' and cell.error else ''}{why}"


def summary(status: Status) -> str:
    """Count the fits by state, with the time left."""
    states = ("waiting", "running", "done", "failed", "cancelled")
    counts = ", ".join(f"{status.count(state):,} {state}" for state in states if status.count(state))
    left = f"; about {duration(status.seconds_left)} left" if status.seconds_left and status.n_ended < status.n_tasks else ""
    return f"{counts}; {duration(status.seconds)}{left}{f'. {status.note}' if status.note else ''}"


class NotebookTable:
    """Live table of an experiment in a notebook: ``run_experiment(grid, store, watch=NotebookTable())``.

    It is drawn below the cell once a second until the run has ended.
    """

    def __init__(self) -> None:
        self._run: Run | None = None

    def __call__(self, run: Run) -> None:
        """Show a run and begin to follow it."""
        from IPython.display import display

        self._run = run
        handle = display(self, display_id=True)
        threading.Thread(target=self._follow, args=(handle,), daemon=True).start()

    def _follow(self, handle: object) -> None:
        ended = threading.Event()
        while not (self._run.finished or self._run.cancelled):
            ended.wait(DRAW_SECONDS)
            handle.update(self)

    def _repr_html_(self) -> str:
        if self._run is None:
            return "<p>No experiment was run yet.</p>"
        labels, status = [planned.cell.label for planned in self._run.graph.cells], self._run.status()
        rows = [
            f"<tr><td>{html.escape(label)}</td><td>{html.escape(state)}</td></tr>"
            for label, state in shown_states(labels, status, unfinished_first=True)
        ]
        head = "<tr><th>fit</th><th>state</th></tr>"
        bar = f"<progress max='1' value='{self._run.fraction:.3f}'></progress> {html.escape(summary(status))}"
        return f"{bar}<table>{head}{''.join(rows)}</table>"
