"""Volumes, claims, classes and drivers as the API writes them."""

import pytest

from scheduler.cluster import decode
from scheduler.core.errors import DecodeError
from scheduler.core.model import Disk, LabelSelector, NodeSelector, NodeSelectorTerm, PodVolume, Requirement
from scheduler.core.storage import CSIDriver, CSINode, Holder, StorageClass, VolumeAttachment

NAMED = {"name": "x", "namespace": "ns", "uid": "u", "resourceVersion": "7"}


def read(kind, spec=None, metadata=None, **rest):
    return decode.decode(kind, {"metadata": {**NAMED, **(metadata or {})}, "spec": spec or {}, **rest})


def test_a_claim():
    found = read(
        "PersistentVolumeClaim",
        {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "fast", "volumeMode": "Block",
            "resources": {"requests": {"storage": "10Gi"}}, "volumeName": "pv", "volumeAttributesClassName": "gold",
            "selector": {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "Exists"}]},
        },
        {
            "annotations": {
                "pv.kubernetes.io/bind-completed": "yes", "volume.kubernetes.io/selected-node": "n1",
            },
            "ownerReferences": [{"uid": "pod", "controller": True}],
        },
        status={"phase": "Bound"},
    )  # fmt: skip

    assert (found.key, found.uid, found.resource_version, found.storage_class) == ("ns/x", "u", "7", "fast")
    assert (found.size.value(), found.modes, found.mode) == (10 * 2**30, ("ReadWriteOnce",), "Block")
    assert (found.volume, found.bound, found.selected_node, found.owner, found.phase) == (
        "pv", True, "n1", "pod", "Bound",
    )  # fmt: skip
    assert found.attributes_class == "gold"
    assert found.selector == LabelSelector((Requirement("a", "In", ("b",)), Requirement("c", "Exists")))


def test_a_claim_that_names_a_volume_is_not_bound_to_it_before_the_cluster_says_so():
    assert not read("PersistentVolumeClaim", {"volumeName": "pv"}).bound


def test_the_old_annotation_names_the_class_first():
    old = {"annotations": {"volume.beta.kubernetes.io/storage-class": "old"}}

    assert read("PersistentVolumeClaim", {"storageClassName": "new"}, old).storage_class == "old"
    assert read("PersistentVolume", {"storageClassName": "new"}, old).storage_class == "old"


@pytest.mark.parametrize(
    ("kind", "spec", "told"),
    [
        ("PersistentVolumeClaim", {"resources": {"requests": {"storage": "-1"}}}, "requests[storage]: -1 is negative"),
        (
            "PersistentVolumeClaim",
            {"resources": {"requests": {"storage": "many"}}},
            "requests[storage]: quantity 'many'",
        ),
        ("PersistentVolumeClaim", {"resources": 4}, "spec.resources: expected"),
        (
            "PersistentVolumeClaim",
            {"selector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}},
            "spec.selector: is no selector of labels: spec.selector.matchExpressions[0].operator Near",
        ),
        (
            "PersistentVolumeClaim",
            {"selector": {"matchExpressions": [{"key": "a", "operator": "In"}]}},
            "spec.selector: is no selector of labels: spec.selector.matchExpressions[0].operator In without values",
        ),
        (
            "PersistentVolumeClaim",
            {"selector": {"matchLabels": {"a b": "c"}}},
            "spec.selector: is no selector of labels: spec.selector.matchLabels with 'a b', which is not the key of a",
        ),
        ("PersistentVolume", {"capacity": {"storage": "x"}}, "spec.capacity[storage]: quantity 'x'"),
        ("VolumeAttachment", {"nodeName": "n"}, "spec.attacher: is missing"),
    ],
)
def test_what_cannot_be_read_names_object_and_field(kind, spec, told):
    with pytest.raises(DecodeError) as error:
        read(kind, spec)

    assert told in str(error.value)
    assert f"{kind} ns/x" in str(error.value)


def test_a_volume():
    found = read(
        "PersistentVolume",
        {
            "capacity": {"storage": "5Gi"}, "accessModes": ["ReadWriteMany"], "storageClassName": "fast",
            "csi": {"driver": "d", "volumeHandle": "h"}, "claimRef": {"namespace": "ns", "name": "c", "uid": "cu"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]},
            ]}},
        },
        {"labels": {"l": "m"}},
        status={"phase": "Bound"},
    )  # fmt: skip

    assert (found.name, found.capacity.value(), found.modes, found.phase) == (
        "x",
        5 * 2**30,
        ("ReadWriteMany",),
        "Bound",
    )
    assert (found.driver, found.handle, found.holder, found.plugin) == ("d", "h", Holder("ns", "c", "cu"), "")
    assert found.affinity == NodeSelector((NodeSelectorTerm((Requirement("zone", "In", ("a",)),)),))


@pytest.mark.parametrize(
    ("operator", "labels", "matched"),
    [("In", [], False), ("NotIn", [], True), ("NotIn", [{"key": "a", "operator": "Exists"}], False)],
)
def test_a_volumes_affinity_knows_no_fields_of_nodes(operator, labels, matched):
    """kube-scheduler holds it against a node that has labels and no name."""
    term = {
        "matchFields": [{"key": "metadata.name", "operator": operator, "values": ["n1"]}],
        "matchExpressions": labels,
    }
    found = read("PersistentVolume", {"nodeAffinity": {"required": {"nodeSelectorTerms": [term]}}})

    from scheduler.core.match import admits

    assert admits(found.affinity, {"kubernetes.io/hostname": "n1"}) is matched


def test_an_affinity_without_terms_reaches_no_node():
    found = read("PersistentVolume", {"nodeAffinity": {"required": {}}})

    assert found.affinity == NodeSelector(())


def test_a_source_that_a_driver_took_over_is_told():
    found = read("PersistentVolume", {"awsElasticBlockStore": {"volumeID": "v"}})

    assert (found.plugin, found.driver, found.handle) == ("kubernetes.io/aws-ebs", "ebs.csi.aws.com", "v")


def test_classes_nodes_drivers_and_attachments():
    terms = [{"matchLabelExpressions": [{"key": "zone", "values": ["a", "b"]}]}]
    given = {"metadata": NAMED, "provisioner": "p", "volumeBindingMode": "Immediate", "allowedTopologies": terms}
    where = NodeSelector((NodeSelectorTerm((Requirement("zone", "In", ("a", "b")),)),))
    assert decode.decode("StorageClass", given) == StorageClass("x", "p", "Immediate", where)

    drivers = [{"name": "d", "nodeID": "i", "allocatable": {"count": 3}}, {"name": "e", "nodeID": "i"}]
    plugins = {"annotations": {"storage.alpha.kubernetes.io/migrated-plugins": "a,b"}}
    assert read("CSINode", {"drivers": drivers}, plugins) == CSINode("x", {"d": 3, "e": None}, frozenset({"a", "b"}))

    flags = {"storageCapacity": True, "preventPodSchedulingIfMissing": True}
    assert read("CSIDriver", flags) == CSIDriver("x", measured=True, required=True)

    attached = {"attacher": "d", "nodeName": "n", "source": {"persistentVolumeName": "pv"}}
    assert read("VolumeAttachment", attached) == VolumeAttachment("x", "d", "n", "pv")


@pytest.mark.parametrize(
    ("given", "limit"),
    [({}, None), ({"capacity": "1Gi"}, 2**30), ({"capacity": "1Gi", "maximumVolumeSize": "1Mi"}, 2**20)],
)
def test_the_largest_volume_is_what_a_capacity_tells(given, limit):
    found = decode.decode(
        "CSIStorageCapacity", {"metadata": NAMED, "storageClassName": "fast", "nodeTopology": {}, **given}
    )

    assert (found.limit.value() if found.limit else None) == limit
    assert (found.storage_class, found.topology) == ("fast", LabelSelector(()))


def test_volumes_of_a_pod():
    volumes = [
        {"name": "a", "persistentVolumeClaim": {"claimName": "c"}}, {"name": "b", "ephemeral": {}},
        {"name": "d", "emptyDir": {}}, {"name": "e", "iscsi": {"iqn": "q", "readOnly": True}},
        {"name": "f", "rbd": {"monitors": ["m"], "image": "i"}}, {"name": "g", "gcePersistentDisk": {"pdName": "d"}},
        {"name": "h", "awsElasticBlockStore": {"volumeID": "v"}}, {"name": "i", "azureDisk": {"diskURI": "u"}},
    ]  # fmt: skip

    assert read("Pod", {"volumes": volumes}).volumes == (
        PodVolume("a", "c"),
        PodVolume("b", "x-b", ephemeral=True),
        PodVolume("e", disk=Disk("iscsi", ("q",), read_only=True)),
        PodVolume("f", disk=Disk("rbd", ("rbd", "i"), read_only=False, monitors=frozenset({"m"}))),
        PodVolume("g", disk=Disk("gcePersistentDisk", ("d",))),
        PodVolume("h", disk=Disk("awsElasticBlockStore", ("v",))),
        PodVolume("i", disk=Disk("azureDisk", ("u",))),
    )
