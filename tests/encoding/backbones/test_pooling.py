"""Pooling over places and frames, against the same means taken by hand, and the laws that every pool obeys."""

import numpy as np
import pytest
import torch

from encoding.backbones._axes import Axes
from encoding.backbones._pooling import POOLS, check_over_frames, find_pool, over_frames, pooled

MAP = torch.randn(2, 5, 6, 6, generator=torch.Generator().manual_seed(0))
TOKENS = torch.cat([torch.full((2, 1, 5), 99.0), MAP.flatten(2).transpose(1, 2)], 1)  # a class token, then the map row by row
WITH_CLASS = Axes("NLC", n_prefix=1, class_token=True)


@pytest.mark.parametrize("pool", POOLS.values(), ids=list(POOLS))
def test_every_pool_gives_each_image_a_row_of_its_own(pool):
    for output, axes in ((TOKENS, WITH_CLASS), (TOKENS.double(), WITH_CLASS), (TOKENS.half(), WITH_CLASS)):
        both = pooled(output, pool.example, axes)
        assert both.shape == (2, both.shape[1]) and both.dtype == torch.float32 and both.is_contiguous()
        assert both.shape[1] <= output[0].numel() and both.data_ptr() != output.data_ptr()
        for i in range(2):
            torch.testing.assert_close(pooled(output[i : i + 1], pool.example, axes)[0], both[i])
        assert pooled(output[:0], pool.example, axes).shape == (0, both.shape[1])


@pytest.mark.parametrize("pool", POOLS.values(), ids=list(POOLS))
def test_every_pool_reads_its_own_example_and_no_other_text(pool):
    assert find_pool(pool.example)[0] is pool and pool.description and pool.name == pool.usage.partition(":")[0]
    for text in (pool.example + "x", pool.name + ":", pool.example + ":1", pool.name.upper()):
        with pytest.raises(ValueError, match="Unknown pooling"):
            find_pool(text)


@pytest.mark.parametrize("pool", [pool for pool in POOLS.values() if pool.over_places], ids=lambda pool: pool.name)
def test_pools_over_places_see_the_same_map_in_any_order_of_axes(pool):
    expected = pooled(MAP, pool.example, Axes("NCHW"))
    orders = {"NHWC": MAP.permute(0, 2, 3, 1), "NLC": MAP.flatten(2).transpose(1, 2), "NCL": MAP.flatten(2)}
    for order, output in orders.items():
        torch.testing.assert_close(pooled(output, pool.example, Axes(order)), expected)
    torch.testing.assert_close(pooled(TOKENS, pool.example, WITH_CLASS), expected)
    assert torch.equal(pooled(MAP[:, :, 0, 0], pool.example), MAP[:, :, 0, 0])  # vectors have no places


def test_maps_are_pooled_whichever_side_their_channels_stand_on():
    for pool in ("mean", "max", "grid:2"):
        assert torch.equal(pooled(MAP, pool), pooled(MAP.permute(0, 2, 3, 1), pool))
    np.testing.assert_allclose(pooled(MAP, "mean"), MAP.numpy().mean((2, 3)), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(pooled(MAP, "max"), MAP.numpy().max((2, 3)))
    parts = MAP.numpy().reshape(2, 5, 2, 3, 2, 3).mean((3, 5)).reshape(2, -1)
    np.testing.assert_allclose(pooled(MAP, "grid:2"), parts, rtol=1e-5, atol=1e-6)


def test_a_cube_is_pooled_over_the_axes_that_are_known():
    cube = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(pooled(cube, "mean", Axes("NHWC")), cube.mean((1, 2)))
    torch.testing.assert_close(pooled(cube, "mean", Axes("NCHW")), cube.mean((2, 3)))


def test_a_token_is_a_class_token_only_where_the_network_says_so():
    assert torch.equal(pooled(TOKENS, "class", WITH_CLASS), TOKENS[:, 0])
    for axes in (None, Axes("NLC", n_prefix=1), Axes("NCHW")):
        with pytest.raises(ValueError, match="needs a class token"):
            pooled(TOKENS, "class", axes)


def test_places_in_another_order_have_a_mean_and_no_grid():
    axes = Axes("NLC", n_prefix=1, is_row_by_row=False)
    torch.testing.assert_close(pooled(TOKENS, "mean", axes), pooled(MAP, "mean"))
    with pytest.raises(ValueError, match="needs places stored row by row"):
        pooled(TOKENS, "grid:2", axes)


def test_nothing_is_lost_without_pooling():
    assert torch.equal(pooled(MAP, "none"), MAP.flatten(1))


def test_pooling_copies_and_gives_float32():
    vector = torch.ones(2, 3, dtype=torch.float64)
    kept = pooled(vector, "none")
    vector += 1
    assert kept.dtype == torch.float32 and kept.max() == 1


@pytest.mark.parametrize("shape", [(1, 63, 2), (1, 4, 196, 64), (1, 2, 3, 4, 4)])
def test_what_is_no_square_map_is_refused(shape):
    with pytest.raises(ValueError, match="not the places of a square map"):
        pooled(torch.ones(shape), "mean")


@pytest.mark.parametrize("name", ["average", "grid", "grid:0", "grid:x", ""])
def test_an_unknown_pooling_is_refused(name):
    with pytest.raises(ValueError, match="Unknown pooling"):
        find_pool(name)
    with pytest.raises(ValueError, match="Unknown pooling over frames"):
        check_over_frames(name)


@pytest.mark.parametrize(("over", "expected"), [("mean", [[2.0], [20.0]]), ("max", [[3.0], [30.0]]), ("first", [[1.0], [10.0]])])
def test_frames_of_a_clip_become_one_row(over, expected):
    frames = torch.tensor([[1.0], [2.0], [3.0], [10.0], [20.0], [30.0]])
    assert over_frames(frames, 3, over).tolist() == expected
    assert over_frames(frames, 3, "all").tolist() == [[1, 2, 3], [10, 20, 30]]
    assert over_frames(frames, 3, "last").tolist() == [[3], [30]]
