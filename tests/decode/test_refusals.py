"""Bad input is said with object and field, unknown meaning with its name, and neither is ever guessed or crashes."""

import copy
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.cluster import decode
from scheduler.core.errors import DecodeError
from scheduler.core.model import EXACT_COUNT, Constraint, HostPort, LabelSelector, Requirement, Spread

POD = {
    "metadata": {"name": "p", "namespace": "demo", "uid": "u"},
    "spec": {"schedulerName": "dovetail", "containers": [{"name": "main", "resources": {"requests": {"cpu": "1"}}}]},
}
CLAIM = {
    "metadata": {"name": "c", "namespace": "demo", "uid": "u"},
    "spec": {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu"}}]}},
}
SLICE = {
    "metadata": {"name": "s"},
    "spec": {
        "driver": "gpu.example.com",
        "nodeName": "n1",
        "pool": {"name": "n1", "generation": 1, "resourceSliceCount": 1},
        "devices": [
            {"name": "gpu-0", "attributes": {"model": {"string": "a"}}, "capacity": {"memory": {"value": "1"}}}
        ],
    },
}
NODE = {"metadata": {"name": "n1"}, "status": {"allocatable": {"cpu": "1"}}}
CLASS = {"metadata": {"name": "gpu"}, "spec": {"selectors": [{"cel": {"expression": "true"}}]}}
RULE = {"metadata": {"name": "r"}, "spec": {"taint": {"key": "k", "effect": "NoSchedule"}}}
WITHOUT_CEL = "without cel, the only kind of selector that is known"


def changed(item, path, value):
    """A copy with the field at this path set; a path that ends in None takes the field out."""
    found = copy.deepcopy(item)
    target = found
    for step in path[:-1]:
        target = target.setdefault(step, {}) if isinstance(step, str) else target[step]
    if value is None:
        target.pop(path[-1], None)
    else:
        target[path[-1]] = value
    return found


REQUESTS = ("spec", "containers", 0, "resources", "requests")
DEVICE = ("spec", "devices", 0)
POLICY = (*DEVICE, "capacity", "memory", "requestPolicy")
NAN = float("nan")
BAD = [
    ("Pod", POD, ("metadata", "name"), None, "metadata.name: is missing"),
    ("Pod", POD, ("metadata", "uid"), None, "metadata.uid: is missing"),
    ("Pod", POD, ("metadata", "namespace"), None, "metadata.namespace: is missing"),
    ("Pod", POD, ("metadata", "name"), 7, "metadata.name: expected `str"),
    ("Pod", POD, ("spec",), [1], "spec: expected `object"),
    ("Pod", POD, ("spec", "containers"), "none", "spec.containers: expected `array"),
    ("Pod", POD, (*REQUESTS, "cpu"), "-1", "spec.containers[0].resources.requests[cpu]: -1 is negative"),
    ("Pod", POD, (*REQUESTS, "memory"), "8 GB", "spec.containers[0].resources.requests[memory]: quantity '8 GB'"),
    ("Pod", POD, (*REQUESTS, "memory"), "NaN", "spec.containers[0].resources.requests[memory]: quantity 'NaN'"),
    ("Pod", POD, (*REQUESTS, "memory"), "9" * 99, "spec.containers[0].resources.requests[memory]: quantity '999"),
    ("Pod", POD, (*REQUESTS, "cpu"), NAN, "spec.containers[0].resources.requests.cpu: nan is not a number in JSON"),
    ("Pod", POD, ("spec", "overhead"), {"cpu": "-1m"}, "spec.overhead[cpu]: -1m is negative"),
    ("Pod", POD, ("spec", "priority"), "high", "spec.priority: expected `int"),
    ("Pod", POD, ("spec", "priority"), float("inf"), "spec.priority: inf is not a number in JSON"),
    ("Pod", POD, ("spec", "resourceClaims"), [{}], "spec.resourceClaims[0].name: is missing"),
    ("Pod", POD, ("spec", "anything"), {1, 2}, "spec.anything: a value of type set is not JSON"),
    ("Node", NODE, ("metadata", "name"), None, "metadata.name: is missing"),
    ("Node", NODE, ("status", "allocatable", "memory"), "lots", "status.allocatable[memory]: quantity 'lots'"),
    ("Node", NODE, ("metadata", "labels"), {"zone": 3}, "metadata.labels[...]: expected `str"),
    ("Node", NODE, ("spec", "taints"), {"key": "x"}, "spec.taints: expected `array"),
    ("ResourceSlice", SLICE, ("spec", "driver"), None, "spec.driver: is missing"),
    ("ResourceSlice", SLICE, ("spec", "pool"), None, "spec.pool: is missing"),
    ("ResourceSlice", SLICE, ("spec", "pool", "name"), "", "spec.pool.name: is missing"),
    ("ResourceSlice", SLICE, ("spec", "devices", 0, "name"), None, "spec.devices[0].name: is missing"),
    (
        "ResourceSlice", SLICE, ("spec", "devices", 0, "capacity", "memory", "value"), "80 GiB",
        "spec.devices[0].capacity[memory].value: quantity '80 GiB'",
    ),
    (
        "ResourceSlice", SLICE, ("spec", "devices", 0, "attributes", "model", "int"), NAN,
        "spec.devices[0].attributes.model.int: nan is not a number in JSON",
    ),
    (
        "ResourceSlice", SLICE, ("spec", "devices", 0, "attributes", "model"), {"int": "4"},
        "spec.devices[0].attributes[...].int: expected `int",
    ),
    ("DeviceClass", CLASS, ("spec", "selectors"), {"cel": 1}, "spec.selectors: expected `array"),
    ("DeviceTaintRule", RULE, ("spec", "deviceSelector"), {"deviceClassName": "gpu"}, "deviceClassName: is "),
    ("DeviceTaintRule", RULE, ("spec", "deviceSelector"), {"selectors": [{}]}, "spec.deviceSelector.selectors: is a "),
    ("DeviceTaintRule", RULE, ("spec", "taint"), None, "spec.taint: is missing"),
    ("DeviceTaintRule", RULE, ("spec", "taint", "key"), None, "spec.taint.key: is missing"),
    ("ResourceClaim", CLAIM, ("metadata", "uid"), None, "metadata.uid: is missing"),
    ("ResourceClaim", CLAIM, ("spec", "devices", "requests", 0, "name"), None, "requests[0].name: is missing"),
    (
        "ResourceClaim", CLAIM, ("spec", "devices", "requests", 0, "exactly", "deviceClassName"), "",
        "spec.devices.requests[0].exactly.deviceClassName: is missing",
    ),
    (
        "ResourceClaim", CLAIM, ("spec", "devices", "requests", 0, "exactly", "count"), 1.5,
        "spec.devices.requests[0].exactly.count: expected `int",
    ),
    (
        "ResourceClaim", CLAIM, ("spec", "devices", "config"), [{"requests": "gpu"}],
        "spec.devices.config[0].requests: is not a list of names",
    ),
    (
        "ResourceClaim", CLAIM, ("status", "allocation", "devices", "results"), [{"request": "gpu", "driver": "d"}],
        "status.allocation.devices.results[0].pool: is missing",
    ),
    (
        "ResourceSlice", SLICE, ("spec", "sharedCounters"), [{"counters": {}}],
        "spec.sharedCounters[0].name: is missing",
    ),
    (
        "ResourceSlice", SLICE, ("spec", "sharedCounters"), [{"name": "c", "counters": {"memory": {"value": "1 Gi"}}}],
        "spec.sharedCounters[0].counters[memory].value: quantity '1 Gi'",
    ),
    (
        "ResourceSlice", SLICE, ("spec", "sharedCounters"), [{"name": "c", "counters": {"memory": {}}}],
        "spec.sharedCounters[0].counters[...]: object missing required field `value`",
    ),
    ("ResourceSlice", SLICE, ("spec", "skipNodeOperations"), "*", "spec.skipNodeOperations: expected `array"),
    ("ResourceSlice", SLICE, ("spec", "perDeviceNodeSelection"), 1, "spec.perDeviceNodeSelection: expected `bool"),
    (
        "ResourceSlice", SLICE, (*DEVICE, "consumesCounters"),
        [{"counterSet": "a"}, {"counterSet": "c", "counters": {"memory": {"value": "much"}}}],
        "spec.devices[0].consumesCounters[1].counters[memory].value: quantity 'much'",
    ),
    (
        "ResourceSlice", SLICE, (*DEVICE, "consumesCounters"), [{"counterSet": "c", "compatibilityGroups": [1]}],
        "spec.devices[0].consumesCounters[0].compatibilityGroups[0]: expected `str",
    ),
    (
        "ResourceSlice", SLICE, (*POLICY, "default"), "x",
        "spec.devices[0].capacity[memory].requestPolicy.default: quantity 'x'",
    ),
    (
        "ResourceSlice", SLICE, (*POLICY, "validValues"), ["1", "x"],
        "spec.devices[0].capacity[memory].requestPolicy.validValues[1]: quantity 'x'",
    ),
    (
        "ResourceSlice", SLICE, (*POLICY, "validRange"), {"min": "1", "step": "x"},
        "spec.devices[0].capacity[memory].requestPolicy.validRange.step: quantity 'x'",
    ),
    (
        "ResourceSlice", SLICE, (*POLICY, "validRange"), {"min": "x"},
        "spec.devices[0].capacity[memory].requestPolicy.validRange.min: quantity 'x'",
    ),
    (
        "ResourceSlice", SLICE, (*POLICY, "validRange"), {"min": "1", "max": "x"},
        "spec.devices[0].capacity[memory].requestPolicy.validRange.max: quantity 'x'",
    ),
    (
        "ResourceSlice", SLICE, (*DEVICE, "allowMultipleAllocations"), "yes",
        "spec.devices[0].allowMultipleAllocations: expected `bool",
    ),
    ("ResourceSlice", SLICE, (*DEVICE, "bindingConditions"), "a", "spec.devices[0].bindingConditions: expected `array"),
    (
        "ResourceSlice", SLICE, (*DEVICE, "bindingFailureConditions"), [None],
        "spec.devices[0].bindingFailureConditions[0]: expected `str",
    ),
    ("ResourceSlice", SLICE, (*DEVICE, "nodeName"), 7, "spec.devices[0].nodeName: expected `str"),
    (
        "ResourceSlice", SLICE, (*DEVICE, "attributes", "model"), {"ints": [1, "2"]},
        "spec.devices[0].attributes[...].ints[1]: expected `int",
    ),
    (
        "ResourceSlice", SLICE, (*DEVICE, "attributes", "model"), {"bools": [0]},
        "spec.devices[0].attributes[...].bools[0]: expected `bool",
    ),
    ("Node", NODE, ("status", "declaredFeatures"), "X", "status.declaredFeatures: expected `array"),
    (
        "ResourceClaim", CLAIM, ("spec", "devices", "requests", 0, "exactly", "adminAccess"), "true",
        "spec.devices.requests[0].exactly.adminAccess: expected `bool",
    ),
    (
        "ResourceClaim", CLAIM, ("spec", "devices", "requests", 0, "exactly", "capacity"),
        {"requests": {"memory": "x"}},
        "spec.devices.requests[0].exactly.capacity.requests[memory]: quantity 'x'",
    ),
    (
        "ResourceClaim", CLAIM, ("spec", "devices", "requests", 0, "firstAvailable"), [{"deviceClassName": "gpu"}],
        "spec.devices.requests[0].firstAvailable[0].name: is missing",
    ),
    (
        "ResourceClaim", CLAIM, ("spec", "devices", "requests", 0, "firstAvailable"),
        [{"name": "a", "deviceClassName": "gpu"}, {"name": "b"}],
        "spec.devices.requests[0].firstAvailable[1].deviceClassName: is missing",
    ),
    (
        "ResourceClaim", CLAIM, ("spec", "devices", "requests", 0, "firstAvailable"),
        [{"name": "a", "deviceClassName": "gpu", "capacity": {"requests": {"memory": "x"}}}],
        "spec.devices.requests[0].firstAvailable[0].capacity.requests[memory]: quantity 'x'",
    ),
    (
        "ResourceClaim", CLAIM, ("spec", "devices", "requests", 0, "exactly", "derivedAttributes"), [{"name": 1}],
        "spec.devices.requests[0].exactly.derivedAttributes[0].name: expected `str",
    ),
    (
        "ResourceClaim", CLAIM, ("status", "allocation", "devices", "results"),
        [{"request": "gpu", "driver": "d", "pool": "p", "device": "x", "consumedCapacity": {"memory": "x"}}],
        "status.allocation.devices.results[0].consumedCapacity[memory]: quantity 'x'",
    ),
    (
        "ResourceClaim", CLAIM, ("status", "allocation", "devices", "config"), [{"source": 1}],
        "status.allocation.devices.config[0].source: is not a text",
    ),
    (
        "ResourceClaim", CLAIM, ("status", "allocation", "allocationTimestamp"), 5,
        "status.allocation.allocationTimestamp: expected `str",
    ),
    (
        "ResourceClaim", CLAIM, ("status", "devices"), [{"driver": "d", "conditions": [{"type": "a", "status": True}]}],
        "status.devices[0].conditions[0].status: expected `str",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "item", "path", "value", "words"), BAD, ids=lambda value: str(value)[:40])
def test_bad_input_is_refused_with_object_and_field(kind, item, path, value, words):
    decode.decode(kind, item)

    with pytest.raises(DecodeError) as caught:
        decode.decode(kind, changed(item, path, value))

    assert words in str(caught.value)
    assert str(caught.value).startswith(kind)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"null", "expected `object`"),
        (b"[]", "expected `object`"),
        (b'"pod"', "expected `object`"),
        (b'{"metadata": {"name": "n1"}} trailing', "is not JSON"),
        (b'{"metadata":{"name":"n1"},"status":{"allocatable":{"cpu":NaN}}}', "Node n1: status.allocatable.cpu: nan"),
        (b'{"metadata":{"name":"n1"},"status":{"allocatable":{"cpu":-Infinity}}}', "status.allocatable.cpu: -inf"),
        (b'{"metadata":{"name":"\xff"}}', "is not JSON"),
        pytest.param(b'{"a":' * 10**6 + b"1" + b"}" * 10**6, "is nested too deeply", id="a million levels"),
    ],
    ids=repr,
)
def test_what_is_no_object_is_refused(raw, words):
    with pytest.raises(DecodeError) as caught:
        decode.decode("Node", raw[:100_000])

    assert words in str(caught.value)


def test_a_kind_that_nobody_decodes_is_refused():
    with pytest.raises(DecodeError, match="known are"):
        decode.decode("Widget", {"metadata": {"name": "x"}})


def refused(kind, raw):
    """The DecodeError that decoding raises, None if it does not."""
    try:
        decode.decode(kind, raw)
    except DecodeError as error:
        return error
    return None


def test_amounts_beyond_any_machine_fit_no_machine():
    pod = decode.decode("Pod", changed(POD, (*REQUESTS, "cpu"), "7E"))
    node = decode.decode("Node", changed(NODE, ("status", "allocatable", "cpu"), "9E"))

    assert 0 < node.allocatable["cpu"] < pod.requests["cpu"] < 2**60


def test_numbers_are_quantities_as_well():
    numbers = changed(changed(POD, (*REQUESTS, "cpu"), 0.5), (*REQUESTS, "memory"), 1024)

    assert decode.decode("Pod", numbers).requests == {"cpu": 500, "memory": 1024}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    ),
    st.sampled_from(["metadata", "spec", "status"]),
    st.sampled_from(["Node", "ResourceSlice", "DeviceClass", "DeviceTaintRule", "ResourceClaim", "Pod"]),
)
def test_nothing_but_a_decode_error_comes_of_anything(value, field, kind):
    item = {"metadata": {"name": "x", "namespace": "d", "uid": "u"}, field: value}

    for raw in (item, json.dumps(item).encode()):
        refusal = refused(kind, raw)

        assert decode.identity(raw).name in {"x", ""}
        assert refusal is None or str(refusal).startswith(kind)


@given(st.binary(max_size=60))
def test_no_bytes_crash(raw):
    assert isinstance(decode.identity(raw), decode.Identity)
    with pytest.raises(DecodeError):
        decode.decode("Pod", raw)


# ---------------------------------------------------------------- identity


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (b'{"metadata":{"name":"p","namespace":"d","uid":"u","resourceVersion":"5"}}', ("d", "p", "u", "5")),
        (b'{"metadata":{"name":"p"},"spec":{"containers":7}}', ("", "p", "", "")),
        (b'{"metadata":{"name":"p","labels":{"a":1}}}', ("", "p", "", "")),
        (b'{"metadata":{"name":"p"},"x":NaN}', ("", "p", "", "")),
        (b'{"metadata":{"name":4,"uid":"u"}}', ("", "", "u", "")),
        (b'{"metadata":[]}', ("", "", "", "")),
        (b"{}", ("", "", "", "")),
        (b"nothing", ("", "", "", "")),
        (b"7", ("", "", "", "")),
    ],
)
def test_broken_objects_are_still_told_apart(raw, found):
    assert decode.identity(raw) == found


def test_the_key_has_a_namespace_where_there_is_one():
    assert decode.Identity("d", "p", "", "").key == "d/p"
    assert decode.Identity("", "n1", "", "").key == "n1"


# ---------------------------------------------------------------- unknown meaning


def term(**more):
    return {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "zone", "labelSelector": {}, **more}]}


def line(operator, values=("v",)):
    return {"matchExpressions": [{"key": "k", "operator": operator, "values": list(values)}]}


def required_node_affinity(operator):
    expressions = [{"key": "k", "operator": operator, "values": ["v"]}]
    terms = {"nodeSelectorTerms": [{"matchExpressions": expressions}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}


PORTS = ("spec", "containers", 0, "ports")


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (
            ("spec", "affinity"), {"podAffinity": term(labelSelector=line("Near"))},
            "affinity.podAffinity.required[0].labelSelector.matchExpressions[0].operator Near",
        ),
        (
            ("spec", "affinity"), {"podAntiAffinity": term(namespaceSelector=line("In", []))},
            "affinity.podAntiAffinity.required[0].namespaceSelector.matchExpressions[0].operator In without values",
        ),
        (("spec", "affinity"), {"podAffinity": term(labelSelector=line("Exists"))}, "operator Exists with values"),
        (
            ("spec", "affinity"), {"podAffinity": term(labelSelector={"matchLabels": {"a b": "x"}})},
            "affinity.podAffinity.required[0].labelSelector.matchLabels with 'a b', which is not the key of a label",
        ),
        (
            ("spec", "affinity"), {"podAffinity": term(labelSelector={"matchLabels": {"a/b": "-"}})},
            "labelSelector.matchLabels with '-', which is not the value of a label",
        ),
        (("spec", "affinity"), {"podAffinity": term(topologyKey="")}, "podAffinity.required[0] without topologyKey"),
        (("spec", "affinity"), required_node_affinity("Near"), "operator Near"),
        (
            ("spec", "topologySpreadConstraints"), [{"topologyKey": "z", "whenUnsatisfiable": "Never"}],
            "topologySpreadConstraints[0].whenUnsatisfiable Never",
        ),
        (
            ("spec", "topologySpreadConstraints"), [{"topologyKey": "z", "labelSelector": line("Near")}],
            "topologySpreadConstraints[0].labelSelector.matchExpressions[0].operator Near",
        ),
        (
            ("spec", "topologySpreadConstraints"), [{"topologyKey": "z", "nodeTaintsPolicy": "Some"}],
            "topologySpreadConstraints[0].nodeTaintsPolicy Some",
        ),
        (("spec", "schedulingGroup"), {}, "schedulingGroup without podGroupName"),
        (("spec", "workloadRef"), {"name": "w"}, "workloadRef"),
        (("spec", "tolerations"), [{"key": "k", "operator": "Near", "value": "3"}], "tolerations[0].operator Near"),
        (("spec", "resourceClaims"), [{"name": "x", "podGroupResourceClaim": "y"}], "resourceClaims[x]"),
    ],
    ids=lambda value: str(value)[:50],
)  # fmt: skip
def test_what_a_pod_asks_and_we_cannot_do_is_named(path, value, words):
    (found,) = decode.decode("Pod", changed(POD, path, value)).unsupported

    assert words in found


def test_host_network_ports_are_host_ports():
    pod = changed(changed(POD, PORTS, [{"containerPort": 80}]), ("spec", "hostNetwork"), True)

    assert decode.decode("Pod", pod).ports == (HostPort(80),)


def test_host_ports_are_those_of_containers_and_of_sidecars():
    ports = [{"containerPort": 80, "hostPort": 8080, "protocol": "UDP", "hostIP": "10.0.0.1"}, {"containerPort": 81}]
    inits = [{"name": "i", "ports": [{"hostPort": 1}]}, {"name": "s", "restartPolicy": "Always", "ports": ports[:1]}]
    inits[1]["ports"] = [{"containerPort": 9, "hostPort": 9}]
    pod = changed(changed(POD, PORTS, ports), ("spec", "initContainers"), inits)

    assert decode.decode("Pod", pod).ports == (HostPort(8080, "UDP", "10.0.0.1"), HostPort(9))


def test_a_running_pod_with_an_anti_affinity_that_cannot_be_read_repels_nobody():
    terms = {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "z", "labelSelector": {}}, {"topologyKey": "z", "labelSelector": line("Near")},
    ]}  # fmt: skip

    assert decode.decode("Pod", changed(POD, ("spec", "affinity"), {"podAntiAffinity": terms})).repels == ()


def test_the_labels_of_match_label_keys_narrow_a_spread():
    constraint = {
        "maxSkew": 2, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule", "minDomains": 3,
        "nodeAffinityPolicy": "Ignore", "nodeTaintsPolicy": "Honor", "matchLabelKeys": ["hash", "absent"],
        "labelSelector": {"matchLabels": {"app": "web"}},
    }  # fmt: skip
    pod = changed(
        changed(POD, ("metadata", "labels"), {"hash": "1"}), ("spec", "topologySpreadConstraints"), [constraint]
    )

    wanted = LabelSelector((Requirement("hash", "In", ("1",)), Requirement("app", "In", ("web",))))
    assert decode.decode("Pod", pod).spreads == (Spread("z", 2, wanted, True, 3, False, True),)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (PORTS, [{"containerPort": 80}]),
        (("spec", "volumes"), [{"name": "v", "configMap": {"name": "x"}}, {"name": "e", "emptyDir": {}}]),
        (("spec", "affinity"), {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{}]}}),
        (("spec", "affinity"), required_node_affinity("NotIn")),
        (("spec", "topologySpreadConstraints"), [{"topologyKey": "z", "whenUnsatisfiable": "ScheduleAnyway"}]),
        (("spec", "tolerations"), [{"key": "k", "value": "v"}, {"operator": "Exists"}]),
        (("spec", "initContainers"), [{"name": "i", "ports": [{"hostPort": 80}]}]),
    ],
    ids=lambda value: str(value)[:50],
)
def test_what_does_not_bind_the_scheduler_is_not_refused(path, value):
    assert decode.decode("Pod", changed(POD, path, value)).unsupported == ()


def test_a_pods_operating_system_is_a_node_label_that_must_fit():
    pod = decode.decode("Pod", changed(POD, ("spec", "os"), {"name": "linux"}))

    assert pod.node_selector == {"kubernetes.io/os": "linux"}


EXACTLY = ("spec", "devices", "requests", 0, "exactly")


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ((*EXACTLY, "allocationMode"), "Some", "requests[gpu].allocationMode Some"),
        ((*EXACTLY, "selectors"), [{"rego": {}}], f"requests[gpu].selectors[0] {WITHOUT_CEL}"),
        ((*EXACTLY, "tolerations"), [{"key": "k", "operator": "Lt"}], "requests[gpu].tolerations[0].operator Lt"),
        (EXACTLY, None, "requests[gpu] with neither exactly nor firstAvailable"),
        (("spec", "devices", "requests", 0), {"name": "gpu", "firstAvailable": []},
         "requests[gpu] with neither exactly nor firstAvailable"),
    ],
    ids=lambda value: str(value)[:50],
)  # fmt: skip
def test_what_a_request_asks_and_we_cannot_do_is_named(path, value, words):
    (request,) = decode.decode("ResourceClaim", changed(CLAIM, path, value)).spec.requests

    assert request.unsupported == (words,)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"allocationMode": "Some"}, "requests[small].allocationMode Some"),
        ({"selectors": [*CLASS["spec"]["selectors"], {"rego": {}}]}, f"requests[small].selectors[1] {WITHOUT_CEL}"),
        ({"tolerations": [{"key": "k", "operator": "Gt"}]}, "requests[small].tolerations[0].operator Gt"),
    ],
    ids=str,
)
def test_what_an_alternative_asks_and_we_cannot_do_is_named_there(change, words):
    asked = [{"name": "big", "deviceClassName": "gpu"}, {"name": "small", "deviceClassName": "gpu", **change}]
    claim = changed(CLAIM, ("spec", "devices", "requests", 0), {"name": "gpu", "firstAvailable": asked})

    (request,) = decode.decode("ResourceClaim", claim).spec.requests

    assert [alternative.unsupported for alternative in request.alternatives] == [(), (words,)]
    assert request.unsupported == ()


def test_a_constraint_of_an_unknown_kind_is_named_and_the_others_are_kept():
    constraints = [
        {"matchAttribute": "a/b"},
        {"somethingNew": "a/b"},
        {"requests": ["gpu"], "distinctAttribute": "c/d"},
    ]
    spec = decode.decode("ResourceClaim", changed(CLAIM, ("spec", "devices", "constraints"), constraints)).spec

    assert spec.unsupported == ("constraints[1] of an unknown type",)
    assert spec.constraints == (Constraint((), "a/b"), Constraint(("gpu",), "c/d", distinct=True))


@pytest.mark.parametrize(
    ("given", "means"), [({}, None), ({"adminAccess": False}, False), ({"adminAccess": True}, True)]
)
def test_admin_access_that_is_absent_and_that_is_off_are_told_apart(given, means):
    asked = {"deviceClassName": "gpu", **given}
    (request,) = decode.decode("ResourceClaim", changed(CLAIM, EXACTLY, asked)).spec.requests

    assert request.admin_access is means
    assert (request.unsupported, request.mode, request.count) == ((), EXACT_COUNT, 1)


@pytest.mark.parametrize(("given", "means"), [({}, None), ({"capacity": {}}, {}), ({"capacity": {"requests": {}}}, {})])
def test_a_request_that_says_nothing_of_capacity_and_one_that_names_none_are_told_apart(given, means):
    asked = {"deviceClassName": "gpu", **given}
    (request,) = decode.decode("ResourceClaim", changed(CLAIM, EXACTLY, asked)).spec.requests

    assert request.capacity == means


def test_of_both_kinds_of_a_request_the_alternatives_count():
    claim = changed(
        CLAIM, ("spec", "devices", "requests", 0, "firstAvailable"), [{"name": "a", "deviceClassName": "b"}]
    )

    (request,) = decode.decode("ResourceClaim", claim).spec.requests

    assert (request.device_class, [each.device_class for each in request.alternatives]) == ("", ["b"])


def test_a_slice_that_does_not_say_where_its_devices_are_says_so():
    (words,) = decode.decode("ResourceSlice", changed(SLICE, ("spec", "nodeName"), None)).unsupported

    assert "neither nodeName, nodeSelector nor allNodes" in words


def selecting(operator):
    return {"nodeSelectorTerms": [{"matchExpressions": [{"key": "k", "operator": operator, "values": ["v"]}]}]}


def test_a_slice_whose_selector_cannot_be_read_says_so():
    item = changed(changed(SLICE, ("spec", "nodeName"), None), ("spec", "nodeSelector"), selecting("Near"))

    found = decode.decode("ResourceSlice", item)

    assert found.unsupported == ("nodeSelector.nodeSelectorTerms[0].matchExpressions[0].operator Near",)


def test_a_slice_may_select_nodes_in_several_ways():
    several = {"nodeSelectorTerms": selecting("In")["nodeSelectorTerms"] * 2}
    item = changed(changed(SLICE, ("spec", "nodeName"), None), ("spec", "nodeSelector"), several)

    found = decode.decode("ResourceSlice", item)

    assert (found.unsupported, len(found.node_selector.terms)) == ((), 2)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (
            ("nodeAllocatableResourceMappings",), {"cpu": {}},
            "nodeAllocatableResourceMappings, which Kubernetes 1.37 renamed nodeAllocatableResources",
        ),
        (
            ("nodeSelector",), selecting("Near"),
            "spec.devices[0].nodeSelector.nodeSelectorTerms[0].matchExpressions[0].operator Near",
        ),
    ],
    ids=lambda value: str(value)[:50],
)  # fmt: skip
def test_devices_that_mean_more_than_we_know_say_so(path, value, words):
    (device,) = decode.decode("ResourceSlice", changed(SLICE, (*DEVICE, *path), value)).devices

    assert device.unsupported == (words,)


@pytest.mark.parametrize(
    "value", [{}, {"duration": "1s"}, {"int": 1, "string": "1"}, {"int": 1, "ints": [1]}, {"int": None}]
)
def test_a_device_with_an_attribute_of_no_known_value_cannot_be_selected_and_says_why(value):
    (device,) = decode.decode("ResourceSlice", changed(SLICE, (*DEVICE, "attributes", "model"), value)).devices

    assert device.malformed == "attributes[model] does not have exactly one value of a known type"
    assert (device.unsupported, device.attributes) == ((), {"model": ()})


@pytest.mark.parametrize("value", [None, {}])
@pytest.mark.parametrize("field", ["nodeAllocatableResources", "nodeAllocatableResourceMappings"])
def test_a_field_that_says_nothing_means_nothing(field, value):
    item = copy.deepcopy(SLICE)
    item["spec"]["devices"][0][field] = value

    for raw in (item, json.dumps(item, indent=2).encode(), json.dumps(item).replace("{}", "{ }").encode()):
        (device,) = decode.decode("ResourceSlice", raw).devices
        assert (device.unsupported, device.allocatable) == ((), "")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"cpu": {"mapping": {"deviceMultiplier": "many"}}}, r"nodeAllocatableResources[cpu]: quantity 'many'"),
        ({"cpu": {"overhead": {"perPod": "1 Gi"}}}, r"nodeAllocatableResources[cpu]: quantity '1 Gi'"),
        ({"cpu": 3}, "nodeAllocatableResources: Expected `object`"),
        ([], "nodeAllocatableResources: Expected `object`"),
    ],
)
def test_what_a_device_takes_of_its_node_must_be_readable(value, words):
    with pytest.raises(DecodeError, match=re.escape(f"spec.devices[0].{words}")):
        decode.decode("ResourceSlice", changed(SLICE, (*DEVICE, "nodeAllocatableResources"), value))


def test_devices_of_the_same_name_are_all_kept():
    device = SLICE["spec"]["devices"][0]

    found = decode.decode("ResourceSlice", changed(SLICE, ("spec", "devices"), [device, device]))

    assert [each.name for each in found.devices] == ["gpu-0", "gpu-0"]


def test_a_class_whose_selector_is_not_cel_says_so():
    found = decode.decode("DeviceClass", changed(CLASS, ("spec", "selectors"), [{"rego": {}}]))

    assert found.unsupported == (f"selectors[0] {WITHOUT_CEL}",)


def test_an_amount_below_every_whole_number_is_nothing():
    found = decode.decode(
        "Node", changed(NODE, ("status", "allocatable"), {"cpu": "-9E9", "memory": "-9223372036854775809"})
    )

    assert found.allocatable == {"cpu": 0, "memory": 0}
