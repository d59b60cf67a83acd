"""Objects as drivers, users and controllers write them: every field that a decision reads arrives, compared with the
official client's reading of the same JSON as well."""

import json
from pathlib import Path

import pytest

from scheduler.cluster import decode
from scheduler.core.model import (
    ALL,
    EXACT_COUNT,
    Constraint,
    Consumer,
    CounterSet,
    CounterUse,
    DeviceStatus,
    LabelSelector,
    NodeSelector,
    NodeSelectorTerm,
    PodClaim,
    PodSelector,
    PodTerm,
    Request,
    RequestPolicy,
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


def amounts(**texts):
    return {name: parse_quantity(text) for name, text in texts.items()}


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
    assert (node.features, golden("Node", "bare").features) == ({"X"}, frozenset())


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


def test_partitions_arrive_with_what_they_take_of_their_pool():
    counters, devices = golden("ResourceSlice", "mig-counters"), golden("ResourceSlice", "mig-devices")

    part, whole = devices.devices
    assert counters.counter_sets == (
        CounterSet("gpu-0-counters", amounts(memory="81559Mi", sms="132")),
        CounterSet("gpu-1-counters", amounts(memory="40Gi")),
    )
    assert (counters.devices, devices.counter_sets, counters.unsupported, devices.unsupported) == ((), (), (), ())
    assert part.consumes == (
        CounterUse("gpu-0-counters", amounts(memory="10Gi", sms="16"), ("mig", "mps")),
        CounterUse("gpu-1-counters", amounts(memory="1Gi")),
    )
    assert devices.skip_operations == ("NodePrepareResources", "NodeUnprepareResources")
    assert (counters.skip_operations, whole.consumes) == ((), ())


def test_conditions_before_binding_and_amounts_of_the_node_arrive():
    part, whole = golden("ResourceSlice", "mig-devices").devices

    assert whole.binding_conditions == ("gpu.nvidia.com/ready", "gpu.nvidia.com/attached")
    assert whole.binding_failures == ("gpu.nvidia.com/failed",)
    assert whole.allocatable == '{"memory":{"overhead":{"perPod":"1Gi"}}}'
    assert (part.binding_conditions, part.binding_failures, part.allocatable) == ((), (), "")


def test_devices_that_choose_their_nodes_themselves_arrive_with_their_choice():
    item = golden("ResourceSlice", "fabric")

    here, there, anywhere = item.devices
    racks = NodeSelector((NodeSelectorTerm((Requirement("rack", "In", ("r1",)),)),))
    assert (item.per_device, item.node_name, item.node_selector, item.all_nodes) == (True, None, None, False)
    assert item.unsupported == ()
    assert (here.node_name, here.node_selector, here.all_nodes) == ("gpu-a", None, False)
    assert (there.node_name, there.node_selector, there.all_nodes) == (None, racks, False)
    assert (anywhere.node_name, anywhere.node_selector, anywhere.all_nodes) == (None, None, True)


def test_list_attributes_arrive_as_tuples_of_one_type():
    here = golden("ResourceSlice", "fabric").devices[0]

    assert here.attributes == {
        "numa": (0, 1),
        "rdma": (True, False),
        "ports": ("p1", "p2"),
        "firmware": (Version("1.2.3"), Version("2.0.0-rc.1")),
    }
    assert [type(each) for each in here.attributes["rdma"]] == [bool, bool]


def test_shareable_devices_arrive_with_their_policies():
    shared = golden("ResourceSlice", "fabric").devices[2]

    two, four, eight = (parse_quantity(text) for text in "248")
    assert shared.shareable
    assert shared.capacity == amounts(bandwidth="100G", queues="16", slots="4")
    assert shared.policies == {
        "bandwidth": RequestPolicy(
            parse_quantity("1G"), (), parse_quantity("1G"), parse_quantity("50G"), parse_quantity("500M"), ranged=True
        ),
        "queues": RequestPolicy(two, (two, four, eight)),
    }


def test_a_claim_with_alternatives_arrives_whole():
    claim = golden("ResourceClaim", "any-of")

    assert claim.spec.requests == (
        Request(
            "gpu",
            "",
            alternatives=(
                Request("whole", "gpu.nvidia.com", ("true",), EXACT_COUNT, 2),
                Request(
                    "slices",
                    "mig.nvidia.com",
                    mode=ALL,
                    tolerations=(Toleration("", "Exists", "", ""),),
                    capacity=amounts(memory="10Gi"),
                    derived=(("example.com/rail", "device.attributes['gpu.nvidia.com'].index % 4"),),
                ),
            ),
        ),
        Request(
            "net",
            "fabric",
            admin_access=True,
            capacity=amounts(bandwidth="1500M", queues="2"),
            derived=(("example.com/rail", "1"), ("example.com/side", "'a'")),
        ),
    )
    assert claim.spec.constraints == (
        Constraint(("gpu/slices", "net"), "example.com/rail"),
        Constraint((), "resource.kubernetes.io/numaNode", distinct=True),
    )
    assert [config.requests for config in claim.spec.config] == [("gpu/whole",)]
    assert claim.spec.unsupported == ()


def test_what_was_allocated_of_shares_and_conditions_arrives():
    claim = golden("ResourceClaim", "any-of")

    part, share = claim.allocation.results
    assert (part.binding_conditions, part.binding_failures) == (("ready",), ("failed", "lost"))
    assert (part.skip_operations, part.share_id, part.consumed) == (("*",), None, None)
    assert share.share_id == "1f3e1f6e-2a0f-4d8c-9d1c-d7c1c2b0a002"
    assert share.consumed == amounts(bandwidth="1500M", queues="2", slots="4")
    assert (share.binding_conditions, share.skip_operations) == ((), ())
    assert claim.allocation.timestamp == "2026-07-24T10:00:01Z"
    assert claim.devices == (
        DeviceStatus("gpu.nvidia.com", "mig-a", "gpu-0-mig-1g", {"ready": "True", "failed": "Unknown"}),
        DeviceStatus("fabric.example.com", "fabric", "anywhere", {}, "1f3e1f6e-2a0f-4d8c-9d1c-d7c1c2b0a002"),
    )


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
    assert claim.spec.constraints == (Constraint(("gpu", "nic"), "resource.kubernetes.io/pcieRoot"),)
    assert claim.allocation.results[0].tolerations == (seen,)
    assert [result.consumed for result in claim.allocation.results] == [None, None, amounts(bandwidth="1G")]
    assert claim.allocation.timestamp == "2026-07-24T10:00:00Z"
    assert claim.devices == (DeviceStatus("gpu.nvidia.com", "gpu-a", "gpu-0", {}),)
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
    assert device_class.created == "2026-07-24T09:00:00Z"
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


def test_anti_affinity_is_to_pods_of_the_namespaces_that_are_named_and_to_those_of_the_pod_otherwise():
    pod = golden("Pod", "web")

    every = LabelSelector(())
    assert pod.unsupported == ()
    assert pod.repels == (
        PodTerm(
            "kubernetes.io/hostname",
            PodSelector(LabelSelector((Requirement("app", "In", ("trainer",)),)), ("demo",)),
        ),
        PodTerm("zone", PodSelector(LabelSelector((Requirement("tier", "NotIn", ("x",)),)), (), every)),
        PodTerm("zone", PodSelector(every, ("a", "b"))),
        PodTerm("zone", PodSelector(None, ("demo",))),
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
    assert ours.features == set((theirs.status and theirs.status.declared_features) or ())


def check_slice(ours, theirs):
    spec = theirs.spec
    assert (ours.driver, ours.pool) == (spec.driver, spec.pool.name)
    assert (ours.generation, ours.slice_count) == (spec.pool.generation, spec.pool.resource_slice_count)
    assert (ours.node_name, ours.all_nodes) == (spec.node_name, bool(spec.all_nodes))
    assert ours.per_device == bool(spec.per_device_node_selection)
    assert list(ours.skip_operations) == (spec.skip_node_operations or [])
    assert {each.name: each.counters for each in ours.counter_sets} == {
        each.name: counters_of(each.counters) for each in spec.shared_counters or ()
    }
    assert len(ours.devices) == len(spec.devices or ())
    for mine, other in zip(ours.devices, spec.devices or (), strict=True):
        assert mine.name == other.name
        assert set(mine.attributes) == set(other.attributes or {})
        for name, value in (other.attributes or {}).items():
            given = [each for each in (value.int, value.bool, value.string) if each is not None]
            given += [tuple(each) for each in (value.ints, value.bools, value.strings) if each is not None]
            given += [Version(value.version)] if value.version is not None else []
            given += [tuple(map(Version, value.versions))] if value.versions is not None else []
            assert [(type(mine.attributes[name]), mine.attributes[name])] == [(type(each), each) for each in given]
        expected = {name: parse_quantity(str(each.value)) for name, each in (other.capacity or {}).items()}
        assert mine.capacity == expected
        check_device(mine, other)


def counters_of(counters):
    return {name: parse_quantity(str(each.value)) for name, each in (counters or {}).items()}


def check_device(mine, other):
    assert mine.shareable == bool(other.allow_multiple_allocations)
    assert (mine.node_name, mine.all_nodes) == (other.node_name, bool(other.all_nodes))
    assert (mine.node_selector is None) == (other.node_selector is None)
    assert list(mine.binding_conditions) == (other.binding_conditions or [])
    assert list(mine.binding_failures) == (other.binding_failure_conditions or [])
    assert bool(mine.allocatable) == (other.node_allocatable_resources is not None)
    assert [(each.counter_set, each.counters, list(each.groups)) for each in mine.consumes] == [
        (each.counter_set, counters_of(each.counters), each.compatibility_groups or [])
        for each in other.consumes_counters or ()
    ]
    given = {name: each.request_policy for name, each in (other.capacity or {}).items() if each.request_policy}
    assert set(mine.policies) == set(given)
    for name, policy in given.items():
        ours, ranged = mine.policies[name], policy.valid_range
        assert ours.default == amount_of(policy.default)
        assert list(ours.values) == [parse_quantity(str(each)) for each in policy.valid_values or ()]
        assert ours.ranged == (ranged is not None)
        if ranged is not None:
            theirs = (ranged.min, ranged.max, ranged.step)
            assert (ours.minimum, ours.maximum, ours.step) == tuple(amount_of(each) for each in theirs)


def amount_of(text):
    return None if text is None else parse_quantity(str(text))


def check_spec(ours, devices):
    assert [request.name for request in ours.requests] == [request.name for request in devices.requests or ()]
    for mine, other in zip(ours.requests, devices.requests or (), strict=True):
        assert [each.name for each in mine.alternatives] == [each.name for each in other.first_available or ()]
        for alternative, theirs in zip(mine.alternatives, other.first_available or (), strict=True):
            check_request(alternative, theirs)
        if other.exactly is not None:
            check_request(mine, other.exactly)
            assert mine.admin_access == other.exactly.admin_access
    for mine, other in zip(ours.constraints, devices.constraints or (), strict=True):
        given = (other.requests or [], other.distinct_attribute if mine.distinct else other.match_attribute)
        assert (list(mine.requests), mine.attribute) == given
        assert mine.distinct == (other.distinct_attribute is not None)
    for mine, other in zip(ours.config, devices.config or (), strict=True):
        assert list(mine.requests) == (other.requests or [])
        assert json.loads(mine.entry)["opaque"]["parameters"] == other.opaque.parameters


def check_request(mine, other):
    assert mine.device_class == other.device_class_name
    assert mine.selectors == tuple(each.cel.expression for each in other.selectors or ())
    assert mine.count == (1 if other.count is None else other.count)
    assert mine.mode == (other.allocation_mode or EXACT_COUNT)
    assert mine.tolerations == tolerations_of(other.tolerations)
    assert (mine.capacity is None) == (other.capacity is None)
    asked = (other.capacity.requests if other.capacity else None) or {}
    assert (mine.capacity or {}) == {name: parse_quantity(str(each)) for name, each in asked.items()}
    assert mine.derived == tuple((each.name, each.expression) for each in other.derived_attributes or ())


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
        for mine, other in zip(ours.allocation.results, allocation.devices.results, strict=True):
            assert mine.consumed == (
                None
                if other.consumed_capacity is None
                else {name: parse_quantity(text) for name, text in other.consumed_capacity.items()}
            )
            assert list(mine.binding_conditions) == (other.binding_conditions or [])
            assert list(mine.binding_failures) == (other.binding_failure_conditions or [])
            assert list(mine.skip_operations) == (other.skip_node_operations or [])
            assert mine.admin_access == bool(other.admin_access)
        assert [(each.source, list(each.requests)) for each in ours.allocation.config] == [
            (each.source, each.requests or []) for each in allocation.devices.config or ()
        ]
    statuses = (theirs.status.devices if theirs.status else None) or ()
    assert [(each.driver, each.pool, each.device, each.share_id, each.conditions) for each in ours.devices] == [
        (each.driver, each.pool, each.device, each.share_id, {one.type: one.status for one in each.conditions or ()})
        for each in statuses
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
