"""Name of one column of the responses: a vertex of the cortical surface, or a voxel of a volume."""

from __future__ import annotations

from dataclasses import dataclass

from encoding.runtime.wording import counted


@dataclass(frozen=True)
class Unit:
    """The singular and plural of what one column of the responses is.

    Examples
    --------
    >>> VOXEL.count(1234), VERTEX.count(1)
    ('1,234 voxels', '1 vertex')
    >>> VOXEL.fill("{Units} near the chosen {unit}")
    'Voxels near the chosen voxel'
    """

    one: str
    many: str

    def __str__(self) -> str:
        return self.one

    def count(self, n: int) -> str:
        """Format ``n`` with the unit's singular or plural."""
        return counted(n, self.one, self.many)

    def fill(self, text: str) -> str:
        """Replace ``{unit}``, ``{units}``, ``{Unit}`` and ``{Units}`` in ``text``."""
        return text.format(unit=self.one, units=self.many, Unit=self.one.capitalize(), Units=self.many.capitalize())


VERTEX, VOXEL = Unit("vertex", "vertices"), Unit("voxel", "voxels")
