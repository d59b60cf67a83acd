"""Pods with volumes: where they fit, what is written for them, what is awaited, and what is taken back."""

from dataclasses import replace

import pytest

from scheduler.core.messages import (
    BindPod,
    BindVolume,
    Gone,
    Rejected,
    ReleaseClaim,
    SelectNode,
    UnbindVolume,
    UnselectNode,
    VolumeRefused,
    VolumeWritten,
)
from scheduler.core.model import Disk, Uid
from scheduler.core.storage import ONE_POD, Holder
from tests import build
from tests.build import (
    HOSTNAME,
    allocated,
    claim,
    gpus,
    node,
    node_selector,
    pod,
    pod_uid,
    requirement,
    result,
    term,
)
from tests.driving import Hands
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

NODES = [node("n1", labels={ZONE: "a"}), node("n2", labels={ZONE: "b"}), node("n3", labels={ZONE: "c"})]


def placed(*objects, **config):
    return Hands(*NODES, *objects, **config).settle()


def bound(name="v", **fields):
    """A claim with its volume."""
    own = volume_claim(name, volume=f"pv-{name}")
    return own, volume(f"pv-{name}", claim=own, **fields)


def written(hands, version="5"):
    """Answer what is to be written for volumes."""
    for each in [*hands.of(BindVolume), *hands.of(SelectNode)]:
        hands.asked.remove(each)
        hands.tell(VolumeWritten(each.pod.uid, each.claim.uid, version))


# ---------------------------------------------------------------- volumes that a pod has


def test_a_bound_volume_ties_its_pod_to_the_node():
    hands = placed(*bound(node="n2"), using(pod(), "v"))

    assert hands.node_of("p") == "n2"


def test_zones_of_a_volume_count_where_nodes_say_theirs():
    own, kept = bound(labels={ZONE: "c__x"})

    hands = placed(own, kept, using(pod(), "v"))

    assert hands.node_of("p") == "n3"


def test_nodes_without_any_zone_can_use_volumes_of_all_zones():
    own, kept = bound(labels={ZONE: "nowhere"})

    hands = Hands(node("plain"), own, kept, using(pod(), "v")).settle()

    assert hands.node_of("p") == "plain"


def test_the_old_label_of_a_volume_is_met_by_the_new_one_of_a_node():
    own, kept = bound(labels={"failure-domain.beta.kubernetes.io/zone": "b"})

    hands = placed(own, kept, using(pod(), "v"))

    assert hands.node_of("p") == "n2"


def test_the_reason_counts_nodes_and_names_volume_and_claim():
    hands = placed(*bound(node="elsewhere"), using(pod(), "v"))

    expected = "0 of 3 nodes fit: 3 cannot use PersistentVolume pv-v of PersistentVolumeClaim default/v"
    assert expected in hands.reason("p")


@pytest.mark.parametrize(
    ("objects", "told"),
    [
        ([], "PersistentVolumeClaim default/v does not exist; create it"),
        ([replace(volume_claim(), phase="Lost", volume="gone")], "lost PersistentVolume gone"),
        ([volume_claim(deleting=True)], "PersistentVolumeClaim default/v is being deleted"),
        ([volume_claim(volume="pv")], "is bound to PersistentVolume pv, which does not exist"),
        ([volume_claim()], "StorageClass local does not exist; create it"),
        ([volume_claim(), storage_class(binding="")], "StorageClass local has no volumeBindingMode"),
        ([volume_claim(), storage_class(binding="Immediate")], "StorageClass local binds at once"),
        ([volume_claim(storage_class="")], "has no storageClassName and is not bound"),
        ([volume_claim(volume="pv", bound=False), storage_class()], "names PersistentVolume pv and is not bound to it"),
    ],
)
def test_what_is_wrong_with_a_claim_is_told(objects, told):
    hands = Hands(*NODES, *objects, using(pod(), "v")).pass_time(30)

    assert told in hands.reason("p")
    assert hands.node_of("p") == ""


def test_a_pod_wakes_once_its_claim_is_bound():
    hands = placed(volume_claim(), storage_class(binding="Immediate"), using(pod(), "v"))
    assert hands.node_of("p") == ""

    own, kept = bound(node="n3")
    hands.see(kept, own)
    hands.settle()

    assert hands.node_of("p") == "n3"


def test_a_claim_made_for_a_pod_is_awaited_and_has_to_be_its_own():
    own = volume_claim("p-scratch", volume="pv")
    hands = placed(volume("pv", claim=own), ephemeral(pod()))
    hands.pass_time(30)
    assert "its PersistentVolumeClaim default/p-scratch has not been made yet" in hands.reason("p")

    hands.see(own)
    hands.pass_time(60)
    assert "which does not control it" in hands.reason("p")

    hands.see(replace(own, owner=pod_uid("p"), resource_version="2"))
    hands.pass_time(90)
    assert hands.node_of("p")


def test_one_pod_has_a_read_write_once_pod_claim():
    own, kept = bound()
    alone = replace(own, modes=(ONE_POD,))
    hands = placed(alone, kept, using(pod("a"), "v"), using(pod("b"), "v"))
    assert hands.node_of("a")
    assert "PersistentVolumeClaim default/v is ReadWriteOncePod, and pod default/a uses it" in hands.reason("b")

    hands.tell(Gone("Pod", "default/a", pod_uid("a")))
    hands.pass_time(30)

    assert hands.node_of("b")


# ---------------------------------------------------------------- attach limits and disks


def test_volumes_are_attached_up_to_the_limit():
    pairs = [bound(f"v{i}", driver=STORE, handle=f"h{i}") for i in range(3)]
    objects = [each for pair in pairs for each in pair]
    pods = [using(pod(f"p{i}"), f"v{i}") for i in range(3)]

    hands = Hands(node("n1"), csi_node(limit=2), *objects, *pods).settle()

    assert sorted(hands.node_of(f"p{i}") for i in range(3)) == ["", "n1", "n1"]
    assert f"can attach no further volumes of CSI driver {STORE} (at most 2, asks 1)" in hands.reason("p2")


def test_a_volume_that_several_pods_use_counts_once():
    own, kept = bound(driver=STORE, handle="h")

    hands = Hands(node("n1"), csi_node(limit=1), own, kept, *[using(pod(f"p{i}"), "v") for i in range(3)]).settle()

    assert [hands.node_of(f"p{i}") for i in range(3)] == ["n1"] * 3


def test_volumes_that_are_still_attached_count_until_they_are_detached():
    own, kept = bound(driver=STORE, handle="h")
    old = volume("old", driver=STORE, handle="old")
    hands = Hands(
        node("n1"), csi_node(limit=1), own, kept, old, attachment("a", "n1", "old"), using(pod(), "v")
    ).settle()
    assert hands.node_of("p") == ""

    hands.tell(Gone("VolumeAttachment", "a", Uid("")))
    hands.settle()

    assert hands.node_of("p") == "n1"


def test_a_raised_limit_wakes_the_pod():
    own, kept = bound(driver=STORE, handle="h")
    hands = Hands(node("n1"), csi_node(limit=0), own, kept, using(pod(), "v")).settle()
    assert hands.node_of("p") == ""

    hands.see(csi_node(limit=1))
    hands.settle()

    assert hands.node_of("p") == "n1"


def test_a_driver_may_demand_to_be_there():
    own, kept = bound(driver=STORE, handle="h")

    hands = placed(own, kept, driver(required=True), csi_node("n2"), using(pod(), "v"))

    assert hands.node_of("p") == "n2"


def test_pods_with_one_disk_keep_apart():
    disk = Disk("iscsi", ("iqn",), read_only=False)

    hands = placed(*[using(pod(f"p{i}"), disk=disk) for i in range(4)])

    assert len({hands.node_of(f"p{i}") for i in range(3)}) == 3
    assert "3 have a pod with a disk that only one pod of a node can have" in hands.reason("p3")


# ---------------------------------------------------------------- free volumes


def test_the_smallest_free_volume_that_fits_is_kept_and_the_pod_waits_until_it_is_bound():
    own = volume_claim(size="2Gi")
    shelf = [volume("small", "1Gi", node="n2"), volume("large", "9Gi", node="n2"), volume("right", "3Gi", node="n2")]
    hands = Hands(*NODES, storage_class(), own, *shelf, using(pod(), "v")).settle()
    [write] = hands.of(BindVolume)
    assert (write.volume.name, write.named, hands.of(BindPod)) == ("right", False, [])

    written(hands)
    kept = volume("right", "3Gi", node="n2", claim=own, version="5", phase="Available")
    hands.see(kept)
    hands.settle()
    assert hands.of(BindPod) == []

    hands.see(replace(own, volume="right", bound=True, resource_version="6"))
    hands.settle()
    [bind] = hands.of(BindPod)
    assert bind.node == "n2"


def test_a_volume_that_is_not_seen_to_be_held_is_awaited_though_its_claim_is_bound():
    own, other = volume_claim("a"), volume_claim("b")
    hands = placed(storage_class(), own, other, volume(node="n1"), using(pod(), "a"))
    written(hands)

    hands.obey_all(hands.see(replace(own, volume="pv", bound=True, resource_version="6")))
    hands.see(using(pod("q"), "b"))
    hands.settle()
    assert hands.of(BindPod) == hands.of(BindVolume) == []
    hands.obey_all(hands.see(volume(node="n1", claim=own, version="6")))
    hands.pass_time(60)

    assert hands.node_of("p") == "n1"
    assert hands.of(BindVolume) == []


def test_two_pods_never_take_one_volume():
    claims = [volume_claim("a"), volume_claim("b")]
    pods = [using(pod("p"), "a"), using(pod("q"), "b")]
    hands = Hands(*NODES, storage_class(), *claims, volume("pv", node="n1"), *pods).settle()

    [write] = hands.of(BindVolume)

    told = hands.reason("q" if write.pod.name == "p" else "p")
    assert "3 have no free volume that fits PersistentVolumeClaim default/" in told
    assert "and StorageClass local makes none" in told


def test_claims_of_one_pod_get_volumes_of_their_own():
    claims = [volume_claim("big", "2Gi"), volume_claim("little", "1Gi")]
    shelf = [volume("x", "2Gi", node="n1"), volume("y", "2Gi", node="n2"), volume("z", "5Gi", node="n2")]

    hands = Hands(*NODES, storage_class(), *claims, *shelf, using(pod(), *claims)).settle()

    assert {(each.claim.name, each.volume.name) for each in hands.of(BindVolume)} == {("little", "y"), ("big", "z")}


def test_a_volume_that_is_kept_for_a_claim_by_name_is_its_only_one():
    own = volume_claim()
    kept = replace(volume("kept", node="n3"), holder=Holder("default", "v"))

    hands = Hands(*NODES, storage_class(), own, volume("other", node="n1"), kept, using(pod(), "v")).settle()

    [write] = hands.of(BindVolume)
    assert (write.volume.name, write.named) == ("kept", True)


@pytest.mark.parametrize(
    "change",
    [
        {"storage_class": "other"},
        {"size": "1Mi"},
        {"modes": ("ReadOnlyMany",)},
        {"mode": "Block"},
        {"attributes_class": "gold"},
        {"phase": "Released"},
        {"deleting": True},
        {"claim": volume_claim("another")},
        {"node": "elsewhere"},
    ],
)
def test_a_volume_that_does_not_fit_is_not_taken(change):
    hands = Hands(*NODES, storage_class(), volume_claim(), volume(**change), using(pod(), "v")).settle()

    assert hands.of(BindVolume) == []
    assert "have no free volume that fits PersistentVolumeClaim default/v" in hands.reason("p")


def test_a_free_volume_wakes_the_pod_that_needs_one():
    hands = Hands(*NODES, storage_class(), volume_claim(), using(pod(), "v")).settle()

    hands.see(volume(node="n2"))
    hands.settle()

    assert [each.volume.name for each in hands.of(BindVolume)] == ["pv"]


# ---------------------------------------------------------------- volumes that are made


def test_a_volume_is_made_for_the_chosen_node_and_awaited():
    own = volume_claim(storage_class="made")
    hands = Hands(*NODES, made(topologies=in_zones("b")), own, using(pod(), "v")).settle()
    [select] = hands.of(SelectNode)
    assert select.node == "n2"

    written(hands)
    hands.see(replace(own, selected_node="n2", resource_version="5"))
    hands.see(volume("new", claim=own, storage_class="made", affinity=in_zones("b")))
    hands.settle()
    assert hands.of(BindPod) == []

    hands.see(replace(own, selected_node="n2", volume="new", bound=True, resource_version="7"))
    hands.settle()
    assert hands.of(BindPod)[0].node == "n2"


def test_storage_capacity_counts_where_the_driver_measures_it():
    rooms = [capacity("r1", "1Gi", **{"topology.kubernetes.io__zone": "a"}), capacity("r2", "9Gi", kubernetes__x="y")]
    rooms += [capacity("r3", "5Gi", **{"topology.kubernetes.io__zone": "c"})]
    own = volume_claim(size="4Gi", storage_class="made")

    hands = Hands(*NODES, made(), driver(measured=True), own, *rooms, using(pod(), "v")).settle()

    assert [each.node for each in hands.of(SelectNode)] == ["n3"]


def test_more_storage_capacity_wakes_the_pod():
    own = volume_claim(size="4Gi", storage_class="made")
    room = capacity("r", "1Gi", **{"topology.kubernetes.io__zone": "a"})
    hands = Hands(*NODES, made(), driver(measured=True), own, room, using(pod(), "v")).settle()
    told = "3 have no room in CSIStorageCapacity of StorageClass made for PersistentVolumeClaim default/v (asks 4Gi)"
    assert told in hands.reason("p")

    hands.see(capacity("r", "4Gi", **{"topology.kubernetes.io__zone": "a"}))
    hands.settle()

    assert [each.node for each in hands.of(SelectNode)] == ["n1"]


def test_outside_the_allowed_topologies_none_is_made():
    own = volume_claim(storage_class="made")

    hands = Hands(*NODES, made(topologies=in_zones("x")), own, using(pod(), "v")).settle()

    assert (
        "3 are outside the allowedTopologies of StorageClass made of PersistentVolumeClaim default/v"
        in hands.reason("p")
    )


# ---------------------------------------------------------------- what goes wrong


def test_a_provisioner_that_gives_up_sends_the_pod_back_and_its_devices_too():
    own = volume_claim(storage_class="made")
    hands = Hands(node("n1"), gpus(), claim("c"), made(), own, using(pod(claims=["c"]), "v")).settle()
    written(hands)
    hands.see(replace(own, selected_node="n1", resource_version="5"))

    hands.see(replace(own, selected_node=None, resource_version="6"))
    hands.settle()

    assert "its provisioner could not make a volume for node n1" in hands.reason("p")
    assert [(each.claim.name, each.deallocate) for each in hands.of(ReleaseClaim)] == [("c", True)]
    assert hands.of(BindPod) == []
    hands.pass_time(60)
    assert len(hands.of(SelectNode)) == 1


@pytest.mark.parametrize("others", [[], ["q"]])
def test_a_joined_claim_is_freed_with_the_last_pod_that_awaits_a_volume(others):
    """Who had the devices ended meanwhile, so that nobody would be left to free them."""
    shared = allocated(claim("c"), result("gpu-0"), reserved_for=["first"])
    names = ["p", *others]
    stored = [each for name in names for each in (volume_claim(name, storage_class="made"), made())]
    waiting = [using(pod(name, claims=["c"]), name) for name in names]
    hands = Hands(node("n1"), gpus(), shared, *stored, pod("first", claims=["c"], node="n1"), *waiting).settle()
    assert len(hands.of(SelectNode)) == len(names)
    written(hands)

    hands.tell(Gone("Pod", f"{build.NAMESPACE}/p", pod_uid("p")))
    hands.settle()

    [release] = hands.of(ReleaseClaim)
    assert (release.pod.name, release.deallocate) == ("p", not others)


def test_who_uses_a_claim_is_forgotten_with_the_pod():
    hands = placed(*bound("v"), *bound("w"), using(pod("p"), "v"), using(pod("q", gates=("wait",)), "v", "w"))
    volumes = hands.engine.state.volumes
    assert set(volumes.named_in("default/v")) == {pod_uid("p"), pod_uid("q")}

    hands.see(using(pod("q", gates=("wait",)), "w"))
    hands.tell(Gone("Pod", "default/p", pod_uid("p")))

    assert set(volumes.named_in("default/v")) == set()
    assert set(volumes.named_in("default/w")) == {pod_uid("q")}
    hands.tell(Gone("Pod", "default/q", pod_uid("q")))
    assert not volumes._named_in


def test_what_takes_too_long_is_taken_back():
    own = volume_claim(storage_class="made")
    hands = Hands(*NODES, made(), own, using(pod(), "v"), volume_timeout_s=20.0).settle()
    [select] = hands.of(SelectNode)
    written(hands)
    hands.see(replace(own, selected_node=select.node, resource_version="5"))

    hands.pass_time(19)
    assert hands.of(UnselectNode) == []
    hands.pass_time(21)

    assert [each.node for each in hands.of(UnselectNode)] == [select.node]
    assert "PersistentVolumeClaim default/v got no volume within 20 seconds" in hands.reason("p")


def test_the_next_one_is_taken_back_in_time_though_the_first_still_waits_for_an_answer():
    first, second = volume_claim("a", storage_class="made"), volume_claim("b", storage_class="made")
    hands = placed(made(), first, using(pod("p"), "a"), volume_timeout_s=20.0)
    hands.pass_time(15)
    hands.see(second, using(pod("q"), "b"))
    hands.settle()
    select = hands.of(SelectNode)[1]
    hands.tell(VolumeWritten(select.pod.uid, select.claim.uid, "5"))
    hands.see(replace(second, selected_node=select.node, resource_version="5"))

    hands.pass_time(30)
    assert hands.of(UnselectNode) == []
    hands.pass_time(36)

    assert [each.pod.name for each in hands.of(UnselectNode)] == ["q"]
    hands.tell(VolumeWritten(pod_uid("p"), first.uid, "5"))
    assert [each.pod.name for each in hands.of(UnselectNode)] == ["q", "p"]
    assert "default/a got no volume within 20 seconds" in hands.reason("p")


def test_a_volume_is_freed_if_its_pod_goes_and_kept_from_others_until_that_is_seen():
    own, other = volume_claim("a"), volume_claim("b")
    hands = Hands(*NODES, storage_class(), own, other, volume("pv", node="n1"), using(pod(), "a")).settle()
    written(hands)

    hands.tell(Gone("Pod", "default/p", pod_uid("p")))
    [freed] = hands.of(UnbindVolume)
    assert freed.volume.name == "pv"
    hands.see(using(pod("q"), "b"))
    hands.settle()
    assert hands.of(BindVolume) == []

    hands.see(volume("pv", node="n1", claim=own, version="5", phase="Available"))
    hands.see(volume("pv", node="n1", version="6"))
    hands.pass_time(60)

    assert [(each.claim.name, each.volume.name) for each in hands.of(BindVolume)] == [("b", "pv")]


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (Gone("Node", "n1", Uid("")), "node n1 was deleted"),
        (Rejected("Node", "n1", Uid(""), "it is odd"), "node n1 cannot be read any more: it is odd"),
    ],
)
def test_a_node_that_goes_while_a_volume_is_awaited_sends_the_pod_elsewhere(event, told):
    own = volume_claim(storage_class="made")
    hands = placed(made(), own, using(pod(), "v"))
    assert [each.node for each in hands.of(SelectNode)] == ["n1"]
    written(hands)
    hands.see(replace(own, selected_node="n1", resource_version="5"))

    hands.tell(event)

    assert [each.node for each in hands.of(UnselectNode)] == ["n1"]
    assert told in hands.reason("p")
    hands.see(replace(own, resource_version="6"))
    hands.pass_time(10)
    assert [each.node for each in hands.of(SelectNode)] == ["n2"]


def test_a_node_that_goes_before_a_write_is_answered_is_left_after_the_answer():
    own = volume_claim(storage_class="made")
    hands = placed(made(), own, using(pod(), "v"))

    hands.tell(Gone("Node", "n1", Uid("")))
    assert hands.of(UnselectNode) == []
    written(hands)

    assert [each.node for each in hands.of(UnselectNode)] == ["n1"]


@pytest.mark.parametrize(
    ("kind", "key", "told"),
    [
        ("PersistentVolumeClaim", "default/v", "PersistentVolumeClaim default/v cannot be read any more: it is odd"),
        ("PersistentVolume", "pv", "PersistentVolume pv cannot be read any more: it is odd"),
    ],
)
def test_what_cannot_be_read_any_more_is_told_and_the_volume_freed(kind, key, told):
    own = volume_claim()
    hands = placed(storage_class(), own, volume(), using(pod(), "v"))
    written(hands)

    hands.tell(Rejected(kind, key, Uid(""), "it is odd"))

    assert told in hands.reason("p")
    assert [each.volume.name for each in hands.of(UnbindVolume)] == ["pv"]


def test_a_volume_of_a_claim_that_cannot_be_read_is_kept_from_others_until_it_is_seen_to_be_free():
    own = volume_claim()
    hands = placed(storage_class(), own, volume(), using(pod(), "v"))
    written(hands)
    hands.tell(Rejected("PersistentVolumeClaim", own.key, own.uid, "it is odd"))

    hands.see(volume_claim("b"), using(pod("q"), "b"))
    hands.settle()
    assert hands.of(BindVolume) == []
    hands.see(volume(version="6"))
    hands.pass_time(10)

    assert [each.claim.name for each in hands.of(BindVolume)] == ["b"]


def test_a_node_is_taken_off_a_claim_that_cannot_be_read_any_more():
    own = volume_claim(storage_class="made")
    hands = placed(made(), own, using(pod(), "v"))
    written(hands)

    hands.tell(Rejected("PersistentVolumeClaim", own.key, own.uid, "it is odd"))

    assert [each.claim.uid for each in hands.of(UnselectNode)] == [own.uid]


def test_a_refused_write_sends_the_pod_back():
    hands = Hands(*NODES, storage_class(), volume_claim(), volume(node="n1"), using(pod(), "v")).settle()
    [write] = hands.of(BindVolume)

    hands.tell(VolumeRefused(write.pod.uid, write.claim.uid, "conflict", "changed meanwhile"))

    assert "PersistentVolume pv could not be kept for PersistentVolumeClaim default/v (conflict)" in hands.reason("p")
    assert hands.of(UnbindVolume) == []
    hands.pass_time(30)
    assert len(hands.of(BindVolume)) == 2


def test_a_volume_that_the_node_cannot_use_sends_the_pod_after_it():
    own = volume_claim(storage_class="made")
    hands = Hands(*NODES, made(topologies=in_zones("a")), own, using(pod(), "v")).settle()
    written(hands)

    hands.see(volume("odd", claim=own, storage_class="made", node="n3"))
    hands.see(replace(own, selected_node="n1", volume="odd", bound=True, resource_version="7"))
    assert "got PersistentVolume odd, which node n1 cannot use" in hands.reason("p")
    hands.pass_time(60)

    assert [each.node for each in hands.of(BindPod)] == ["n3"]


def test_a_node_that_an_earlier_leader_chose_holds_only_while_the_pod_fits_there():
    own = replace(volume_claim(storage_class="made"), selected_node="n2")
    full = replace(NODES[1], unschedulable=True)
    hands = Hands(NODES[0], full, made(), own, using(pod(), "v")).settle()
    [freed] = hands.of(UnselectNode)
    assert freed.node == "n2"

    hands.see(replace(own, selected_node=None, resource_version="2"))
    hands.pass_time(60)

    assert [each.node for each in hands.of(SelectNode)] == ["n1"]


def test_a_leader_goes_on_with_what_another_began():
    own = replace(volume_claim(storage_class="made"), selected_node="n2")

    hands = Hands(*NODES, made(), own, using(pod(), "v")).settle()
    assert (hands.of(SelectNode), hands.of(BindPod)) == ([], [])
    hands.see(volume("new", claim=own, storage_class="made", node="n2"))
    hands.see(replace(own, volume="new", bound=True, resource_version="2"))
    hands.settle()

    assert [each.node for each in hands.of(BindPod)] == ["n2"]


def test_a_claim_that_is_being_bound_for_one_pod_is_awaited_by_others():
    own = volume_claim(modes=("ReadWriteMany",))
    shelf = volume("pv", modes=("ReadWriteMany",), node="n2")
    hands = Hands(*NODES, storage_class(), own, shelf, using(pod("p"), "v"), using(pod("q"), "v")).settle()
    written(hands)

    hands.see(volume("pv", modes=("ReadWriteMany",), node="n2", claim=own, version="5"))
    hands.see(replace(own, volume="pv", bound=True, resource_version="6"))
    hands.pass_time(60)

    assert [(each.pod.name, each.node) for each in hands.of(BindPod)] == [("p", "n2"), ("q", "n2")]


def test_pods_that_awaited_the_binding_of_another_go_on_when_that_one_ends():
    own = volume_claim(storage_class="made", modes=("ReadWriteMany",), selected_node="n1")
    hands = placed(made(), own, using(pod("p"), "v"), using(pod("q"), "v"))
    hands.pass_time(30)
    assert "is being bound for pod default/p" in hands.reason("q")

    hands.tell(Gone("Pod", "default/p", pod_uid("p")))  # nothing of it was written, so nothing else is seen
    hands.settle()

    assert list(hands.engine.assumptions()[1]) == [pod_uid("q")]


def one_that_waits():
    """A pod that was tried once: its claim has no volume, and one of its others is not to be had on any node."""
    own = volume_claim("own")
    full = bound("other", storage_class="made", driver=STORE, handle="h")
    limits = [csi_node(each.name, limit=0) for each in NODES]
    hands = placed(storage_class(), made(), own, *full, *limits, using(pod(), "own", "other"))
    assert hands.engine.backlog.attempts(pod_uid("p")) == 1
    return hands


@pytest.mark.parametrize(
    ("change", "attempts"),
    [
        (volume("free"), 2),
        (volume("free", claim=volume_claim("theirs")), 1),
        (volume("free", claim=volume_claim("own")), 2),
        (volume("free", storage_class="another"), 1),
        (volume("pv-other", claim=volume_claim("odd"), labels={ZONE: "a"}), 2),
        (storage_class(binding="Immediate"), 2),
        (storage_class("another"), 1),
        (capacity("room", "5Gi", storage_class="local"), 2),
        (capacity("room", "5Gi", storage_class="another"), 1),
        (csi_node("n1", limit=1), 2),
        (driver(), 2),
        (driver("another"), 1),
        (attachment("at", "n1", "pv-other"), 1),
        (volume_claim("own", size="2Gi", version="2"), 2),
        (volume_claim("theirs"), 1),
    ],
)
def test_only_what_may_help_has_a_pod_tried_again(change, attempts):
    hands = one_that_waits()

    hands.see(change)
    assert (hands.engine.next_wakeup() == hands.now) is (attempts == 2)
    hands.decide()

    assert hands.engine.backlog.attempts(pod_uid("p")) == attempts


def test_a_volume_that_is_detached_has_its_users_tried_again():
    hands = one_that_waits()
    hands.see(attachment("at", "n1", "pv-other"))
    hands.decide()
    assert hands.engine.backlog.attempts(pod_uid("p")) == 1

    hands.tell(Gone("VolumeAttachment", "at", Uid("")))
    hands.decide()

    assert hands.engine.backlog.attempts(pod_uid("p")) == 2


def test_labels_of_a_node_decide_anew():
    own = volume_claim()
    hands = Hands(node("n1"), storage_class(), own, using(pod(), "v")).settle()
    shelf = volume("pv", affinity=node_selector(term(requirement(HOSTNAME, "In", "n1"), requirement("disk", "Exists"))))
    hands.see(shelf)
    hands.settle()
    assert hands.of(BindVolume) == []

    hands.see(node("n1", labels={"disk": "ssd"}))
    hands.pass_time(60)

    assert len(hands.of(BindVolume)) == 1


# ---------------------------------------------------------------- nominated pods


def test_volumes_of_a_nominated_pod_are_kept_room_for():
    own, kept = bound(driver=STORE, handle="h")
    other, theirs = bound("w", driver=STORE, handle="w")
    vip = replace(using(pod("vip", priority=5, gates=("wait",)), "w"), nominated="n1")

    hands = Hands(node("n1"), csi_node(limit=1), own, kept, other, theirs, vip, using(pod(), "v")).settle()

    assert "1 keep the volumes that they can attach for pods that are nominated to them" in hands.reason("p")


def test_a_migrated_plugin_is_served_where_its_driver_has_its_label():
    own = volume_claim(volume="pv-v")
    kept = replace(
        volume("pv-v", claim=own, affinity=in_zones("a")), plugin="kubernetes.io/aws-ebs", moved=in_zones("c")
    )
    there = [replace(csi_node(name), migrated=frozenset({"kubernetes.io/aws-ebs"})) for name in ("n1", "n3")]
    hands = placed(own, kept, *there, using(pod(), "v"))
    assert hands.node_of("p") == "n3"

    hands.see(csi_node("n1"), csi_node("n3"), using(pod("q"), "v"))
    hands.settle()
    assert hands.node_of("q") == "n1"


@pytest.mark.interpreted
def test_nothing_stays_of_what_is_gone():
    def sizes(hands):
        return {name: len(each) for name, each in vars(hands.engine.state.volumes).items() if isinstance(each, dict)}

    hands = placed()
    before = sizes(hands)
    own, kept = bound(driver=STORE, handle="h")
    user = replace(using(pod(), "v"), node_name="n1")
    hands.see(own, kept, attachment("at", "n1", "pv-v"), user)
    hands.settle()

    for kind, key in (
        ("Pod", user.key), ("VolumeAttachment", "at"), ("PersistentVolumeClaim", own.key), ("PersistentVolume", "pv-v"),
    ):  # fmt: skip
        hands.tell(Gone(kind, key, Uid("")))
    hands.settle()

    assert sizes(hands) == before
