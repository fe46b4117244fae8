"""The plotly figure shows the map's numbers where they are; the HTML file needs nothing but itself."""

from __future__ import annotations

import re

import numpy as np
import pytest

from encoding.datasets._surface import HEMIS, eye, mesh, on_fsaverage5, outline
from encoding.plots.brain.brain_map import BrainMap
from encoding.plots.brain.export import mesh_figure, standalone_html


def a_map(**more) -> BrainMap:
    vertices = {hemi: np.flatnonzero(mesh("sphere", hemi)[0][:, 1] < -20) for hemi in HEMIS}
    values = {hemi: (mesh("sphere", hemi)[0][vertices[hemi], 2] / 100).astype(np.float32) for hemi in HEMIS}
    rois = {hemi: {"cap": np.flatnonzero(mesh("sphere", hemi)[0][vertices[hemi], 1] < -90)} for hemi in HEMIS}
    ceiling = {hemi: np.full(len(vertices[hemi]), 0.75, np.float32) for hemi in HEMIS}
    given = {"values": values, "vertices": vertices, "rois": rois, "ceiling": ceiling, "title": "made up", "outlined": ["cap"]}
    return BrainMap(**(given | more))


def corners(trace) -> np.ndarray:
    return np.stack([trace.i, trace.j, trace.k], axis=1)


def traces_of(figure, hemi: str) -> list:
    return [trace for trace in figure.data if trace.name.startswith(hemi)]


@pytest.mark.parametrize("hemi", HEMIS)
def test_the_two_meshes_of_a_hemisphere_share_no_triangle_and_miss_none(hemi: str) -> None:
    bare, data = traces_of(mesh_figure(a_map()), hemi)
    both = np.concatenate([corners(bare), corners(data)])
    assert {tuple(face) for face in both} == {tuple(face) for face in mesh("inflated", hemi)[1]}
    assert len(both) == 20_480


@pytest.mark.parametrize(("threshold", "colour_range"), [(0.0, (0, 1)), (0.4, (0, 1)), (0.4, (-1, 1))])
def test_no_triangle_of_the_data_has_a_corner_without_a_value_that_is_shown(threshold: float, colour_range: tuple) -> None:
    brain = a_map(threshold=threshold, colour_range=colour_range)
    brain.values["lh"][:50] = np.nan
    _, data = traces_of(mesh_figure(brain), "lh")
    values = on_fsaverage5(brain.values["lh"], brain.vertices["lh"])[corners(data)]
    assert np.isfinite(values).all()
    if threshold:
        shown = np.abs(values) if colour_range[0] < 0 else values
        assert shown.min() >= threshold
        assert (values.min() < 0) == (colour_range[0] < 0)


def test_hovering_tells_vertex_rois_value_and_ceiling() -> None:
    brain = a_map()
    column = brain.rois["rh"]["cap"][0]
    _, data = traces_of(mesh_figure(brain), "rh")
    vertex, value = brain.vertices["rh"][column], brain.values["rh"][column]
    assert data.text[vertex] == f"rh vertex {vertex} cap<br>r {value:.3f}, ceiling 0.750"


@pytest.mark.parametrize("hemi", HEMIS)
def test_the_outline_of_an_roi_is_drawn_where_its_border_is(hemi: str) -> None:
    brain = a_map()
    place = {"lh": "scene", "rh": "scene2"}[hemi]
    (line,) = [trace for trace in mesh_figure(brain).data if trace.name == "cap" and trace.scene == place]
    coordinates, faces = mesh("inflated", hemi)
    border = coordinates[outline(faces, brain.members(hemi, "cap"))].mean(axis=2)
    drawn = np.stack([line.x, line.y, line.z], axis=1).reshape(-1, 3, 3)
    assert np.allclose(drawn[:, :2], border)
    assert np.isnan(drawn[:, 2]).all()


@pytest.mark.parametrize("view", ["lateral", "ventral"])
def test_each_hemisphere_is_seen_from_its_own_side(view: str) -> None:
    figure = mesh_figure(a_map(view=view))
    order = ["rh", "lh"] if view == "ventral" else ["lh", "rh"]
    assert [title.text for title in figure.layout.annotations] == [{"lh": "Left", "rh": "Right"}[hemi] for hemi in order]
    for hemi, scene in zip(order, (figure.layout.scene, figure.layout.scene2), strict=True):
        _, up, towards = eye(view, hemi)
        seen = [scene.camera.eye.x, scene.camera.eye.y, scene.camera.eye.z]
        assert np.allclose(seen / np.linalg.norm(seen), towards)
        assert np.allclose([scene.camera.up.x, scene.camera.up.y, scene.camera.up.z], up)


def test_words_enter_the_figure_and_the_file_as_text() -> None:
    brain = a_map(title="<script>alert(1)</script> @@CAPTION@@")
    assert "<script>" not in mesh_figure(brain, caption="<i>x</i>").layout.title.text
    page = standalone_html(brain, caption="<img src=x> @@MAP@@", provenance={"made": "</pre><script>"})
    assert "alert(1)</script>" not in page
    assert "<img" not in page
    assert "</pre><script>" not in page
    assert "@@CAPTION@@" in page.split("</title>")[0]


def test_the_file_names_no_other_file_and_no_host() -> None:
    page = standalone_html(a_map(), caption="simulated", provenance={"subject": "subj01"})
    assert "simulated" in page
    assert "subj01" in page
    assert not re.findall(r"https?://|\bsrc=|<link|@import|\bfetch\(", page)
    assert len(page) < 2_500_000
