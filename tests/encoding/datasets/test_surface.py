"""The meshes lie as anatomists say, columns find their vertices and back, and borders enclose what they should."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from encoding.datasets import _surface as surface
from encoding.runtime.registry import UnknownName
from tests import SHARED

AREAS = SHARED / "facts" / "visual_areas_fsaverage5.csv"
HEMIS = ("lh", "rh")


@pytest.mark.parametrize("hemi", HEMIS)
@pytest.mark.parametrize("name", ["inflated", "pial", "white", "sphere"])
def test_a_closed_surface_has_every_vertex_and_the_euler_number_of_a_sphere(name: str, hemi: str) -> None:
    coordinates, faces = surface.mesh(name, hemi)
    assert (coordinates.shape, coordinates.dtype) == ((surface.N_VERTICES, 3), np.float32)
    assert (faces.shape, faces.dtype) == ((20_480, 3), np.uint32)
    edges = np.unique(np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1), axis=0)
    assert len(coordinates) - len(edges) + len(faces) == 2


@pytest.mark.parametrize("hemi", HEMIS)
def test_triangles_of_the_inflated_surface_face_outwards(hemi: str) -> None:
    coordinates, faces = surface.mesh("inflated", hemi)
    a, b, c = coordinates[faces].transpose(1, 0, 2)
    outward = np.einsum("ij,ij->i", np.cross(b - a, c - a), (a + b + c) / 3 - coordinates.mean(axis=0))
    assert (outward > 0).mean() > 0.99


def test_left_is_left_in_the_pial_surfaces() -> None:
    assert surface.mesh("pial", "lh")[0][:, 0].mean() < -20 < 20 < surface.mesh("pial", "rh")[0][:, 0].mean()


@pytest.mark.parametrize(("hemi", "sign"), [("lh", 1), ("rh", -1)])
def test_the_flat_sheets_have_their_backs_to_one_another_and_their_tops_up(hemi: str, sign: int) -> None:
    flat, faces = surface.mesh("flat", hemi)
    pial, used = surface.mesh("pial", hemi)[0], np.unique(faces)
    assert np.corrcoef(flat[used, 0], pial[used, 1])[0, 1] * sign < -0.9  # the back of the left sheet is at its right
    assert np.corrcoef(flat[used, 1], pial[used, 2])[0, 1] > 0.8
    assert not flat[used, 2].any()


@pytest.mark.parametrize("hemi", HEMIS)
def test_sulcal_depth_is_deeper_where_the_white_surface_is_nearer_to_the_middle(hemi: str) -> None:
    depth, pial = surface.sulcal_depth(hemi), surface.mesh("pial", hemi)[0]
    distance = np.linalg.norm(pial - pial.mean(axis=0), axis=1)
    assert depth.shape == (surface.N_VERTICES,)
    assert np.corrcoef(depth, distance)[0, 1] < -0.3


@pytest.mark.parametrize("hemi", HEMIS)
def test_known_visual_areas_are_where_the_table_says(hemi: str) -> None:
    if not AREAS.exists():
        pytest.skip(f"{AREAS} is not here")
    with AREAS.open() as file:
        rows = [row for row in csv.DictReader(file) if row["hemi"] == hemi and row["source"] == "Wang 2015"]
    centres = [int(row["centre_vertex"]) for row in rows]
    expected = np.array([[float(row[f"sphere_{axis}"]) for axis in "xyz"] for row in rows])
    found = surface.mesh("sphere", hemi)[0][centres] / 100
    assert np.degrees(np.arccos(np.clip((found * expected).sum(axis=1), -1, 1))).max() < 3


def test_meshes_are_shared_and_cannot_be_changed() -> None:
    assert surface.mesh("pial", "lh")[0] is surface.mesh("pial", "lh")[0]
    with pytest.raises(ValueError, match="read-only"):
        surface.mesh("pial", "lh")[0][0] = 0


def test_a_vertex_leads_to_its_column() -> None:
    vertices = np.array([7, 163_841, 3, 10_241, 10_242])
    assert [surface.column_at(vertex, vertices) for vertex in (7, 3, 10_241, 5)] == [0, 2, 3, None]


@pytest.mark.parametrize("hemi", HEMIS)
@pytest.mark.parametrize("view", surface.VIEWS)
def test_the_axes_of_a_view_are_a_right_handed_frame(view: str, hemi: str) -> None:
    frame = np.stack(surface.eye(view, hemi))
    assert np.allclose(frame @ frame.T, np.eye(3))
    assert np.linalg.det(frame) == pytest.approx(1)  # a mirrored picture would give -1


LEFT, RIGHT, FRONT, BACK, UP, DOWN = [-1, 0, 0], [1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]
ANATOMY = [  # view, hemisphere, what is at the right of the picture, at its top, and near to the eye
    ("lateral", "lh", BACK, UP, LEFT),
    ("lateral", "rh", FRONT, UP, RIGHT),
    ("medial", "lh", FRONT, UP, RIGHT),
    ("medial", "rh", BACK, UP, LEFT),
    ("dorsal", "lh", RIGHT, FRONT, UP),
    ("dorsal", "rh", RIGHT, FRONT, UP),
    ("ventral", "lh", LEFT, FRONT, DOWN),
    ("ventral", "rh", LEFT, FRONT, DOWN),
    ("posterior", "lh", RIGHT, UP, BACK),
    ("posterior", "rh", RIGHT, UP, BACK),
    ("anterior", "lh", LEFT, UP, FRONT),
    ("anterior", "rh", LEFT, UP, FRONT),
]


@pytest.mark.parametrize(("view", "hemi", "right", "up", "towards"), ANATOMY)
def test_standard_views_look_from_where_anatomists_look(view: str, hemi: str, right: list, up: list, towards: list) -> None:
    assert np.allclose(surface.eye(view, hemi), [right, up, towards], atol=1e-12)


@pytest.mark.parametrize("view", surface.VIEWS)
def test_hemispheres_change_places_exactly_where_the_right_of_the_picture_is_the_left_of_the_brain(view: str) -> None:
    right = surface.eye(view, "lh")[0]
    assert surface.VIEWS[view].swapped == (right[0] < -0.5)


def test_unknown_names_are_told_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"Unknown surface 'inflatd'\. Did you mean 'inflated'"):
        surface.mesh("inflatd", "lh")
    with pytest.raises(UnknownName, match="Unknown hemisphere 'left'"):
        surface.mesh("pial", "left")
    with pytest.raises(UnknownName, match=r"Unknown view 'laterale'\. Did you mean 'lateral'"):
        surface.eye("laterale", "lh")


def coarser(faces: np.ndarray, n_old: int) -> np.ndarray:
    """The triangles of which an icosahedral mesh was divided, from its own first quarter: one corner of each."""
    edges = np.unique(np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1), axis=0)
    ends = edges[(edges[:, 0] < n_old) & (edges[:, 1] >= n_old)]
    parents = ends[np.argsort(ends[:, 1], kind="stable"), 0].reshape(-1, 2)
    corners = faces[: len(faces) // 4]
    others = [parents[corners[:, place] - n_old].sum(1) - corners[:, 0] for place in (1, 2)]
    return np.stack([corners[:, 0], *others], axis=1)


def test_subdivision_makes_fsaverage5_of_each_coarser_mesh_vertex_for_vertex() -> None:
    """FreeSurfer's order of vertices and triangles, from 42 vertices up; so it holds beyond fsaverage5 too."""
    faces, n = surface.mesh("white", "lh")[1].astype(int), surface.N_VERTICES
    while n > 42:
        n_old = (n - 2) // 4 + 2
        coarse = coarser(faces, n_old)
        divided, parents = surface.subdivide(coarse, n_old)
        np.testing.assert_array_equal(divided, faces)
        assert len(parents) == n - n_old
        if n == surface.N_VERTICES:
            white = surface.mesh("white", "lh")[0]
            away = np.linalg.norm(white[parents].mean(1) - white[n_old:], axis=1)
            assert away.mean() < 1 and away.max() < 4  # mm, of the coarsest step
        faces, n = coarse, n_old


@pytest.mark.parametrize("hemi", HEMIS)
def test_every_vertex_of_fsaverage_has_a_place_near_its_neighbours(hemi: str) -> None:
    places = surface.places(hemi)
    assert places.shape == (163_842, 3) and np.isfinite(places).all()
    np.testing.assert_array_equal(places[: surface.N_VERTICES], surface.mesh("white", hemi)[0])
    assert len(np.unique(places.round(4), axis=0)) > 163_000
    low, high = surface.mesh("white", hemi)[0].min(0), surface.mesh("white", hemi)[0].max(0)
    assert (places >= low).all() and (places <= high).all()
