"""Brain maps to take away: a plotly figure for notebooks, and one HTML file that turns and clicks like the page.

Neither needs a network. Both draw an :class:`encoding.plots.brain.brain_map.BrainMap`.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from encoding.datasets import _surface as surface
from encoding.datasets._surface import N_VERTICES, mesh, on_fsaverage5, sulcal_depth
from encoding.plots.brain.brain_map import DRAWN, N_COLOURS, BrainMap, colour_table, mesh_bytes, viewer_module

GYRUS, SULCUS = "rgb(212,209,207)", "rgb(163,161,158)"
LINE, CHOSEN_LINE = "rgb(20,22,26)", "rgb(0,190,220)"
FLAT_EYE = (np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), np.array([0, 0, 1.0]))


def mesh_figure(brain: BrainMap, *, caption: str = ""):
    """A map as a plotly figure of two scenes, one for each hemisphere, at the places the map's view gives them.

    A hemisphere is two meshes that share no triangle: the bare cortex in two greys, and over it the triangles whose three
    corners have a value that the threshold lets through (plotly draws an arbitrary colour for a NaN). Its name, ROIs, value
    and ceiling stand at each vertex's hover text.

    Parameters
    ----------
    brain : what to draw.
    caption : one line under the figure, for where the numbers come from.

    Returns
    -------
    plotly.graph_objects.Figure, not shown.
    """
    from plotly.subplots import make_subplots

    hemis = ("rh", "lh") if surface.VIEWS[brain.view].swapped and brain.surface != "flat" else ("lh", "rh")
    titles = {"lh": "Left", "rh": "Right"}
    kinds = [[{"type": "scene"}, {"type": "scene"}]]
    figure = make_subplots(rows=1, cols=2, specs=kinds, horizontal_spacing=0, subplot_titles=[titles[hemi] for hemi in hemis])
    for place, hemi in enumerate(hemis, start=1):
        for trace in _traces(brain, hemi):
            figure.add_trace(trace, row=1, col=place)
        figure.update_layout({f"scene{place if place > 1 else ''}": _scene(brain, hemi)})
    figure.update_layout(coloraxis=_coloraxis(brain), title=html.escape(brain.title), showlegend=False)
    figure.update_layout(margin={"l": 0, "r": 0, "t": 60, "b": 40})
    if caption:
        figure.add_annotation(text=html.escape(caption), x=0.5, y=-0.06, xref="paper", yref="paper", showarrow=False)
    return figure


def standalone_html(brain: BrainMap, *, caption: str, provenance: Mapping[str, Any] | None = None, height: int = 520) -> str:
    """One HTML page that holds the viewer, the meshes and the map (some 1.9 MB), and asks no other file or host.

    Parameters
    ----------
    brain : what to draw. Its surface and threshold are where the page's own controls start.
    caption : a sentence on what is shown and where it comes from, such as "simulated subject".
    provenance : JSON-able facts that a reader can unfold; none leaves them out.
    height : pixels of the picture.
    """
    title = html.escape(brain.title or brain.quantity)
    facts = html.escape(json.dumps(provenance, indent=2, default=str)) if provenance else ""
    parts = {
        "TITLE": title,
        "CAPTION": html.escape(caption),
        "FACTS": f"<details><summary>How this was made</summary><pre>{facts}</pre></details>" if facts else "",
        "SURFACES": "".join(f"<option{' selected' if name == brain.surface else ''}>{name}</option>" for name in DRAWN),
        "HIGHEST": f"{max(map(abs, brain.colour_range)):g}",
        "STEP": f"{max(map(abs, brain.colour_range)) / 100:g}",
        "THRESHOLD": f"{brain.threshold:g}",
        "VIEWER": viewer_module().replace("</script", r"<\/script"),
        "MESHES": base64.b64encode(mesh_bytes()).decode(),
        "MAP": base64.b64encode(brain.to_bytes(height=height)).decode(),
    }
    return re.sub("@@([A-Z]+)@@", lambda place: parts[place[1]], PAGE)  # in one pass, so what is put in is not read again


def _traces(brain: BrainMap, hemi: str) -> list[Any]:
    import plotly.graph_objects as go

    coordinates, faces = mesh(brain.surface, hemi)
    x, y, z = coordinates.T
    values = on_fsaverage5(brain.values[hemi], brain.vertices[hemi]) if hemi in brain.values else np.full(N_VERTICES, np.nan, np.float32)
    shown = np.isfinite(values) & ((np.abs(values) if brain.diverging else values) >= (brain.threshold or -np.inf))
    coloured = shown[faces].all(axis=1)
    common = {"x": x, "y": y, "z": z, "flatshading": False} | _light(brain, hemi)
    grey = [[0, GYRUS], [0.5, GYRUS], [0.5, SULCUS], [1, SULCUS]]
    depth = (sulcal_depth(hemi) > 0).astype(np.float32)
    bare = dict(zip("ijk", faces[~coloured].T, strict=True)) | {"intensity": depth, "colorscale": grey, "cmin": 0, "cmax": 1}
    traces = [go.Mesh3d(**common, **bare, showscale=False, hoverinfo="skip", name=f"{hemi} cortex")]
    data = dict(zip("ijk", faces[coloured].T, strict=True)) | {"intensity": np.where(shown, values, 0), "coloraxis": "coloraxis"}
    traces.append(go.Mesh3d(**common, **data, text=_hover_text(brain, hemi, values), hoverinfo="text", name=f"{hemi} {brain.quantity}"))
    chosen = [brain.chosen_roi] if brain.chosen_roi else []
    for roi in dict.fromkeys([*brain.outlined, *chosen]):
        ends = coordinates[_border(brain, hemi, roi, faces)].mean(axis=2)  # (n_segments, 2, 3)
        if len(ends):
            traces.append(_line(ends, roi, CHOSEN_LINE if roi in chosen else LINE))
    return traces


def _light(brain: BrainMap, hemi: str) -> dict[str, Any]:
    """Light that comes from the eye, so that left and right look alike; none on the flat sheet."""
    if brain.surface == "flat":
        return {"lighting": {"ambient": 1.0, "diffuse": 0.0}}
    _, up, towards = surface.eye(brain.view, hemi)
    return {"lighting": {"ambient": 0.7, "diffuse": 0.4, "specular": 0.05}, "lightposition": _xyz(1000 * (towards + 0.4 * up))}


def _border(brain: BrainMap, hemi: str, roi: str, faces: np.ndarray) -> np.ndarray:
    return surface.outline(faces, brain.members(hemi, roi))


def _line(ends: np.ndarray, roi: str, colour: str):
    import plotly.graph_objects as go

    broken = np.concatenate([ends, np.full_like(ends[:, :1], np.nan)], axis=1).reshape(-1, 3)  # a gap after each segment
    x, y, z = broken.T
    return go.Scatter3d(x=x, y=y, z=z, mode="lines", line={"color": colour, "width": 4}, name=roi, hoverinfo="name")


def _hover_text(brain: BrainMap, hemi: str, values: np.ndarray) -> list[str]:
    ceiling = np.full(N_VERTICES, np.nan)
    if brain.ceiling is not None and hemi in brain.ceiling:
        ceiling = on_fsaverage5(brain.ceiling[hemi], brain.vertices[hemi])
    inside = {roi: brain.members(hemi, roi) for roi in brain.rois.get(hemi, {})}
    text = [""] * N_VERTICES
    for vertex in np.flatnonzero(np.isfinite(values)):
        names = ", ".join(roi for roi, members in inside.items() if members[vertex])
        top = f", {html.escape(brain.ceiling_name)} {ceiling[vertex]:.3f}" if np.isfinite(ceiling[vertex]) else ""
        text[vertex] = html.escape(f"{hemi} vertex {vertex} {names}") + f"<br>{html.escape(brain.quantity)} {values[vertex]:.3f}{top}"
    return text


def _scene(brain: BrainMap, hemi: str) -> dict[str, Any]:
    _, up, towards = FLAT_EYE if brain.surface == "flat" else surface.eye(brain.view, hemi)
    hidden = {"visible": False}
    camera = {"eye": _xyz(towards * 1.4), "up": _xyz(up), "projection": {"type": "orthographic"}}
    return {"xaxis": hidden, "yaxis": hidden, "zaxis": hidden, "aspectmode": "data", "camera": camera}


def _xyz(vector: np.ndarray) -> dict[str, float]:
    return dict(zip("xyz", map(float, vector), strict=True))


def _coloraxis(brain: BrainMap) -> dict[str, Any]:
    scale = [[i / (N_COLOURS - 1), f"rgb({r},{g},{b})"] for i, (r, g, b) in enumerate(colour_table(brain.colour_map).tolist())]
    low, high = brain.colour_range
    return {"colorscale": scale, "cmin": low, "cmax": high, "colorbar": {"title": html.escape(brain.quantity), "thickness": 14, "len": 0.7}}


PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>@@TITLE@@</title>
<style>
:root { color-scheme: light dark; font: 14px/1.5 system-ui, sans-serif; }
body { max-width: 1200px; margin: 24px auto; padding: 0 16px; }
.controls { display: flex; gap: 24px; justify-content: center; margin: 12px 0; }
.caption { text-align: center; }
pre { white-space: pre-wrap; }
</style>
</head>
<body>
<main id="place"></main>
<div class="controls">
<label>Surface <select id="surface">@@SURFACES@@</select></label>
<label>Threshold <input id="threshold" type="range" min="0" max="@@HIGHEST@@" step="@@STEP@@" value="@@THRESHOLD@@"></label>
<output id="selected"></output>
</div>
<p class="caption">@@CAPTION@@</p>
@@FACTS@@
<script type="module">
@@VIEWER@@
{
  const bytes = (id) => Uint8Array.from(atob(document.getElementById(id).textContent), (letter) => letter.charCodeAt(0));
  const map = bytes("map");
  const control = (id) => document.getElementById(id);
  let selected = unpack(map).header.selected;
  const view = createBrainView(control("place"), unpack(bytes("meshes")), (vertex) => { selected = vertex; show(); });
  function show() {
    view.update(map, undefined, { surface: control("surface").value, threshold: Number(control("threshold").value), selected });
    control("selected").textContent = selected ? `Selected: ${selected.hemi} vertex ${selected.vertex}` : "";
  }
  control("surface").onchange = show;
  control("threshold").oninput = show;
  show();
}
</script>
<script type="application/octet-stream" id="map">@@MAP@@</script>
<script type="application/octet-stream" id="meshes">@@MESHES@@</script>
</body>
</html>
"""
