"""Brain map data, their binary encoding, the meshes and the viewer's JavaScript.

The viewer (``viewer.js`` and its neighbours) is plain WebGL2 without a framework. A page passes it bytes through a component;
:func:`encoding.plots.brain.export.standalone_html` writes the same bytes into a file. Meshes are sent once; a change of
layer sends only :meth:`BrainMap.to_bytes`, about 5 bytes per drawn vertex with data.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from encoding.datasets import _surface as surface
from encoding.datasets._unit import VERTEX, Unit
from encoding.plots.brain.packing import N_COLOURS, coloured_numbers, pack
from encoding.runtime.registry import UnknownName, unknown

MESH_VERSION = 1
"""Raise when :func:`mesh_bytes` changes: browsers keep the file of each version."""
DRAWN = ("inflated", "pial", "flat")
"""The surfaces that the viewer can switch between."""
SOURCES = ("bytes.js", "ahead.js", "camera.js", "mesh.js", "scene.js", "overlay.js", "picture.js", "keyboard.js", "viewer.js")
"""The viewer's modules, each after those that it imports."""

Columns = Mapping[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class BrainMap:
    """One number per column of a subject's responses, with its display settings.

    Attributes
    ----------
    values : per hemisphere (n_vertices,) float; NaN is drawn as "no data".
    vertices : per hemisphere (n_vertices,) int, fsaverage vertex of each column.
    columns : per hemisphere (n_vertices,) int, response column of each entry of ``values``, for the tooltip; None where they are
        0, 1, 2 ….
    unit : what a column is called in the tooltip.
    rois : per hemisphere, ROI name to its columns.
    ceiling : per hemisphere (n_vertices,), upper bound of each value, in the same unit; None where unknown.
    ceiling_name : label of ``ceiling`` in the tooltip; another quantity per vertex may take its place, such as ``test r``.
    source : provenance line below the brain in a saved image.
    title : line above the brain.
    quantity : name of the values, at the colour bar and in the tooltip.
    colour_range : values at the two ends of the colour bar; a range that starts below 0 is diverging.
    threshold : values with a smaller magnitude (in a range from 0 up: smaller values) show the bare cortex; 0 hides none.
    hide_above : whether the threshold hides larger values instead, as of a score whose low values are the good ones.
    colour_map : plotly colour scale, such as ``magma``, ``viridis`` or, for differences, ``RdBu_r``.
    kinds : names of categories, where values are their numbers 1, 2, …: colours are discrete, the names stand beside them, and the
        colour range extends half a step beyond the first and last number.
    space : mesh that is drawn, a key of :data:`encoding.datasets._surface.SPACES`; vertices that it lacks are left out.
    surface : inflated, pial or flat.
    view : initial camera, a key of :data:`encoding.datasets._surface.VIEWS`.
    outlined : ROIs whose borders are drawn.
    chosen_roi : the ROI drawn in the accent colour.
    selected : hemisphere and column of the marked vertex.

    Raises
    ------
    ValueError, UnknownName
        On construction, for what cannot be drawn.
    """

    values: Columns
    vertices: Columns
    columns: Columns | None = None
    unit: Unit = VERTEX
    rois: Mapping[str, Columns] = field(default_factory=dict)
    ceiling: Columns | None = None
    ceiling_name: str = "ceiling"
    source: str = ""
    title: str = ""
    quantity: str = "r"
    colour_range: tuple[float, float] = (0.0, 1.0)
    threshold: float = 0.0
    hide_above: bool = False
    colour_map: str = "magma"
    kinds: Sequence[str] = ()
    space: str = "fsaverage5"
    surface: str = "inflated"
    view: str = "lateral"
    outlined: Sequence[str] = ()
    chosen_roi: str | None = None
    selected: tuple[str, int] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "colour_range", tuple(map(float, self.colour_range)))  # numpy's numbers are no JSON
        object.__setattr__(self, "threshold", float(self.threshold))
        for hemi, values in self.values.items():
            if hemi not in surface.HEMIS or hemi not in self.vertices:
                raise ValueError(f"Hemisphere {hemi!r} has values but no place on fsaverage; places: {', '.join(self.vertices)}.")
            if np.shape(values) != np.shape(self.vertices[hemi]):
                raise ValueError(f"{hemi}: {len(values)} values for {len(self.vertices[hemi])} vertices.")
        if not self.colour_range[0] < self.colour_range[1]:
            raise ValueError(f"A colour range runs from low to high, not from {self.colour_range[0]} to {self.colour_range[1]}.")
        if self.space not in surface.SPACES:
            raise UnknownName(unknown("mesh", self.space, surface.SPACES))
        if self.surface not in DRAWN:
            raise UnknownName(unknown("surface", self.surface, DRAWN))
        if self.view not in surface.VIEWS:
            raise UnknownName(unknown("view", self.view, surface.VIEWS))
        for name in [*self.outlined, *([self.chosen_roi] if self.chosen_roi else [])]:
            if name not in self.roi_names:
                raise UnknownName(unknown("ROI", name, self.roi_names))

    @property
    def roi_names(self) -> tuple[str, ...]:
        """Names of the ROIs of both hemispheres, in the order given."""
        return tuple(dict.fromkeys(name for hemi in self.rois.values() for name in hemi))

    @property
    def diverging(self) -> bool:
        """Whether the colour range starts below 0."""
        return self.colour_range[0] < 0

    @property
    def extent(self) -> tuple[float, float]:
        """Lowest and highest finite value, the ends of the colour range where there is none; what is beyond these has their colours."""
        drawn = np.concatenate([np.ravel(values) for values in self.values.values()] or [np.zeros(0)])
        drawn = drawn[np.isfinite(drawn)]
        return (float(drawn.min()), float(drawn.max())) if drawn.size else self.colour_range

    @property
    def n_vertices(self) -> int:
        """Vertices of a hemisphere of the mesh that is drawn."""
        return surface.SPACES[self.space]

    def members(self, hemi: str, roi: str) -> np.ndarray:
        """Mask (10242,) bool, of fsaverage (163842,), of the drawn vertices in an ROI."""
        inside = np.zeros(self.n_vertices, bool)
        if hemi in self.vertices:
            vertices = np.asarray(self.vertices[hemi])[self.rois.get(hemi, {}).get(roi, np.empty(0, int))]
            inside[vertices[vertices < self.n_vertices]] = True
        return inside

    def to_bytes(self, **more: Any) -> bytes:
        """Encode the map for the viewer; ``more`` is added to the header (the meshes' address, the height).

        Notes
        -----
        Per hemisphere: ``mask``, one bit per vertex of the mesh, set where it has a column; then for those vertices, in ascending order,
        ``values``, ``ceiling``, ``columns`` (unless they are 0, 1, 2 …) and ``rois``, the index of a set of ROIs. The header's
        ``memberships`` lists the sets, as indices into its ``rois``, the names. Integers take as many bits as their range needs; so do
        values and ceilings, in steps that :func:`~encoding.plots.brain.packing.coloured_numbers` chooses.
        """
        fields = (
            "source",
            "title",
            "quantity",
            "ceiling_name",
            "colour_range",
            "extent",
            "threshold",
            "hide_above",
            "diverging",
            "kinds",
            "surface",
            "view",
            "outlined",
            "chosen_roi",
        )
        header = {name: getattr(self, name) for name in fields} | {"selected": self._selected_vertex(), "unit": self.unit.one} | more
        header |= {"rois": self.roi_names, "memberships": {}}
        arrays, steps = {"colours": self._colours()}, {}
        for hemi in self.values:
            columns, mask = _drawn_columns(self.vertices[hemi], self.n_vertices)
            number, table = _memberships(self.roi_names, self.rois.get(hemi, {}), columns, len(self.vertices[hemi]))
            header["memberships"][hemi] = table
            arrays |= {f"{hemi}.mask": np.packbits(mask, bitorder="little"), f"{hemi}.rois": number}
            steps[f"{hemi}.rois"] = 1
            named = columns if self.columns is None else np.asarray(self.columns[hemi])[columns]
            if not np.array_equal(named, np.arange(len(named))):  # else the viewer counts them itself
                arrays[f"{hemi}.columns"] = named
                steps[f"{hemi}.columns"] = 1
            for name, numbers in (("values", self.values), ("ceiling", self.ceiling or {})):
                if hemi in numbers:
                    sent, per_unit = coloured_numbers(np.asarray(numbers[hemi])[columns], self.colour_range)
                    arrays[f"{hemi}.{name}"], steps[f"{hemi}.{name}"] = sent, per_unit
        return pack(header, arrays, steps)

    def _colours(self) -> np.ndarray:
        """(256, 3) uint8, from the low end of the range to the high one."""
        table = colour_table(self.colour_map)
        if not self.kinds:
            return table
        n_kinds = len(self.kinds)
        step = np.arange(N_COLOURS) * n_kinds // N_COLOURS
        return table[np.rint((step + 0.5) / n_kinds * (N_COLOURS - 1)).astype(int)]

    def _selected_vertex(self) -> dict[str, Any] | None:
        if self.selected is None:
            return None
        hemi, column = self.selected
        if hemi not in self.vertices or not 0 <= column < len(self.vertices[hemi]):
            return None
        vertex = int(self.vertices[hemi][column])
        return {"hemi": hemi, "vertex": vertex} if vertex < self.n_vertices else None


def maps_ahead(maps: Sequence[BrainMap], **more: Any) -> bytes:
    """Encode maps that differ in values, title and source alone, for a viewer that shows one of them before it is sent.

    Parameters
    ----------
    maps : of the same vertices and mesh, in the order of the places of a slider.
    more : added to the header, such as the slider and the name of the view.

    Notes
    -----
    The header's ``maps`` lists what each replaces in the header of the map at hand. Each array, ``0``, ``1`` …, holds one map's
    ``values`` of each hemisphere, packed like the whole: 10 kB a map of the visual cortex of fsaverage5.
    """
    columns = {hemi: _drawn_columns(vertices, maps[0].n_vertices)[0] for hemi, vertices in maps[0].vertices.items()} if maps else {}
    packed = {}
    for place, brain in enumerate(maps):
        arrays: dict[str, np.ndarray] = {}
        steps: dict[str, int] = {}
        for hemi, values in brain.values.items():
            sent, per_unit = coloured_numbers(np.asarray(values)[columns[hemi]], brain.colour_range)
            arrays[f"{hemi}.values"], steps[f"{hemi}.values"] = sent, per_unit
        packed[str(place)] = np.frombuffer(pack({}, arrays, steps), np.uint8)
    replaced = ("title", "source", "extent")
    return pack({"maps": [{name: getattr(brain, name) for name in replaced} for brain in maps], **more}, packed)


@cache
def colour_table(name: str) -> np.ndarray:
    """Sample a plotly colour scale, (256, 3) uint8; names are case-insensitive, a final ``_r`` reverses the scale.

    Raises
    ------
    UnknownName
        For a scale that plotly does not have.
    """
    from plotly import colors

    plain = name.lower().removesuffix("_r")
    if plain not in colors.named_colorscales():
        raise UnknownName(unknown("colour map", plain, colors.named_colorscales()))
    table = colors.sample_colorscale(name, np.linspace(0, 1, N_COLOURS), colortype="tuple")
    return np.rint(np.array(table) * 255).astype(np.uint8)


def mesh_bytes(space: str = "fsaverage5") -> bytes:
    """Serialise both hemispheres' surfaces, sulcal depth and the standard views for the viewer (1.3 MB; of fsaverage 29 MB)."""
    number = np.uint16 if surface.SPACES[space] <= 2**16 else np.uint32
    arrays = {}
    for hemi in surface.HEMIS:
        arrays[f"{hemi}.sulcal_depth"] = surface.sulcal_depth(hemi, space)
        for name in DRAWN:
            arrays[f"{hemi}.{name}"] = surface.mesh(name, hemi, space)[0]
        arrays[f"{hemi}.faces"] = surface.mesh("inflated", hemi, space)[1].astype(number)
        arrays[f"{hemi}.flat_faces"] = surface.mesh("flat", hemi, space)[1].astype(number)
    return pack({"views": {name: asdict(view) for name, view in surface.VIEWS.items()}}, arrays)


@cache
def viewer_module() -> str:
    """Bundle the viewer as one JavaScript module, with its style sheet, that exports ``createBrainView`` and ``unpack``."""
    folder = Path(__file__).parent / "viewer"
    joined = [
        re.sub(r"^import .*\n|^export (?=function|const|class)", "", (folder / name).read_text("utf-8"), flags=re.M) for name in SOURCES
    ]
    style = json.dumps((folder / "viewer.css").read_text("utf-8"))
    return "\n".join([f"const STYLE = {style};", *joined, "export { createBrainView, sendAhead, unpack };\n"])


def _drawn_columns(vertices: np.ndarray, n_vertices: int) -> tuple[np.ndarray, np.ndarray]:
    """The columns that lie on the first vertices of fsaverage, ordered by vertex, and (n_vertices,) bool where they lie."""
    column = np.full(n_vertices, -1)
    there = np.flatnonzero(np.asarray(vertices) < n_vertices)
    column[np.asarray(vertices)[there]] = there
    return column[column >= 0], column >= 0


def _memberships(names: Sequence[str], rois: Columns, columns: np.ndarray, n_columns: int) -> tuple[np.ndarray, list[list[int]]]:
    """Number each vertex by the set of ROIs that it is in, and list the sets."""
    inside = np.zeros((n_columns, len(names)), bool)
    for place, name in enumerate(names):
        inside[rois.get(name, []), place] = True
    sets, number = _different(inside[columns])
    return number, [np.flatnonzero(row).tolist() for row in sets]


def _different(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different rows of a bool matrix in order, and the place of each row among them: ``np.unique(axis=0)``, which is slow."""
    if rows.shape[1] > 64:
        distinct, number = np.unique(rows, axis=0, return_inverse=True)
        return distinct, number.ravel()
    packed = np.zeros((len(rows), 8), np.uint8)
    bits = np.packbits(rows, axis=1)
    packed[:, : bits.shape[1]] = bits
    _, first, number = np.unique(packed.view(">u8").ravel(), return_index=True, return_inverse=True)
    return rows[first], number
