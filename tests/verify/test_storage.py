"""Rules on volumes: each has plans that keep it, and one or more that break just it."""

from dataclasses import replace
from typing import Any

import pytest

from scheduler.core import verify
from scheduler.core.model import Disk, Pod, Uid
from scheduler.core.plan import Mount
from scheduler.core.storage import ONE_POD, Holder
from tests.build import node, placement, plan, pod, pod_uid, world
from tests.storage import (
    STORE,
    ZONE,
    attachment,
    capacity,
    csi_node,
    driver,
    ephemeral,
    in_zones,
    made,
    storage_class,
    using,
    volume,
    volume_claim,
)
from tests.verify.scenes import Cases, Scene, found

CASES = Cases()
breaks = CASES.breaks

N1 = node("n1", labels={ZONE: "a"})


def scene(user: Pod, *objects: Any, **mounts: str) -> Scene:
    """The pod goes to n1; mounts : claim -> the volume that it gets, empty for one that is made."""
    given = tuple(Mount(f"default/{claim}", name) for claim, name in mounts.items())
    return world(N1, user, *objects), plan(replace(placement(user), mounts=given))


def bound(name: str = "v", **fields: Any) -> list[Any]:
    own = volume_claim(name, volume=f"pv-{name}")
    return [own, volume(f"pv-{name}", claim=own, **fields)]


USER = using(pod(), "v")
HAD = [storage_class(), volume_claim()]
MADE = [made(), volume_claim(storage_class="made")]


@breaks(verify.VOLUME_CLAIMS)
def a_claim_that_is_not_there() -> tuple[Scene, Scene]:
    return scene(USER, *bound()), scene(USER)


@breaks(verify.VOLUME_CLAIMS)
def a_claim_that_is_being_deleted() -> tuple[Scene, Scene]:
    own, kept = bound()
    return scene(USER, own, kept), scene(USER, replace(own, deleting=True), kept)


@breaks(verify.VOLUME_CLAIMS)
def a_claim_that_was_made_for_another_pod() -> tuple[Scene, Scene]:
    user, [own, kept] = ephemeral(pod()), bound("p-scratch")
    return scene(user, replace(own, owner=pod_uid("p")), kept), scene(user, replace(own, owner=Uid("other")), kept)


@breaks(verify.VOLUME_CLAIMS)
def a_claim_without_a_volume() -> tuple[Scene, Scene]:
    return scene(USER, *MADE, v=""), scene(USER, *MADE)


@breaks(verify.VOLUME_CLAIMS)
def a_volume_for_a_claim_that_has_one() -> tuple[Scene, Scene]:
    return scene(USER, *bound()), scene(USER, *bound(), v="")


@breaks(verify.VOLUME)
def a_volume_of_another_node() -> tuple[Scene, Scene]:
    return scene(USER, *bound(node="n1")), scene(USER, *bound(node="n2"))


@breaks(verify.VOLUME)
def a_volume_of_another_zone() -> tuple[Scene, Scene]:
    return scene(USER, *bound(labels={ZONE: "b__a"})), scene(USER, *bound(labels={ZONE: "b"}))


@breaks(verify.VOLUME)
def a_volume_that_is_not_there() -> tuple[Scene, Scene]:
    return scene(USER, *bound()), scene(USER, bound()[0])


@breaks(verify.MOUNT)
def a_volume_of_somebody_else() -> tuple[Scene, Scene]:
    other = volume(claim=volume_claim("other"))
    return scene(USER, *HAD, volume(), v="pv"), scene(USER, *HAD, replace(other, phase="Available"), v="pv")


@breaks(verify.MOUNT)
def a_volume_that_is_taken() -> tuple[Scene, Scene]:
    judged, decided = scene(USER, *HAD, volume(), v="pv")
    return (judged, decided), (replace(judged, storage=replace(judged.storage, taken={"pv": Uid("x")})), decided)


@breaks(verify.MOUNT)
def one_volume_for_two_claims() -> tuple[Scene, Scene]:
    user, objects = using(pod(), "v", "w"), [*HAD, volume_claim("w"), volume(), volume("pw")]
    return scene(user, *objects, v="pv", w="pw"), scene(user, *objects, v="pv", w="pv")


@pytest.mark.parametrize(
    "change",
    [
        {"size": "1Mi"}, {"storage_class": "other"}, {"mode": "Block"}, {"modes": ()}, {"attributes_class": "gold"},
        {"phase": "Released"}, {"deleting": True}, {"node": "n2"}, {"affinity": in_zones("b")},
    ],
)  # fmt: skip
def test_a_volume_has_to_fit_in_every_way(change):
    assert found(scene(USER, *HAD, volume(), v="pv")) == []

    [reported] = found(scene(USER, *HAD, volume(**change), v="pv"))

    assert reported.rule == verify.MOUNT


@breaks(verify.MOUNT)
def a_volume_that_is_kept_for_another_by_name() -> tuple[Scene, Scene]:
    ours, theirs = replace(volume(), holder=Holder("default", "v")), replace(volume(), holder=Holder("default", "w"))
    return scene(USER, *HAD, ours, v="pv"), scene(USER, *HAD, theirs, v="pv")


@breaks(verify.MOUNT)
def a_class_that_makes_none() -> tuple[Scene, Scene]:
    return scene(USER, *MADE, v=""), scene(USER, *HAD, v="")


@breaks(verify.MOUNT)
def a_topology_that_is_not_allowed() -> tuple[Scene, Scene]:
    own = volume_claim(storage_class="made")
    return scene(USER, made(topologies=in_zones("a")), own, v=""), scene(
        USER, made(topologies=in_zones("b")), own, v=""
    )


@breaks(verify.MOUNT)
def no_room_for_a_volume() -> tuple[Scene, Scene]:
    objects = [*MADE, driver(measured=True)]
    return scene(USER, *objects, capacity("c", "1Gi"), v=""), scene(USER, *objects, capacity("c", "1Mi"), v="")


@breaks(verify.MOUNT)
def a_claim_for_which_another_node_was_chosen() -> tuple[Scene, Scene]:
    own = volume_claim(storage_class="made")
    chosen = [replace(own, selected_node=name) for name in ("n1", "n2")]
    return scene(USER, made(), chosen[0], v=""), scene(USER, made(), chosen[1], v="")


@breaks(verify.ONE_POD)
def a_second_pod_for_a_claim_that_takes_one() -> tuple[Scene, Scene]:
    own, kept = bound()
    alone, other = replace(own, modes=(ONE_POD,)), using(pod("other", node="n2"), "v")
    return scene(USER, own, kept, other, node("n2")), scene(USER, alone, kept, other, node("n2"))


@breaks(verify.ATTACH)
def more_volumes_than_can_be_attached() -> tuple[Scene, Scene]:
    own, kept = bound(driver=STORE, handle="h")
    old = volume("old", driver=STORE, handle="old")
    objects = [own, kept, old, attachment("a", "n1", "old")]
    return scene(USER, *objects, csi_node(limit=2)), scene(USER, *objects, csi_node(limit=1))


@breaks(verify.ATTACH)
def a_driver_that_has_to_be_there() -> tuple[Scene, Scene]:
    objects = [*bound(driver=STORE, handle="h"), driver(required=True)]
    return scene(USER, *objects, csi_node()), scene(USER, *objects)


@breaks(verify.DISK)
def a_disk_that_a_pod_on_the_node_has() -> tuple[Scene, Scene]:
    reads = Disk("rbd", ("pool", "image"), read_only=True, monitors=frozenset({"m"}))
    writes = replace(reads, read_only=False)
    there = using(pod("other", node="n1"), disk=reads)
    return scene(using(pod(), disk=reads), there), scene(using(pod(), disk=writes), there)
