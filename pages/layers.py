"""Where a fresh server's first visitor lands who follows a link to this page; see :mod:`pages`."""

import runpy
from pathlib import Path

runpy.run_path(str(Path(__file__).parents[1] / "app.py"))
