"""What is written comes back as what was meant."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.cluster import decode, encode
from scheduler.core import names
from scheduler.core.errors import printable
from scheduler.core.extended import special_claim
from scheduler.core.messages import ClaimRef, PodRef, ReportClash, ReportIgnored, ReportScheduled, ReportUnschedulable
from scheduler.core.model import (
    Allocation,
    AllocationConfig,
    Consumer,
    NodeSelector,
    NodeSelectorTerm,
    RequestMapping,
    Requirement,
    Result,
    Toleration,
    Uid,
)
from scheduler.core.quantity import parse_quantity

NOW = "2026-07-24T10:11:12.345678Z"
POD = PodRef("demo", "trainer", Uid("pod-uid"), "7")
CLAIM = ClaimRef("demo", "gpus", Uid("claim-uid"), "41", finalized=False)

word = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
words = st.lists(word, max_size=3).map(tuple)
maybe = st.just("") | word
tolerations = st.builds(
    Toleration, maybe, st.sampled_from(["", "Equal", "Exists"]), maybe, maybe, st.none() | st.integers(0, 2**31)
)
quantities = st.builds(
    lambda number, suffix: parse_quantity(f"{number}{suffix}"),
    st.integers(0, 2**40) | st.decimals(0, 4096, places=3, allow_nan=False),
    st.sampled_from(["", "m", "k", "G", "Ki", "Gi", "e3"]),
)
results = st.builds(
    Result, word, word, word, word, st.booleans(), st.none() | word, st.lists(tolerations, max_size=2).map(tuple),
    st.none() | st.dictionaries(word, quantities, min_size=1, max_size=3), words, words, words,
)  # fmt: skip
requirements = st.lists(st.builds(Requirement, word, maybe, words), max_size=2).map(tuple)
selectors = st.builds(
    NodeSelector, st.lists(st.builds(NodeSelectorTerm, requirements, requirements), max_size=2).map(tuple)
)
parameters = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | word,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(word, inner, max_size=2),
    max_leaves=5,
)
entries = st.builds(
    lambda driver, value: json.dumps({"opaque": {"driver": driver, "parameters": value}}, separators=(",", ":")),
    word,
    parameters,
)
configs = st.builds(AllocationConfig, st.sampled_from(["FromClass", "FromClaim"]), words, entries)
allocations = st.builds(
    Allocation,
    st.lists(results, max_size=3).map(tuple),
    st.none() | selectors,
    st.lists(configs, max_size=2).map(tuple),
)


def claim_with(status):
    return {
        "metadata": {"namespace": "demo", "name": "gpus", "uid": "claim-uid", "resourceVersion": "41"},
        "spec": {"devices": {}},
        "status": status,
    }


@given(allocations)
def test_an_allocation_comes_back_as_it_was_written(allocation):
    patch = json.loads(encode.allocation_patch(CLAIM.uid, "41", allocation, POD.consumer, NOW))

    found = decode.decode("ResourceClaim", claim_with(patch["status"]))

    config = tuple((entry.source, entry.requests, json.loads(entry.entry)) for entry in allocation.config)
    assert found.allocation.results == allocation.results
    assert found.allocation.node_selector == allocation.node_selector
    assert tuple((each.source, each.requests, json.loads(each.entry)) for each in found.allocation.config) == config
    assert found.reserved_for == (Consumer("pods", "trainer", Uid("pod-uid")),)
    assert found.allocation.timestamp == "2026-07-24T10:11:12Z"
    for result, written in zip(allocation.results, found.allocation.results, strict=True):
        for name, amount in (result.consumed or {}).items():
            assert written.consumed[name].text == amount.canonical()


def test_a_share_is_written_in_the_words_of_the_api():
    share = Result(
        "gpu/slices",
        "d",
        "p",
        "gpu-0",
        share_id="1f3e1f6e-2a0f-4d8c-9d1c-d7c1c2b0a001",
        consumed={"memory": parse_quantity("1024Mi"), "engines": parse_quantity("0.5")},
        binding_conditions=("ready",),
        binding_failures=("failed", "lost"),
        skip_operations=("NodeUnprepareResources",),
    )

    (written,) = encode.allocation(Allocation((share,), None), NOW)["devices"]["results"]

    assert written == {
        "request": "gpu/slices",
        "driver": "d",
        "pool": "p",
        "device": "gpu-0",
        "shareID": "1f3e1f6e-2a0f-4d8c-9d1c-d7c1c2b0a001",
        "consumedCapacity": {"engines": "500m", "memory": "1Gi"},
        "bindingConditions": ["ready"],
        "bindingFailureConditions": ["failed", "lost"],
        "skipNodeOperations": ["NodeUnprepareResources"],
    }


@pytest.mark.parametrize("consumed", [None, {}])
def test_what_a_result_does_not_have_is_left_out(consumed):
    (written,) = encode.allocation(Allocation((Result("r", "d", "p", "x", consumed=consumed),), None), NOW)["devices"][
        "results"
    ]

    assert written == {"request": "r", "driver": "d", "pool": "p", "device": "x"}


def test_what_is_meant_for_a_driver_is_written_letter_by_letter():
    text = '{"opaque":{"driver":"d","parameters":{"a":1.50,"b":1e400,"c":123456789012345678901234567890}}}'
    allocated = Allocation((), None, (AllocationConfig("FromClass", (), text),))
    consumer = PodRef("ns", "pod", Uid("u")).consumer

    body = encode.allocation_patch(CLAIM.uid, "41", allocated, consumer, "2026-11-27T00:00:00.000000Z")

    assert text.strip("{}").encode() in body


def test_half_a_character_is_written_as_a_question_mark():
    body = encode.binding(PodRef("ns", "pod", Uid("u")), "node", {"a": "x\ud800y"})

    assert json.loads(body)["metadata"]["annotations"] == {"a": "x?y"}


def test_an_allocation_without_node_selector_leaves_it_out():
    found = encode.allocation(Allocation((), None), NOW)

    assert found == {"devices": {"results": []}, "allocationTimestamp": "2026-07-24T10:11:12Z"}


def test_claim_patches_name_the_object_that_the_decision_knew():
    finalizer = json.loads(encode.finalizer_patch(CLAIM))
    reservation = json.loads(encode.reservation_patch(CLAIM, [POD.consumer]))
    deallocation = json.loads(encode.deallocate_patch(CLAIM.uid, "41"))
    release = json.loads(encode.unreserve_patch(CLAIM.uid, "41", POD.uid))

    known = {"uid": "claim-uid", "resourceVersion": "41"}
    assert finalizer == {"metadata": {**known, "finalizers": [names.CLAIM_FINALIZER]}}
    assert reservation == {
        "metadata": known,
        "status": {"reservedFor": [{"resource": "pods", "name": "trainer", "uid": "pod-uid"}]},
    }
    assert deallocation == {"metadata": known, "status": {"allocation": None, "reservedFor": None, "devices": None}}
    assert release == {
        "metadata": known,
        "status": {"reservedFor": [{"$patch": "delete", "uid": "pod-uid"}]},
    }


def test_no_patch_but_the_deallocation_speaks_of_driver_status():
    allocation = Allocation((Result("gpu", "d", "p", "gpu-0"),), None)

    patches = [
        encode.allocation_patch(CLAIM.uid, "41", allocation, POD.consumer, NOW),
        encode.reservation_patch(CLAIM, [POD.consumer]),
        encode.unreserve_patch(CLAIM.uid, "41", POD.uid),
    ]

    assert all("devices" not in json.loads(patch)["status"] for patch in patches)


def test_a_special_claim_comes_back_as_it_was_meant():
    main = {"name": "main", "resources": {"requests": {"cpu": "1", "example.com/gpu": "2"}}}
    metadata = {"namespace": "demo", "name": "trainer", "uid": "pod-uid", "resourceVersion": "7"}
    pod = decode.decode("Pod", {"metadata": metadata, "spec": {"containers": [main]}})
    special = special_claim(pod, {"example.com/gpu": "gpu"})

    body = json.loads(encode.special_claim(special.claim, POD))

    body["metadata"]["uid"] = special.claim.uid
    assert decode.decode("ResourceClaim", body) == replace(special.claim, finalized=True)
    assert body["metadata"]["generateName"] == "trainer-extended-resources-"
    assert body["metadata"]["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Pod", "name": "trainer", "uid": "pod-uid", "controller": True}
    ]


def test_the_pods_status_names_the_special_claim_and_nothing_else_is_touched():
    mappings = (RequestMapping("main", "example.com/gpu", "container-0-request-1"),)

    body = json.loads(encode.special_claim_patch(POD, "the-claim", mappings))

    assert body == {
        "metadata": {"uid": "pod-uid"},
        "status": {
            "extendedResourceClaimStatus": {
                "resourceClaimName": "the-claim",
                "requestMappings": [
                    {
                        "containerName": "main",
                        "resourceName": "example.com/gpu",
                        "requestName": "container-0-request-1",
                    }
                ],
            }
        },
    }


def test_a_deletion_means_one_claim_and_no_later_one_of_its_name():
    assert json.loads(encode.deletion(CLAIM.uid))["preconditions"] == {"uid": "claim-uid"}
    assert json.loads(encode.unfinalize_patch(CLAIM.uid, "41"))["metadata"] == {
        "uid": "claim-uid",
        "resourceVersion": "41",
        "$deleteFromPrimitiveList/finalizers": [names.CLAIM_FINALIZER],
    }


def test_a_binding_carries_uid_and_annotations():
    body = json.loads(encode.binding(POD, "n1", {"dovetail.scheduler/explain": "{}"}))

    assert body["metadata"] == {
        "name": "trainer",
        "namespace": "demo",
        "uid": "pod-uid",
        "annotations": {"dovetail.scheduler/explain": "{}"},
    }
    assert body["target"] == {"apiVersion": "v1", "kind": "Node", "name": "n1"}


def test_events_say_what_people_grep_for():
    placed = json.loads(encode.event(ReportScheduled(POD, "n1", "Successfully assigned"), NOW))
    waiting = json.loads(encode.event(ReportUnschedulable(POD, "NoFit", "0 of 3 nodes fit"), NOW))
    ignored = json.loads(encode.event(ReportIgnored(POD, "annotation x: is not JSON"), NOW))

    clash = json.loads(encode.event(ReportClash(POD, "two claims hold the same device"), NOW))

    assert (ignored["reason"], ignored["type"]) == ("AnnotationIgnored", "Warning")
    assert (clash["reason"], clash["type"]) == ("DeviceClash", "Warning")
    assert (placed["reason"], placed["type"]) == ("Scheduled", "Normal")
    assert (waiting["reason"], waiting["type"]) == ("FailedScheduling", "Warning")
    assert placed["involvedObject"]["uid"] == "pod-uid"
    assert placed["eventTime"] == NOW
    assert placed["metadata"]["name"] != waiting["metadata"]["name"]


@given(st.text(st.characters(codec="utf-8"), max_size=3000))
def test_an_event_is_never_too_long_for_the_server(text):
    body = json.loads(encode.event(ReportUnschedulable(POD, "NoFit", text), NOW))

    assert len(body["message"].encode()) <= encode.MAX_NOTE
    kept = body["message"].removesuffix("…")
    assert kept == printable(text)[: len(kept)]


def test_an_event_of_a_pod_with_the_longest_name_still_has_a_valid_name():
    pod = PodRef("demo", "p" * 253, Uid("u"))

    body = json.loads(encode.event(ReportScheduled(pod, "n1", "ok"), NOW))

    assert len(body["metadata"]["name"]) == 253


def test_the_condition_is_the_one_that_autoscalers_look_for():
    body = json.loads(encode.unschedulable_condition_patch(ReportUnschedulable(POD, "NoFit", "why"), NOW))

    (condition,) = body["status"]["conditions"]
    assert body["metadata"] == {"uid": "pod-uid"}
    assert (condition["type"], condition["status"], condition["reason"]) == ("PodScheduled", "False", "Unschedulable")
    assert condition["message"] == "why"
    assert condition["lastTransitionTime"] == "2026-07-24T10:11:12Z"
