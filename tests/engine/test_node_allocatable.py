"""Devices that take cpu or memory of their node: what they add, whom it keeps out, and what pods say of it."""

import json
from dataclasses import replace

import pytest

from scheduler.core import allocatable, names
from scheduler.core.gates import Gates
from scheduler.core.messages import BindPod, BindRefused, ReleaseClaim
from scheduler.core.model import RequestPolicy
from scheduler.core.quantity import parse_quantity
from tests.build import (
    GI,
    allocated,
    claim,
    device,
    node,
    pod,
    pod_uid,
    request,
    result,
    slice_of,
)
from tests.driving import Hands

ON = replace(Gates(), node_allocatable=True)
MIB = 2**20


def mapping(**fields):
    return {"mapping": fields}


def overhead(**fields):
    return {"overhead": fields}


def sized(name="gpu-0", capacity=None, shareable=False, **resources):
    """A device that takes these resources of its node; underscores stand for hyphens."""
    text = json.dumps({key.replace("_", "-"): value for key, value in resources.items()})
    made = device(name, {"type": "gpu"}, capacity)
    return replace(made, allocatable=text if resources else "", shareable=shareable)


def amounts(**consumed):
    return {name: parse_quantity(text) for name, text in consumed.items()}


# ---------------------------------------------------------------- what devices take

FOUR = mapping(deviceMultiplier="4")


@pytest.mark.parametrize(
    ("resources", "consumed", "containers", "taken"),
    [
        ({}, None, 1, {}),
        ({"cpu": FOUR}, None, 1, {"cpu": 4000}),
        ({"cpu": mapping(deviceMultiplier="500m")}, None, 3, {"cpu": 500}),
        ({"cpu": mapping(deviceMultiplier="0.1m")}, None, 1, {"cpu": 1}),
        ({"cpu": mapping(capacityKey="cores", capacityMultiplier="2")}, {"cores": "3"}, 1, {"cpu": 6000}),
        ({"cpu": mapping(capacityKey="cores", capacityMultiplier="0.5")}, {"cores": "3"}, 1, {"cpu": 1500}),
        ({"cpu": mapping(capacityKey="cores", capacityMultiplier="1")}, {"other": "3"}, 1, {}),
        ({"memory": mapping(capacityKey="m", capacityMultiplier="1")}, {"m": "4Gi"}, 1, {"memory": 4 * GI}),
        ({"memory": overhead(perPod="100Mi")}, None, 0, {"memory": 100 * MIB}),
        ({"memory": overhead(perPod="100Mi")}, None, 3, {"memory": 100 * MIB}),
        ({"memory": overhead(perContainer="10Mi")}, None, 0, {}),
        ({"memory": overhead(perContainer="10Mi")}, None, 3, {"memory": 30 * MIB}),
        ({"memory": overhead(perPod="1Mi", perContainer="10Mi")}, None, 2, {"memory": 21 * MIB}),
        ({"cpu": {**FOUR, **overhead(perPod="1", perContainer="1")}}, None, 2, {"cpu": 7000}),
        ({"cpu": FOUR, "hugepages_2Mi": overhead(perPod="4Mi")}, None, 1, {"cpu": 4000, "hugepages-2Mi": 4 * MIB}),
    ],
)
def test_what_one_device_takes(resources, consumed, containers, taken):
    used = (sized(**resources), None if consumed is None else amounts(**consumed))

    assert allocatable.units(allocatable.footprint([used]).nanos(containers)) == taken


def test_devices_of_a_claim_add_up():
    devices = [(sized(f"gpu-{i}", cpu=FOUR, memory=overhead(perContainer="1Gi")), None) for i in range(3)]

    assert allocatable.units(allocatable.footprint(devices).nanos(2)) == {"cpu": 12_000, "memory": 6 * GI}


def test_a_capacity_of_which_nothing_is_consumed_is_an_error():
    used = (sized(cpu=mapping(capacityKey="cores", capacityMultiplier="1")), None)

    with pytest.raises(allocatable.UnmeasuredError, match="gpu-0 maps its capacity cores to cpu"):
        allocatable.footprint([used])


# ---------------------------------------------------------------- where a pod fits


def placing(*devices, cpu=8000, user=None, gates=ON, objects=(), asks=None, **fields):
    """An engine that has tried to place pod `p`, whose container `main` uses claim `c`."""
    user = user or pod("p", claims=["c"], **fields)
    user = replace(user, users=user.users or {"c": ("main",)})
    box = node("n1", cpu=cpu, memory=64 * GI, **{"hugepages-2Mi": 8 * MIB})
    return Hands(box, slice_of(devices, node="n1"), claim("c", *(asks or ())), user, *objects, gates=gates).settle()


@pytest.mark.parametrize(
    ("takes", "cpu", "fits"),
    [
        (FOUR, 4000, True),
        (FOUR, 4001, False),
        (mapping(deviceMultiplier="8"), 0, True),
        (mapping(deviceMultiplier="8001m"), 0, False),
        (overhead(perPod="4"), 4000, True),
        (overhead(perPod="4"), 4001, False),
        (overhead(perContainer="4"), 4001, False),
        ({**FOUR, **overhead(perPod="1")}, 3000, True),
        ({**FOUR, **overhead(perPod="1")}, 3001, False),
    ],
)
def test_what_devices_take_must_be_left(takes, cpu, fits):
    hands = placing(sized(cpu=takes), cpu=8000, user=pod("p", claims=["c"], cpu=cpu))

    assert (hands.node_of("p") == "n1") is fits
    if not fits:
        assert "1 lack cpu for what the devices take of their node" in hands.reason("p")


@pytest.mark.parametrize(
    ("resources", "fits"),
    [
        ({"memory": overhead(perPod="64Gi")}, True),
        ({"memory": overhead(perPod="65Gi")}, False),
        ({"hugepages_2Mi": overhead(perPod="8Mi")}, True),
        ({"hugepages_2Mi": overhead(perPod="10Mi")}, False),
        ({"ephemeral_storage": overhead(perPod="2Ti")}, False),
    ],
)
def test_other_resources_count_too(resources, fits):
    assert (placing(sized(**resources)).node_of("p") == "n1") is fits


@pytest.mark.parametrize(
    ("containers", "fits"), [(("a",), True), (("a", "b"), True), (("a", "b", "c"), False), ((), True)]
)
def test_every_container_that_uses_the_claim_counts(containers, fits):
    user = replace(pod("p", claims=["c"], cpu=2000), users={"c": containers} if containers else {"other": ("x",)})

    assert (placing(sized(cpu=overhead(perContainer="3")), user=user).node_of("p") == "n1") is fits


def test_with_the_gate_off_devices_take_nothing():
    hands = placing(sized(cpu=mapping(deviceMultiplier="100")), gates=Gates())

    assert hands.node_of("p") == "n1"
    assert [each.taken for each in hands.of(BindPod)] == [None]


@pytest.mark.parametrize(("asked", "fits"), [("4", True), ("9", False)])
def test_consumed_capacity_is_what_the_request_takes(asked, fits):
    shared = sized(capacity={"cores": "16"}, shareable=True, cpu=mapping(capacityKey="cores", capacityMultiplier="1"))
    shared = replace(shared, policies={"cores": RequestPolicy(default=parse_quantity("1"))})
    asks = [replace(request("r"), capacity=amounts(cores=asked))]

    assert (placing(shared, asks=asks).node_of("p") == "n1") is fits


def test_where_the_best_devices_take_too_much_the_first_that_fit_are_taken():
    # The two linked devices are better, and the first two are what kube-scheduler would take.
    light = [sized(f"gpu-{i}") for i in (0, 1)]
    heavy = [sized(f"gpu-{i}", cpu=mapping(deviceMultiplier="100")) for i in (2, 3)]
    links = json.dumps({"pairs": [["gpu-2", "gpu-3", 900]], "default": 0})
    box = node("n1", annotations={names.LINKS: links})
    pair = claim("c", count=2)
    plain = Hands(box, slice_of([*light, *heavy], node="n1"), pair, pod("p", claims=["c"])).settle()
    sizing = Hands(box, slice_of([*light, *heavy], node="n1"), pair, pod("p", claims=["c"]), gates=ON).settle()

    assert plain.devices_of("c") == ["gpu-2", "gpu-3"]
    assert sizing.devices_of("c") == ["gpu-0", "gpu-1"]


def test_a_second_node_is_taken_when_the_first_has_too_little():
    big = node("n2", cpu=64_000)
    hands = placing(sized(cpu=mapping(deviceMultiplier="16")), objects=(big, slice_of([sized(cpu=FOUR)], node="n2")))

    assert hands.node_of("p") == "n2"


@pytest.mark.parametrize(("margin", "fits"), [(4000, True), (3999, False)])
def test_a_request_of_the_pod_as_a_whole_has_to_cover_its_devices(margin, fits):
    user = replace(pod("p", claims=["c"], cpu=8000), margins={"cpu": margin})

    assert (placing(sized(cpu=FOUR), user=user).node_of("p") == "n1") is fits


# ---------------------------------------------------------------- what a placed pod takes


def after(first, second_cpu=0, **fields):
    """Whether pod `q` fits beside the first on a node with 8 cores."""
    other = pod("q", cpu=second_cpu, created="z")
    return placing(first, objects=(other,), **fields).node_of("q") == "n1"


@pytest.mark.parametrize(("cpu", "fits"), [(4000, True), (4001, False)])
def test_what_a_placed_pod_s_devices_take_is_taken(cpu, fits):
    assert after(sized(cpu=FOUR), second_cpu=cpu) is fits


@pytest.mark.parametrize(
    ("published", "cpu", "fits"), [(None, 8000, True), ({"cpu": 3000}, 5000, True), ({"cpu": 3000}, 5001, False)]
)
def test_what_other_pods_have_published_counts(published, cpu, fits):
    runs = replace(pod("other", node="n1"), published=published)

    hands = placing(sized(), user=pod("p", claims=["c"], cpu=cpu), objects=(runs,))

    assert (hands.node_of("p") == "n1") is fits


def test_what_a_pod_took_is_given_back_with_it():
    hands = placing(sized(cpu=FOUR), objects=(pod("q", cpu=8000, created="z"),))
    assert hands.node_of("q") == ""

    hands.see(replace(hands.pod(pod_uid("p")), phase="Succeeded"))

    hands.pass_time(until=5)
    assert hands.node_of("q") == "n1"


# ---------------------------------------------------------------- what is said of it


@pytest.mark.parametrize(
    ("resources", "users", "said"),
    [
        ({"cpu": FOUR}, ("main",), {"containers": ["main"], "mapping": [{"name": "cpu", "quantity": "4"}]}),
        ({"cpu": FOUR}, (), {"mapping": [{"name": "cpu", "quantity": "4"}]}),
        (
            {"memory": overhead(perPod="1Gi", perContainer="512Mi"), "cpu": overhead(perPod="250m")},
            ("init", "main"),
            {
                "containers": ["init", "main"],
                "overhead": [
                    {"name": "cpu", "perPod": "250m"},
                    {"name": "memory", "perPod": "1Gi", "perContainer": "512Mi"},
                ],
            },
        ),
    ],
)
def test_the_pod_s_status_says_what_its_devices_take(resources, users, said):
    user = replace(pod("p", claims=["c"]), users={"c": users, "x": ()})

    hands = placing(sized(**resources), user=user)

    (bind,) = hands.of(BindPod)
    assert json.loads(bind.taken) == [{"resourceClaimName": "c", **said}]


def test_claims_are_told_by_name_and_those_that_take_nothing_are_not():
    devices = [sized("gpu-0", cpu=FOUR), sized("gpu-1", cpu=mapping(deviceMultiplier="1")), sized("gpu-2")]
    picks = {f"c{i}": f'device.attributes["gpu.example.com"].number == {i}' for i in range(3)}
    devices = [replace(each, attributes={"type": "gpu", "number": i}) for i, each in enumerate(devices)]
    claims = [claim(name, selectors=[cel]) for name, cel in picks.items()]
    user = pod("p", claims=["c2", "c1", "c0"])

    hands = Hands(node("n1"), slice_of(devices, node="n1"), *claims, user, gates=ON).settle()

    (bind,) = hands.of(BindPod)
    assert [(each["resourceClaimName"], each["mapping"][0]["quantity"]) for each in json.loads(bind.taken)] == [
        ("c0", "4"),
        ("c1", "1"),
    ]


@pytest.mark.parametrize(("published", "taken"), [(None, None), ({}, "[]"), ({"cpu": 4000}, "[]")])
def test_what_an_attempt_before_left_in_the_status_is_cleared(published, taken):
    user = replace(pod("p", claims=["c"]), published=published)

    hands = placing(sized(), user=user)

    assert [each.taken for each in hands.of(BindPod)] == [taken]


def test_a_change_of_what_is_published_is_no_reason_to_try_at_once():
    hands = placing(sized(), cpu=100, user=pod("p", claims=["c"], cpu=200))
    tried = hands.engine.backlog.attempts(pod_uid("p"))

    hands.see(replace(hands.pod(pod_uid("p")), published={"cpu": 1}, resource_version="7"))

    assert tried == hands.engine.backlog.attempts(pod_uid("p")) == 1
    hands.see(replace(hands.pod(pod_uid("p")), labels={"new": "label"}))
    assert hands.engine.backlog.attempts(pod_uid("p")) == 0


def test_a_refused_binding_gives_back_what_the_devices_took():
    hands = Hands(
        node("n1", cpu=8000), slice_of([sized(cpu=FOUR)], node="n1"), claim("c"), pod("p", claims=["c"]), gates=ON
    )
    todo = hands.decide()
    while not any(isinstance(each, BindPod) for each in todo):
        todo = [each for instruction in todo for each in hands.obey(instruction)]
    asked = hands.tell(BindRefused(pod_uid("p"), "invalid", "no"))

    assert any(isinstance(each, ReleaseClaim) for each in asked)
    hands.see(pod("q", cpu=8000))
    assert any(isinstance(each, BindPod) and each.pod.name == "q" for each in hands.decide())


# ---------------------------------------------------------------- claims that are shared


@pytest.mark.parametrize(
    ("takes", "reserved_for", "joins"),
    [
        (FOUR, ["q"], False),
        (FOUR, [], True),
        (FOUR, ["p"], True),
        (overhead(perPod="4"), ["q"], True),
        (mapping(capacityKey="cores", capacityMultiplier="1"), ["q"], False),
    ],
)
def test_a_claim_with_a_mapped_device_is_for_one_pod(takes, reserved_for, joins):
    held = allocated(claim("c"), result("gpu-0", consumed=amounts(cores="1")), reserved_for=reserved_for)

    hands = Hands(
        node("n1"), slice_of([sized(cpu=takes)], node="n1"), held, pod("p", claims=["c"]), gates=ON
    ).settle()  # fmt: skip

    assert (hands.node_of("p") == "n1") is joins
    if not joins:
        assert "has a device that stands for a resource of its node, and another pod uses it" in hands.reason("p")


def test_of_two_pods_that_come_together_one_gets_a_mapped_claim():
    users = [pod("p", claims=["c"]), pod("q", claims=["c"], created="z")]

    hands = Hands(node("n1"), slice_of([sized(cpu=FOUR)], node="n1"), claim("c"), *users, gates=ON)
    hands.pass_time(until=20)

    assert (hands.node_of("p"), hands.node_of("q")) == ("n1", "")


@pytest.mark.parametrize(("cpu", "fits"), [(4000, True), (4001, False)])
def test_a_claim_that_is_joined_takes_its_overhead_for_each_pod(cpu, fits):
    held = allocated(claim("c"), result("gpu-0"), reserved_for=["q"])

    hands = Hands(
        node("n1", cpu=8000),
        slice_of([sized(cpu=overhead(perPod="4"))], node="n1"),
        held,
        pod("p", claims=["c"], cpu=cpu),
        gates=ON,
    ).settle()

    assert (hands.node_of("p") == "n1") is fits


def test_an_allocation_that_cannot_be_measured_ends_the_attempt_with_its_reason():
    held = allocated(claim("c"), result("gpu-0"))
    broken = sized(cpu=mapping(capacityKey="cores", capacityMultiplier="1"))

    hands = Hands(node("n1"), slice_of([broken], node="n1"), held, pod("p", claims=["c"]), gates=ON).settle()

    assert "maps its capacity cores to cpu" in hands.reason("p")
