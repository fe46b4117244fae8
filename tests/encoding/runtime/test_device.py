"""Memory that this process may take, within the control groups it stands in."""

from __future__ import annotations

import pytest

from encoding.runtime.device import _free_in_groups, available_memory

GB = 10**9


@pytest.fixture
def groups(tmp_path):
    """A mounted tree of control groups; ``limit(path, limit, used)`` makes one."""

    def limit(path, limit, used):
        folder = tmp_path / "cgroup" / path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.max").write_text(f"{limit}\n")
        (folder / "memory.stat").write_text(f"anon {used}\nfile 12\n")

    def free(own):
        (tmp_path / "listing").write_text(f"1:name=systemd:/x\n0::{own}\n")
        return _free_in_groups(tmp_path / "listing", tmp_path / "cgroup")

    return limit, free


def test_the_limit_of_the_own_group_counts(groups):
    limit, free = groups
    limit("system.slice/app.service", 32 * GB, 2 * GB)
    assert free("/system.slice/app.service") == 30 * GB
    assert free("/system.slice/other.service") == float("inf")


def test_the_tightest_of_the_groups_above_counts(groups):
    limit, free = groups
    limit("", "max", 50 * GB)
    limit("user.slice", 8 * GB, 5 * GB)
    limit("user.slice/run", 100 * GB, GB)
    assert free("/user.slice/run") == 3 * GB


def test_a_container_whose_group_is_the_root(groups):
    limit, free = groups
    limit("", 4 * GB, GB)
    assert free("/") == 3 * GB


def test_this_machine_has_memory_and_a_missing_listing_is_no_limit(tmp_path):
    assert 0 < available_memory() < float("inf")
    assert _free_in_groups(tmp_path / "none", tmp_path / "none") == float("inf")
