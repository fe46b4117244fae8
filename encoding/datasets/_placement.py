"""Where the columns of a subject's responses are drawn on the cortex.

On a surface each column is a vertex of its own hemisphere. Voxels of a volume are one block for both hemispheres, which
the surface samples: a vertex shows one voxel, and a voxel may be shown by several vertices or by none.
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
    """What is drawn where. A place is an index into a hemisphere's ``vertices``.

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
        """That of a subject; None where nothing is known of where its columns lie."""
        if subject.vertices is not None:
            every = {hemi: np.arange(len(vertices)) for hemi, vertices in subject.vertices.items()}
            return cls(subject.vertices, {hemi: hemi for hemi in subject.vertices}, every)
        if subject.sampled is not None:
            (block,) = subject.responses
            vertices = {hemi: there for hemi, (there, _) in subject.sampled.items()}
            return cls(vertices, dict.fromkeys(vertices, block), {hemi: columns for hemi, (_, columns) in subject.sampled.items()})
        return None

    def values(self, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Per block (n_columns,) -> per hemisphere (n_places,), of the blocks that are given."""
        return {hemi: values[block][self.columns[hemi]] for hemi, block in self.blocks.items() if block in values}

    def rois(self, rois: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, dict[str, np.ndarray]]:
        """Per block, ROI to its columns -> per hemisphere, ROI to its places, sorted int64."""
        return {
            hemi: {roi: np.flatnonzero(np.isin(self.columns[hemi], columns)) for roi, columns in rois[block].items()}
            for hemi, block in self.blocks.items()
        }

    def column(self, place: tuple[str, int] | None) -> Column | None:
        """The column that a place shows."""
        return None if place is None else (self.blocks[place[0]], int(self.columns[place[0]][place[1]]))

    def place(self, column: Column | None) -> tuple[str, int] | None:
        """The first place that shows a column; None where none does."""
        if column is not None:
            for hemi, block in self.blocks.items():
                there = np.flatnonzero(self.columns[hemi] == column[1]) if block == column[0] else ()
                if len(there):
                    return hemi, int(there[0])
        return None
