"""Maps on all of fsaverage where its meshes are on the machine: here meshes of its size in nilearn's layout, divided from fsaverage5's."""

from __future__ import annotations

import base64
import gzip
import shutil

import nibabel
import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from encoding.datasets import _surface as surface
from encoding.datasets._base import FSAVERAGE_VERTICES
from encoding.plots.brain import export
from encoding.plots.brain.brain_map import BrainMap, mesh_bytes
from pages.parts.shared import brain_component
from tests.encoding.plots.brain.test_brain_map import unpack

INTENTS = {"coordinates": "NIFTI_INTENT_POINTSET", "faces": "NIFTI_INTENT_TRIANGLE", "depth": "NIFTI_INTENT_SHAPE"}
VERTICES = {"lh": np.array([163_841, 7, 20_000]), "rh": np.array([40_000])}
VALUES = {"lh": np.array([0.1, 0.2, 0.3]), "rh": np.array([0.4])}
APP = """
import numpy as np, streamlit as st
from encoding.plots.brain import export
from encoding.plots.brain.brain_map import BrainMap
from pages.parts.shared.brain_component import brain_view
vertices = {"lh": np.array([163_841, 7, 20_000]), "rh": np.array([40_000])}
values = {hemi: np.full(len(places), 0.5) for hemi, places in vertices.items()}
brain_view(BrainMap(values=values, vertices=vertices), key="view")
"""


def write(path, **arrays):
    """A gzipped GIFTI file of one array for each intent."""
    data = [
        nibabel.gifti.GiftiDataArray(array, intent=INTENTS[name], encoding="GIFTI_ENCODING_B64BIN", datatype=kind)
        for name, array in arrays.items()
        for kind in ["NIFTI_TYPE_INT32" if array.dtype == np.int32 else "NIFTI_TYPE_FLOAT32"]
    ]
    path.write_bytes(gzip.compress(nibabel.gifti.GiftiImage(darrays=data).to_bytes(), 1))


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A folder of data sets with ``fsaverage``: inflated, its triangles divided; pial the same, flat without z; right as left."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "fsaverage").mkdir()
    coordinates, faces = surface.mesh("inflated", "lh")
    while len(coordinates) < FSAVERAGE_VERTICES:
        faces, parents = surface.subdivide(faces, len(coordinates))
        coordinates = np.concatenate([coordinates, coordinates[parents].mean(1)])
    coordinates, faces = coordinates.astype(np.float32), faces.astype(np.int32)
    write(folder / "fsaverage" / "infl_left.gii.gz", coordinates=coordinates, faces=faces)
    write(folder / "fsaverage" / "flat_left.gii.gz", coordinates=coordinates * np.float32([1, 1, 0]), faces=faces[1_000:])
    write(folder / "fsaverage" / "sulc_left.gii.gz", depth=coordinates[:, 0])
    for name, other in (("infl_left", "pial_left"), *((f"{part}_left", f"{part}_right") for part in ("infl", "flat", "sulc", "pial"))):
        shutil.copy(folder / "fsaverage" / f"{name}.gii.gz", folder / "fsaverage" / f"{other}.gii.gz")
    return folder


@pytest.fixture(autouse=True)
def nowhere_else(tmp_path, monkeypatch):
    """Neither the folder of data sets nor nilearn's holds fsaverage."""
    for name in ("ENCODING_DATA_DIR", "NILEARN_DATA", "NILEARN_SHARED_DATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "empty"))


@pytest.mark.parametrize("variable", ["ENCODING_DATA_DIR", "NILEARN_DATA", "NILEARN_SHARED_DATA"])
def test_the_meshes_are_found_in_the_folder_of_data_sets_and_in_nilearns(full, monkeypatch, variable):
    assert surface.full_folder() is None
    monkeypatch.setenv(variable, str(full))
    assert surface.full_folder() == full / "fsaverage"


def test_without_the_meshes_an_error_says_how_to_get_them():
    with pytest.raises(surface.NoMesh, match="fetch_surf_fsaverage"):
        surface.mesh("inflated", "lh", "fsaverage")


def test_every_vertex_has_its_own_place(full, monkeypatch):
    """Responses stand at their own vertices, and the viewer gets the 163,842 vertices and triangles of each hemisphere."""
    monkeypatch.setenv("ENCODING_DATA_DIR", str(full))
    coordinates, faces = surface.mesh("inflated", "lh", "fsaverage")
    assert len(coordinates) == 163_842 and faces.shape == (327_680, 3)
    np.testing.assert_allclose(coordinates[: surface.N_VERTICES], surface.mesh("inflated", "lh")[0], atol=1e-4)
    brain = BrainMap(values=VALUES, vertices=VERTICES, space="fsaverage", selected=("lh", 0), rois={"lh": {"V1v": np.array([0, 2])}})
    header, arrays = unpack(brain.to_bytes())
    for hemi in surface.HEMIS:
        drawn = np.flatnonzero(np.unpackbits(arrays[f"{hemi}.mask"], bitorder="little"))
        assert drawn.tolist() == sorted(VERTICES[hemi])
        np.testing.assert_allclose(arrays[f"{hemi}.values"], VALUES[hemi][np.argsort(VERTICES[hemi])])
    assert header["selected"] == {"hemi": "lh", "vertex": 163_841}
    assert np.flatnonzero(brain.members("lh", "V1v")).tolist() == [20_000, 163_841]
    _, meshes = unpack(mesh_bytes("fsaverage"))
    assert meshes["lh.sulcal_depth"].shape == (163_842,) and meshes["rh.faces"].dtype == np.uint32
    np.testing.assert_array_equal(meshes["lh.faces"].reshape(-1, 3), faces)
    np.testing.assert_array_equal(meshes["lh.flat_faces"].reshape(-1, 3), faces[1_000:])
    assert len(BrainMap(values=VALUES, vertices=VERTICES).to_bytes()) < len(brain.to_bytes())  # fsaverage5 has one of these vertices


def test_a_mesh_of_another_size_is_refused(full, tmp_path, monkeypatch):
    shutil.copytree(full / "fsaverage", tmp_path / "fsaverage")
    coordinates, faces = surface.mesh("pial", "rh")
    write(tmp_path / "fsaverage" / "pial_right.gii.gz", coordinates=coordinates, faces=faces.astype(np.int32))
    write(tmp_path / "fsaverage" / "sulc_right.gii.gz", depth=coordinates[:, 0])
    monkeypatch.setenv("ENCODING_DATA_DIR", str(tmp_path))
    with pytest.raises(surface.NoMesh, match=r"pial_right\.gii\.gz has 10,242 vertices, not the 163,842"):
        surface.mesh("pial", "rh", "fsaverage")
    with pytest.raises(surface.NoMesh, match="10,242 numbers"):
        surface.sulcal_depth("rh", "fsaverage")


def test_a_page_offers_the_full_mesh_where_it_is_and_says_how_to_get_it_where_not(full, tmp_path, monkeypatch):
    (tmp_path / "app.py").write_text(APP)
    app = AppTest.from_file(str(tmp_path / "app.py"), default_timeout=60).run()
    assert not app.exception and not app.segmented_control
    assert "1 of 4 vertices are on fsaverage5" in app.caption[0].value and "fetch_surf_fsaverage" in app.caption[0].value
    monkeypatch.setenv("ENCODING_DATA_DIR", str(full))
    app.run()
    assert not app.exception and not app.caption and app.segmented_control[0].options[1] == "fsaverage (full, 4 vertices)"
    app.segmented_control[0].set_value("fsaverage").run()
    assert not app.exception
    written = tmp_path / "static" / brain_component.MESH_FILES["fsaverage"]
    assert written.stat().st_size > 25e6


def test_a_saved_map_holds_the_mesh_that_it_is_drawn_on(monkeypatch):
    monkeypatch.setattr(export, "mesh_bytes", lambda space: f"the mesh {space}".encode())
    for space in surface.SPACES:
        page = export.standalone_html(BrainMap(values=VALUES, vertices=VERTICES, space=space), caption="x")
        assert base64.b64encode(f"the mesh {space}".encode()).decode() in page
