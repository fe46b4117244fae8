"""Write a finished fit as a Jupyter notebook: its provenance, the code that fits it again, the table, the bars and the brain."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from encoding.datasets._placement import Placement
from encoding.fits.score_tables import ScoreTables

FORMAT = (4, 5)  # nbformat, major and minor


def notebook(result: ScoreTables, *, score: str = "r", statistic: str = "mean", selected: str | None = None) -> str:
    """The notebook of a view of a fit as JSON of nbformat 4.5.

    Whoever runs it needs this program and the data set; the table of scores stands in it already, so that it can be read without.

    Parameters
    ----------
    score, statistic, selected : what the bars show, as for :func:`encoding.plots.roi_bars`.
    """
    plan = result.plan
    provenance = result.provenance
    facts = {
        "key": result.key,
        "made (UTC)": provenance.get("created"),
        "program (commit)": provenance.get("commit"),
        "libraries": provenance.get("libraries"),
    }
    facts |= {"simulated": plan.subject.simulated, "training rows": result.n_train, "test rows": result.n_test}
    simulated = "\n\n**Simulated: no brain was measured.**" if plan.subject.simulated else ""
    bars = f"score={score!r}, statistic={statistic!r}, selected={selected!r}"
    cells = [
        markdown_cell(
            f"# Encoding model\n\nThe settings are spelled out in the code below.{simulated}\n\n```json\n{json.dumps(facts, indent=1)}\n```"
        ),
        code_cell(plan.spec.to_python(full=True)),
        markdown_cell("Mean scores of every ROI, as they were when this notebook was written:"),
        code_cell("result", html=result._repr_html_()),
        markdown_cell("The same as bars, drawn by plotly:"),
        code_cell(f"from encoding import plots\n\nplots.roi_bars(result.rois(), {bars}, unit=result.plan.subject.unit)"),
    ]
    if Placement.of(plan.subject) is not None:
        code = (
            "from encoding.plots.brain.export import BrainFrame\nfrom encoding.plots.brain.score_maps import score_brain, top_of_scale\n\n"
            'BrainFrame(score_brain(result, highest=top_of_scale([result])), caption=f"r per vertex, {result.key}")'
        )
        cells += [markdown_cell("The brain, to turn and zoom:"), code_cell(code)]
    return as_notebook(cells)


def as_notebook(cells: Sequence[dict[str, Any]]) -> str:
    """JSON of nbformat 4.5 of a notebook with cells made by :func:`markdown_cell` and :func:`code_cell`."""
    cells = [cell | {"id": f"cell-{number}"} for number, cell in enumerate(cells, start=1)]
    metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    document = {"nbformat": FORMAT[0], "nbformat_minor": FORMAT[1], "metadata": metadata, "cells": cells}
    return json.dumps(document, indent=1, ensure_ascii=False)


def markdown_cell(text: str) -> dict[str, Any]:
    """A cell of Markdown."""
    return {"cell_type": "markdown", "metadata": {}, "source": text}


def code_cell(source: str, *, html: str = "") -> dict[str, Any]:
    """A code cell, with HTML that it is known to show."""
    outputs = [{"output_type": "display_data", "metadata": {}, "data": {"text/html": html}}] if html else []
    return {"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": outputs, "source": source}
