"""docs/backbones.md names every source, every pool and what the registries hold; its code runs."""

import re

import torch

from encoding.backbones import BACKBONES, SOURCES
from encoding.backbones import _pooling as pooling
from encoding.backbones._checkpoints import AVERAGES, TABLES
from tests import PROJECT

TEXT = (PROJECT / "docs" / "backbones.md").read_text()


def rows(heading):
    """First cells of the rows of the first table after a heading, and the rest of each row."""
    after = TEXT.partition(f"{heading}\n")[2]
    table = re.search(r"\|---.*\n((?:\|.*\n)+)", after)[1]
    return {line.split("|")[1].strip().strip("`"): line for line in table.splitlines()}


def test_every_source_has_a_row_and_no_other():
    assert set(rows("# Backbones and their weights")) == set(SOURCES)
    names = re.findall(r"`((?:gabor|pixels|torchvision|vonenet|keras)[/:][^`<]+)`", TEXT)
    assert names and all(name in BACKBONES for name in names)


def test_the_number_of_torchvisions_networks_is_that_of_the_registry():
    stated = int(re.search(r"(\d+) classification networks", TEXT)[1])
    assert stated == sum(name.startswith("torchvision/") for name in BACKBONES) - 1  # RetinaNet


def test_the_table_of_pools_is_the_registry():
    written = rows("## Pooling")
    assert list(written) == [pool.usage for pool in pooling.POOLS.values()]
    assert all(pool.description in written[pool.usage] for pool in pooling.POOLS.values())


def test_the_tables_of_weights_that_are_named_are_read():
    named = re.findall(r"`(\w+)`", TEXT.partition("- tables such as")[2].partition("\n- prefixes")[0])
    assert len(named) > 6 and set(named) <= set(TABLES) and set(named) & set(AVERAGES)


def test_the_pool_of_the_example_works(monkeypatch):
    monkeypatch.setattr(pooling, "POOLS", dict(pooling.POOLS))
    exec(re.search(r"```python\n(.*?)```", TEXT, re.DOTALL)[1], {})
    x = torch.randn(2, 5, 6, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(pooling.pooled(x, "spread"), x.flatten(2).std(2, correction=0))
    assert "spread: the standard deviation" in pooling.pools_help() and "spread" in pooling.pooling_advice()
