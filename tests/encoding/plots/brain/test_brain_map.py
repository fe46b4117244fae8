"""The bytes that the viewer reads say what the map says, and stay few."""

from __future__ import annotations

import json

import numpy as np
import pytest

from encoding.datasets._surface import HEMIS, N_VERTICES, VIEWS, mesh
from encoding.datasets._unit import VOXEL
from encoding.plots.brain.brain_map import BrainMap, colour_table, maps_ahead, mesh_bytes, viewer_module
from encoding.plots.brain.packing import pack
from encoding.runtime.registry import UnknownName


def unpack(data: bytes) -> tuple[dict, dict[str, np.ndarray]]:
    """What bytes.js does, written again."""
    length = int.from_bytes(data[:4], "little")
    header = json.loads(data[4 : 4 + length])
    rest = data[4 + length :]
    return header, {one["name"]: read(rest[one["offset"] :], **one) for one in header["arrays"]}


def read(data: bytes, *, dtype: str, length: int, n_bits: int = 0, n_steps: int = 1, lowest: int = 0, **_) -> np.ndarray:
    if dtype != "bits":
        return np.frombuffer(data, dtype, length)
    whole = int.from_bytes(data[: (n_bits * length + 7) // 8], "little")
    codes = [whole >> n_bits * i & (1 << n_bits) - 1 for i in range(length)]
    return np.array([(code - 1 + lowest) / n_steps if code else np.nan for code in codes])


def a_map(n_vertices: int = 2_500, **more) -> BrainMap:
    rng = np.random.default_rng(0)
    vertices = {hemi: rng.permutation(N_VERTICES)[:n_vertices] for hemi in HEMIS}
    values = {hemi: rng.uniform(-0.1, 0.9, n_vertices).astype(np.float32) for hemi in HEMIS}
    rois = {hemi: {f"area{i}": np.sort(rng.permutation(n_vertices)[:120]) for i in range(25)} for hemi in HEMIS}
    ceiling = {hemi: rng.uniform(0.2, 1, n_vertices).astype(np.float32) for hemi in HEMIS}
    return BrainMap(**({"values": values, "vertices": vertices, "rois": rois, "ceiling": ceiling} | more))


def spread(arrays: dict[str, np.ndarray], hemi: str, name: str) -> np.ndarray:
    whole = np.full(N_VERTICES, np.nan)
    whole[np.unpackbits(arrays[f"{hemi}.mask"], bitorder="little")[:N_VERTICES].astype(bool)] = arrays[f"{hemi}.{name}"]
    return whole


@pytest.mark.parametrize("hemi", HEMIS)
@pytest.mark.parametrize("name", ["values", "ceiling"])
def test_numbers_arrive_at_their_vertices_exact_to_three_decimals(name: str, hemi: str) -> None:
    brain = a_map()
    given = getattr(brain, name)[hemi]
    given[5] = np.nan
    _, arrays = unpack(brain.to_bytes())
    found = spread(arrays, hemi, name)[brain.vertices[hemi]]
    assert np.isnan(found[5])
    assert [f"{value:.3f}" for value in np.delete(found, 5)] == [f"{value:.3f}".replace("-0.000", "0.000") for value in np.delete(given, 5)]


@pytest.mark.parametrize(("values", "colour_range"), [([0.1, 33_000.0], (0, 1)), ([0.0123456, 0.02], (0, 0.1)), ([0.5, np.inf], (0, 1))])
def test_values_that_thousandths_cannot_hold_travel_whole(values: list[float], colour_range: tuple[float, float]) -> None:
    brain = BrainMap(values={"lh": np.array(values, np.float32)}, vertices={"lh": np.array([0, 1])}, colour_range=colour_range)
    _, arrays = unpack(brain.to_bytes())
    assert np.array_equal(arrays["lh.values"], np.array(values, np.float32))


@pytest.mark.parametrize("hemi", HEMIS)
def test_every_vertex_arrives_with_its_rois(hemi: str) -> None:
    brain = a_map()
    header, arrays = unpack(brain.to_bytes())
    number = spread(arrays, hemi, "rois")
    with_data = np.flatnonzero(np.isfinite(number))
    for place, roi in enumerate(header["rois"]):
        holds = np.array([place in places for places in header["memberships"][hemi]])
        assert set(with_data[holds[number[with_data].astype(int)]]) == set(brain.vertices[hemi][brain.rois[hemi][roi]])


def rois_in_classes(vertices: np.ndarray, hemi: str, sizes: tuple[int, ...]) -> dict[str, np.ndarray]:
    """ROIs as data sets have them: classes that overlap, of patches that do not."""
    place = mesh("sphere", hemi)[0][vertices]
    centres = np.random.default_rng(1).permutation(len(vertices))
    rois = {}
    for number, size in enumerate(sizes):
        distance = np.linalg.norm(place[:, None] - place[centres[number * 10 : number * 10 + size]], axis=2)
        nearest = np.where(distance.min(axis=1) < 25, distance.argmin(axis=1), -1)
        rois |= {f"class{number}-area{i}": np.flatnonzero(nearest == i) for i in range(size)}
    return rois


def test_five_thousand_vertices_with_ceilings_and_thirty_rois_take_less_than_forty_kilobytes() -> None:
    """Also where neither the vertices nor the columns come in any order; 4 kB are left for what Streamlit adds."""
    brain = a_map()
    rois = {hemi: rois_in_classes(brain.vertices[hemi], hemi, sizes=(7, 4, 5, 3, 5, 7)) for hemi in HEMIS}
    columns = {hemi: np.random.default_rng(2).permutation(40_000)[:2_500] for hemi in HEMIS}
    assert len(a_map(rois=rois, columns=columns, outlined=list(rois["lh"])).to_bytes(height=440)) < 36_000


def test_the_tooltip_gets_the_column_of_each_vertex_beside_the_number_that_the_mesh_has() -> None:
    brain = a_map()
    header, arrays = unpack(brain.to_bytes())
    assert header["unit"] == "vertex"
    np.testing.assert_array_equal(spread(arrays, "lh", "columns")[brain.vertices["lh"]], np.arange(2_500))
    in_order = {hemi: np.sort(there) for hemi, there in brain.vertices.items()}
    assert "lh.columns" not in unpack(a_map(vertices=in_order).to_bytes())[1], "the viewer counts them itself"


def test_where_vertices_show_voxels_the_tooltip_gets_the_voxel() -> None:
    shown = {"lh": np.array([70_000, 3, 3])}
    header, arrays = unpack(BrainMap(values={"lh": np.ones(3)}, vertices={"lh": np.array([2, 5, 9])}, columns=shown, unit=VOXEL).to_bytes())
    assert (header["unit"], arrays["lh.columns"].tolist()) == ("voxel", [70_000, 3, 3])


@pytest.mark.parametrize(
    ("values", "extent"),
    [([0.1, 0.5], (0.1, 0.5)), ([-0.4, 1.5], (-0.4, 1.5)), ([np.nan, -2], (-2, -2)), ([np.inf, 1], (1, 1)), ([np.nan, np.nan], (0, 1))],
)
def test_a_colour_bar_knows_how_far_values_reach_beyond_its_ends(values: list[float], extent: tuple[float, float]) -> None:
    drawn = BrainMap(values={"lh": np.array(values, float)}, vertices={"lh": np.arange(2)}, colour_range=(0, 1))
    header, _ = unpack(drawn.to_bytes())
    assert tuple(header["extent"]) == drawn.extent == extent


@pytest.mark.parametrize(("colour_range", "diverging"), [((-0.2, 0.2), True), ((0, 1), False)])
def test_the_viewer_is_told_whether_the_colour_range_starts_below_0(colour_range: tuple[float, float], diverging: bool) -> None:
    drawn = BrainMap(values={"lh": np.ones(2)}, vertices={"lh": np.arange(2)}, colour_range=colour_range)
    assert unpack(drawn.to_bytes())[0]["diverging"] is diverging


@pytest.mark.parametrize("ends", [(0.0, 1.0), (0.0, 0.05)])  # of thousandths, and of float32
def test_a_map_sent_ahead_has_the_values_of_the_map_itself(ends: tuple[float, float]) -> None:
    rng = np.random.default_rng(0)
    vertices = {"lh": rng.choice(163_842, 500, replace=False), "rh": np.sort(rng.choice(163_842, 300, replace=False))}
    drawn = [
        BrainMap(
            values={hemi: rng.normal(0.3, 0.1, len(each)).astype(np.float32) for hemi, each in vertices.items()},
            vertices=vertices,
            title=title,
            colour_range=ends,
        )
        for title in ("first", "second")
    ]
    header, packed = unpack(maps_ahead(drawn, name="brain"))
    assert (header["name"], [each["title"] for each in header["maps"]]) == ("brain", ["first", "second"])
    for place, brain in enumerate(drawn):
        of_map, arrays = unpack(brain.to_bytes())
        _, ahead = unpack(packed[str(place)].tobytes())
        assert header["maps"][place]["extent"] == of_map["extent"]
        assert {*ahead} == {"lh.values", "rh.values"}
        for name, values in ahead.items():
            np.testing.assert_array_equal(values, arrays[name])


def test_columns_beyond_fsaverage5_do_not_travel() -> None:
    vertices = {"lh": np.array([163_841, 4, 20_000, 2])}
    _, arrays = unpack(BrainMap(values={"lh": np.arange(4.0)}, vertices=vertices).to_bytes())
    assert arrays["lh.values"].tolist() == [3, 1]
    assert np.flatnonzero(np.unpackbits(arrays["lh.mask"], bitorder="little")).tolist() == [2, 4]


def test_a_map_without_rois_or_with_no_vertex_at_all_can_be_packed() -> None:
    empty = {"lh": np.empty(0, np.float32)}
    header, arrays = unpack(BrainMap(values=empty, vertices={"lh": np.empty(0, int)}).to_bytes())
    assert len(arrays["lh.values"]) == 0
    header, arrays = unpack(BrainMap(values={"lh": np.ones(2)}, vertices={"lh": np.array([0, 1])}).to_bytes())
    assert (header["memberships"]["lh"], arrays["lh.rois"].tolist()) == ([[]], [0, 0])


def test_the_marked_vertex_is_a_vertex_of_fsaverage5_or_none() -> None:
    brain = {"values": {"lh": np.zeros(2)}, "vertices": {"lh": np.array([9, 20_000])}}
    marked = [unpack(BrainMap(**brain, selected=("lh", column)).to_bytes())[0]["selected"] for column in (0, 1, 2)]
    assert marked == [{"hemi": "lh", "vertex": 9}, None, None]


def test_mesh_bytes_hold_the_meshes_and_the_views() -> None:
    header, arrays = unpack(mesh_bytes())
    assert list(header["views"]) == list(VIEWS)
    for hemi in HEMIS:
        for name, faces in (("inflated", "faces"), ("pial", "faces"), ("flat", "flat_faces")):
            assert np.array_equal(arrays[f"{hemi}.{name}"].reshape(-1, 3), mesh(name, hemi)[0])
            assert np.array_equal(arrays[f"{hemi}.{faces}"].reshape(-1, 3), mesh(name, hemi)[1])


def test_every_array_starts_where_javascript_can_read_it() -> None:
    data = pack({"name": "é"}, {"a": np.arange(3, dtype=np.uint8), "b": np.arange(2, dtype=np.float32), "c": np.arange(5, dtype=np.uint16)})
    header, arrays = unpack(data)
    assert int.from_bytes(data[:4], "little") % 4 == 0
    assert all(one["offset"] % 4 == 0 for one in header["arrays"])
    assert [array.tolist() for array in arrays.values()] == [[0, 1, 2], [0, 1], [0, 1, 2, 3, 4]]


@pytest.mark.parametrize(
    ("numbers", "n_steps", "n_bits"),
    [
        ([], 1, 0),
        ([np.nan, np.nan], 1000, 0),
        ([7, 7, 7], 1, 1),
        ([-1.0, np.nan, 0.999], 1000, 11),
        (np.arange(163_842)[::-40], 1, 18),
        ([-16_000.0, 16_000.0], 1000, 25),
    ],
)
def test_numbers_sent_in_steps_take_the_bits_that_their_range_needs(numbers, n_steps: int, n_bits: int) -> None:
    numbers = np.array(numbers)
    header, arrays = unpack(pack({}, {"before": np.zeros(1, np.uint8), "numbers": numbers}, {"numbers": n_steps}))
    assert header["arrays"][1]["n_bits"] == n_bits
    np.testing.assert_allclose(arrays["numbers"], numbers, rtol=1e-12)


def test_colour_tables_are_plotlys_and_reverse_with_r() -> None:
    from plotly import colors

    assert colour_table("magma").shape == (256, 3)
    ends = [colors.hex_to_rgb(colour) for colour in (colors.sequential.Magma[0], colors.sequential.Magma[-1])]
    assert [tuple(colour_table("Magma")[i]) for i in (0, -1)] == ends
    assert np.array_equal(colour_table("RdBu_r"), colour_table("RdBu")[::-1])


def test_a_sequential_scale_of_the_brain_grows_lighter_all_the_way() -> None:
    for name in ("magma", "viridis"):
        lightness = colour_table(name) @ [0.299, 0.587, 0.114]
        assert (np.diff(lightness) > -1).all()
        assert lightness[-1] - lightness[0] > 120


def test_the_viewer_is_one_module_without_imports() -> None:
    module = viewer_module()
    assert "import " not in "\n".join(line for line in module.splitlines() if line.startswith("import"))
    assert [line for line in module.splitlines() if line.startswith("export")] == ["export { createBrainView, sendAhead, unpack };"]
    assert "innerHTML" not in module


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"surface": "inflatd"}, UnknownName, "Did you mean 'inflated'"),
        ({"view": "laterale"}, UnknownName, "Did you mean 'lateral'"),
        ({"outlined": ["area33"]}, UnknownName, "Unknown ROI 'area33'"),
        ({"chosen_roi": "V1"}, UnknownName, "Unknown ROI 'V1'"),
        ({"colour_range": (1.0, 1.0)}, ValueError, "from low to high, not from 1.0 to 1.0"),
        ({"values": {"lh": np.zeros(3)}}, ValueError, "lh: 3 values for 2500 vertices"),
        ({"values": {"left": np.zeros(3)}}, ValueError, "Hemisphere 'left' has values but no place"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_words(change: dict, error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        a_map(**change)


def test_an_unknown_colour_map_is_told_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"Unknown colour map 'viridi'\. Did you mean 'viridis'"):
        colour_table("viridi")
