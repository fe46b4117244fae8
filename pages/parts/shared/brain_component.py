"""Streamlit component around the brain viewer of :mod:`encoding.plots.brain.brain_map`.

Streamlit sends a component's JavaScript again whenever its data change, so only a loader of a few lines is inline. The
viewer and the meshes are files in ``static/`` beside the main script, which a browser fetches once for each version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from encoding.datasets._surface import column_at
from encoding.plots.brain.brain_map import MESH_VERSION, BrainMap, mesh_bytes, viewer_module
from encoding.storage.atomic import atomic_file

Selection = tuple[str, int]
"""A hemisphere and the column of a vertex in the subject's own arrays."""

VIEWER_FILE = f"brain-viewer-{hashlib.sha256(viewer_module().encode()).hexdigest()[:12]}.js"
MESH_FILE = f"brain-fsaverage5-v{MESH_VERSION}.bin"
LOADER = f"""
const address = (file) => new URL("app/static/" + file, document.baseURI).href;
const views = new WeakMap();  // the place of a brain on the page -> its viewer
let parts = null;

async function load() {{
  const [viewer, answer] = await Promise.all([import(address("{VIEWER_FILE}")), fetch(address("{MESH_FILE}"))]);
  if (!answer.ok) throw new Error("The meshes could not be fetched: " + answer.status);
  return [viewer, viewer.unpack(await answer.arrayBuffer())];
}}

export default async function ({{ data, parentElement, setStateValue }}) {{
  const place = parentElement.querySelector(".place");
  parts ??= load().catch((error) => {{ parts = null; throw error; }});
  const [viewer, meshes] = await parts;
  if (!views.has(place)) views.set(place, viewer.createBrainView(place, meshes));
  views.get(place).update(data, (vertex) => setStateValue("vertex", vertex));
  return () => {{ views.get(place)?.dispose(); views.delete(place); }};
}}
"""


class CannotServe(RuntimeError):
    """Raised where the viewer's files cannot be served; the message says how to fix it."""


_component = st.components.v2.component("brain_view", html="<div class='place'></div>", js=LOADER)


def brain_view(brain: BrainMap, *, key: str, height: int = 440, on_select: Callable[[], None] = lambda: None) -> Selection | None:
    """Draw a brain map and return the vertex that the person selected on it.

    The camera stays where the person turned it while everything but the map's ``view`` changes.

    Parameters
    ----------
    brain : what to draw; its ``selected`` vertex is marked, or without one the vertex that was clicked last.
    key : names the view in the session; one for each brain of the app.
    height : pixels of the image.
    on_select : called before the rerun that a click starts; :func:`clicked` then tells what was clicked.

    Returns
    -------
    The hemisphere and column clicked last; None before the first click, after Escape, and where this subject has no column.

    Raises
    ------
    CannotServe where ``static/`` cannot be written or static serving is off.
    """
    publish()
    marked = replace(brain, selected=brain.selected or clicked(key, brain.vertices))
    _component(key=key, data=marked.to_bytes(height=height, name=key), on_vertex_change=on_select)
    return clicked(key, brain.vertices)


def clicked(key: str, vertices: Mapping[str, np.ndarray]) -> Selection | None:
    """Read the hemisphere and column clicked last in the view named ``key``; None where there are none."""
    vertex = (st.session_state.get(key) or {}).get("vertex")
    if not vertex or vertex["hemi"] not in vertices:
        return None
    column = column_at(vertex["vertex"], vertices[vertex["hemi"]])
    return None if column is None else (vertex["hemi"], column)


def publish() -> None:
    """Copy the viewer and the meshes into the served folder ``static/``, once for each version.

    Raises
    ------
    CannotServe, as in :func:`brain_view`.
    """
    if not st.get_option("server.enableStaticServing"):
        raise CannotServe("The brain needs static serving: start from the project's folder, whose .streamlit/config.toml turns it on.")
    folder = Path(get_script_run_ctx().main_script_path).resolve().parent / "static"
    _write(folder / VIEWER_FILE, lambda: viewer_module().encode())
    _write(folder / MESH_FILE, mesh_bytes)


def _write(path: Path, content: Callable[[], bytes]) -> None:
    """Write a file whole or not at all, unless it is there."""
    if path.exists():
        return
    try:
        with atomic_file(path) as file:
            file.write(content())
        path.chmod(0o644)  # a server of static files may run as another user
    except OSError as error:
        raise CannotServe(
            f"The brain needs to write {path.name} into {path.parent}, which failed: {error}. Make that folder writable."
        ) from error
