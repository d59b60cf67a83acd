"""Snapshots whose whole output is kept: `python -m tests.doublebook.snapshots` writes what is said of them."""

import json
from pathlib import Path

from scheduler.doublebook.clashes import clashes
from scheduler.doublebook.command import KINDS, cluster_of
from scheduler.doublebook.plugins import beside
from scheduler.doublebook.report import Report, as_json, as_table
from scheduler.readiness.snapshot import of_values
from tests.doublebook.build import claim, device, node, pod, result, slice_of

GOLDEN = Path(__file__).parent / "golden"
ONE, TWO = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"
GPU = {"nvidia.com/gpu": "2"}
BOX = [
    node("n1"),
    slice_of(device("gpu-0"), device("gpu-1"), device("shared", memory="80Gi", shared=True)),
    node("n2"),
    slice_of(counters={"memory": "80Gi", "slices": "8"}, node="n2", count=2, part="counters"),
    slice_of(
        device("gpu-0", draws={"memory": "80Gi", "slices": "8"}),
        device("mig-0", draws={"memory": "20Gi", "slices": "2"}),
        device("mig-1", draws={"memory": "40Gi", "slices": "4"}), node="n2", count=2, part="devices",
    ),
]  # fmt: skip
SNAPSHOTS = {
    "in-order": [
        *BOX,
        claim("one", result("gpu-0")),
        claim("two", result("gpu-1")),
        claim("left", result("shared", share=ONE, takes={"memory": "60Gi"})),
        claim("right", result("shared", share=TWO, takes={"memory": "20Gi"})),
        claim("parts", result("mig-0", pool="n2"), result("mig-1", pool="n2")),
        claim("watcher", result("gpu-0", admin=True), result("gpu-0", pool="n2", admin=True)),
    ],
    "two-schedulers": [
        *BOX,
        claim("one", result("gpu-0"), users=("p1", "p2", "p3", "p4")),
        claim("two", result("gpu-0")),
        claim("both", result("gpu-1"), result("gpu-1")),
        claim("left", result("shared", share=ONE, takes={"memory": "60Gi"})),
        claim("right", result("shared", share=ONE, takes={"memory": "21Gi"})),
        claim("whole", result("gpu-0", pool="n2")),
        claim("part", result("mig-1", pool="n2")),
    ],
    "renewed-driver": [
        *BOX,
        slice_of(device("gpu-0"), generation=2),
        claim("gone", result("gpu-1")),
        claim("elsewhere", result("gpu-0", pool="n9")),
        claim("half", result("gpu-0", pool="n3")),
        slice_of(device("gpu-0"), node="n3", count=2),
    ],
    "plugin-beside-driver": [
        node("n1", **GPU), slice_of(device("gpu-0"), device("gpu-1")), claim("one", result("gpu-0")),
        pod("old", **GPU), pod("new", claims=["one"]),
        pod("served", backed=["nvidia.com/gpu"], **{"nvidia.com/gpu": "1"}),
        node("n2", **{"nvidia.com/gpu": "8"}), slice_of(device("gpu-0"), node="n2"),
        pod("replica", on="n2", **{"nvidia.com/gpu": "1"}),
    ],
}  # fmt: skip


def said(name):
    """(table, JSON) of what is said of a snapshot."""
    snapshot = of_values(SNAPSHOTS[name], KINDS, "cluster")
    cluster = cluster_of(snapshot, KINDS)
    assert snapshot.problems == []
    (found, notes), (more, further) = clashes(cluster), beside(cluster)
    counts = {"ResourceSlices": len(cluster.slices), "ResourceClaims": len(cluster.claims)}
    report = Report(sorted([*found, *more]), [*notes, *further], counts)
    return as_table(report) + "\n", as_json(report) + "\n"


if __name__ == "__main__":
    for each in SNAPSHOTS:
        for text, ending in zip(said(each), ("txt", "json"), strict=True):
            assert text != "\n", json.dumps(each)
            (GOLDEN / f"{each}.{ending}").write_text(text, encoding="utf-8")
