"""Every feature of Dynamic Resource Allocation on a real API server: what it stores, and that pods are bound.

Once with the feature gates of a fresh cluster, and once with all alpha gates, where Kubernetes' own allocator is
another one too. Features that are alpha have tests of their own.
"""

import json
import uuid
from collections.abc import Callable, Iterator

import pytest

from e2e.api import ApiRefusalError, Raw, collection
from e2e.cluster import Cluster
from e2e.conftest import World, end, runs, serve, unschedulable
from e2e.dovetail import Dovetail
from e2e.inventory import CLASS, DRIVER, device, device_class, devices, node, slice_on, taint_rule
from e2e.judge import taken
from e2e.workload import claim, claim_spec, first_available, pod, request

ADMIN = "resource.kubernetes.io/admin-access"
ONE = claim_spec([request(device_class=CLASS)])


@pytest.fixture(scope="session", params=["default", "alpha"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    opened: Cluster = request.getfixturevalue(f"{request.param}_cluster")
    return opened


@pytest.fixture
def kube_scheduler(world: World) -> Iterator[None]:
    """Runs beside Dovetail."""
    world.cluster.start_kube_scheduler()
    yield
    world.cluster.stop_kube_scheduler()


def having(**values: int | str) -> str:
    """CEL that selects devices by attributes of the driver."""
    return " && ".join(f'device.attributes["{DRIVER}"].{name} == {value!r}' for name, value in values.items())


def term(key: str, value: str) -> Raw:
    """A node selector by one label."""
    return {"nodeSelectorTerms": [{"matchExpressions": [{"key": key, "operator": "In", "values": [value]}]}]}


def only(name: str) -> Raw:
    """The node selector of what can be used on one node."""
    return {"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]}]}


def reserved_for(world: World, name: str) -> list[str]:
    status = world.api.get("ResourceClaim", name, world.namespace)["status"]
    return sorted(each["name"] for each in status.get("reservedFor", []))


# ---------------------------------------------------------------- requests


def test_first_alternative_that_fits_is_taken(world: World, dovetail: Dovetail) -> None:
    # given one large device and two small ones
    listed = [device("large", {"size": 2}), device("small-0", {"size": 1}), device("small-1", {"size": 1})]
    world.publish([device_class(), node("n1"), slice_on("n1", listed)])
    large = request("large", CLASS, cel=having(size=2))
    smalls = request("smalls", CLASS, count=2, cel=having(size=1))
    either = claim_spec([first_available(large, smalls)])
    # when two pods take either, then the first has the better one, and the second the other
    assert taken(serve(world, "first", either)) == [("gpu/large", "large")]
    assert taken(serve(world, "second", either)) == [("gpu/smalls", "small-0"), ("gpu/smalls", "small-1")]
    # and a third waits until the first is gone
    world.create(claim(world.namespace, "third", either), pod(world.namespace, "third", claims=["third"]))
    unschedulable(world, "third", "0 of 1 nodes fit", "request gpu of claim third")
    end(world, "first")
    runs(world, "third")
    assert taken(world.api.get("ResourceClaim", "third", world.namespace)) == [("gpu/large", "large")]


def test_all_devices_of_a_node_are_taken_together(world: World, dovetail: Dovetail) -> None:
    # given two nodes, on the larger of which a device is in use
    first = [device(f"d{i}", {"box": 1}) for i in range(3)]
    second = [device(f"d{i}", {"box": 2}) for i in range(2)]
    world.publish([device_class(), node("n1"), slice_on("n1", first), node("n2"), slice_on("n2", second)])
    serve(world, "one", claim_spec([request(device_class=CLASS, cel=having(box=1))]))
    # when
    every = claim_spec([request("all", CLASS, count=0)])
    made = serve(world, "every", every)
    # then
    assert taken(made) == [("all", "d0"), ("all", "d1")]
    assert made["status"]["allocation"]["nodeSelector"] == only("n2")
    # and where some may be missing, nobody gets all
    end(world, "every")
    [whole, rest] = [slice_on("n3", [device(f"d{i}")], part=f"part-{i}", of=2) for i in range(2)]
    world.publish([node("n3"), whole])
    world.create(claim(world.namespace, "later", every), pod(world.namespace, "later", claims=["later"]))
    unschedulable(world, "later", "request all of claim later", "incomplete", "n3")
    world.publish([rest])
    assert runs(world, "later") in {"n2", "n3"}


def test_admin_looks_at_devices_in_use(world: World, dovetail: Dovetail) -> None:
    # given a device in use and a free one
    world.publish([device_class(), node("n1"), slice_on("n1", devices(2))])
    serve(world, "user", ONE)
    look = claim_spec([request("look", CLASS, count=0, adminAccess=True)])
    # when the namespace does not allow it, then the server refuses the claim
    with pytest.raises(ApiRefusalError, match=ADMIN):
        world.create(claim(world.namespace, "monitor", look))
    # and when it does, both are looked at
    world.api.patch("Namespace", world.namespace, {"metadata": {"labels": {ADMIN: "true"}}})
    monitor = serve(world, "monitor", look)
    assert taken(monitor) == [("look", "d0"), ("look", "d1")]
    assert [each["adminAccess"] for each in monitor["status"]["allocation"]["devices"]["results"]] == [True, True]
    # and nothing is used up by that
    serve(world, "other", ONE)


def test_admin_claim_in_a_namespace_that_no_longer_allows_it_is_explained(world: World, dovetail: Dovetail) -> None:
    # given a claim made while the namespace had the label
    world.publish([device_class(), node("n1"), slice_on("n1", devices(1))])
    world.api.patch("Namespace", world.namespace, {"metadata": {"labels": {ADMIN: "true"}}})
    world.create(claim(world.namespace, "p", claim_spec([request("look", CLASS, adminAccess=True)])))
    world.api.patch("Namespace", world.namespace, {"metadata": {"labels": {ADMIN: None}}})
    # when
    world.create(pod(world.namespace, "p", claims=["p"]))
    # then it is told what the server said to the allocation, and nothing is stored
    unschedulable(world, "p", f"{world.namespace}/p", ADMIN)
    assert taken(world.api.get("ResourceClaim", "p", world.namespace)) == []
    # and others get the device
    serve(world, "other", ONE)
    # and it runs once it may
    world.api.patch("Namespace", world.namespace, {"metadata": {"labels": {ADMIN: "true"}}})
    runs(world, "p", 90)


# ---------------------------------------------------------------- constraints


def test_devices_that_match_in_an_attribute(world: World, dovetail: Dovetail) -> None:
    listed = [device(f"d{i}", {"numa": numa}) for i, numa in enumerate([0, 1, 2, 1])]
    world.publish([device_class(), node("n1"), slice_on("n1", [*listed, device("bare")])])
    pair = claim_spec([request(device_class=CLASS, count=2)], match=f"{DRIVER}/numa")
    assert taken(serve(world, "p", pair)) == [("gpu", "d1"), ("gpu", "d3")]
    # and no other two do
    world.create(claim(world.namespace, "q", pair), pod(world.namespace, "q", claims=["q"]))
    unschedulable(world, "q", "0 of 1 nodes fit", "shares one value", f"{DRIVER}/numa")


def test_devices_that_differ_in_an_attribute(world: World, dovetail: Dovetail) -> None:
    listed = [device(f"d{i}", {"numa": numa}) for i, numa in enumerate([0, 0, 0, 1])]
    world.publish([device_class(), node("n1"), slice_on("n1", [*listed, device("bare")])])
    pair = claim_spec([request(device_class=CLASS, count=2)], distinct=f"{DRIVER}/numa")
    [(_, one), (_, other)] = taken(serve(world, "p", pair))
    assert one in {"d0", "d1", "d2"}
    assert other == "d3"
    # and no other two do
    world.create(claim(world.namespace, "q", pair), pod(world.namespace, "q", claims=["q"]))
    unschedulable(world, "q", "0 of 1 nodes fit", "differs in", f"{DRIVER}/numa")


# ---------------------------------------------------------------- inventory


def test_partitions_share_the_counters_of_their_device(world: World, dovetail: Dovetail) -> None:
    # given a device that is whole or two halves
    def partition(name: str, size: int) -> Raw:
        uses = [{"counterSet": "gpu-0", "counters": {"memory": {"value": f"{size}Gi"}}}]
        return device(name, {"size": size}, consumesCounters=uses)

    counters = [{"name": "gpu-0", "counters": {"memory": {"value": "40Gi"}}}]
    parts = [partition("whole", 40), partition("half-0", 20), partition("half-1", 20)]
    world.publish(
        [
            device_class(),
            node("n1"),
            slice_on("n1", part="counters", of=2, sharedCounters=counters),
            slice_on("n1", parts, part="devices", of=2),
        ]
    )

    def sized(size: int) -> Raw:
        return claim_spec([request(device_class=CLASS, cel=having(size=size))])

    # when two halves are taken
    halves = [*taken(serve(world, "a", sized(20))), *taken(serve(world, "b", sized(20)))]
    assert sorted(halves) == [("gpu", "half-0"), ("gpu", "half-1")]
    # then the whole waits until both are back
    world.create(claim(world.namespace, "c", sized(40)), pod(world.namespace, "c", claims=["c"]))
    unschedulable(world, "c", "0 of 1 nodes fit", "request gpu of claim c")
    end(world, "a")
    unschedulable(world, "c", "0 of 1 nodes fit", "request gpu of claim c")
    end(world, "b")
    runs(world, "c")
    assert taken(world.api.get("ResourceClaim", "c", world.namespace)) == [("gpu", "whole")]


def test_each_device_of_a_pool_says_where_it_is(world: World, dovetail: Dovetail) -> None:
    # given a pool of three devices: of one node, of a zone, of all nodes
    zone = term("zone", "b")
    listed = [
        device("of-n1", {"where": "node"}, nodeName="n1"),
        device("of-zone", {"where": "zone"}, nodeSelector=zone),
        device("anywhere", {"where": "any"}, allNodes=True),
    ]
    nodes = [node("n1", zone="a"), node("n2", zone="b")]
    world.publish([device_class(), *nodes, slice_on({"perDeviceNodeSelection": True}, listed)])

    def placed(where: str) -> tuple[str, Raw | None]:
        made = serve(world, where, claim_spec([request(device_class=CLASS, cel=having(where=where))]))
        return runs(world, where), made["status"]["allocation"].get("nodeSelector")

    # then pods are where the devices are, and so may others be that join their claims
    assert placed("node") == ("n1", only("n1"))
    assert placed("zone") == ("n2", zone)
    assert placed("any")[1] is None


def test_a_device_is_shared_until_its_capacity_is_used_up(world: World, dovetail: Dovetail) -> None:
    # given one device of 10Gi that is given out by the Gi
    policy = {"default": "1Gi", "validRange": {"min": "1Gi", "step": "1Gi"}}
    shared = device(
        "d0", allowMultipleAllocations=True, capacity={"memory": {"value": "10Gi", "requestPolicy": policy}}
    )
    world.publish([device_class(), node("n1"), slice_on("n1", [shared])])

    def share(memory: str) -> Raw:
        return claim_spec([request(device_class=CLASS, capacity={"requests": {"memory": memory}})])

    def consumed(made: Raw) -> str:
        [result] = made["status"]["allocation"]["devices"]["results"]
        assert str(uuid.UUID(result["shareID"])) == result["shareID"]
        assert list(result["consumedCapacity"]) == ["memory"]
        amount: str = result["consumedCapacity"]["memory"]
        return amount

    # when two pods take a share, and one says nothing of how much
    a, b, c = serve(world, "a", share("2500Mi")), serve(world, "b", share("5Gi")), serve(world, "c", ONE)
    # then each has its own, rounded as the device wants it
    assert [consumed(each) for each in (a, b, c)] == ["3Gi", "5Gi", "1Gi"]
    assert len({each["status"]["allocation"]["devices"]["results"][0]["shareID"] for each in (a, b, c)}) == 3
    # and one who wants more than the rest waits until enough is back
    world.create(claim(world.namespace, "d", share("2Gi")), pod(world.namespace, "d", claims=["d"]))
    unschedulable(world, "d", "0 of 1 nodes fit", "request gpu of claim d")
    end(world, "a")
    runs(world, "d")
    assert consumed(world.api.get("ResourceClaim", "d", world.namespace)) == "2Gi"


def test_tainted_devices_are_for_those_who_tolerate_it(world: World, dovetail: Dovetail) -> None:
    # given a device that its driver tainted, and one that an admin did
    driver, admin = "example.com/worn", "example.com/checked"
    listed = [device("d0", taints=[{"key": driver, "value": "very", "effect": "NoSchedule"}]), device("d1")]
    world.publish([device_class(), node("n1"), slice_on("n1", listed), taint_rule("checked", admin, device="d1")])
    # when a pod tolerates neither
    world.create(claim(world.namespace, "p", ONE), pod(world.namespace, "p", claims=["p"]))
    # then it waits, and others get what they tolerate, which the server keeps
    unschedulable(world, "p", "taint", "does not tolerate")
    worn = {"key": driver, "operator": "Equal", "value": "very", "effect": "NoSchedule"}
    checked = {"key": admin, "operator": "Exists", "effect": "NoSchedule"}
    for name, tolerations, chosen in (("q", [worn], "d0"), ("r", [worn, checked], "d1")):
        made = serve(world, name, claim_spec([request(device_class=CLASS, tolerations=tolerations)]))
        assert taken(made) == [("gpu", chosen)]
        assert made["status"]["allocation"]["devices"]["results"][0]["tolerations"] == tolerations
    # and the first runs once the rule is gone and its device is back
    world.withdraw([taint_rule("checked", admin)])
    end(world, "r")
    runs(world, "p")


def test_devices_of_a_network_serve_the_nodes_that_reach_them(world: World, dovetail: Dovetail) -> None:
    # given a pool that only nodes of one zone reach
    zone = term("zone", "b")
    world.publish([device_class(), node("n1", zone="a"), node("n2", zone="b"), node("n3", zone="b")])
    pool = slice_on({"nodeSelector": zone}, devices(1))
    world.publish([pool])
    # when a pod takes its device
    made = serve(world, "p", ONE)
    # then it is in that zone, and another on the other node of the zone may join
    assert made["status"]["allocation"]["nodeSelector"] == zone
    other = "n3" if runs(world, "p") == "n2" else "n2"
    joins = pod(world.namespace, "q", claims=["p"])
    joins["spec"]["nodeSelector"] = {"kubernetes.io/hostname": other}
    world.create(joins)
    assert runs(world, "q") == other
    assert reserved_for(world, "p") == ["p", "q"]
    # and none outside of it
    outside = pod(world.namespace, "r", claims=["p"])
    outside["spec"]["nodeSelector"] = {"kubernetes.io/hostname": "n1"}
    world.create(outside)
    unschedulable(world, "r", "0 of 3 nodes fit")


def test_devices_that_all_nodes_reach_bring_nobody_to_a_node(world: World, dovetail: Dovetail) -> None:
    world.publish([device_class(), node("n1"), node("n2"), slice_on({"allNodes": True}, devices(1))])
    world.create(claim(world.namespace, "c", ONE))
    for name in ("n1", "n2"):
        pinned = pod(world.namespace, name, claims=["c"])
        pinned["spec"]["nodeSelector"] = {"kubernetes.io/hostname": name}
        world.create(pinned)
        assert runs(world, name) == name
    made = world.api.get("ResourceClaim", "c", world.namespace)
    assert taken(made) == [("gpu", "d0")]
    assert "nodeSelector" not in made["status"]["allocation"]
    assert reserved_for(world, "c") == ["n1", "n2"]


# ---------------------------------------------------------------- results


def test_config_of_class_and_claim_goes_into_the_allocation(world: World, dovetail: Dovetail) -> None:
    # given a class with a config, one without, and a claim with two
    def opaque(mode: str) -> Raw:
        return {"opaque": {"driver": DRIVER, "parameters": {"mode": mode}}}

    classes = [device_class(config=[opaque("of the class")]), device_class("bare")]
    world.publish([*classes, node("n1"), slice_on("n1", devices(3))])
    requests = [request("a", CLASS), request("b", "bare"), request("c", CLASS)]
    config = [{"requests": ["b"], **opaque("of b")}, opaque("of all")]
    # when
    made = serve(world, "p", claim_spec(requests, config=config))
    # then the class comes first, so that the claim may override it
    assert made["status"]["allocation"]["devices"]["config"] == [
        {"source": "FromClass", "requests": ["a", "c"], **opaque("of the class")},
        {"source": "FromClaim", "requests": ["b"], **opaque("of b")},
        {"source": "FromClaim", **opaque("of all")},
    ]


@pytest.mark.parametrize("text", ['{"b":1,"a":2}', '{"a": 1, "b": 2}'], ids=["unsorted", "spaced"])
def test_opaque_parameters_may_be_written_in_any_way(
    world: World, kube_scheduler: None, dovetail: Dovetail, text: str
) -> None:
    # given claims whose parameters were written otherwise than a patch of the server would write them
    world.publish([device_class(), node("n1"), slice_on("n1", devices(3))])
    config = [{"opaque": {"driver": DRIVER, "parameters": "<here>"}}]
    odd = claim_spec([request(device_class=CLASS)], config=config)
    for name in ("ours", "theirs"):
        body = json.dumps(claim(world.namespace, name, odd)).replace('"<here>"', text)
        world.api.raw("POST", collection("ResourceClaim", world.namespace), body.encode())
    # when we allocate one of them, and then kube-scheduler the other: at once, both might take one device
    world.create(pod(world.namespace, "ours", claims=["ours"]))
    runs(world, "ours")
    world.create(pod(world.namespace, "theirs", claims=["theirs"], scheduler="default-scheduler"))
    runs(world, "theirs")
    # then a pod of ours may join either
    for name in ("ours", "theirs"):
        before = world.api.get("ResourceClaim", name, world.namespace)
        world.create(pod(world.namespace, f"joins-{name}", claims=[name]))
        runs(world, f"joins-{name}")
        after = world.api.get("ResourceClaim", name, world.namespace)
        assert after["status"]["allocation"] == before["status"]["allocation"]
        assert after["status"]["allocation"]["devices"]["config"][0]["opaque"]["parameters"] == json.loads(text)
        assert reserved_for(world, name) == sorted([name, f"joins-{name}"])


# ---------------------------------------------------------------- beside kube-scheduler


def test_pod_of_kube_scheduler_shares_a_claim_of_ours(world: World, kube_scheduler: None, dovetail: Dovetail) -> None:
    # given a claim that we allocated
    world.publish([device_class(), node("n1"), slice_on("n1", devices(2)), node("n2"), slice_on("n2", devices(2))])
    before = serve(world, "ours", ONE)
    # when a pod of kube-scheduler uses it
    world.create(pod(world.namespace, "theirs", claims=["ours"], scheduler="default-scheduler"))
    # then it is on the same node, and both have it
    assert runs(world, "theirs") == runs(world, "ours")
    after = world.api.get("ResourceClaim", "ours", world.namespace)
    assert after["status"]["allocation"] == before["status"]["allocation"]
    assert reserved_for(world, "ours") == ["ours", "theirs"]


def test_pod_of_ours_joins_a_claim_of_kube_scheduler(world: World, kube_scheduler: None, dovetail: Dovetail) -> None:
    # given a claim that kube-scheduler allocated
    world.publish([device_class(), node("n1"), slice_on("n1", devices(2)), node("n2"), slice_on("n2", devices(2))])
    world.create(claim(world.namespace, "theirs", ONE))
    world.create(pod(world.namespace, "theirs", claims=["theirs"], scheduler="default-scheduler"))
    where = runs(world, "theirs")
    before = world.api.get("ResourceClaim", "theirs", world.namespace)
    # when a pod of ours uses it
    world.create(pod(world.namespace, "ours", claims=["theirs"]))
    # then
    assert runs(world, "ours") == where
    after = world.api.get("ResourceClaim", "theirs", world.namespace)
    assert after["status"]["allocation"] == before["status"]["allocation"]
    assert reserved_for(world, "theirs") == ["ours", "theirs"]
    # and what it holds is taken: the three others are what is left
    for name in "abc":
        serve(world, name, ONE)
    world.create(claim(world.namespace, "d", ONE), pod(world.namespace, "d", claims=["d"]))
    unschedulable(world, "d", "0 of 2 nodes fit", "lack 1 free devices")


# ---------------------------------------------------------------- gates


@pytest.mark.parametrize(
    ("gate", "spec"),
    [
        ("DRAPrioritizedList", claim_spec([first_available(request("one", CLASS))])),
        ("DRAAdminAccess", claim_spec([request("look", CLASS, adminAccess=True)])),
        ("DRAConsumableCapacity", claim_spec([request("gpu", CLASS, capacity={"requests": {"memory": "1Gi"}})])),
    ],
)
def test_what_an_admin_turned_off_is_refused_by_the_name_of_its_gate(
    world: World, start_dovetail: Callable[..., Dovetail], gate: str, spec: Raw
) -> None:
    start_dovetail(settings={"DOVETAIL_FEATURE_GATES": f"{{{gate}: false}}"}).ready()
    world.publish([device_class(), node("n1"), slice_on("n1", devices(2))])
    world.api.patch("Namespace", world.namespace, {"metadata": {"labels": {ADMIN: "true"}}})
    world.create(claim(world.namespace, "p", spec), pod(world.namespace, "p", claims=["p"]))
    unschedulable(world, "p", f"ResourceClaim {world.namespace}/p", f"feature gate {gate}", "off")
    serve(world, "other", ONE)
