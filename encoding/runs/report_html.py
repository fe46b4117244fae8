"""The HTML of a report: escaped tables, charts by plotly and brains by the project's own viewer, in one file."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from encoding.plots.brain.brain_map import mesh_bytes, viewer_module

if TYPE_CHECKING:
    import pandas as pd

HEAD = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data: blob:\">"
)
STYLE = """<style>
:root { color-scheme: light; font: 14px/1.5 system-ui, sans-serif; color: #262730; background: white; }
main { max-width: 1100px; margin: 24px auto; padding: 0 16px; }
h1, h2, h3 { line-height: 1.2; } h2 { margin-top: 2em; }
.simulated { display: inline-block; padding: 2px 10px; border-radius: 4px; background: #fdebd0; color: #7a4100; font-weight: 600; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 2px 12px 2px 0; border-bottom: 1px solid #e3e3e3; vertical-align: top; overflow-wrap: anywhere; }
figure { margin: 16px 0 32px; } summary { cursor: pointer; margin: 8px 0; }
pre { white-space: pre-wrap; background: #f4f4f4; padding: 8px 12px; border-radius: 4px; overflow-wrap: anywhere; }
@media print { details { display: none; } }
</style>"""
DRAW_CHARTS = """figures.forEach((figure, number) => Plotly.newPlot("chart" + number, figure.data,
  {...figure.layout, paper_bgcolor: "white", plot_bgcolor: "white"}, {responsive: true, displaylogo: false}));"""
DRAW_BRAINS = """const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const meshes = unpack(bytes(document.getElementById("meshes").textContent));
maps.forEach((map, number) => {
  const shown = bytes(map);
  let selected = null;
  const view = createBrainView(document.getElementById("brain" + number), meshes, (vertex) => { selected = vertex; show(); });
  function show() { view.update(shown, undefined, { selected, name: "brain" + number }); }
  show();
});"""


def table_html(table: pd.DataFrame) -> str:
    """A table as HTML; NaN is an empty cell, numbers have three decimals."""
    head = "".join(f"<th>{escaped(column)}</th>" for column in table.columns)
    rows = ["".join(f"<td>{escaped(_cell(value))}</td>" for value in row) for row in table.itertuples(index=False)]
    return (
        f"<div class='wide'><table><thead><tr>{head}</tr></thead><tbody>{''.join(f'<tr>{row}</tr>' for row in rows)}</tbody></table></div>"
    )


def _cell(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else ""
    if isinstance(value, float | np.floating):
        return "" if np.isnan(value) else f"{value:.2g}" if 0 < abs(value) < 0.001 else f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int | np.integer) else str(value)


def folded(content: str, title: str) -> str:
    """``content``, HTML, shown when a reader opens ``title``, text."""
    return f"<details><summary>{escaped(title)}</summary>{content}</details>"


def escaped(text: Any) -> str:
    """Any value as text that HTML shows as it is."""
    return html.escape(str(text))


def _script_safe(value: Any) -> str:
    """JSON that cannot end the script element that it stands in."""
    return json.dumps(value).replace("<", "\\u003c").replace(">", "\\u003e").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def page(title: str, body: str, figures: Sequence[Mapping[str, Any]], maps: Sequence[bytes]) -> str:
    """The whole file.

    Parameters
    ----------
    title : text. body : HTML with an element ``chart<i>`` for each figure and ``brain<i>`` for each map.
    figures : plotly figures as JSON-able data. maps : :meth:`encoding.plots.brain.brain_map.BrainMap.to_bytes` of each brain.
    """
    from plotly.offline import get_plotlyjs

    brains = ""
    if maps:
        viewer = viewer_module().replace("</script", r"<\/script")
        meshes = base64.b64encode(mesh_bytes()).decode()
        brains = f'<script type="application/octet-stream" id="meshes">{meshes}</script><script type="module">{viewer}\n'
        brains += f"const maps = {_script_safe([base64.b64encode(each).decode() for each in maps])};\n{DRAW_BRAINS}</script>"
    drawing = f"<script>{get_plotlyjs()}</script><script>const figures = {_script_safe(list(figures))};\n{DRAW_CHARTS}</script>"
    return f"{HEAD}<title>{escaped(title)}</title>{STYLE}</head><body><main>{body}</main>{drawing}{brains}</body></html>"
