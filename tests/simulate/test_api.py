"""The API in memory keeps the server's rules, so that what works here works there."""

import json

import pytest

from scheduler.cluster import encode
from scheduler.core import names
from scheduler.core.errors import InputError
from scheduler.core.messages import (
    BindPod,
    BindRefused,
    ClaimRef,
    ClaimRefused,
    ClaimWritten,
    Gone,
    PodBound,
    PodRef,
    Rejected,
    ReleaseClaim,
    ReportUnschedulable,
    ReserveClaim,
    Seen,
    WriteAllocation,
)
from scheduler.core.model import Allocation, NodeSelector, NodeSelectorTerm, Requirement, Result
from scheduler.simulator.api import Api, RefusedError

REQUEST = {"name": "gpu", "exactly": {"deviceClassName": "gpu"}}
PINNED = NodeSelector((NodeSelectorTerm(fields=(Requirement("metadata.name", "In", ("n1",)),)),))


def pod(name="p", **spec):
    metadata = {"name": name, "namespace": "d"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"schedulerName": "dovetail", **spec}}


def claim(name="c", **metadata):
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": name, "namespace": "d", **metadata},
        "spec": {"devices": {"requests": [REQUEST]}},
    }


def template(name="t", **metadata):
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaimTemplate",
        "metadata": {"name": name, "namespace": "d"},
        "spec": {"metadata": metadata, "spec": {"devices": {"requests": [REQUEST]}}},
    }


def cluster(*objects):
    """A cluster whose objects were all seen."""
    api = Api(objects)
    api.events()
    return api


def pod_ref(api, name="p"):
    found = api.get("Pod", f"d/{name}")["metadata"]
    return PodRef("d", name, found["uid"], found["resourceVersion"])


def claim_ref(api, name="c"):
    found = api.get("ResourceClaim", f"d/{name}")["metadata"]
    finalized = names.CLAIM_FINALIZER in found.get("finalizers", ())
    return ClaimRef("d", name, found["uid"], found["resourceVersion"], finalized)


def allocation(device="gpu-0", request="gpu"):
    return Allocation((Result(request, "drv", "n1", device),), PINNED)


def allocated(*extra):
    """A cluster in which pod p holds claim c."""
    api = Api([pod(), claim(), *extra])
    api.execute(WriteAllocation(pod_ref(api), claim_ref(api), allocation(), pod_ref(api).consumer))
    return api


def raw_claim(api, name="c"):
    return api.get("ResourceClaim", f"d/{name}")


# ---------------------------------------------------------------- objects


def test_every_write_has_a_new_version_and_is_seen():
    api = Api([pod("a"), pod("b")])

    seen = [event.item.name for event in api.events()]

    assert seen == ["d", "a", "b"]  # their namespace first
    versions = [int(raw["metadata"]["resourceVersion"]) for raw in api.everything()]
    assert len(set(versions)) == len(versions)
    assert api.events() == []


def test_order_of_objects_does_not_matter():
    objects = [pod("a"), pod("b"), claim(), template()]

    assert Api(objects).everything() == Api(reversed(objects)).everything()


def test_an_object_made_anew_is_another_one():
    api = Api([pod()])
    before = pod_ref(api).uid

    api.delete("Pod", "d/p")
    api.create(pod())

    assert pod_ref(api).uid != before


def test_what_cannot_be_read_is_rejected_with_its_words():
    broken = pod()
    broken["spec"]["priority"] = "high"

    _, event = Api([broken]).events()

    assert isinstance(event, Rejected)
    assert "spec.priority" in event.problem


def test_priority_comes_from_the_class():
    high = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "high"}, "value": 7}

    api = Api([pod("a", priorityClassName="high"), pod("b"), pod("c", priorityClassName="system-node-critical"), high])

    assert [raw["spec"].get("priority") for raw in api.all("Pod")] == [7, None, 2_000_001_000]
    with pytest.raises(InputError, match="PriorityClass low does not exist"):
        Api([pod(priorityClassName="low")])


# ---------------------------------------------------------------- claims


def test_an_allocation_is_written_with_finalizer_time_and_reservation():
    api = cluster(pod(), claim(finalizers=["other.io/keep"]))
    api.now = 90.0

    answer, *seen = api.execute(WriteAllocation(pod_ref(api), claim_ref(api), allocation(), pod_ref(api).consumer))

    raw = raw_claim(api)
    assert isinstance(answer, ClaimWritten)
    assert raw["metadata"]["finalizers"] == ["other.io/keep", names.CLAIM_FINALIZER]
    assert raw["status"]["allocation"]["allocationTimestamp"] == "2026-01-01T00:01:30Z"
    assert raw["status"]["reservedFor"] == [{"resource": "pods", "name": "p", "uid": pod_ref(api).uid}]
    assert answer.claim == seen[-1].item
    assert [event.item.allocation is None for event in seen] == [True, False]  # finalizer first, then the status


def test_a_write_with_an_old_version_changes_nothing():
    api = Api([pod(), claim()])
    stale = claim_ref(api)
    api.patch("ResourceClaim", "d/c", b'{"metadata": {"labels": {"a": "b"}}}', encode.MERGE)
    api.events()

    answers = api.execute(WriteAllocation(pod_ref(api), stale, allocation(), pod_ref(api).consumer))

    (refused,) = answers
    assert isinstance(refused, ClaimRefused)
    assert refused.cause == "conflict"
    assert "finalizers" not in raw_claim(api)["metadata"]


def test_a_write_to_a_claim_that_was_replaced_changes_nothing():
    api = Api([pod(), claim()])
    stale = claim_ref(api)
    api.delete("ResourceClaim", "d/c")
    gone = api.execute(WriteAllocation(pod_ref(api), stale, allocation(), pod_ref(api).consumer))
    api.create(claim())
    replaced = api.execute(WriteAllocation(pod_ref(api), stale, allocation(), pod_ref(api).consumer))

    assert [event.cause for event in gone if isinstance(event, ClaimRefused)] == ["gone"]
    assert [event.cause for event in replaced if isinstance(event, ClaimRefused)] == ["conflict"]


def test_an_allocation_once_made_is_never_changed():
    api = allocated()

    (refused, *_) = api.execute(
        WriteAllocation(pod_ref(api), claim_ref(api), allocation("gpu-1"), pod_ref(api).consumer)
    )

    assert (refused.cause, "immutable" in refused.message) == ("invalid", True)
    assert raw_claim(api)["status"]["allocation"]["devices"]["results"][0]["device"] == "gpu-0"


def test_a_reservation_needs_an_allocation():
    api = cluster(pod(), claim())

    (refused,) = api.execute(ReserveClaim(pod_ref(api), claim_ref(api), pod_ref(api).consumer))

    assert (refused.cause, "reservedFor" in refused.message) == ("invalid", True)


def test_an_allocation_for_a_request_that_does_not_exist_is_refused():
    api = Api([pod(), claim()])

    refused = api.execute(
        WriteAllocation(pod_ref(api), claim_ref(api), allocation(request="nic"), pod_ref(api).consumer)
    )[0]

    assert "must be the name of a request" in refused.message


def test_a_second_pod_joins_beside_the_first():
    api = allocated(pod("q"))

    answer, *_ = api.execute(ReserveClaim(pod_ref(api, "q"), claim_ref(api), pod_ref(api, "q").consumer))

    assert isinstance(answer, ClaimWritten)
    assert [each.name for each in answer.claim.reserved_for] == ["p", "q"]


def test_a_claim_that_is_ending_takes_no_new_pods():
    api = allocated(pod("q"))
    api.delete("ResourceClaim", "d/c")

    refused = api.execute(ReserveClaim(pod_ref(api, "q"), claim_ref(api), pod_ref(api, "q").consumer))[0]

    assert "deletionTimestamp" in refused.message


def test_no_more_pods_than_a_claim_can_hold():
    api = allocated(*(pod(f"q{number}") for number in range(256)))
    for number in range(255):
        api.execute(ReserveClaim(pod_ref(api, f"q{number}"), claim_ref(api), pod_ref(api, f"q{number}").consumer))

    refused = api.execute(ReserveClaim(pod_ref(api, "q255"), claim_ref(api), pod_ref(api, "q255").consumer))[0]

    assert "at most 256" in refused.message


def test_a_status_write_leaves_metadata_and_a_main_write_leaves_status():
    api = allocated()
    both = json.dumps({"metadata": {"labels": {"a": "b"}}, "status": {"reservedFor": []}}).encode()

    through_status = api.patch(
        "ResourceClaim", "d/c", both.replace(b'"reservedFor": []', b""), encode.MERGE, status=True
    )
    through_main = api.patch("ResourceClaim", "d/c", both, encode.MERGE)

    assert "labels" not in through_status["metadata"]
    assert through_main["metadata"]["labels"] == {"a": "b"}
    assert len(through_main["status"]["reservedFor"]) == 1


def test_release_frees_the_devices_only_when_nobody_else_has_them():
    api = allocated(pod("q"))
    api.execute(ReserveClaim(pod_ref(api, "q"), claim_ref(api), pod_ref(api, "q").consumer))

    api.execute(ReleaseClaim(pod_ref(api), claim_ref(api), pod_ref(api).consumer, deallocate=True))
    shared = raw_claim(api)["status"]
    api.execute(ReleaseClaim(pod_ref(api, "q"), claim_ref(api), pod_ref(api, "q").consumer, deallocate=True))
    free = raw_claim(api)

    assert [each["name"] for each in shared["reservedFor"]] == ["q"]
    assert "allocation" in shared
    assert free["status"] == {}
    assert names.CLAIM_FINALIZER not in free["metadata"]["finalizers"]


def test_a_release_may_be_repeated():
    api = allocated()
    release = ReleaseClaim(pod_ref(api), claim_ref(api), pod_ref(api).consumer, deallocate=True)

    api.execute(release)
    once = raw_claim(api)
    again = api.execute(release)

    assert again == []
    assert raw_claim(api) == once


def test_a_claim_can_be_allocated_again():
    api = allocated()
    api.execute(ReleaseClaim(pod_ref(api), claim_ref(api), pod_ref(api).consumer, deallocate=True))

    answer, *_ = api.execute(WriteAllocation(pod_ref(api), claim_ref(api), allocation("gpu-1"), pod_ref(api).consumer))

    assert isinstance(answer, ClaimWritten)
    assert answer.claim.finalized


# ---------------------------------------------------------------- binding


def test_a_binding_sets_node_annotations_and_condition():
    api = cluster(pod())

    bound, seen = api.execute(BindPod(pod_ref(api), "n1", {"a": "b"}))

    raw = api.get("Pod", "d/p")
    assert isinstance(bound, PodBound)
    assert isinstance(seen, Seen)
    assert (raw["spec"]["nodeName"], raw["metadata"]["annotations"]) == ("n1", {"a": "b"})
    assert [(each["type"], each["status"]) for each in raw["status"]["conditions"]] == [("PodScheduled", "True")]


@pytest.mark.parametrize(
    ("spec", "words"),
    [({"nodeName": "n2"}, "already assigned to node n2"), ({"schedulingGates": [{"name": "g"}]}, "schedulingGates")],
)
def test_a_binding_that_may_not_be_is_refused(spec, words):
    api = cluster(pod(**spec))

    (refused,) = api.execute(BindPod(pod_ref(api), "n1", {}))

    assert isinstance(refused, BindRefused)
    assert words in refused.message


def test_a_pod_of_another_uid_is_not_bound():
    api = cluster(pod())

    (wrong,) = api.execute(BindPod(PodRef("d", "p", "other"), "n1", {}))
    (gone,) = api.execute(BindPod(PodRef("d", "nobody", "u"), "n1", {}))

    assert (wrong.cause, gone.cause) == ("conflict", "gone")
    assert "nodeName" not in api.get("Pod", "d/p")["spec"]


def test_conditions_are_merged_by_type():
    api = Api([pod()])
    for words in ("first", "second"):
        api.execute(ReportUnschedulable(pod_ref(api), "NoFit", words))

    (condition,) = api.get("Pod", "d/p")["status"]["conditions"]

    assert (condition["reason"], condition["message"]) == ("Unschedulable", "second")


# ---------------------------------------------------------------- controllers

FROM_TEMPLATE = {"resourceClaims": [{"name": "gpus", "resourceClaimTemplateName": "t"}]}


def test_a_claim_is_made_of_its_template_as_the_controller_does():
    api = Api([pod(**FROM_TEMPLATE), template(labels={"team": "a"}, annotations={"x": "y"})])

    (made,) = api.all("ResourceClaim")
    status = api.get("Pod", "d/p")["status"]
    metadata = made["metadata"]
    assert metadata["name"].startswith("p-gpus-")
    assert status["resourceClaimStatuses"] == [{"name": "gpus", "resourceClaimName": metadata["name"]}]
    assert metadata["annotations"] == {"x": "y", "resource.kubernetes.io/pod-claim-name": "gpus"}
    assert metadata["labels"] == {"team": "a"}
    (owner,) = metadata["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("Pod", pod_ref(api).uid, True)
    assert made["spec"]["devices"]["requests"][0]["exactly"] == {
        "deviceClassName": "gpu",
        "allocationMode": "ExactCount",
        "count": 1,
    }


def test_a_template_that_comes_later_is_used_then():
    api = Api([pod(**FROM_TEMPLATE)])
    before = api.all("ResourceClaim")

    api.create(template())

    assert (len(before), len(api.all("ResourceClaim"))) == (0, 1)


def test_long_names_are_cut_in_proportion():
    long = pod("p" * 60, resourceClaims=[{"name": "g" * 60, "resourceClaimTemplateName": "t"}])

    (made,) = Api([long, template()]).all("ResourceClaim")

    name = made["metadata"]["name"]
    assert len(name) <= 63
    assert name.count("p") >= 20
    assert name.count("g") >= 20


def test_the_end_of_a_pod_gives_its_devices_back():
    api = allocated()

    api.patch("Pod", "d/p", b'{"status": {"phase": "Succeeded"}}', encode.MERGE, status=True)

    assert raw_claim(api)["status"] == {}


def test_deleting_a_pod_takes_its_claims_with_it():
    api = Api([pod(**FROM_TEMPLATE), template()])
    (made,) = api.all("ResourceClaim")
    api.execute(
        WriteAllocation(pod_ref(api), claim_ref(api, made["metadata"]["name"]), allocation(), pod_ref(api).consumer)
    )
    api.events()

    api.delete("Pod", "d/p")

    gone = [(event.kind, event.key) for event in api.events() if isinstance(event, Gone)]
    assert gone == [("Pod", "d/p"), ("ResourceClaim", f"d/{made['metadata']['name']}")]
    assert api.all("ResourceClaim") == []


def test_a_claim_in_use_ends_when_its_last_pod_does():
    api = allocated()
    api.delete("ResourceClaim", "d/c")
    still = raw_claim(api)

    api.delete("Pod", "d/p")

    assert "deletionTimestamp" in still["metadata"]
    with pytest.raises(RefusedError):
        raw_claim(api)


def test_reservations_of_pods_that_the_files_leave_out_stand():
    held = claim()
    held["status"] = {
        "allocation": encode.allocation(allocation(), "2026-01-01T00:00:00Z"),
        "reservedFor": [{"resource": "pods", "name": "elsewhere", "uid": "x"}],
    }

    api = Api([held, pod()])

    assert raw_claim(api)["status"] == held["status"]


def terms(**term):
    return {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "zone", **term}]}


def test_label_keys_narrow_what_affinity_selects():
    keys = {"matchLabelKeys": ["hash", "absent"], "mismatchLabelKeys": ["tenant"]}
    raw = pod(affinity={"podAffinity": terms(labelSelector={"matchLabels": {"app": "x"}}, **keys)})
    raw["metadata"]["labels"] = {"hash": "1", "tenant": "t"}

    _, seen = Api([raw]).events()

    ((term,)) = seen.item.attracts
    assert [(each.key, each.operator, each.values) for each in term.pods.selector.requirements] == [
        ("app", "In", ("x",)),
        ("hash", "In", ("1",)),
        ("tenant", "NotIn", ("t",)),
    ]


def test_a_namespace_is_there_with_its_first_pod_and_has_the_label_of_its_name():
    told, _ = Api([pod()]).events()
    made = Api([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "d", "labels": {"a": "b"}}}]).events()

    assert told.item.labels == {"kubernetes.io/metadata.name": "d"}
    assert made[0].item.labels == {"kubernetes.io/metadata.name": "d", "a": "b"}
