"""Which control groups a node is put into, on machines of several kinds."""

from pathlib import Path

import pytest

from e2e.node.cgroups import Hierarchy, hierarchies
from e2e.node.tools import NodeError

ONE = """\
12:name=systemd:/
9:pids:/
8:blkio:/
7:freezer:/
6:devices:/
5:memory:/job/7
4:cpuset:/
2:cpu,cpuacct:/
0::/
"""
ONE_MOUNTS = "\n".join(
    f"{number} 1 0:{number} / /sys/fs/cgroup/{name} rw - cgroup cgroup rw,{name}"
    for number, name in enumerate(["cpu,cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids"], 30)
)
TWO = "0::/user.slice/session-1.scope\n"
TWO_MOUNTS = "30 1 0:30 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n"


def test_version_1_has_a_hierarchy_for_each_controller_and_those_that_are_mounted_together():
    found = {each.controllers: each.own for each in hierarchies(ONE, ONE_MOUNTS)}

    assert found["memory"] == Path("/sys/fs/cgroup/memory/job/7")
    assert found["cpu,cpuacct"] == Path("/sys/fs/cgroup/cpu,cpuacct")
    assert len(found) == 7


def test_version_2_has_one():
    [found] = hierarchies(TWO, TWO_MOUNTS)

    own = Path("/sys/fs/cgroup/user.slice/session-1.scope")
    assert found == Hierarchy("", Path("/sys/fs/cgroup"), own)


def test_a_path_is_relative_to_what_is_mounted():
    membership, mounts = "0::/docker/abc/inner\n", TWO_MOUNTS.replace(" / ", " /docker/abc ")

    assert hierarchies(membership, mounts)[0].own == Path("/sys/fs/cgroup/inner")


def test_what_is_missing_is_named():
    without = "\n".join(line for line in ONE.splitlines() if "memory" not in line)

    with pytest.raises(NodeError, match="version 1 without memory"):
        hierarchies(without, ONE_MOUNTS)
