"""Ranges that readouts declare for a search."""

import pytest

from encoding import READOUTS
from encoding.readouts import Choice, Range, known_space, search_space

list(READOUTS)
SPACES = [(name, key) for name, readout in READOUTS.items() for key, space in known_space(readout.options).items() if space]


@pytest.mark.parametrize(("name", "key"), SPACES, ids=" ".join)
def test_every_declared_range_holds_values_that_its_readout_takes(name, key):
    space = known_space(READOUTS[name].options)[key]
    assert key not in (searched := search_space(READOUTS[name].options)) or searched[key] == space
    values = space.values if isinstance(space, Choice) else (space.low, space.high)
    for value in values:
        assert getattr(READOUTS[name].read({key: value}), key) == value
    if isinstance(space, Range):
        assert space.low < space.high and (space.low > 0 or not space.log)
