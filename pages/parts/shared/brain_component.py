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

from encoding.datasets._surface import FULL, HOW_TO_GET_FULL, N_VERTICES, SPACES, column_at, full_folder
from encoding.plots.brain.brain_map import MESH_VERSION, BrainMap, mesh_bytes, viewer_module
from encoding.storage.atomic import atomic_file
from pages.parts.shared.camera_link import last_reported, linked_camera, watch_camera
from pages.parts.shared.glossary import in_words

Selection = tuple[str, int]
"""A hemisphere and the column of a vertex in the subject's own arrays."""

VIEWER_FILE = f"brain-viewer-{hashlib.sha256(viewer_module().encode()).hexdigest()[:12]}.js"
SMALL, AROUND = 250, 130  # px: a picture less high has no help below it; title, buttons, colour bar and help around it, at the least
HELP = 30  # px
MESH_FILES = {space: f"brain-{space}-v{MESH_VERSION}.bin" for space in SPACES}
LOADER = f"""
const address = (file) => new URL("app/static/" + file, document.baseURI).href;
const views = new WeakMap();  // the place of a brain on the page -> its viewer and the file of its meshes
const loaded = {{}};  // file of meshes -> a promise of them

async function load(viewer, file) {{
  const answer = await fetch(address(file));
  if (!answer.ok) throw new Error("The meshes could not be fetched: " + answer.status);
  return viewer.unpack(await answer.arrayBuffer());
}}

export default async function ({{ data, parentElement, setStateValue }}) {{
  const place = parentElement.querySelector(".place");
  const viewer = await import(address("{VIEWER_FILE}"));
  const file = viewer.unpack(data).header.mesh_file;
  loaded[file] ??= load(viewer, file).catch((error) => {{ delete loaded[file]; throw error; }});
  const meshes = await loaded[file];
  const leave = () => {{ views.get(place)?.view.dispose(); views.delete(place); }};
  if (views.get(place)?.file !== file) leave();
  if (!views.has(place)) views.set(place, {{ file, view: viewer.createBrainView(place, meshes) }});
  views.get(place).view.update(data, (vertex) => setStateValue("vertex", vertex));
  return leave;
}}
"""


class CannotServe(RuntimeError):
    """Raised where the viewer's files cannot be served; the message says how to fix it."""


AHEAD = f"""
export default async function ({{ data }}) {{
  (await import(new URL("app/static/{VIEWER_FILE}", document.baseURI).href)).sendAhead(data);
}}
"""
_component = st.components.v2.component("brain_view", html="<div class='place'></div>", js=LOADER)
_ahead = st.components.v2.component("brain_ahead", html="<span></span>", js=AHEAD)


def brain_view(
    brain: BrainMap,
    *,
    key: str,
    height: int = 440,
    on_select: Callable[[], None] = lambda: None,
    linked: bool = False,
    looks_from: str = "",
) -> Selection | None:
    """Draw a brain map and return the vertex that the person selected on it.

    The camera stays where the person turned it while everything but the map's ``view`` changes. Of a subject with vertices that fsaverage5
    lacks, the map can be switched to all of fsaverage where its meshes are on this machine; elsewhere a line says how to get them.

    Parameters
    ----------
    brain : what to draw; its ``selected`` vertex is marked, or without one the vertex that was clicked last.
    key : names the view in the session; one for each brain of the app.
    height : pixels of the image, unless the page's style gives ``--brain-height``.
    on_select : called before the rerun that a click starts; :func:`clicked` then tells what was clicked.
    looks_from : the camera at first as a link writes it, in place of the map's view.
    linked : whether the camera stands in the link, as of a page's main brain.

    Returns
    -------
    The hemisphere and column clicked last; None before the first click, after Escape, and where this subject has no column.

    Raises
    ------
    CannotServe where ``static/`` cannot be written or static serving is off.
    """
    brain = replace(brain, space=_chosen_space(brain, key))
    publish(brain.space)
    marked = replace(brain, selected=brain.selected or clicked(key, brain.vertices))
    about = {"height": height, "name": key, "mesh_file": MESH_FILES[brain.space], "meanings": in_words(brain.roi_names)}
    about |= {"looks_from": linked_camera(brain.view), "reported": last_reported()} if linked else {"looks_from": looks_from}
    around = AROUND - (HELP if height < SMALL else 0)
    st.html(
        f"<style>.st-key-{key} {{min-height: calc(var(--brain-height, {height}px) + {around}px)}}</style>"
    )  # the page keeps its place until the brain arrives
    _component(key=key, data=marked.to_bytes(**about), on_vertex_change=on_select)
    if linked:
        watch_camera(key, brain.view)
    return clicked(key, brain.vertices)


def send_ahead(maps: Callable[..., bytes], *, key: str, slider: str) -> None:
    """Send the brain named ``key`` the maps of all places of a slider, so that it follows the slider before the page has run.

    Parameters
    ----------
    maps : called with the mesh's name as ``space`` and entries of the header; :func:`~encoding.plots.brain.brain_map.maps_ahead` of the
        maps on that mesh. Those alone are shown of which the map at hand is one.
    slider : key of the slider whose places they are.
    """
    name = f"{key}_ahead"
    space = st.session_state.get(f"{key}_mesh") or "fsaverage5"
    about = {"name": key, "mesh_file": MESH_FILES[space], "slider": f".st-key-{slider} input[type=range]"}
    st.html(f"<style>.st-key-{name} {{display: none}}</style>")
    _ahead(key=name, data=maps(space=space, **about))


def clicked(key: str, vertices: Mapping[str, np.ndarray]) -> Selection | None:
    """Read the hemisphere and column clicked last in the view named ``key``; None where there are none."""
    vertex = (st.session_state.get(key) or {}).get("vertex")
    if not vertex or vertex["hemi"] not in vertices:
        return None
    column = column_at(vertex["vertex"], vertices[vertex["hemi"]])
    return None if column is None else (vertex["hemi"], column)


def _chosen_space(brain: BrainMap, key: str) -> str:
    """The mesh to draw on, with the choice of it or a line on how many vertices the coarse one shows."""
    n_all = sum(map(len, brain.vertices.values()))
    n_coarse = sum(int((np.asarray(vertices) < N_VERTICES).sum()) for vertices in brain.vertices.values())
    if n_coarse == n_all:
        return brain.space
    if full_folder() is None:
        st.caption(
            f"{n_coarse:,} of {n_all:,} {brain.unit.many} are on fsaverage5, which is drawn. For all of fsaverage: `{HOW_TO_GET_FULL}`"
        )
        return brain.space
    names = {"fsaverage5": f"fsaverage5 ({n_coarse:,} {brain.unit.many})", FULL: f"fsaverage (full, {n_all:,} {brain.unit.many})"}
    mesh = {"default": brain.space, "required": True, "persist_state": "session", "format_func": names.__getitem__}
    return st.segmented_control("Mesh", [*names], key=f"{key}_mesh", **mesh)


def publish(space: str) -> None:
    """Copy the viewer and the meshes of a space into the served folder ``static/``, once for each version.

    Raises
    ------
    CannotServe, as in :func:`brain_view`.
    """
    if not st.get_option("server.enableStaticServing"):
        raise CannotServe("The brain needs static serving: start from the project's folder, whose .streamlit/config.toml turns it on.")
    folder = Path(get_script_run_ctx().main_script_path).resolve().parent / "static"
    _write(folder / VIEWER_FILE, lambda: viewer_module().encode())
    _write(folder / MESH_FILES[space], lambda: mesh_bytes(space))


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
