"""Redirect the first visitor of a new server who follows a link to this page; see :mod:`pages`."""

import runpy
from pathlib import Path

runpy.run_path(str(Path(__file__).parents[1] / "app.py"))
