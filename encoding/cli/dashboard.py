"""``encoding-explorer``: the dashboard when called alone, else the commands of ``python -m encoding``."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from encoding.cli import main as run_command

APP = Path(__file__).parents[2] / "app.py"


def main() -> int:
    """Run the console script ``encoding-explorer``.

    Returns
    -------
    The exit code of the command; the dashboard ends the process itself.
    """
    if sys.argv[1:]:
        return run_command()
    if not APP.exists():
        print("The dashboard runs from the project's folder: install that with `pip install -e .`.", file=sys.stderr)
        return 1
    sys.argv = ["streamlit", "run", str(APP)]
    runpy.run_module("streamlit", run_name="__main__")
    return 0
