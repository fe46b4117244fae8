"""The live table of a notebook shows what the terminal shows, and ends with its run."""

from __future__ import annotations

import sys
import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest

from encoding.cli.experimenting import states_table
from encoding.experiments import Experiment
from encoding.experiments import states as module
from encoding.experiments.graph import compile_graph
from encoding.experiments.progress import Run
from encoding.experiments.states import NotebookTable, shown_states, summary
from tests.conftest import TINY

GRID = Experiment(base=replace(TINY, hemi="lh"), vary={"layers": "curated", "readout": ["ridge", "ols"]})


@pytest.fixture
def run(tiny, store):
    return Run(compile_graph(GRID.cells(), store))


def test_the_rows_of_a_notebook_are_those_of_the_terminal(run):
    table = NotebookTable()
    assert "No experiment" in table._repr_html_()
    task = run.take()
    run.report(task.key, 0.25, "half of <it>")
    table._run = run
    labels, text = [each.cell.label for each in run.graph.cells], table._repr_html_()
    for label, state in shown_states(labels, run.status()):
        assert f"<td>{label}</td><td>{state}</td>" in text and label in states_table(labels, run.status())
    assert f"{task.stage} 25%" in text and "4 running" in text and f"value='{run.fraction:.3f}'" in text


def test_what_others_wrote_is_escaped(run):
    table = NotebookTable()
    table._run = run
    run.fail(run.take().key, "BadData", "<script>")
    assert "&lt;script&gt;" in table._repr_html_() and "<script>" not in table._repr_html_()


@pytest.mark.parametrize("ends", ["done", "cancelled"])
def test_the_table_is_drawn_until_the_run_has_ended(run, monkeypatch, ends):
    shown, last = [], threading.Event()

    def update(table):
        shown.append(table._repr_html_())
        if f"4 {ends}" in shown[-1]:
            last.set()

    display = SimpleNamespace(display=lambda table, display_id: SimpleNamespace(update=update))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(display=display))
    monkeypatch.setattr(module, "DRAW_SECONDS", 0.01)
    NotebookTable()(run)
    while ends == "done" and (task := run.take()) is not None:
        run.done(task.key, 1.0)
    run.cancel()
    assert last.wait(20) and summary(run.status()).startswith(f"4 {ends}")
