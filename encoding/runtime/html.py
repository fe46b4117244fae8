"""Render HTML from templates with every value escaped, and tables as HTML."""

from __future__ import annotations

import base64
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from jinja2 import Environment
    from markupsafe import Markup


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(Path(__file__).parents[1])
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.filters |= {"cell": cell_text, "base64": lambda data: base64.b64encode(data).decode()}
    return made


def render(template: str, **values: Any) -> Markup:
    """Render a template of the package; every value is escaped unless it is Markup.

    Parameters
    ----------
    template : path of the file below ``encoding/``, such as ``runs/templates/report.html``.
    values : what the template reads; one that it reads and that is missing raises ``jinja2.UndefinedError``.
    """
    from markupsafe import Markup

    return Markup(_environment().get_template(template).render(values))


def table_html(table: pd.DataFrame) -> Markup:
    """Format a table as HTML; NaN is an empty cell, numbers have three decimals, and text is escaped."""
    return render("runtime/templates/table.html", columns=list(table.columns), rows=list(table.itertuples(index=False)))


def cell_text(value: Any) -> str:
    """Format a value as the text of a table cell.

    >>> [cell_text(value) for value in (float("nan"), 0.12345, 0.00012, 12345, True, "V1v")]
    ['', '0.123', '0.00012', '12,345', 'yes', 'V1v']
    """
    if isinstance(value, bool | np.bool_):
        return "yes" if value else ""
    if isinstance(value, float | np.floating):
        return "" if np.isnan(value) else f"{value:.2g}" if 0 < abs(value) < 0.001 else f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int | np.integer) else str(value)


def script_source(code: str) -> Markup:
    """Escape JavaScript of this project or of plotly for a script element, so that it cannot close the element."""
    from markupsafe import Markup

    return Markup(code.replace("</script", r"<\/script"))
