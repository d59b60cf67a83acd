"""A short siege of each kind; `python -m e2e.siege` lasts as long as one likes."""

from pathlib import Path

import pytest

from e2e.cluster import PROFILES, local_cluster
from e2e.siege.__main__ import Plan, besiege


@pytest.mark.parametrize("contested", [False, True])
def test_nothing_is_doubled_lost_or_leaked_under_siege(tmp_path: Path, *, contested: bool) -> None:
    cluster = local_cluster(PROFILES["default"], tmp_path)
    try:
        found = besiege(cluster, Plan(minutes=0.75, nodes=30, contested=contested))
    finally:
        cluster.stop()

    print(found)
    assert found["first_faults"] == []
    assert found["kills"] >= 1
    assert found["bound"]["dovetail"] >= 30
