"""Objects as drivers, users and controllers write them: every field that a decision reads arrives, compared with the
official client's reading of the same JSON as well."""

import json
from pathlib import Path

import pytest

from scheduler.cluster import decode
from scheduler.core.model import (
    ALL,
    EXACT_COUNT,
    Consumer,
    LabelSelector,
    NodeSelectorTerm,
    PodClaim,
    Repulsion,
    Requirement,
    Taint,
    Toleration,
    Version,
)
from scheduler.core.quantity import parse_quantity
from scheduler.simulator import fleet

GOLDEN = Path(__file__).parent / "golden"
OBJECTS = [item for path in sorted(GOLDEN.glob("*.json")) for item in json.loads(path.read_text())]
FLEET = fleet.fleet(dict.fromkeys(fleet.BOXES, 1)) + fleet.device_classes()
GI = 2**30
MI = 2**20


def golden(kind, name):
    (item,) = [item for item in OBJECTS if item["kind"] == kind and item["metadata"]["name"] == name]
    return decode.decode(kind, item)


# ---------------------------------------------------------------- by hand


def test_a_node_arrives_with_amounts_in_the_units_of_the_model():
    node = golden("Node", "gpu-a")

    assert node.allocatable == {
        "cpu": 15500,
        "memory": 64 * GI,
        "pods": 110,
        "ephemeral-storage": 1932735284,  # rounded up
        "hugepages-2Mi": 0,
        "example.com/fpga": 2,
    }
    assert node.taints == (
        Taint("gpu", "yes", "NoSchedule"),
        Taint("node.kubernetes.io/not-ready", "", "NoExecute"),
    )
    assert node.unschedulable
    assert node.annotations == {"dovetail.scheduler/links": "{}"}


def test_a_slice_arrives_with_typed_attributes_and_exact_capacity():
    item = golden("ResourceSlice", "gpu-a-gpu.nvidia.com-x7k2p")

    first, second = item.devices
    assert (item.driver, item.pool, item.generation, item.slice_count) == ("gpu.nvidia.com", "gpu-a", 4, 1)
    assert (item.node_name, item.node_selector, item.all_nodes, item.unsupported) == ("gpu-a", None, False, ())
    assert first.attributes["cudaComputeCapability"] == Version("9.0.0")
    assert first.attributes["resource.kubernetes.io/numaNode"] == 0
    assert first.attributes["ecc"] is False
    assert first.capacity == {"memory": parse_quantity("81559Mi")}
    assert first.taints == (Taint("gpu.nvidia.com/xid", "79", "NoExecute"),)
    assert second.capacity == {"memory": parse_quantity("85")}
    assert (first.binds_to_node, second.binds_to_node) == (False, True)


def test_slices_of_racks_and_of_everywhere_say_where_their_devices_are():
    rack, everywhere = golden("ResourceSlice", "rack-net"), golden("ResourceSlice", "amd-b")

    assert rack.node_selector.terms == (NodeSelectorTerm((Requirement("rack", "In", ("r1", "r2")),)),)
    assert not rack.unsupported
    assert everywhere.all_nodes
    assert not everywhere.unsupported


def test_a_claim_arrives_whole():
    claim = golden("ResourceClaim", "trainer-gpus-9xk2")

    gpu, nic = claim.spec.requests
    seen = Toleration("gpu.nvidia.com/xid", "Exists", "", "NoExecute", 30)
    assert claim.key == "demo/trainer-gpus-9xk2"
    assert (claim.uid, claim.resource_version, claim.owner) == ("c1", "77", "p1")
    assert claim.finalized
    assert not claim.deleting
    assert claim.annotations == {"resource.kubernetes.io/pod-claim-name": "gpus"}
    assert (gpu.name, gpu.device_class, gpu.mode, gpu.count) == ("gpu", "gpu.nvidia.com", EXACT_COUNT, 2)
    assert gpu.selectors == ("device.attributes['gpu.nvidia.com'].type == 'gpu'",)
    assert gpu.tolerations == (seen,)
    assert (nic.mode, nic.unsupported) == (ALL, ())
    assert claim.spec.constraints[0].match_attribute == "resource.kubernetes.io/pcieRoot"
    assert claim.allocation.results[0].tolerations == (seen,)
    assert [result.admin_access for result in claim.allocation.results] == [False, True, False]
    assert claim.allocation.results[2].share_id == "1f3e1f6e-2a0f-4d8c-9d1c-d7c1c2b0a001"
    assert claim.allocation.node_selector.terms[0].fields == (Requirement("metadata.name", "In", ("gpu-a",)),)
    assert claim.reserved_for == (
        Consumer("pods", "trainer", "p1"),
        Consumer("podgroups", "g", "g1", "scheduling.k8s.io"),
    )


def test_opaque_parameters_keep_their_spelling():
    raw = (
        b'{"metadata":{"name":"c","namespace":"n","uid":"u"},"spec":{"devices":{"config":[{"requests":["a"],'
        b'"opaque":{"driver":"d","parameters": {"big": 12345678901234567890, "ratio": 1.50, "text": "a  b"}}}]}}}'
    )

    (config,) = decode.decode("ResourceClaim", raw).spec.config

    assert config.requests == ("a",)
    assert config.entry == (
        '{"opaque":{"driver":"d","parameters":{"big":12345678901234567890,"ratio":1.50,"text":"a  b"}}}'
    )


def test_what_a_claim_does_not_say_has_the_defaults_of_the_api():
    claim = golden("ResourceClaim", "plain")

    (request,) = claim.spec.requests
    assert (request.mode, request.count) == (EXACT_COUNT, 1)
    assert (claim.owner, claim.finalized, claim.allocation, claim.reserved_for) == ("", False, None, ())
    assert claim.deleting


def test_classes_rules_and_templates_arrive():
    device_class = golden("DeviceClass", "gpu.nvidia.com")
    ours, everything, nothing = (golden("DeviceTaintRule", name) for name in ("ours", "everything", "nothing"))
    template = golden("ResourceClaimTemplate", "one-gpu")

    assert device_class.selectors == ("device.driver == 'gpu.nvidia.com'",)
    assert device_class.extended_resource == "nvidia.com/gpu"
    assert json.loads(device_class.config[0])["opaque"]["parameters"]["kind"] == "GpuConfig"
    assert (ours.selects, ours.driver, ours.pool, ours.device) == (True, "gpu.nvidia.com", "gpu-a", None)
    assert ours.taint == Taint("dovetail.scheduler/owned", "true", "NoSchedule")
    assert (everything.selects, everything.driver) == (True, None)
    assert not nothing.selects
    assert template.spec.requests[0].device_class == "gpu.nvidia.com"


def test_a_pod_arrives_whole():
    pod = golden("Pod", "trainer")

    assert (pod.key, pod.uid, pod.scheduler_name, pod.node_name) == ("demo/trainer", "p1", "dovetail", "")
    assert (pod.priority, pod.created, pod.phase, pod.gates) == (1000, "2026-07-24T09:59:00Z", "Pending", ("quota",))
    assert pod.annotations == {"dovetail.scheduler/profile": "dense"}
    assert pod.claims == (
        PodClaim("gpus", None, "two-gpus"),
        PodClaim("shared", "plain", None),
        PodClaim("none", None, "t"),
    )
    assert pod.claim_names == {"gpus": "trainer-gpus-9xk2", "none": None}
    assert pod.node_selector == {"zone": "a"}
    assert pod.affinity.terms == (
        NodeSelectorTerm((Requirement("gen", "Gt", ("3",)), Requirement("old", "DoesNotExist"))),
        NodeSelectorTerm(fields=(Requirement("metadata.name", "In", ("gpu-a",)),)),
    )
    assert pod.tolerations[1] == Toleration("", "Exists", "", "NoExecute", 300)
    assert pod.unsupported == ()


def test_a_pods_requests_are_the_peak_of_its_life():
    pod = golden("Pod", "trainer")

    # cpu: init container 4 beside the sidecar's 0.1, which is more than 2 + 0.1; then the overhead of 0.25
    assert pod.requests["cpu"] == 4350
    # memory: 8Gi + 100Mi running is more than 1Gi + 100Mi while loading; then 120Mi
    assert pod.requests["memory"] == 8 * GI + 220 * MI
    assert pod.requests["hugepages-2Mi"] == 4 * MI  # a limit alone is the request
    assert pod.requests["example.com/fpga"] == 1


def test_anti_affinity_is_refused_for_the_pod_and_kept_against_others():
    pod = golden("Pod", "web")

    assert pod.unsupported == ("affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution",)
    assert pod.repels == (
        Repulsion(("demo",), LabelSelector((Requirement("app", "In", ("trainer",)),))),
        Repulsion((), LabelSelector((Requirement("tier", "NotIn", ("x",)),))),
        Repulsion(("a", "b"), LabelSelector(())),
    )
    assert pod.scheduler_name == "default-scheduler"


@pytest.mark.parametrize("item", FLEET, ids=lambda item: item["metadata"]["name"])
def test_nothing_that_real_drivers_publish_is_refused(item):
    found = decode.decode(item["kind"], item)

    assert getattr(found, "unsupported", ()) == ()
    assert all(device.unsupported == () for device in getattr(found, "devices", ()))


@pytest.mark.parametrize("item", OBJECTS, ids=lambda item: f"{item['kind']}-{item['metadata']['name']}")
def test_bytes_and_mappings_mean_the_same(item):
    from_mapping = decode.decode(item["kind"], item)
    from_bytes = decode.decode(item["kind"], json.dumps(item, separators=(",", ":")).encode())
    from_pretty = decode.decode(item["kind"], json.dumps(item, indent=2).encode())

    assert from_mapping == from_bytes == from_pretty


@pytest.mark.parametrize("item", OBJECTS, ids=lambda item: f"{item['kind']}-{item['metadata']['name']}")
def test_fields_from_the_future_are_tolerated(item):
    grown = {**item, "spec": {**item.get("spec", {}), "notYet": {"a": [1]}}, "later": 1}

    assert decode.decode(item["kind"], grown) == decode.decode(item["kind"], item)


# ---------------------------------------------------------------- against the official client

MODELS = {
    "Node": "V1Node",
    "ResourceSlice": "V1ResourceSlice",
    "DeviceClass": "V1DeviceClass",
    "DeviceTaintRule": "V1DeviceTaintRule",
    "ResourceClaim": "ResourceV1ResourceClaim",
    "ResourceClaimTemplate": "V1ResourceClaimTemplate",
    "Pod": "V1Pod",
}


def official(item):
    from kubernetes import client

    configuration = client.Configuration()
    configuration.client_side_validation = False  # goldens leave out what only the server demands
    api = client.ApiClient(configuration)
    return api._ApiClient__deserialize(item, MODELS[item["kind"]])


def tolerations_of(items):
    return tuple(
        Toleration(each.key or "", each.operator or "", each.value or "", each.effect or "", each.toleration_seconds)
        for each in items or ()
    )


def check_node(ours, theirs):
    assert ours.labels == (theirs.metadata.labels or {})
    status = theirs.status.allocatable if theirs.status and theirs.status.allocatable else {}
    assert set(ours.allocatable) == set(status)
    for name, text in status.items():
        quantity = parse_quantity(text)
        assert ours.allocatable[name] == (quantity.milli() if name == "cpu" else quantity.value())
    taints = (theirs.spec.taints if theirs.spec else None) or ()
    assert ours.taints == tuple(Taint(each.key, each.value or "", each.effect) for each in taints)
    assert ours.unschedulable == bool(theirs.spec and theirs.spec.unschedulable)


def check_slice(ours, theirs):
    spec = theirs.spec
    assert (ours.driver, ours.pool) == (spec.driver, spec.pool.name)
    assert (ours.generation, ours.slice_count) == (spec.pool.generation, spec.pool.resource_slice_count)
    assert (ours.node_name, ours.all_nodes) == (spec.node_name, bool(spec.all_nodes))
    assert len(ours.devices) == len(spec.devices)
    for mine, other in zip(ours.devices, spec.devices, strict=True):
        assert mine.name == other.name
        assert set(mine.attributes) == set(other.attributes or {})
        for name, value in (other.attributes or {}).items():
            given = [each for each in (value.int, value.bool, value.string) if each is not None]
            given += [Version(value.version)] if value.version is not None else []
            assert [(type(mine.attributes[name]), mine.attributes[name])] == [(type(each), each) for each in given]
        expected = {name: parse_quantity(str(each.value)) for name, each in (other.capacity or {}).items()}
        assert mine.capacity == expected


def check_spec(ours, devices):
    assert [request.name for request in ours.requests] == [request.name for request in devices.requests or ()]
    for mine, other in zip(ours.requests, devices.requests or (), strict=True):
        exactly = other.exactly
        assert mine.device_class == exactly.device_class_name
        assert mine.selectors == tuple(each.cel.expression for each in exactly.selectors or ())
        assert mine.count == (1 if exactly.count is None else exactly.count)
        assert mine.mode == (exactly.allocation_mode or EXACT_COUNT)
        assert mine.tolerations == tolerations_of(exactly.tolerations)
    for mine, other in zip(ours.constraints, devices.constraints or (), strict=True):
        assert (list(mine.requests), mine.match_attribute) == (other.requests or [], other.match_attribute)
    for mine, other in zip(ours.config, devices.config or (), strict=True):
        assert list(mine.requests) == (other.requests or [])
        assert json.loads(mine.entry)["opaque"]["parameters"] == other.opaque.parameters


def check_claim(ours, theirs):
    check_spec(ours.spec, theirs.spec.devices)
    assert ours.deleting == (theirs.metadata.deletion_timestamp is not None)
    controllers = [each.uid for each in theirs.metadata.owner_references or () if each.controller]
    assert [ours.owner] == (controllers or [""])
    allocation = theirs.status.allocation if theirs.status else None
    assert (ours.allocation is None) == (allocation is None)
    if allocation is not None:
        assert [(each.request, *each.identity, each.share_id) for each in ours.allocation.results] == [
            (each.request, each.driver, each.pool, each.device, each.share_id) for each in allocation.devices.results
        ]
        assert [(each.source, list(each.requests)) for each in ours.allocation.config] == [
            (each.source, each.requests or []) for each in allocation.devices.config or ()
        ]
    reserved = (theirs.status.reserved_for if theirs.status else None) or ()
    assert ours.reserved_for == tuple(
        Consumer(each.resource, each.name, each.uid, each.api_group or "") for each in reserved
    )


def check_class(ours, theirs):
    assert ours.selectors == tuple(each.cel.expression for each in theirs.spec.selectors or ())
    assert ours.extended_resource == (theirs.spec.extended_resource_name or "")
    assert len(ours.config) == len(theirs.spec.config or ())


def check_rule(ours, theirs):
    selector = theirs.spec.device_selector
    assert ours.selects == (selector is not None)
    if selector is not None:
        assert (ours.driver, ours.pool, ours.device) == (selector.driver, selector.pool, selector.device)
    assert ours.taint == Taint(theirs.spec.taint.key, theirs.spec.taint.value or "", theirs.spec.taint.effect)


def check_pod(ours, theirs):
    spec, status = theirs.spec, theirs.status
    assert ours.scheduler_name == (spec.scheduler_name or "default-scheduler")
    assert (ours.node_name, ours.priority) == (spec.node_name or "", spec.priority or 0)
    assert ours.tolerations == tolerations_of(spec.tolerations)
    assert ours.phase == status.phase
    assert [(each.name, each.claim_name, each.template_name) for each in ours.claims] == [
        (each.name, each.resource_claim_name, each.resource_claim_template_name) for each in spec.resource_claims or ()
    ]
    assert ours.claim_names == {each.name: each.resource_claim_name for each in status.resource_claim_statuses or ()}


CHECKS = {
    "Node": check_node,
    "ResourceSlice": check_slice,
    "DeviceClass": check_class,
    "DeviceTaintRule": check_rule,
    "ResourceClaim": check_claim,
    "ResourceClaimTemplate": lambda ours, theirs: check_spec(ours.spec, theirs.spec.spec.devices),
    "Pod": check_pod,
}


@pytest.mark.parametrize("item", OBJECTS + FLEET[::7], ids=lambda item: f"{item['kind']}-{item['metadata']['name']}")
def test_the_official_client_reads_the_same(item):
    ours, theirs = decode.decode(item["kind"], item), official(item)

    assert ours.name == theirs.metadata.name
    CHECKS[item["kind"]](ours, theirs)
