"""Map columns of responses to places on the cortical surface.

On a surface each column is a vertex of its own hemisphere. Voxels of a volume are one block for both hemispheres, sampled by the
surface: a vertex displays one voxel, and a voxel may be displayed by several vertices or by none. Parcels are sampled likewise, and so are
vertices of another surface (fsLR), which stay blocks of their own hemisphere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from encoding.datasets import Subject

Column = tuple[str, int]
"""A block of responses and a column of it."""


@dataclass(frozen=True)
class Placement:
    """Mapping of columns to places. A place is an index into a hemisphere's ``vertices``.

    Attributes
    ----------
    vertices : per hemisphere (n_places,) int64, the fsaverage vertex of each place.
    blocks : per hemisphere, the block of responses that is drawn there.
    columns : per hemisphere (n_places,) int64, the column of that block that each place shows.
    """

    vertices: Mapping[str, np.ndarray]
    blocks: Mapping[str, str]
    columns: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, subject: Subject) -> Placement | None:
        """Build the placement of a subject; None where the places of its columns are unknown."""
        if subject.vertices is not None:
            every = {hemi: np.arange(len(vertices)) for hemi, vertices in subject.vertices.items()}
            return cls(subject.vertices, {hemi: hemi for hemi in subject.vertices}, every)
        if subject.sampled is not None:
            vertices = {hemi: there for hemi, (there, _) in subject.sampled.items()}
            blocks = {hemi: hemi if hemi in subject.responses else next(iter(subject.responses)) for hemi in vertices}
            return cls(vertices, blocks, {hemi: columns for hemi, (_, columns) in subject.sampled.items()})
        return None

    def values(self, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Map values from columns, block to (n_columns,), to places, hemisphere to (n_places,); only the blocks that are given."""
        return {hemi: values[block][self.columns[hemi]] for hemi, block in self.blocks.items() if block in values}

    def rois(self, rois: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, dict[str, np.ndarray]]:
        """Map ROIs from columns (block to ROI to indices) to places (hemisphere to ROI to sorted int64 indices)."""
        return {
            hemi: {roi: np.flatnonzero(np.isin(self.columns[hemi], columns)) for roi, columns in rois[block].items()}
            for hemi, block in self.blocks.items()
        }

    def column(self, place: tuple[str, int] | None) -> Column | None:
        """Return the column displayed at a place."""
        return None if place is None else (self.blocks[place[0]], int(self.columns[place[0]][place[1]]))

    def place(self, column: Column | None) -> tuple[str, int] | None:
        """Return the first place that displays a column; None where there is none."""
        if column is not None:
            for hemi, block in self.blocks.items():
                there = np.flatnonzero(self.columns[hemi] == column[1]) if block == column[0] else ()
                if len(there):
                    return hemi, int(there[0])
        return None
