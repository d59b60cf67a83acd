"""What is wrong with a pod and the things around it, devices aside: the reason names the field, the pod waits, and is
placed once that is mended. `tests/decode` holds what reading alone says."""

from typing import Any, NamedTuple

import pytest

from scheduler.core.messages import Rejected
from tests.driving import Hands
from tests.engine.test_bad_inputs import PATIENCE_S, Json, event, item, node, placed, pod

ZONE = "topology.kubernetes.io/zone"
EXPRESSIONS = "matchExpressions"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


class Fault(NamedTuple):
    """given : what there is beside two nodes and a good pod. told : parts of the reason of pod p. mended : what is seen
    after that; p is placed then."""

    name: str
    given: tuple[Json, ...]
    told: tuple[str, ...]
    mended: tuple[Json, ...]


def spec(**fields: Any) -> Json:
    return pod(spec={"resourceClaims": [], **fields})


def near(operator: str, *values: str) -> Json:
    return {EXPRESSIONS: [{"key": "app", "operator": operator, **({"values": [*values]} if values else {})}]}


def affinity(kind: str, selector: Json, key: str = "kubernetes.io/hostname") -> Json:
    term = {"topologyKey": key, "labelSelector": selector}
    return spec(affinity={kind: {REQUIRED: [term]}})


def spread(key: str, selector: Json) -> Json:
    constraint = {"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector}
    found = spec(topologySpreadConstraints=[constraint])
    found["metadata"]["labels"] = {"app": "web"}
    return found


def on_nodes(operator: str, *values: str) -> Json:
    terms = [{EXPRESSIONS: [{"key": "disk", "operator": operator, "values": [*values]}]}]
    return spec(affinity={"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": terms}}})


def requesting(**amounts: str) -> Json:
    return spec(containers=[{"name": "main", "resources": {"requests": amounts}}])


def with_claim(name: str = "data") -> Json:
    return spec(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": name}}])


def stored(kind: str, name: str, **fields: Any) -> Json:
    found = item(kind, name, **fields)
    if kind == "PersistentVolumeClaim":
        found["metadata"] |= {"namespace": "default"}
    return found


def claim(size: str = "1Gi", selector: Json | None = None, **metadata: Any) -> Json:
    wanted: Json = {"storageClassName": "local", "resources": {"requests": {"storage": size}}}
    found = stored("PersistentVolumeClaim", "data", spec=wanted | ({"selector": selector} if selector else {}))
    found["metadata"] |= metadata
    return found


def bound_claim() -> Json:
    found = claim(annotations={"pv.kubernetes.io/bind-completed": "yes"})
    found["spec"]["volumeName"] = "pv"
    return found


CLASS = stored("StorageClass", "local", provisioner="e", volumeBindingMode="WaitForFirstConsumer")
VOLUME = stored(
    "PersistentVolume", "pv", spec={"capacity": {"storage": "1Gi"}, "storageClassName": "local"},
    status={"phase": "Bound"},
)  # fmt: skip
WEB = {"matchLabels": {"app": "web"}}
PLAIN = spec()
FRIEND = item("Pod", "friend", spec={"nodeName": "n1"})
FRIEND["metadata"]["labels"] = WEB["matchLabels"]

FAULTS = [
    Fault(
        "operator of the node affinity", (on_nodes("Near", "ssd"),),
        ("nodeAffinity", "nodeSelectorTerms[0].matchExpressions[0].operator Near"), (PLAIN,),
    ),
    Fault(
        "operator of a toleration", (spec(tolerations=[{"key": "k", "operator": "Near", "value": "3"}]),),
        ("tolerations[0].operator Near",), (PLAIN,),
    ),
    Fault(
        "operator of a pod affinity", (affinity("podAffinity", near("Near", "x")),),
        ("podAffinity.required[0].labelSelector.matchExpressions[0].operator Near",), (PLAIN,),
    ),
    Fault(
        "selector without its values", (affinity("podAntiAffinity", near("In")),),
        ("podAntiAffinity.required[0].labelSelector.matchExpressions[0].operator In without values",), (PLAIN,),
    ),
    Fault(
        "selector with values too many", (spread(ZONE, near("Exists", "x")),),
        ("topologySpreadConstraints[0].labelSelector.matchExpressions[0].operator Exists with values",), (PLAIN,),
    ),
    Fault(
        "spread over a key that no node has", (spread(ZONE, WEB),),
        (f"2 lack label {ZONE}, a topologyKey of the pod's topologySpreadConstraints",), (node("n2", **{ZONE: "a"}),),
    ),
    Fault(
        "affinity over a key that no node has", (affinity("podAffinity", WEB, ZONE), FRIEND),
        (f"2 lack label {ZONE}, a topologyKey of the pod's affinity",), (node("n1", **{ZONE: "a"}),),
    ),
    Fault(
        "claim that is not there", (with_claim(),),
        ("volume v: PersistentVolumeClaim default/data does not exist; create it",), (VOLUME, bound_claim()),
    ),
    Fault(
        "class of a claim that is not there", (with_claim(), claim()),
        ("PersistentVolumeClaim default/data: StorageClass local does not exist; create it",), (VOLUME, bound_claim()),
    ),
    Fault(
        "claim that asks for less than nothing", (with_claim(), CLASS, claim("-1Gi")),
        ("PersistentVolumeClaim default/data: spec.resources.requests[storage]: -1Gi is negative",),
        (VOLUME, bound_claim()),
    ),
    Fault(
        "selector of a claim", (with_claim(), CLASS, claim(selector=near("Near", "x"))),
        ("PersistentVolumeClaim default/data: spec.selector", "spec.selector.matchExpressions[0].operator Near"),
        (VOLUME, bound_claim()),
    ),
    Fault(
        "negative request", (requesting(cpu="-1"),),
        ("Pod default/p: spec.containers[0].resources.requests[cpu]: -1 is negative",), (requesting(cpu="1"),),
    ),
    Fault(
        "negative overhead", (spec(overhead={"cpu": "-1m"}),),
        ("Pod default/p: spec.overhead[cpu]: -1m is negative",), (PLAIN,),
    ),
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_reason_names_the_field_and_the_pod_is_placed_once_it_is_mended(fault):
    events = [event(each) for each in (node("n1"), node("n2"), *fault.given)]
    hands = Hands()
    for each in events:
        hands.tell(each)
    hands.settle().pass_time(PATIENCE_S)
    unread = [each.problem for each in events if isinstance(each, Rejected) and each.key == "default/p"]
    told = unread[0] if unread else hands.reason("p")

    assert not placed(hands, "p")
    for part in fault.told:
        assert part in told

    for each in fault.mended:
        each["metadata"]["resourceVersion"] = "2"
        hands.tell(event(each))
    hands.pass_time(hands.now + 15.0)  # longer than any back-off, and not the minute after which all are tried

    assert placed(hands, "p")
