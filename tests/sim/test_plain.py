"""Whether the simulation tells what pods may do with volumes, ports and each other from what they may not."""

import pytest

from e2e.sim.actors import storage
from e2e.sim.actors.households import apart as kept_apart
from e2e.sim.actors.households import spread
from e2e.sim.faults import PLAIN
from e2e.sim.plain import apart, collide, even
from e2e.sim.plans import NAMESPACE, Fault, Scenario, Small
from e2e.sim.volumes import SELECTED_NODE, annotated, serve
from e2e.sim.world import BrokenError

HOST = "kubernetes.io/hostname"


def node(name, zone="a"):
    return {"metadata": {"name": name, "labels": {HOST: name, "zone": zone}}}


def pod(name, *ports, **spec):
    containers = [{"name": "main", "ports": [{"containerPort": 1, **each} for each in ports]}]
    metadata = {"name": name, "namespace": NAMESPACE, "uid": name, "labels": {"app": "x"}}
    return {"metadata": metadata, "spec": {"containers": containers, **spec}}


@pytest.fixture
def small():
    """Two nodes with volumes of their own, and claims that no controller has looked at yet."""
    made = Small(Scenario("stored", ("whole", "whole"), lambda _: None, stored=True), Fault())
    for item in made.store.all(storage.VOLUME):
        made.store.update(storage.VOLUME, item.key, lambda raw: {**raw, "status": {"phase": "Available"}}, "binder")
    yield made
    made.replica.life.kill()


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({"hostPort": 80}, {"hostPort": 80}, True),
        ({"hostPort": 80}, {"hostPort": 81}, False),
        ({"hostPort": 80}, {"hostPort": 80, "protocol": "UDP"}, False),
        ({"hostPort": 80}, {"hostPort": 80, "hostIP": "10.0.0.1"}, True),
        ({"hostPort": 80, "hostIP": "10.0.0.2"}, {"hostPort": 80, "hostIP": "10.0.0.1"}, False),
    ],
)
def test_ports_collide(one, other, expected):
    assert collide(pod("a", one), pod("b", other)) is expected


@pytest.mark.parametrize(("topology", "expected"), [(HOST, True), ("zone", False)])
def test_anti_affinity_holds_both_ways(topology, expected):
    alone, plain = pod("a", **kept_apart({"app": "x"}, topology)), pod("b")

    assert apart(alone, node("n0"), plain, node("n1")) is expected
    assert apart(plain, node("n0"), alone, node("n1")) is expected
    assert not apart(plain, node("n0"), alone, node("n0"))


def test_a_pod_more_than_the_skew_is_too_many_unless_others_may_stand_elsewhere():
    wanted, nodes = pod("a", **spread({"app": "x"}, HOST)), [node("n0"), node("n1")]
    there = [(pod("b"), node("n0"))]

    assert not even(wanted, node("n0"), there, nodes)
    assert even(wanted, node("n1"), there, nodes)
    assert even(wanted, node("n0"), there, nodes, [pod("c")])


@pytest.mark.parametrize(
    ("classes", "chosen", "expected"),
    [
        ([storage.LOCAL], None, True),
        ([storage.LOCAL] * 3, None, False),
        ([storage.MADE], None, True),
        ([storage.MADE], "n0", True),
        ([storage.MADE], "n1", False),
        ([storage.NOW], None, False),
    ],
)
def test_volumes_that_a_node_can_serve(small, classes, chosen, expected):
    small.pods("a", volumes=small.volumes(*classes))
    small.store.update(storage.CLAIM, f"{NAMESPACE}/v0", lambda raw: annotated(raw, {SELECTED_NODE: chosen}), "us")

    served = serve(small.store, small.store.get("Pod", f"{NAMESPACE}/a"), small.store.get("Node", "n0").raw)

    assert served is expected


def patch_volume(small, name, claim, **reference):
    uid = small.store.get(storage.CLAIM, f"{NAMESPACE}/{claim}").uid
    spec = {"claimRef": {"namespace": NAMESPACE, "name": claim, "uid": uid, **reference}}
    small.store.patch(storage.VOLUME, name, {"spec": spec}, "dovetail-0.1", strategic=False, status=False)


def test_what_we_must_not_do_with_volumes_is_found(small):
    small.volumes(storage.LOCAL, storage.LOCAL, storage.STUCK)
    patch_volume(small, "n0-0", "v0")

    for volume, claim, problem in (
        ("n0-1", "v2", "does not suit"), ("n1-0", "v0", "is given n0-0 and n1-0"), ("n0-0", "v1", "was given to"),
    ):  # fmt: skip
        with pytest.raises(BrokenError, match=f"I26: .*{problem}"):
            patch_volume(small, volume, claim)


def test_a_node_is_chosen_for_a_volume_that_is_made_and_no_other(small):
    small.volumes(storage.MADE, storage.LOCAL)

    def choose(claim, chosen):
        patch = {"metadata": {"annotations": {SELECTED_NODE: chosen}}}
        key = f"{NAMESPACE}/{claim}"
        small.store.patch(storage.CLAIM, key, patch, "dovetail-0.1", strategic=False, status=False)

    choose("v0", "n0")
    with pytest.raises(BrokenError, match=r"I27: .*is to be on n0, and was given to n1"):
        choose("v0", "n1")
    with pytest.raises(BrokenError, match=r"I27: .*waits for no node"):
        choose("v1", "n0")
    with pytest.raises(BrokenError, match=r"I28: .*v0 is to have n1, and no pod waits"):
        small.plain.left(["dovetail-0.1"])


def test_a_binding_before_its_volume_and_onto_a_taken_port_is_found(small):
    ports = [{"name": "main", "ports": [{"containerPort": 1, "hostPort": 80}], "resources": {}}]
    small.pods("a b", containers=ports)
    small.pods("c", volumes=small.volumes(storage.MADE))

    def bind(name):
        uid = small.store.get("Pod", f"{NAMESPACE}/{name}").uid
        small.store.bind(f"{NAMESPACE}/{name}", {"metadata": {"uid": uid}, "target": {"name": "n0"}}, "dovetail-0.1")

    bind("a")
    with pytest.raises(BrokenError, match="I29"):
        bind("b")
    with pytest.raises(BrokenError, match=r"I25: .*has no volume"):
        bind("c")


def test_each_thing_that_has_to_be_seen_has_a_number():
    assert {*PLAIN} == {f"V{number}" for number in range(1, len(PLAIN) + 1)}
