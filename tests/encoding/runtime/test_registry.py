import subprocess
import sys

import pytest

from encoding.runtime.registry import Registry, UnknownName, unknown


def test_an_unknown_name_gets_the_nearest_and_the_known():
    registry = Registry("readout", "encoding.readouts")
    registry._loaded = True
    registry.register("ridge", 1)
    registry.register("ols", 2)
    with pytest.raises(UnknownName, match=r"Unknown readout 'rigde'. Did you mean 'ridge'\? Known: ols, ridge."):
        registry["rigde"]
    assert "rigde" not in registry and "ols" in registry


def test_a_long_list_says_how_many_more():
    assert unknown("x", "q", [f"name{i}" for i in range(20)]).endswith("and 8 more.")


def test_a_name_is_registered_once():
    registry = Registry("thing", "encoding.readouts")
    registry.register("a", 1)
    with pytest.raises(ValueError, match="registered twice"):
        registry.register("a", 2)


def test_the_core_needs_no_interface_and_listing_loads_no_torch():
    code = (
        "import sys; sys.modules['streamlit'] = None\n"
        "import encoding\n"
        "list(encoding.DATASETS), list(encoding.BACKBONES), list(encoding.READOUTS)\n"
        "heavy = {'torch', 'torchvision', 'sklearn', 'nilearn', 'plotly', 'distributed', 'pandas', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
