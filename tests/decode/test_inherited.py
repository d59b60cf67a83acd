"""Volumes of in-tree plugins as the CSI drivers know them that took over."""

import pytest

from scheduler.cluster import decode
from scheduler.core.match import admits
from scheduler.core.storage import PersistentVolume

ZONE, OLD = "topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"
OLD_REGION, REGION = "failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"
GKE, EBS = "topology.gke.io/zone", "topology.ebs.csi.aws.com/zone"
GCE_DISK, EBS_DISK = {"gcePersistentDisk": {"pdName": "d"}}, {"awsElasticBlockStore": {"volumeID": "vol-1"}}


def volume(source, labels=None, **lines) -> PersistentVolume:
    spec = dict(source)
    if lines:
        expressions = [{"key": key, "operator": "In", "values": values} for key, values in lines["keys"].items()]
        spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": [{"matchExpressions": expressions}]}}
    raw = {"metadata": {"name": "pv", "uid": "u", "labels": labels or {}}, "spec": spec}
    found = decode.decode("PersistentVolume", raw)
    assert isinstance(found, PersistentVolume)
    return found


@pytest.mark.parametrize(
    ("source", "labels", "handle"),
    [
        (GCE_DISK, {}, "projects/UNSPECIFIED/zones/UNSPECIFIED/disks/d"),
        (GCE_DISK, {ZONE: "us-a1-b"}, "projects/UNSPECIFIED/zones/us-a1-b/disks/d"),
        (GCE_DISK, {OLD: "us-a1-c", ZONE: "us-a1-b"}, "projects/UNSPECIFIED/zones/us-a1-c/disks/d"),
        (GCE_DISK, {ZONE: "us-a1-b__us-a1-c"}, "projects/UNSPECIFIED/regions/us-a1/disks/d"),
        (EBS_DISK, {}, "vol-1"),
        ({"awsElasticBlockStore": {"volumeID": "aws://us-east-1a/vol-2"}}, {}, "vol-2"),
        ({"azureDisk": {"diskURI": "/subscriptions/x"}}, {}, "/subscriptions/x"),
        ({"cinder": {"volumeID": "c"}}, {}, "c"),
    ],
)
def test_the_handle_is_that_of_the_driver(source, labels, handle):
    assert volume(source, labels).handle == handle


@pytest.mark.parametrize(
    ("source", "labels"),
    [
        (GCE_DISK, {ZONE: "a__b"}),
        (GCE_DISK, {ZONE: "us-a1-b__us-a2-b"}),
        ({"awsElasticBlockStore": {"volumeID": "aws://us-east-1a/disk"}}, {}),
    ],
)
def test_what_the_driver_cannot_know_is_counted_nowhere_and_usable_on_no_node_of_its(source, labels):
    found = volume(source, labels)

    assert found.driver == ""
    assert not admits(found.moved, {ZONE: "a"})
    assert admits(found.affinity, {ZONE: "a"})


@pytest.mark.parametrize(
    ("found", "fits", "misses"),
    [
        (volume(GCE_DISK, keys={ZONE: ["a"]}), {GKE: "a"}, {ZONE: "a"}),
        (volume(EBS_DISK, keys={OLD: ["a"], OLD_REGION: ["r"]}), {EBS: "a", REGION: "r"}, {EBS: "a", OLD_REGION: "r"}),
        (volume(EBS_DISK, {ZONE: "a"}), {EBS: "a"}, {ZONE: "a"}),
        (volume(EBS_DISK, {ZONE: "a"}, keys={"disk": ["ssd"]}), {EBS: "a", "disk": "ssd"}, {"disk": "ssd"}),
        (volume({"azureDisk": {"diskURI": "u"}}, keys={ZONE: ["a"]}), {ZONE: "a"}, {}),
    ],
)
def test_its_nodes_are_told_by_the_label_of_the_driver(found, fits, misses):
    assert admits(found.moved, fits)
    assert not admits(found.moved, misses)


def test_without_zones_nothing_changes():
    assert volume(EBS_DISK).moved is None
