"""Voxels of a volume on the surface."""

from __future__ import annotations

import numpy as np

from encoding.datasets._surface import mesh
from encoding.datasets._tracks2021 import AFFINE, VOLUME
from encoding.datasets._volumes import on_surface


def test_a_vertex_lies_within_the_voxel_it_shows():
    chosen = np.random.default_rng(0).choice(np.prod(VOLUME), 100_000, replace=False)
    for hemi, (vertices, columns) in on_surface(chosen, VOLUME, AFFINE).items():
        halfway = (mesh("pial", hemi)[0][vertices] + mesh("white", hemi)[0][vertices]) / 2
        centres = np.stack(np.unravel_index(chosen[columns], VOLUME), axis=1) @ AFFINE[:3, :3].T + AFFINE[:3, 3]
        assert (np.abs(halfway - centres) <= np.array([2.5, 2.5, 2.75]) / 2 + 1e-3).all()
        assert (halfway[:, 0] < 5).all() if hemi == "lh" else (halfway[:, 0] > -5).all()


def test_a_slab_that_does_not_hold_the_whole_brain_shows_what_it_holds():
    whole = on_surface(np.arange(np.prod(VOLUME)), VOLUME, AFFINE)
    slab, moved = (78, 30, 71), AFFINE.copy()
    moved[1, 3] += 30 * 2.5  # the slab starts thirty voxels further to the front, in the middle of the brain
    for hemi, (vertices, columns) in on_surface(np.arange(np.prod(slab)), slab, moved).items():
        x, y, z = np.unravel_index(columns, slab)
        expected = {v: c for v, c in zip(*whole[hemi], strict=True) if 30 <= np.unravel_index(c, VOLUME)[1] < 60}
        assert dict(zip(vertices, np.ravel_multi_index((x, y + 30, z), VOLUME), strict=True)) == expected and expected
