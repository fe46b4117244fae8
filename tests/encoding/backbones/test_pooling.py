"""Pooling over places and frames, against the same means taken by hand."""

import numpy as np
import pytest
import torch

from encoding.backbones._pooling import check_over_frames, check_pool, over_frames, pooled

MAP = torch.randn(2, 5, 6, 6, generator=torch.Generator().manual_seed(0))


def test_maps_are_pooled_whichever_side_their_channels_stand_on():
    for pool in ("mean", "max", "grid:2"):
        assert torch.equal(pooled(MAP, pool), pooled(MAP.permute(0, 2, 3, 1), pool))
    np.testing.assert_allclose(pooled(MAP, "mean"), MAP.numpy().mean((2, 3)), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(pooled(MAP, "max"), MAP.numpy().max((2, 3)))
    parts = MAP.numpy().reshape(2, 5, 2, 3, 2, 3).mean((3, 5)).reshape(2, -1)
    np.testing.assert_allclose(pooled(MAP, "grid:2"), parts, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("extra", [0, 1, 5])
def test_tokens_are_the_places_of_a_map_after_those_that_stand_for_none(extra):
    tokens = torch.cat([torch.full((2, extra, 5), 99.0), MAP.flatten(2).transpose(1, 2)], 1)
    for pool in ("mean", "max", "grid:3"):
        torch.testing.assert_close(pooled(tokens, pool), pooled(MAP, pool))
    if extra:
        assert torch.equal(pooled(tokens, "class"), tokens[:, 0])
    else:
        with pytest.raises(ValueError, match="needs a class token"):
            pooled(tokens, "class")


def test_nothing_is_lost_without_pooling_and_vectors_have_no_places():
    assert torch.equal(pooled(MAP, "none"), MAP.flatten(1))
    for pool in ("none", "mean", "max", "grid:4"):
        assert torch.equal(pooled(MAP[:, :, 0, 0], pool), MAP[:, :, 0, 0])


def test_pooling_copies_and_gives_float32():
    vector = torch.ones(2, 3, dtype=torch.float64)
    kept = pooled(vector, "none")
    vector += 1
    assert kept.dtype == torch.float32 and kept.max() == 1


def test_tokens_of_no_square_map_are_refused():
    with pytest.raises(ValueError, match="63 tokens are not the places"):
        pooled(torch.ones(1, 63, 2), "mean")


@pytest.mark.parametrize("name", ["average", "grid", "grid:0", "grid:x", ""])
def test_an_unknown_pooling_is_refused(name):
    with pytest.raises(ValueError, match="Unknown pooling"):
        check_pool(name)
    with pytest.raises(ValueError, match="Unknown way"):
        check_over_frames(name)


@pytest.mark.parametrize(("over", "expected"), [("mean", [[2.0], [20.0]]), ("max", [[3.0], [30.0]]), ("first", [[1.0], [10.0]])])
def test_frames_of_a_clip_become_one_row(over, expected):
    frames = torch.tensor([[1.0], [2.0], [3.0], [10.0], [20.0], [30.0]])
    assert over_frames(frames, 3, over).tolist() == expected
    assert over_frames(frames, 3, "all").tolist() == [[1, 2, 3], [10, 20, 30]]
    assert over_frames(frames, 3, "last").tolist() == [[3], [30]]
