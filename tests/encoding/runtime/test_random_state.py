"""Threads that seed torch's random numbers, of which a process has one state, draw what they would have drawn alone."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from encoding.backbones._base import seeded as built
from encoding.backbones._modules import without_values
from encoding.runtime.random_state import seeded


def draws() -> list[float]:
    numbers = []
    for _ in range(5):
        numbers.append(float(torch.rand(1, device="cpu")))
        time.sleep(0.002)  # lets another thread in
    return numbers


def block(seed):
    with seeded(seed):
        return draws()


class Drawn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.numbers = draws()


def network(seed):
    return built(Drawn, seed).numbers


def network_beside_others(seed):
    without_values(Drawn)
    return network(seed)


@pytest.mark.parametrize("draw", [block, network, network_beside_others])
def test_blocks_of_several_threads_draw_what_they_draw_alone(draw):
    seeds = [0, 1, 0, 1]
    alone = [draw(seed) for seed in seeds]
    with ThreadPoolExecutor(len(seeds)) as pool:
        assert list(pool.map(draw, seeds)) == alone


def test_the_state_from_before_is_restored_and_blocks_may_be_nested():
    torch.manual_seed(3)
    expected = float(torch.rand(1))
    torch.manual_seed(3)
    with seeded(0):
        block(1)
    assert float(torch.rand(1)) == expected
