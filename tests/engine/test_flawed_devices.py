"""Devices that are tainted or reported unhealthy, and that a pod may have all the same, are taken last."""

from dataclasses import replace

import pytest

from scheduler.core.flaws import flaw
from scheduler.core.gates import Gates
from scheduler.core.messages import Gone
from scheduler.core.model import NO_EXECUTE, NO_SCHEDULE, CounterSet, CounterUse, Uid
from scheduler.core.names import OWNED
from scheduler.core.quantity import parse_quantity
from scoring.flaws import Flaw
from tests.build import (
    DRIVER,
    claim,
    claim_uid,
    device,
    node,
    pod,
    pod_uid,
    request,
    slice_of,
    taint,
    taint_rule,
    toleration,
)
from tests.driving import Hands

ANYTHING = toleration(operator="Exists")


def box(name, *devices):
    """A node with these devices, each given by its attributes and its taints."""
    made = [
        device(f"gpu-{i}", {"type": "gpu", **attributes}, taints=taints)
        for i, (attributes, taints) in enumerate(devices)
    ]
    return node(name), slice_of(made, node=name)


WHOLE = ({}, ())
NOTED = ({}, (taint("unmonitored", effect="None"),))
REPELLING = ({}, (taint("test", effect=NO_SCHEDULE),))
SICK = ({"healthy": False}, ())


def taken(*boxes, count=1, **config):
    """Node and devices of a pod that tolerates everything."""
    objects = [each for pair in boxes for each in pair]
    asking = claim("c", request("r", count, tolerations=[ANYTHING]))
    hands = Hands(*objects, asking, pod("p", claims=["c"]), **config).settle()
    return hands.node_of("p"), hands.devices_of("c")


@pytest.mark.parametrize("flawed", [NOTED, REPELLING, SICK])
def test_of_the_devices_of_a_node_the_one_without_a_flaw_is_taken(flawed):
    assert taken(box("n1", flawed, WHOLE, flawed)) == ("n1", ["gpu-1"])
    assert taken(box("n1", flawed, WHOLE, WHOLE), count=2) == ("n1", ["gpu-1", "gpu-2"])
    assert taken(box("n1", flawed, WHOLE), device_choice="first-fit") == ("n1", ["gpu-0"])


@pytest.mark.parametrize("flawed", [NOTED, REPELLING, SICK])
@pytest.mark.parametrize("seed", range(4))
def test_of_the_nodes_the_one_whose_device_has_no_flaw_is_taken(flawed, seed):
    assert taken(box("n1", flawed), box("n2", WHOLE), box("n3", flawed), seed=seed)[0] == "n2"
    assert taken(box("n1", WHOLE), box("n2", flawed), seed=seed)[0] == "n1"


def test_the_lesser_flaw_is_taken_where_there_is_no_device_without():
    assert taken(box("n1", REPELLING, NOTED, SICK)) == ("n1", ["gpu-1"])
    assert taken(box("n1", SICK, REPELLING)) == ("n1", ["gpu-1"])
    assert taken(box("n1", SICK)) == ("n1", ["gpu-0"])


def test_a_rule_that_comes_and_goes_is_followed():
    hands = Hands(*box("n1", WHOLE, WHOLE), taint_rule(device="gpu-0"))
    asking = [claim(f"c{i}", request("r", tolerations=[ANYTHING])) for i in range(2)]

    hands.see(asking[0], pod("p0", claims=["c0"]))
    assert hands.settle().devices_of("c0") == ["gpu-1"]

    hands.tell(Gone("Pod", "default/p0", pod_uid("p0")))
    hands.tell(Gone("ResourceClaim", "default/c0", claim_uid("c0")))
    hands.tell(Gone("DeviceTaintRule", "rule", Uid("")))
    hands.see(asking[1], pod("p1", claims=["c1"]))
    assert hands.settle().devices_of("c1") == ["gpu-0"]


def test_the_exact_search_avoids_flaws_too():
    first, second = device("gpu-0", taints=REPELLING[1]), device("gpu-1")
    parts = [replace(each, binding_conditions=("ready",), binding_failures=("failed",)) for each in (first, second)]
    hands = Hands(node("n1"), slice_of(parts, node="n1"), claim("c", request("r", tolerations=[ANYTHING])))
    hands.see(pod("p", claims=["c"]))
    hands.obey_all(hands.decide())

    assert hands.devices_of("c") == ["gpu-1"]


@pytest.mark.parametrize(
    ("attributes", "taints", "found"),
    [
        ({}, [], Flaw.NONE),
        ({}, [taint("a", effect="None")], Flaw.NOTED),
        ({}, [taint("a", effect="Later")], Flaw.NOTED),
        ({}, [taint("a", effect=NO_SCHEDULE)], Flaw.REPELLING),
        ({}, [taint("a", effect=NO_EXECUTE), taint("b", effect="None")], Flaw.EVICTING),
        ({"healthy": True}, [], Flaw.NONE),
        ({"healthy": False}, [taint("a", effect=NO_EXECUTE)], Flaw.BROKEN),
        ({f"{DRIVER}/healthy": False}, [], Flaw.BROKEN),
        ({"health": "Unhealthy"}, [], Flaw.BROKEN),
        ({"health": "Healthy"}, [], Flaw.NONE),
        ({"health": 0}, [], Flaw.NONE),
        ({"health": ("Unhealthy",)}, [], Flaw.NONE),
    ],
)
def test_what_speaks_against_a_device(attributes, taints, found):
    assert flaw(DRIVER, device("gpu-0", attributes), taints) is found


def test_our_own_taint_is_no_flaw_and_without_the_gate_none_is():
    ours = ({}, (taint(OWNED, effect=NO_SCHEDULE),))
    assert taken(box("n1", ours, WHOLE)) == ("n1", ["gpu-0"])
    assert taken(box("n1", REPELLING, WHOLE), gates=Gates(device_taints=False)) == ("n1", ["gpu-0"])


def shares(node_name, *flaws):
    """A node whose devices are shared; of each what speaks against it."""
    made = [
        replace(device(f"gpu-{i}", attributes, {"memory": "10"}, taints=taints), shareable=True)
        for i, (attributes, taints) in enumerate(flaws)
    ]
    return node(node_name), slice_of(made, node=node_name)


def taken_share(*boxes, requests=1, **config):
    """Node and devices of a pod that asks for a share of a device, or several, and tolerates everything."""
    amount = {"memory": parse_quantity("4")}
    asked = [replace(request(f"r{i}", tolerations=[ANYTHING]), capacity=amount) for i in range(requests)]
    objects = [each for pair in boxes for each in pair]
    hands = Hands(*objects, claim("c", *asked), pod("p", claims=["c"]), **config).settle()
    return hands.node_of("p"), hands.devices_of("c")


@pytest.mark.parametrize("flawed", [NOTED, REPELLING, SICK])
def test_a_share_is_taken_of_the_device_without_a_flaw(flawed):
    assert taken_share(shares("n1", flawed, WHOLE, flawed)) == ("n1", ["gpu-1"])
    assert taken_share(shares("n1", SICK, NOTED, REPELLING)) == ("n1", ["gpu-1"])
    assert taken_share(shares("n1", flawed), shares("n2", WHOLE), shares("n3", flawed))[0] == "n2"
    assert taken_share(shares("n1", flawed, WHOLE), device_choice="first-fit") == ("n1", ["gpu-0"])
    assert taken_share(shares("n1", flawed, WHOLE), weights={"health": 0}) == ("n1", ["gpu-0"])


def test_several_shares_are_taken_of_devices_without_flaws():
    assert taken_share(shares("n1", SICK, WHOLE, SICK), requests=2) == ("n1", ["gpu-1", "gpu-1"])
    assert taken_share(shares("n1", SICK, WHOLE, SICK), requests=2, weights={"health": 0}) == ("n1", ["gpu-0"] * 2)


def parts(node_name, *flaws):
    """A node with one card that is cut in parts of one size; of each part what speaks against it."""
    made = [
        replace(
            device(f"part-{i}", attributes, taints=taints),
            consumes=(CounterUse("card", {"memory": parse_quantity("1")}),),
        )
        for i, (attributes, taints) in enumerate(flaws)
    ]
    total = CounterSet("card", {"memory": parse_quantity(str(len(flaws)))})
    own = replace(slice_of([], node=node_name, name=f"{node_name}-sets", slice_count=2), counter_sets=(total,))
    return node(node_name), own, slice_of(made, node=node_name, slice_count=2)


@pytest.mark.parametrize("flawed", [NOTED, REPELLING, SICK])
def test_a_part_without_a_flaw_is_taken(flawed):
    assert taken(parts("n1", flawed, WHOLE, flawed)) == ("n1", ["part-1"])
    assert taken(parts("n1", SICK, NOTED, REPELLING)) == ("n1", ["part-1"])
    assert taken(parts("n1", flawed, flawed), parts("n2", flawed, WHOLE), parts("n3", flawed, flawed))[0] == "n2"
    assert taken(parts("n1", flawed, WHOLE), device_choice="first-fit") == ("n1", ["part-0"])
    assert taken(parts("n1", flawed, WHOLE), weights={"health": 0}) == ("n1", ["part-0"])
