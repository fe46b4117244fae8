from types import SimpleNamespace

import numpy as np

from encoding.datasets._placement import Placement

SURFACE = SimpleNamespace(vertices={"lh": np.array([3, 9]), "rh": np.array([4])}, responses={"lh": None, "rh": None})
VOLUME = SimpleNamespace(
    vertices=None,
    responses={"brain": None},
    sampled={"lh": (np.array([0, 5, 7]), np.array([2, 2, 0])), "rh": (np.array([1]), np.array([3]))},
)


def test_on_a_surface_every_column_has_its_own_place():
    placement = Placement.of(SURFACE)
    values = {"lh": np.array([0.1, 0.2]), "rh": np.array([0.3])}
    for hemi, shown in placement.values(values).items():
        np.testing.assert_array_equal(shown, values[hemi])
    assert placement.column(("lh", 1)) == placement.place(("lh", 1)) == ("lh", 1)
    assert set(placement.values({"rh": values["rh"]})) == {"rh"}


def test_a_voxel_is_shown_by_every_vertex_that_samples_it():
    placement = Placement.of(VOLUME)
    shown = placement.values({"brain": np.array([10.0, 11.0, 12.0, 13.0])})
    assert shown["lh"].tolist() == [12, 12, 10] and shown["rh"].tolist() == [13]
    rois = placement.rois({"brain": {"V1": np.array([1, 2]), "V2": np.array([3])}})
    assert rois["lh"]["V1"].tolist() == [0, 1] and not len(rois["lh"]["V2"]) and rois["rh"]["V2"].tolist() == [0]
    assert placement.column(("lh", 1)) == ("brain", 2) and placement.place(("brain", 2)) == ("lh", 0)
    assert placement.place(("brain", 1)) is None and placement.place(None) is None and placement.column(None) is None


def test_without_places_there_is_no_placement():
    assert Placement.of(SimpleNamespace(vertices=None, sampled=None, responses={"brain": None})) is None
