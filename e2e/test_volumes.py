"""Pods with volumes on the real API: bound by the cluster's own controller, made by a provisioner's stand-in, and
taken back where that fails."""

from collections.abc import Callable, Iterator

import pytest

from e2e.api import History, Raw, until
from e2e.conftest import World, runs, unschedulable
from e2e.dovetail import Dovetail
from e2e.inventory import CLASS, device_class, devices, node, slice_on
from e2e.judge import reserved
from e2e.storage import (
    SELECTED,
    Provisioner,
    bound_too_early,
    faults,
    storage_class,
    volume,
    volume_claim,
    with_volumes,
)
from e2e.workload import claim, claim_spec, pod, request

ONE = claim_spec([request(device_class=CLASS)])
MADE_BY = "store.example.com/made"
NODES = ("n1", "n2", "n3")


@pytest.fixture
def shop(world: World) -> Iterator[World]:
    """Three nodes with two devices each, a class of volumes that are there and one of volumes that are made."""
    boxes = [each for name in NODES for each in (node(name), slice_on(name, devices(2)))]
    world.publish([device_class(), *boxes, storage_class("local"), storage_class("made", MADE_BY)])
    yield world
    world.api.delete_all("Pod", world.namespace)
    until(lambda: not world.api.list("Pod", world.namespace), "pods gone")
    world.api.delete_all("PersistentVolumeClaim", world.namespace)
    until(lambda: not world.api.list("PersistentVolumeClaim", world.namespace), "volume claims gone", 90.0)
    world.api.delete_all("PersistentVolume")
    until(lambda: not world.api.list("PersistentVolume"), "volumes gone", 90.0)


def wants(world: World, name: str, storage: str, size: str = "1Gi", device: bool = True) -> None:
    """A pod with a device and a volume, both by claims of its name."""
    world.create(volume_claim(world.namespace, name, storage, size))
    if device:
        world.create(claim(world.namespace, name, ONE))
    world.create(with_volumes(pod(world.namespace, name, claims=[name] if device else []), name))


def wrong(world: World) -> list[str]:
    lists = [world.api.list(kind, world.namespace) for kind in ("Pod", "PersistentVolumeClaim")]
    return faults(*lists, world.api.list("PersistentVolume"), world.api.list("Node"))


def volume_claim_of(world: World, name: str) -> Raw:
    return world.api.get("PersistentVolumeClaim", name, world.namespace)


def test_volumes_are_made_on_the_nodes_whose_devices_the_pods_got(shop: World, dovetail: Dovetail) -> None:
    # given as many pods as there are devices, each with a volume to be made
    names = [f"p{number}" for number in range(6)]
    kinds = ("Pod", "PersistentVolumeClaim")
    with (
        History(shop.api.access, *kinds, namespace=shop.namespace) as history,
        Provisioner(shop.api.access, "made") as provisioner,
    ):
        for name in names:
            wants(shop, name, "made")
        # then all run, two a node, each with its own volume there, which was bound before the pod was
        where = {name: runs(shop, name, 90.0) for name in names}
        latest = max(int(shop.api.get("Pod", name, shop.namespace)["metadata"]["resourceVersion"]) for name in names)
        history.caught_up(latest)
    assert sorted(where.values()) == sorted([*NODES, *NODES])
    assert len(provisioner.made) == 6
    assert wrong(shop) == []
    assert bound_too_early(history) == []
    selected = {name: volume_claim_of(shop, name)["metadata"]["annotations"][SELECTED] for name in names}
    assert selected == where


def test_volumes_that_are_there_are_bound_by_the_cluster_and_the_smallest_that_fits_is_taken(
    shop: World, dovetail: Dovetail
) -> None:
    # given three local volumes, two of them on one node
    shop.publish([volume("v-big", "n1", "local", "9Gi"), volume("v-mid", "n2", "local", "4Gi")])
    shop.publish([volume("v-little", "n2", "local", "2Gi")])
    until(
        lambda: all(each["status"].get("phase") == "Available" for each in shop.api.list("PersistentVolume")),
        "volumes available",
    )
    # when pods want them, the first one alone, so that it has the choice
    wants(shop, "first", "local", "3Gi")
    where = {"first": runs(shop, "first", 60.0)}
    for name, size in (("second", "1Gi"), ("third", "1Gi")):
        wants(shop, name, "local", size)
    where |= {name: runs(shop, name, 60.0) for name in ("second", "third")}
    # then each has one of its own, on its node, and there is none for a fourth
    assert wrong(shop) == []
    got = {name: volume_claim_of(shop, name)["spec"]["volumeName"] for name in where}
    assert sorted(got.values()) == ["v-big", "v-little", "v-mid"]
    assert got["first"] in {"v-mid", "v-big"}
    wants(shop, "fourth", "local")
    message = unschedulable(shop, "fourth", "have no free volume that fits PersistentVolumeClaim", seconds=60.0)
    assert "3 have no free volume" in message
    assert f"{shop.namespace}/fourth, and StorageClass local makes none" in message


def test_what_a_provisioner_cannot_make_gives_the_devices_back_and_is_told(shop: World, dovetail: Dovetail) -> None:
    # given a provisioner that can make nothing anywhere
    with Provisioner(shop.api.access, "made", refuses=lambda node: True) as provisioner:
        wants(shop, "p", "made")
        # then the pod is told, and holds neither a device nor a node for its volume
        unschedulable(shop, "p", "its provisioner could not make a volume for node", seconds=60.0)
        until(lambda: provisioner.refused, "a claim given back")

        def held() -> bool:
            [own] = shop.api.list("ResourceClaim", shop.namespace)
            return bool(reserved(own) or (own.get("status") or {}).get("allocation"))

        until(lambda: not held(), "the devices given back", 60.0, 0.02)
        # and once it can, the pod runs
        provisioner.refuses = lambda node: False
        runs(shop, "p", 120.0)
    assert wrong(shop) == []


def test_a_provisioner_that_does_nothing_is_waited_for_no_longer_than_is_set(
    shop: World, start_dovetail: Callable[..., Dovetail]
) -> None:
    start_dovetail(settings={"DOVETAIL_VOLUME_TIMEOUT_SECONDS": "4"}).ready()
    wants(shop, "p", "made")

    unschedulable(shop, "p", f"PersistentVolumeClaim {shop.namespace}/p got no volume within 4 seconds", seconds=60.0)

    def free() -> bool:
        [own] = shop.api.list("ResourceClaim", shop.namespace)
        unset = SELECTED not in volume_claim_of(shop, "p")["metadata"].get("annotations", {})
        return unset and not (own.get("status") or {}).get("allocation")

    until(free, "all taken back", 60.0, 0.02)
    assert "nodeName" not in shop.api.get("Pod", "p", shop.namespace)["spec"]


def test_another_leader_goes_on_where_one_was_killed(shop: World, start_dovetail: Callable[..., Dovetail]) -> None:
    # given a pod whose volume was asked for by a process that was killed then
    first = start_dovetail().ready()
    wants(shop, "p", "made")

    def selected() -> str:
        return str(volume_claim_of(shop, "p")["metadata"].get("annotations", {}).get(SELECTED, ""))

    until(selected, "a node for the volume")
    first.kill()
    # when another takes over, and the volume is made
    start_dovetail().ready()
    with Provisioner(shop.api.access, "made"):
        where = runs(shop, "p", 90.0)
    # then the pod has its volume and its device on the node where it runs
    assert wrong(shop) == []
    [own] = shop.api.list("ResourceClaim", shop.namespace)
    assert reserved(own) == [shop.api.get("Pod", "p", shop.namespace)["metadata"]["uid"]]
    assert where in NODES


def test_a_pod_without_its_claim_is_told_and_runs_once_it_is_there(shop: World, dovetail: Dovetail) -> None:
    shop.create(with_volumes(pod(shop.namespace, "p"), "late"))
    unschedulable(shop, "p", f"PersistentVolumeClaim {shop.namespace}/late does not exist; create it")

    shop.create(volume_claim(shop.namespace, "late", "made"))
    with Provisioner(shop.api.access, "made"):
        runs(shop, "p", 90.0)

    assert wrong(shop) == []
