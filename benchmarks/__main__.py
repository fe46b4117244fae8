"""Run the benchmarks: ``python -m benchmarks [NAME …] [--small] [--write]``.

Prints one JSON document and, with ``--write``, writes the table into docs/benchmarks.md. Nothing here is a test:
machines differ, so what is reported is a ratio of two things measured side by side.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from contextlib import suppress
from pathlib import Path

import psutil

NAMES = (
    "ridge",
    "lasso",
    "banded_ridge",
    "knn",
    "whole_subject",
    "extraction",
    "pca",
    "scale",
    "page",
    "pages",
    "endurance",
    "classroom",
)
PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
START, END = "<!-- benchmarks: start -->", "<!-- benchmarks: end -->"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", default=NAMES, help=f"any of {', '.join(NAMES)}")
    parser.add_argument("--small", "--quick", dest="quick", action="store_true", help="smaller problems, to see that everything runs")
    parser.add_argument("--write", action="store_true", help="write the table into docs/benchmarks.md")
    asked = parser.parse_args()
    rows = []
    for name in asked.names:
        print(f"running {name} …", file=sys.stderr, flush=True)
        rows += importlib.import_module(f"benchmarks.{name}").measure(quick=asked.quick)
    print(json.dumps({"machine": machine(), "quick": asked.quick, "rows": rows}, indent=1))
    if asked.write:
        write_table(rows)


def machine() -> dict[str, object]:
    """What the numbers were measured on."""
    import torch

    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _processor() -> str:
    """Model of the processor, where the system names it."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return platform.processor() or platform.machine()


def table(rows: list[dict[str, object]]) -> str:
    """A Markdown table of the rows."""
    lines = ["| what | ours | against | ratio | aim |", "|---|---|---|---|---|"]
    lines += [f"| {row['what']} | {row['ours']} | {row['against']} | {row['ratio']} | {row['aim']} |" for row in rows]
    return "\n".join(lines)


def write_table(rows: list[dict[str, object]]) -> None:
    """Put the rows into the table between the page's markers; rows of other benchmarks stay as they were."""
    about = machine()
    text = PAGE.read_text()
    before, (old, after) = text.split(START)[0], text.split(START)[1].split(END)
    kept = dict.fromkeys(line for line in old.splitlines() if line.startswith("| ") and not line.startswith("| what "))
    lines = {line.split(" | ")[0]: line for line in [*kept, *table(rows).splitlines()[2:]]}
    head = "\n".join(table([]).splitlines())
    where = f"{about['cores']} cores ({about['processor']}, {about['memory_gib']} GiB), {about['gpu'] or 'no GPU'}, torch {about['torch']}"
    said = f"Measured on {where}, by `python -m benchmarks`."
    PAGE.write_text("\n".join([f"{before}{START}", said, "", head, *lines.values(), f"{END}{after}"]))


if __name__ == "__main__":
    main()
