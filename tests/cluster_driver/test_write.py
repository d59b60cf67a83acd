import asyncio
import inspect
import json
from dataclasses import replace

import pytest
from aiohttp import web

from scheduler.cluster import encode
from scheduler.cluster.client import MERGE_PATCH, ApiError
from scheduler.cluster.lease import OpenFence
from scheduler.cluster.machine import Machine
from scheduler.cluster.protobuf import added, finalizer, reservation
from scheduler.cluster.write import Writer
from scheduler.core.messages import (
    RELEASE_S,
    BindPod,
    BindRefused,
    ClaimRef,
    ClaimRefused,
    ClaimWritten,
    PodBound,
    PodRef,
    ReleaseClaim,
    ReportIgnored,
    ReportScheduled,
    ReportUnschedulable,
    ReserveClaim,
    WriteAllocation,
)
from scheduler.core.model import Allocation, Consumer, NodeSelector, NodeSelectorTerm, Requirement, Result, Uid
from scheduler.core.names import CLAIM_FINALIZER, EXPLAIN

CLAIM = "/apis/resource.k8s.io/v1/namespaces/ns/resourceclaims/c"
STATUS = f"{CLAIM}/status"
POD = "/api/v1/namespaces/ns/pods/p"
BINDING = f"{POD}/binding"
EVENTS = "/api/v1/namespaces/ns/events"
WHOLE = b"k8s\x00\x12\x02\x1a\x00"  # the protobuf of some claim
POD_REF = PodRef("ns", "p", Uid("pod-uid"), "7")


def allocation(device="gpu-0"):
    term = NodeSelectorTerm(fields=(Requirement("metadata.name", "In", ("n1",)),))
    return Allocation((Result("r", "gpu.example.com", "n1", device),), NodeSelector((term,)))


class Gate:
    def __init__(self):
        self.open = True

    def allows(self):
        return self.open


@pytest.fixture
def gate():
    return Gate()


@pytest.fixture
async def writer(api, client, gate):
    answers = asyncio.Queue()
    made = Writer(client, answers.put_nowait, gate, limit_s=0.1)
    made.answers = answers
    running = asyncio.ensure_future(made.run())
    yield made
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def put_claim(api, uid="claim-uid", finalized=False, status=None, **more):
    metadata = {"namespace": "ns", "name": "c", "uid": uid, "labels": {"kept": "yes"}, "finalizers": []} | more
    if finalized:
        metadata["finalizers"] = [CLAIM_FINALIZER]
    exactly = {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1}
    spec = {"devices": {"requests": [{"name": "r", "exactly": exactly}]}}
    api.put(CLAIM, {"metadata": metadata, "spec": spec, "status": status or {}})
    version = api.objects[CLAIM]["metadata"]["resourceVersion"]
    return ClaimRef("ns", "c", Uid("claim-uid"), version, finalized)


def put_pod(api, uid="pod-uid", node=""):
    spec = {"containers": [{"name": "c"}], "schedulerName": "dovetail"} | ({"nodeName": node} if node else {})
    api.put(POD, {"metadata": {"namespace": "ns", "name": "p", "uid": uid}, "spec": spec, "status": {}})


def held(device="gpu-0", *pods):
    result = {"request": "r", "driver": "gpu.example.com", "pool": "n1", "device": device}
    users = [{"resource": "pods", "name": pod, "uid": pod} for pod in pods]
    return {"allocation": {"devices": {"results": [result]}}, "reservedFor": users}


def status(api):
    return api.objects[CLAIM]["status"]


async def answer(writer, instruction):
    writer.submit(instruction)
    return await asyncio.wait_for(writer.answers.get(), 30)


# ---------------------------------------------------------------- allocation


async def test_the_finalizer_comes_first_and_the_status_carries_the_version_that_it_returned(api, writer):
    claim = put_claim(api)

    event = await answer(writer, WriteAllocation(POD_REF, claim, allocation(), POD_REF.consumer))

    first, second = api.sent("PATCH")
    assert first["path"] == CLAIM
    assert first["body"]["metadata"]["resourceVersion"] == claim.resource_version
    assert second["path"] == STATUS
    assert second["body"]["metadata"]["resourceVersion"] == str(int(claim.resource_version) + 1)
    assert isinstance(event, ClaimWritten)
    assert (event.pod, event.claim.uid) == ("pod-uid", "claim-uid")
    assert event.claim.finalized
    assert event.claim.allocation.results == allocation().results
    assert [consumer.uid for consumer in event.claim.reserved_for] == ["pod-uid"]


async def test_allocation_reservation_and_timestamp_go_in_one_write_and_leave_the_rest_alone(api, writer):
    claim = put_claim(api, finalized=True)

    await answer(writer, WriteAllocation(POD_REF, claim, allocation(), POD_REF.consumer))

    assert len(api.sent("PATCH")) == 1
    assert status(api)["allocation"]["allocationTimestamp"].endswith("Z")
    assert status(api)["allocation"]["nodeSelector"]
    assert status(api)["reservedFor"] == [{"resource": "pods", "name": "p", "uid": "pod-uid"}]
    assert api.objects[CLAIM]["metadata"]["labels"] == {"kept": "yes"}


async def test_every_write_tells_the_server_how_long_it_may_work(api, writer):
    await answer(writer, WriteAllocation(POD_REF, put_claim(api), allocation(), POD_REF.consumer))

    assert {request["query"]["timeout"] for request in api.sent("PATCH")} == {"0.1s"}


@pytest.mark.parametrize("drop", [False, True], ids=["answered", "answer lost"])
async def test_where_no_patch_is_taken_the_finalizer_is_added_to_the_bytes_of_the_claim(api, writer, steps, drop):
    claim = put_claim(api)
    api.script("PATCH", CLAIM, steps.refuse(422, "Invalid"))
    api.script("GET", CLAIM, steps.send(WHOLE))
    api.script(
        "PUT", CLAIM, steps.become(CLAIM, {"metadata": {"finalizers": [CLAIM_FINALIZER]}}, drop), steps.refuse(409)
    )

    event = await answer(writer, WriteAllocation(POD_REF, claim, allocation(), POD_REF.consumer))

    put = api.sent("PUT")[0]
    assert put["body"] == added(WHOLE, finalizer(claim))
    assert put["type"] == api.sent("GET")[0]["headers"]["Accept"] == "application/vnd.kubernetes.protobuf"
    assert put["headers"]["Accept"] == "application/json"
    assert isinstance(event, ClaimWritten)
    assert event.claim.finalized
    assert api.sent("PATCH")[-1]["body"]["metadata"]["resourceVersion"] == str(int(claim.resource_version) + 1)


@pytest.mark.parametrize("drop", [False, True], ids=["answered", "answer lost"])
async def test_where_no_patch_is_taken_a_reservation_is_added_to_the_bytes_of_the_claim(api, writer, steps, drop):
    claim = put_claim(api, finalized=True, status=held("gpu-0", "other"))
    api.script("PATCH", STATUS, steps.refuse(422, "Invalid"))
    api.script("GET", CLAIM, steps.send(WHOLE))
    entry = {"resource": "pods", "name": "p", "uid": "pod-uid"}
    api.script("PUT", STATUS, steps.become(CLAIM, {"status": {"reservedFor": [entry]}}, drop), steps.refuse(409))

    event = await answer(writer, ReserveClaim(POD_REF, claim, POD_REF.consumer))

    put = api.sent("PUT")[0]
    assert put["body"] == added(WHOLE, reservation(claim, [POD_REF.consumer]))
    assert isinstance(event, ClaimWritten)
    assert [consumer.uid for consumer in event.claim.reserved_for] == ["other", "pod-uid"]


async def test_what_is_refused_in_both_forms_is_refused_with_the_last_word(api, writer, steps):
    claim = put_claim(api)
    api.script("PATCH", CLAIM, steps.refuse(422, "Invalid"))
    api.script("GET", CLAIM, steps.send(WHOLE))
    api.script("PUT", CLAIM, steps.refuse(422, "TrulyInvalid"))

    event = await answer(writer, WriteAllocation(POD_REF, claim, allocation(), POD_REF.consumer))

    assert isinstance(event, ClaimRefused)
    assert event.cause == "invalid"
    assert "TrulyInvalid" in event.message


@pytest.mark.parametrize(
    ("code", "cause"), [(409, "conflict"), (404, "gone"), (403, "forbidden"), (422, "invalid")]
)  # fmt: skip
@pytest.mark.parametrize("path", [CLAIM, STATUS])
async def test_a_clear_refusal_is_handed_on_with_its_cause(api, writer, steps, path, code, cause):
    claim = put_claim(api)
    api.script("PATCH", path, steps.refuse(code, "Why"))

    event = await answer(writer, WriteAllocation(POD_REF, claim, allocation(), POD_REF.consumer))

    assert isinstance(event, ClaimRefused)
    assert (event.pod, event.claim, event.cause) == ("pod-uid", "claim-uid", cause)
    assert "Why" in event.message
    assert "allocation" not in status(api)


async def test_a_stale_version_is_a_conflict_and_overwrites_nothing(api, writer):
    claim = put_claim(api, finalized=True)
    put_claim(api, finalized=True, status=held("gpu-7", "other"))

    event = await answer(writer, WriteAllocation(POD_REF, claim, allocation(), POD_REF.consumer))

    assert event.cause == "conflict"
    assert status(api)["allocation"]["devices"]["results"][0]["device"] == "gpu-7"


@pytest.mark.parametrize("how", ["dropped", "504", "500", "late"])
@pytest.mark.parametrize("path", [CLAIM, STATUS])
async def test_a_write_that_was_applied_is_adopted_though_its_answer_was_lost(api, writer, steps, path, how):
    async def late(fake, request):
        await type(api).default(fake, request)
        await asyncio.sleep(60)

    lost = {"dropped": steps.apply_and_drop, "504": steps.apply_then(504), "500": steps.apply_then(500), "late": late}
    claim = put_claim(api)
    api.script("PATCH", path, lost[how])

    event = await answer(writer, WriteAllocation(POD_REF, claim, allocation(), POD_REF.consumer))

    assert isinstance(event, ClaimWritten)
    assert len(api.sent("PATCH", "/status")) == 1
    assert status(api)["reservedFor"][0]["uid"] == "pod-uid"


@pytest.mark.parametrize("path", [CLAIM, STATUS])
async def test_a_write_that_was_not_applied_is_refused_as_unknown_after_the_servers_limit(api, writer, steps, path):
    claim = put_claim(api)
    api.script("PATCH", path, steps.drop)
    begun = asyncio.get_running_loop().time()

    event = await answer(writer, WriteAllocation(POD_REF, claim, allocation(), POD_REF.consumer))

    assert (type(event), event.cause) == (ClaimRefused, "unknown")
    assert asyncio.get_running_loop().time() - begun >= 0.1
    assert "allocation" not in status(api)


async def test_a_write_that_is_applied_after_a_first_look_is_still_adopted(api, writer, steps):
    claim = put_claim(api, finalized=True)

    async def delayed(fake, request):
        entry = fake.requests[-1]
        later = asyncio.get_running_loop().call_later
        later(0.05, lambda: fake.apply("PATCH", STATUS, entry["body"], entry["type"]))
        return await steps.drop(fake, request)

    api.script("PATCH", STATUS, delayed)

    event = await answer(writer, WriteAllocation(POD_REF, claim, allocation(), POD_REF.consumer))

    assert isinstance(event, ClaimWritten)
    assert len(api.sent("GET")) > 1


async def test_an_outage_while_settling_is_waited_out(api, writer, steps):
    claim = put_claim(api, finalized=True)
    api.script("PATCH", STATUS, steps.apply_and_drop)
    api.script("GET", CLAIM, steps.refuse(503), steps.refuse(500), steps.refuse(503))

    assert isinstance(
        await answer(writer, WriteAllocation(POD_REF, claim, allocation(), POD_REF.consumer)), ClaimWritten
    )


async def test_a_lost_write_that_somebody_elses_excluded_is_a_conflict(api, writer, steps):
    claim = put_claim(api, finalized=True)

    async def overtaken(fake, request):
        put_claim(fake, finalized=True, status=held("gpu-7", "other"))
        return await steps.drop(fake, request)

    api.script("PATCH", STATUS, overtaken)

    assert (await answer(writer, WriteAllocation(POD_REF, claim, allocation(), POD_REF.consumer))).cause == "conflict"


async def test_a_claim_replaced_under_its_name_is_gone(api, writer, steps):
    claim = put_claim(api, finalized=True)

    async def replaced(fake, request):
        put_claim(fake, uid="another")
        return await steps.drop(fake, request)

    api.script("PATCH", STATUS, replaced)

    assert (await answer(writer, WriteAllocation(POD_REF, claim, allocation(), POD_REF.consumer))).cause == "gone"


# ---------------------------------------------------------------- reservation


async def test_a_reservation_joins_those_that_are_there(api, writer):
    claim = put_claim(api, finalized=True, status=held("gpu-0", "other"))

    event = await answer(writer, ReserveClaim(POD_REF, claim, POD_REF.consumer))

    assert isinstance(event, ClaimWritten)
    assert {user["uid"] for user in status(api)["reservedFor"]} == {"other", "pod-uid"}
    assert status(api)["allocation"]


async def test_a_reservation_on_a_claim_that_moved_on_is_a_conflict(api, writer):
    claim = put_claim(api, finalized=True, status=held("gpu-0", "other"))
    put_claim(api, finalized=True)

    event = await answer(writer, ReserveClaim(POD_REF, claim, POD_REF.consumer))

    assert event.cause == "conflict"
    assert "reservedFor" not in status(api)


def users(count):
    """So many pods, as those that write and as those for whom is written."""
    return [PodRef("ns", f"p{number}", Uid(f"pod-{number}")) for number in range(count)]


async def told(writer, count):
    """The next answers."""
    return [await asyncio.wait_for(writer.answers.get(), 30) for _ in range(count)]


async def answers(writer, *instructions):
    for each in instructions:
        writer.submit(each)
    return await told(writer, len(instructions))


async def test_reservations_that_were_decided_at_once_are_one_write(api, writer):
    claim = put_claim(api, finalized=True, status=held("gpu-0", "other"))
    pods = users(200)  # more than there are slots

    events = await answers(writer, *(ReserveClaim(each, claim, each.consumer) for each in pods))

    assert [type(each) for each in events] == [ClaimWritten] * 200
    assert {each.pod for each in events} == {each.uid for each in pods}
    assert {user["uid"] for user in status(api)["reservedFor"]} == {"other", *(each.uid for each in pods)}
    assert len(api.sent("PATCH")) == 1


async def test_reservations_that_come_while_another_is_written_follow_it_together(api, writer):
    claim = put_claim(api, finalized=True, status=held("gpu-0", "other"))
    first, *others = users(4)

    async def joined(fake, request):
        for each in others:
            writer.submit(ReserveClaim(each, claim, each.consumer))
        return await fake.default(request)

    api.script("PATCH", STATUS, joined)
    writer.submit(ReserveClaim(first, claim, first.consumer))
    events = await told(writer, 4)

    assert [type(each) for each in events] == [ClaimWritten] * 4
    assert [user["uid"] for user in status(api)["reservedFor"]] == ["other", *(each.uid for each in (first, *others))]
    assert len(api.sent("PATCH")) == 2


async def test_a_group_that_reserves_for_several_pods_is_told_once(api, writer):
    claim = put_claim(api, finalized=True, status=held("gpu-0", "other"))
    group = Consumer("podgroups", "g", Uid("group-uid"), "scheduling.k8s.io")

    events = await answers(writer, *(ReserveClaim(each, claim, group) for each in users(3)))

    assert [type(each) for each in events] == [ClaimWritten] * 3
    (patch,) = api.sent("PATCH")
    assert [user["uid"] for user in patch["body"]["status"]["reservedFor"]] == ["group-uid"]


async def test_a_consumer_that_the_server_does_not_take_keeps_nobody_else_out(api, writer, steps):
    claim = put_claim(api, finalized=True, status=held("gpu-0", "other"))
    first, bad, last = users(3)

    async def judged(fake, request):
        entries = fake.requests[-1]["body"]["status"]["reservedFor"]
        if any(entry["uid"] == bad.uid for entry in entries):
            return await steps.refuse(422, "Invalid")(fake, request)
        return await fake.default(request)

    api.script("PATCH", STATUS, *[judged] * 4)
    api.script("GET", CLAIM, *[steps.send(WHOLE)] * 2)
    api.script("PUT", STATUS, *[steps.refuse(422, "Invalid")] * 2)
    events = await answers(writer, *(ReserveClaim(each, claim, each.consumer) for each in (first, bad, last)))

    found = {each.pod: getattr(each, "cause", "written") for each in events}
    assert found == {first.uid: "written", bad.uid: "invalid", last.uid: "written"}
    assert [user["uid"] for user in status(api)["reservedFor"]] == ["other", first.uid, last.uid]


async def test_a_change_by_another_ends_what_follows_each_other(api, writer):
    claim = put_claim(api, finalized=True, status=held("gpu-0", "other"))
    first, second, third, fourth = users(4)

    async def joined(fake, request):
        for each in (second, third):
            writer.submit(ReserveClaim(each, claim, each.consumer))
        return await fake.default(request)

    async def changed(fake, request):
        put_claim(fake, finalized=True, status=held("gpu-1", "another"))
        return await fake.default(request)

    # given that somebody changes the claim between the first reservation and those that came meanwhile
    api.script("PATCH", STATUS, joined, changed)
    writer.submit(ReserveClaim(first, claim, first.consumer))
    events = await told(writer, 3)

    # then those that did not know of it are refused, and a decision that does is not
    assert [getattr(each, "cause", "written") for each in events] == ["written", "conflict", "conflict"]
    fresh = replace(claim, resource_version=api.objects[CLAIM]["metadata"]["resourceVersion"])
    assert isinstance(await answer(writer, ReserveClaim(fourth, fresh, fourth.consumer)), ClaimWritten)
    assert [user["uid"] for user in status(api)["reservedFor"]] == ["another", fourth.uid]


async def test_decisions_that_knew_different_versions_are_not_written_together(api, writer):
    claim = put_claim(api, finalized=True, status=held("gpu-0", "other"))
    newer = put_claim(api, finalized=True, status=held("gpu-1", "another"))
    first, second, third = users(3)

    events = await answers(
        writer,
        ReserveClaim(first, claim, first.consumer),
        ReserveClaim(second, newer, second.consumer),
        ReserveClaim(third, newer, third.consumer),
    )

    found = {each.pod: getattr(each, "cause", "written") for each in events}
    assert found == {first.uid: "conflict", second.uid: "written", third.uid: "written"}
    assert [user["uid"] for user in status(api)["reservedFor"]] == ["another", second.uid, third.uid]


async def test_a_reservation_whose_answer_was_lost_is_adopted(api, writer, steps):
    claim = put_claim(api, finalized=True, status=held("gpu-0", "other"))
    api.script("PATCH", STATUS, steps.apply_and_drop)

    assert isinstance(await answer(writer, ReserveClaim(POD_REF, claim, POD_REF.consumer)), ClaimWritten)


# ---------------------------------------------------------------- release


async def released(api, writer, *, deallocate=True):
    writer.submit(
        ReleaseClaim(POD_REF, ClaimRef("ns", "c", Uid("claim-uid"), "1", finalized=True), POD_REF.consumer, deallocate)
    )
    async with asyncio.timeout(30):
        while not writer.idle:
            await asyncio.sleep(0.005)


async def test_a_claim_of_the_pod_alone_is_deallocated(api, writer):
    put_claim(api, finalized=True, status=held("gpu-0", "pod-uid"))

    await released(api, writer)

    assert "allocation" not in status(api)
    assert not status(api).get("reservedFor")
    assert api.objects[CLAIM]["metadata"]["finalizers"] == [CLAIM_FINALIZER]


async def test_a_claim_that_others_reserve_only_loses_the_pod(api, writer):
    put_claim(api, finalized=True, status=held("gpu-0", "other", "pod-uid"))

    await released(api, writer)

    assert status(api)["allocation"]
    assert [user["uid"] for user in status(api)["reservedFor"]] == ["other"]


async def test_unreserving_keeps_the_allocation(api, writer):
    put_claim(api, finalized=True, status=held("gpu-0", "pod-uid"))

    await released(api, writer, deallocate=False)

    assert status(api)["allocation"]
    assert not status(api)["reservedFor"]


@pytest.mark.parametrize("deallocate", [True, False])
async def test_nothing_is_written_where_nothing_is_held(api, writer, deallocate):
    put_claim(api, finalized=True)

    await released(api, writer, deallocate=deallocate)

    assert not api.sent("PATCH")


async def test_the_claim_of_another_uid_is_left_alone(api, writer):
    put_claim(api, uid="another", finalized=True, status=held("gpu-0", "pod-uid"))

    await released(api, writer)

    assert not api.sent("PATCH")


async def test_a_claim_that_is_gone_needs_no_release(api, writer):
    await released(api, writer)

    assert not api.sent("PATCH")


async def test_a_release_is_repeated_after_a_conflict_with_what_it_then_finds(api, writer, steps):
    put_claim(api, finalized=True, status=held("gpu-0", "pod-uid"))

    async def joined(fake, request):
        put_claim(fake, finalized=True, status=held("gpu-0", "pod-uid", "late"))
        return await steps.refuse(409, "Conflict")(fake, request)

    api.script("PATCH", STATUS, joined)

    await released(api, writer)

    assert status(api)["allocation"]
    assert [user["uid"] for user in status(api)["reservedFor"]] == ["late"]


@pytest.mark.parametrize("trouble", ["conflict", "outage", "unreadable", "silent"])
async def test_a_release_that_never_succeeds_ends_in_time_with_one_line(api, client, steps, caplog, trouble):
    method, path, step = {
        "conflict": ("PATCH", STATUS, steps.refuse(409, "Conflict")),
        "outage": ("PATCH", STATUS, steps.refuse(500)),
        "unreadable": ("GET", CLAIM, steps.refuse(503)),
        "silent": ("GET", CLAIM, steps.hang),
    }[trouble]
    put_claim(api, finalized=True, status=held("gpu-0", "pod-uid"))
    api.script(method, path, *[step] * 1000)
    writer = Writer(client, lambda event: None, OpenFence(), limit_s=0.05, release_s=0.2)
    begun = asyncio.get_running_loop().time()

    await released(api, writer)

    assert asyncio.get_running_loop().time() - begun >= 0.2
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("claim ns/c not released for pod p in time")
    assert status(api) == held("gpu-0", "pod-uid")


def test_a_release_is_over_before_the_decisions_wait_for_it_no_longer():
    assert inspect.signature(Writer).parameters["release_s"].default + 5 <= RELEASE_S


@pytest.mark.parametrize("refused", [[], [409], [500, 409], [503, 503]])
@pytest.mark.parametrize("newer", [WriteAllocation, ReserveClaim])
async def test_a_release_under_way_leaves_alone_what_is_written_to_the_claim_later(api, writer, steps, refused, newer):
    async def answer_when_used_again(fake, request):
        await fake.until(lambda: status(fake).get("reservedFor"))
        return await type(api).default(fake, request)

    put_claim(api, finalized=True, status=held("gpu-0", "pod-uid"))
    api.script("PATCH", STATUS, *[steps.refuse(code) for code in refused])
    api.script("GET", CLAIM, *[type(api).default] * len(refused), answer_when_used_again)
    writer.submit(
        ReleaseClaim(
            POD_REF, ClaimRef("ns", "c", Uid("claim-uid"), "1", finalized=True), POD_REF.consumer, deallocate=True
        )
    )
    await api.until(lambda: len(api.sent("GET")) > len(refused))
    claim = put_claim(api, finalized=True, status=held("gpu-1") if newer is ReserveClaim else None)  # freed by another

    planned = () if newer is ReserveClaim else (allocation("gpu-1"),)
    event = await answer(writer, newer(POD_REF, claim, *planned, POD_REF.consumer))
    await settled(writer)

    assert isinstance(event, ClaimWritten)
    assert status(api)["allocation"]["devices"]["results"][0]["device"] == "gpu-1"
    assert [user["uid"] for user in status(api)["reservedFor"]] == ["pod-uid"]
    assert len(api.sent("PATCH")) == len(refused) + 1


async def test_a_write_to_another_claim_ends_no_release(api, writer, steps):
    put_claim(api, finalized=True, status=held("gpu-0", "pod-uid"))
    api.script("PATCH", STATUS, steps.refuse(503))
    writer.submit(
        ReleaseClaim(
            POD_REF, ClaimRef("ns", "c", Uid("claim-uid"), "1", finalized=True), POD_REF.consumer, deallocate=True
        )
    )
    await api.until(lambda: api.sent("PATCH"))

    await answer(
        writer, ReserveClaim(POD_REF, ClaimRef("ns", "other", Uid("other-uid"), "1", finalized=True), POD_REF.consumer)
    )
    await settled(writer)

    assert "allocation" not in status(api)


@pytest.mark.parametrize("deallocate", [True, False])
async def test_a_release_is_refused_if_the_claim_changed_since_it_was_read(api, writer, deallocate):
    claim = put_claim(api, finalized=True, status=held("gpu-0", "pod-uid"))

    await released(api, writer, deallocate=deallocate)

    (patch,) = api.sent("PATCH")
    assert patch["body"]["metadata"] == {"uid": "claim-uid", "resourceVersion": claim.resource_version}


async def test_releases_of_one_claim_go_one_by_one_and_the_last_frees_the_devices(api, writer):
    put_claim(api, finalized=True, status=held("gpu-0", "a", "b", "pod-uid"))
    claim = ClaimRef("ns", "c", Uid("claim-uid"), "1", finalized=True)

    for uid in ("a", "b"):
        writer.submit(
            ReleaseClaim(PodRef("ns", uid, Uid(uid)), claim, Consumer("pods", uid, Uid(uid)), deallocate=True)
        )
    await released(api, writer)

    assert "allocation" not in status(api)
    assert len(api.sent("PATCH")) == 3


async def test_a_claim_that_is_being_deleted_only_loses_the_pod(api, writer):
    put_claim(api, finalized=True, status=held("gpu-0", "pod-uid"), deletionTimestamp="2026-07-24T10:11:12Z")

    await released(api, writer)

    assert status(api)["allocation"]
    assert not status(api)["reservedFor"]


async def test_a_claim_that_is_being_deleted_is_not_written_to_for_a_pod_that_it_does_not_name(api, writer):
    put_claim(api, finalized=True, status=held("gpu-0"), deletionTimestamp="2026-07-24T10:11:12Z")

    await released(api, writer)

    assert not api.sent("PATCH")


async def test_a_release_waits_out_an_outage(api, writer, steps):
    put_claim(api, finalized=True, status=held("gpu-0", "pod-uid"))
    api.script("GET", CLAIM, steps.refuse(503), steps.refuse(500))
    api.script("PATCH", STATUS, steps.refuse(503))

    await released(api, writer)

    assert "allocation" not in status(api)


# ---------------------------------------------------------------- binding


async def test_a_binding_names_uid_node_and_explanation(api, writer):
    put_pod(api)

    event = await answer(writer, BindPod(POD_REF, "n1", {EXPLAIN: "{}"}))

    assert event == PodBound(Uid("pod-uid"), "n1")
    (request,) = api.sent("POST", "/binding")
    assert request["body"]["metadata"]["uid"] == "pod-uid"
    assert request["body"]["target"]["name"] == "n1"
    assert api.objects[POD]["metadata"]["annotations"] == {EXPLAIN: "{}"}


@pytest.mark.parametrize("how", ["dropped", "500"])
async def test_a_binding_that_was_applied_is_adopted_though_its_answer_was_lost(api, writer, steps, how):
    put_pod(api)
    api.script("POST", BINDING, steps.apply_and_drop if how == "dropped" else steps.apply_then(500))

    assert await answer(writer, BindPod(POD_REF, "n1", {})) == PodBound(Uid("pod-uid"), "n1")


async def test_a_pod_that_already_has_our_binding_is_bound(api, writer):
    put_pod(api, node="n1")

    assert await answer(writer, BindPod(POD_REF, "n1", {})) == PodBound(Uid("pod-uid"), "n1")


async def test_a_pod_bound_elsewhere_is_a_conflict(api, writer):
    put_pod(api, node="n2")

    event = await answer(writer, BindPod(POD_REF, "n1", {}))

    assert (type(event), event.cause) == (BindRefused, "conflict")
    assert "n2" in event.message


async def test_a_pod_replaced_under_its_name_is_not_bound(api, writer):
    put_pod(api, uid="another")

    event = await answer(writer, BindPod(POD_REF, "n1", {}))

    assert event.cause == "gone"
    assert "nodeName" not in api.objects[POD]["spec"]


async def test_a_pod_that_is_deleted_is_gone(api, writer):
    assert (await answer(writer, BindPod(POD_REF, "n1", {}))).cause == "gone"


async def test_a_binding_that_was_not_applied_is_refused_as_unknown(api, writer, steps):
    put_pod(api)
    api.script("POST", BINDING, steps.drop)

    assert (await answer(writer, BindPod(POD_REF, "n1", {}))).cause == "unknown"


# ---------------------------------------------------------------- fence, order, load


async def test_nothing_is_sent_once_the_lease_is_lost(api, writer, gate):
    claim = put_claim(api, finalized=True, status=held("gpu-0", "pod-uid"))
    put_pod(api)
    gate.open = False
    writer.deposed = True

    refusals = [
        await answer(writer, WriteAllocation(POD_REF, claim, allocation(), POD_REF.consumer)),
        await answer(writer, ReserveClaim(POD_REF, claim, POD_REF.consumer)),
        await answer(writer, BindPod(POD_REF, "n1", {})),
    ]
    await released(api, writer)

    assert [(event.cause, event.message) for event in refusals] == [("unknown", "lease lost")] * 3
    assert {request["method"] for request in api.requests} <= {"GET"}


async def test_a_release_outlasts_a_renewal_that_comes_late(api, writer, gate):
    put_claim(api, finalized=True, status=held("gpu-0", "pod-uid"))
    put_pod(api)
    gate.open = False
    release = asyncio.create_task(released(api, writer))
    await asyncio.sleep(0.1)
    assert not api.sent("PATCH")

    gate.open = True
    await release

    assert len(api.sent("PATCH", "/status")) == 1


@pytest.mark.parametrize("kind", ["allocation", "reservation"])
async def test_what_is_decided_outlasts_a_renewal_that_comes_late(api, writer, gate, kind):
    claim = put_claim(api, finalized=True, status=held() if kind == "reservation" else None)
    put_pod(api)
    gate.open = False
    allocate = WriteAllocation(POD_REF, claim, allocation(), POD_REF.consumer)
    writer.submit(allocate if kind == "allocation" else ReserveClaim(POD_REF, claim, POD_REF.consumer))
    await asyncio.sleep(0.1)
    assert not api.requests

    gate.open = True
    event = await writer.answers.get()

    assert isinstance(event, ClaimWritten)
    assert event.claim.reserved_by(POD_REF.uid)


async def test_a_binding_is_not_kept_until_the_lease_is_renewed(api, writer, gate):
    """Somebody may have taken its devices meanwhile, so it is decided anew."""
    put_pod(api)
    gate.open = False

    assert (await answer(writer, BindPod(POD_REF, "n1", {}))).message == "lease lost"


async def test_the_fence_is_asked_between_finalizer_and_status(api, writer, gate):
    claim = put_claim(api)

    async def closing(fake, request):
        gate.open = False
        writer.deposed = True
        return await type(api).default(fake, request)

    api.script("PATCH", CLAIM, closing)

    event = await answer(writer, WriteAllocation(POD_REF, claim, allocation(), POD_REF.consumer))

    assert event.message == "lease lost"
    assert not api.sent("PATCH", "/status")


async def test_the_fence_is_asked_again_after_throttling(api, writer, gate, steps):
    claim = put_claim(api, finalized=True)

    async def throttled(fake, request):
        gate.open = False
        return await steps.refuse(429, headers={"Retry-After": "0.01"})(fake, request)

    api.script("PATCH", STATUS, throttled)

    event = await answer(writer, WriteAllocation(POD_REF, claim, allocation(), POD_REF.consumer))

    assert event.message == "lease lost"
    assert len(api.sent("PATCH")) == 1


async def test_no_more_writes_run_at_once_than_allowed(api, client):
    running, most = 0, 0

    async def count(fake, request):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return await type(api).default(fake, request)

    answers = asyncio.Queue()
    writer = Writer(client, answers.put_nowait, OpenFence(), in_flight=3)
    put_pod(api)
    api.script("POST", BINDING, *[count] * 12)

    for _ in range(12):
        writer.submit(BindPod(POD_REF, "n1", {}))
    for _ in range(12):
        await answers.get()

    assert most == 3


async def test_a_pod_is_bound_before_allocations_that_waited_for_longer(api, client):
    """Its devices are others' to take for as long as it is not."""
    claim = put_claim(api)
    answers = asyncio.Queue()
    writer = Writer(client, answers.put_nowait, OpenFence(), in_flight=1)
    put_pod(api)

    for _ in range(3):
        writer.submit(WriteAllocation(POD_REF, claim, allocation(), POD_REF.consumer))
    writer.submit(BindPod(POD_REF, "n1", {}))
    found = [await answers.get() for _ in range(4)]

    assert [type(each) for each in found].index(PodBound) == 1


async def test_a_release_that_found_no_answer_holds_up_nobody(api, client, steps):
    put_claim(api, finalized=True, status=held("gpu-0", "pod-uid"))
    put_pod(api)
    answers = asyncio.Queue()
    writer = Writer(client, answers.put_nowait, OpenFence(), in_flight=1, limit_s=0.2)
    api.script("PATCH", STATUS, steps.drop, steps.drop, steps.drop)

    reference = ClaimRef("ns", "c", Uid("claim-uid"), "1", finalized=True)
    writer.submit(ReleaseClaim(POD_REF, reference, POD_REF.consumer, deallocate=True))
    async with asyncio.timeout(30):
        while not api.sent("PATCH", "/status"):
            await asyncio.sleep(0.001)
    lane = writer.slots.begins
    async with asyncio.timeout(30):
        async with lane:
            while not lane.queued:
                await asyncio.sleep(0.001)

    assert not writer.slots.ends.queued
    writer.abandon()


async def half_an_answer(fake, request):
    """The write is applied, and half of what the server says of it arrives."""
    response = await type(fake).default(fake, request)
    return web.Response(body=response.body[: len(response.body) // 2], content_type="application/json")


async def test_half_an_answer_to_a_write_says_nothing_of_it(api, writer):
    claim = put_claim(api, finalized=True)
    api.script("PATCH", STATUS, half_an_answer)

    written = await answer(writer, WriteAllocation(POD_REF, claim, allocation(), POD_REF.consumer))

    assert isinstance(written, ClaimWritten)
    assert len(api.sent("PATCH")) == 1


async def test_half_an_answer_to_the_question_whether_a_pod_is_bound_says_nothing_of_it(api, writer, steps):
    put_pod(api)
    api.script("POST", BINDING, steps.apply_then(504))
    api.script("GET", POD, half_an_answer)

    assert await answer(writer, BindPod(POD_REF, "n1", {})) == PodBound(Uid("pod-uid"), "n1")


async def test_a_permission_that_is_missing_is_remembered_until_a_write_succeeds(api, writer, steps):
    claim = put_claim(api, finalized=True)
    api.script("PATCH", STATUS, steps.refuse(403, "Forbidden"))

    await answer(writer, WriteAllocation(POD_REF, claim, allocation(), POD_REF.consumer))
    missing = writer.forbidden
    await answer(writer, WriteAllocation(POD_REF, claim, allocation(), POD_REF.consumer))

    assert "Forbidden" in missing
    assert writer.forbidden == ""


# ---------------------------------------------------------------- what people read


async def refused_once(writer):
    async with asyncio.timeout(30):
        while not writer.reports.failed:
            await asyncio.sleep(0.01)


async def settled(writer):
    async with asyncio.timeout(30):
        while not writer.idle:
            await asyncio.sleep(0.005)


async def test_a_pending_pod_gets_condition_and_event(api, writer):
    put_pod(api)

    writer.reports.put(ReportUnschedulable(POD_REF, "NoFit", "0 of 3 nodes: all are full"))
    await settled(writer)

    (condition,) = api.objects[POD]["status"]["conditions"]
    assert (condition["type"], condition["status"]) == ("PodScheduled", "False")
    assert "0 of 3 nodes" in condition["message"]
    (event,) = api.sent("POST", "/events")
    assert event["body"]["reason"] == "FailedScheduling"


async def test_a_scheduled_pod_gets_its_event(api, writer):
    writer.reports.put(ReportScheduled(POD_REF, "n1", "assigned ns/p to n1"))
    await settled(writer)

    (event,) = api.sent("POST", "/events")
    assert event["body"]["reason"] == "Scheduled"


async def test_the_same_word_on_a_pod_is_not_repeated_soon(api, client):
    now = 0.0
    writer = Writer(client, lambda event: None, OpenFence(), machine=Machine(lambda: now))
    running = asyncio.ensure_future(writer.run())
    put_pod(api)
    sent = []

    for seconds, message in ((0, "full"), (10, "full"), (10, "no node"), (10, "no node"), (31, "no node")):
        now += seconds
        writer.reports.put(ReportUnschedulable(POD_REF, "NoFit", message))
        await settled(writer)
        sent.append(len(api.sent("POST", "/events")))

    running.cancel()
    assert sent == [1, 1, 2, 2, 3]


async def test_an_annotation_that_is_not_followed_is_told_beside_all_else(api, client):
    writer = Writer(client, lambda event: None, OpenFence(), machine=Machine(lambda: 0.0))
    running = asyncio.ensure_future(writer.run())
    put_pod(api)

    for _ in range(2):
        writer.reports.put(ReportUnschedulable(POD_REF, "NoFit", "full"))
        writer.reports.put(ReportIgnored(POD_REF, "annotation x: is not JSON"))
        await settled(writer)

    running.cancel()
    reasons = [event["body"]["reason"] for event in api.sent("POST", "/events")]
    assert sorted(reasons) == ["AnnotationIgnored", "AnnotationIgnored", "FailedScheduling"]


async def test_reports_that_cannot_be_written_stop_nothing(api, writer, steps):
    put_pod(api)
    api.script("POST", EVENTS, steps.refuse(403), steps.drop)

    for i in range(3):
        writer.reports.put(ReportScheduled(PodRef("ns", f"p{i}", Uid(f"u{i}")), "n1", "done"))
    await settled(writer)

    assert len(api.sent("POST", "/events")) == 3
    assert await answer(writer, BindPod(POD_REF, "n1", {})) == PodBound(Uid("pod-uid"), "n1")


async def test_why_a_pod_waits_is_told_again_where_it_could_not_be_written(api, writer, steps):
    put_pod(api)
    api.script("PATCH", f"{POD}/status", steps.refuse(503), steps.drop, steps.refuse(403), steps.refuse(422))

    writer.reports.put(ReportUnschedulable(POD_REF, "NoFit", "full"))
    await api.until(lambda: "conditions" in api.objects[POD].get("status", {}))

    assert api.objects[POD]["status"]["conditions"][0]["message"] == "full"


async def test_the_words_on_one_pod_arrive_in_their_order(api, writer):
    put_pod(api)
    slow = asyncio.Event()

    async def wait(fake, request):
        await slow.wait()
        return await type(fake).default(fake, request)

    api.script("PATCH", f"{POD}/status", wait)
    writer.reports.put(ReportUnschedulable(POD_REF, "NoFit", "full"))
    await api.until(lambda: api.sent("PATCH"))
    writer.reports.put(ReportUnschedulable(POD_REF, "NoFit", "no node"))
    writer.reports.put(ReportScheduled(PodRef("ns", "q", Uid("other")), "n1", "done"))
    await api.until(lambda: api.sent("POST", "/events"))
    slow.set()
    await settled(writer)

    assert api.sent("POST", "/events")[0]["body"]["reason"] == "Scheduled"
    assert api.objects[POD]["status"]["conditions"][0]["message"] == "no node"


async def test_a_word_that_may_still_arrive_is_waited_for_before_the_next(api, writer, steps):
    put_pod(api)
    api.script("PATCH", f"{POD}/status", steps.drop)

    writer.reports.put(ReportUnschedulable(POD_REF, "NoFit", "full"))
    await api.until(lambda: api.sent("PATCH"))
    begun = asyncio.get_running_loop().time()
    writer.reports.put(ReportUnschedulable(POD_REF, "NoFit", "no node"))
    await api.until(lambda: len(api.sent("PATCH")) == 2)

    assert asyncio.get_running_loop().time() - begun > 0.9 * writer.patience_s
    assert api.objects[POD]["status"]["conditions"][0]["message"] == "no node"


async def test_a_reason_that_could_not_be_written_does_not_come_after_a_newer_one(api, writer, steps):
    put_pod(api)
    api.script("PATCH", f"{POD}/status", steps.refuse(503))

    writer.reports.put(ReportUnschedulable(POD_REF, "NoFit", "full"))
    await refused_once(writer)
    writer.reports.put(ReportUnschedulable(POD_REF, "NoFit", "no node"))
    await settled(writer)
    await asyncio.sleep(0.1)  # the first would come after 0.04
    await settled(writer)

    told = [each["body"]["status"]["conditions"][0]["message"] for each in api.sent("PATCH")]
    assert told == ["full", "no node"]


async def test_too_many_reports_drop_the_oldest_and_count_them(api, client, monkeypatch):
    monkeypatch.setattr("scheduler.cluster.reports._WAITING", 3)
    writer = Writer(client, lambda event: None, OpenFence())

    for i in range(5):
        writer.reports.put(ReportScheduled(PodRef("ns", f"p{i}", Uid(f"u{i}")), "n1", "done"))
    running = asyncio.ensure_future(writer.run())
    await settled(writer)

    running.cancel()
    assert writer.reports.dropped == 2
    told = sorted(
        event["body"].get("regarding", event["body"].get("involvedObject"))["name"] for event in api.sent("POST")
    )
    assert told == ["p2", "p3", "p4"]


async def test_a_failure_that_is_no_answer_of_the_server_ends_the_writer(api, client, monkeypatch):
    def broken(event):
        raise ZeroDivisionError

    writer = Writer(client, broken, OpenFence())
    running = asyncio.ensure_future(writer.run())
    put_pod(api)
    await asyncio.sleep(0)

    writer.submit(BindPod(POD_REF, "n1", {}))

    with pytest.raises(ZeroDivisionError):
        async with asyncio.timeout(30):
            await running


TEAM = Consumer("podgroups", "team", Uid("team-uid"), "scheduling.k8s.io")


async def test_a_claim_is_reserved_for_the_group_of_its_pod(api, writer):
    claim = put_claim(api)

    event = await answer(writer, WriteAllocation(POD_REF, claim, allocation(), TEAM))

    assert isinstance(event, ClaimWritten)
    assert status(api)["reservedFor"] == [
        {"apiGroup": "scheduling.k8s.io", "resource": "podgroups", "name": "team", "uid": "team-uid"}
    ]


@pytest.mark.parametrize("others", [[], ["another"]])
async def test_a_claim_is_freed_for_a_group_unless_others_use_it(api, writer, others):
    put_claim(api, finalized=True, status=held("gpu-0", "team-uid", *others))
    reference = ClaimRef("ns", "c", Uid("claim-uid"), "1", finalized=True)

    writer.submit(ReleaseClaim(POD_REF, reference, TEAM, deallocate=True))
    await settled(writer)

    assert [user["uid"] for user in status(api).get("reservedFor", [])] == others
    assert ("allocation" in status(api)) is bool(others)


TAKEN = '[{"resourceClaimName":"c","mapping":[{"name":"cpu","quantity":"4"}]}]'


def taken(api):
    return api.objects[POD]["status"].get("nodeAllocatableResourceClaimStatuses")


async def test_what_devices_take_is_said_before_the_pod_is_bound(api, writer):
    put_pod(api)

    event = await answer(writer, BindPod(POD_REF, "n1", {}, TAKEN))

    assert event == PodBound(Uid("pod-uid"), "n1")
    assert taken(api) == json.loads(TAKEN)
    sent = [request["path"] for request in api.requests if request["method"] in {"PATCH", "POST"}]
    assert sent == [f"{POD}/status", BINDING]


async def test_it_is_taken_back_when_the_binding_is_refused(api, writer, steps):
    put_pod(api)
    api.script("POST", BINDING, steps.refuse(422))

    event = await answer(writer, BindPod(POD_REF, "n1", {}, TAKEN))

    assert event.cause == "invalid"
    assert taken(api) == []


async def test_it_is_not_taken_back_from_a_pod_that_changed(api, writer, steps):
    put_pod(api)

    async def somebody_else(fake, request):
        fake.put(POD, fake.objects[POD])
        return await steps.refuse(422)(fake, request)

    api.script("POST", BINDING, somebody_else)

    assert (await answer(writer, BindPod(POD_REF, "n1", {}, TAKEN))).cause == "invalid"
    assert taken(api) == json.loads(TAKEN)


async def test_without_it_being_said_the_pod_is_not_bound(api, writer, steps):
    put_pod(api)
    api.script("PATCH", f"{POD}/status", steps.refuse(403))

    event = await answer(writer, BindPod(POD_REF, "n1", {}, TAKEN))

    assert event.cause == "forbidden"
    assert not api.sent("POST", "/binding")


# ---------------------------------------------------------------- what an earlier leader began


async def test_a_half_written_claim_is_taken_back_and_its_late_allocation_is_refused(api, client, writer):
    claim = put_claim(api, finalized=True)
    late = encode.allocation_patch(claim.uid, claim.resource_version, allocation(), POD_REF.consumer, "t")

    assert not await writer.supersede([claim])
    with pytest.raises(ApiError) as refused:
        await client.request("PATCH", STATUS, late, MERGE_PATCH)

    assert refused.value.cause == "conflict"
    assert api.objects[CLAIM]["metadata"]["finalizers"] == []
    assert "allocation" not in status(api)


async def test_a_claim_that_was_allocated_just_before_is_left_as_it_is_and_told_of(api, writer):
    claim = put_claim(api, finalized=True)
    put_claim(api, finalized=True, status=held("gpu-0", "pod-uid"))

    assert await writer.supersede([claim])

    assert status(api)["allocation"]
    assert api.objects[CLAIM]["metadata"]["finalizers"] == [CLAIM_FINALIZER]


async def test_a_claim_that_changed_otherwise_is_taken_back_at_its_newest_version(api, writer):
    claim = put_claim(api, finalized=True)
    put_claim(api, finalized=True)

    assert await writer.supersede([claim])

    assert api.objects[CLAIM]["metadata"]["finalizers"] == []


async def test_an_answer_that_is_lost_is_asked_for(api, writer, steps):
    claim = put_claim(api, finalized=True)
    api.script("PATCH", CLAIM, steps.apply_and_drop)

    assert await writer.supersede([claim])

    assert api.objects[CLAIM]["metadata"]["finalizers"] == []


async def test_a_claim_that_is_gone_and_one_that_may_not_be_written_hold_nobody_up(api, writer, steps):
    gone = ClaimRef("ns", "other", Uid("other-uid"), "1", finalized=True)
    claim = put_claim(api, finalized=True)
    api.script("PATCH", CLAIM, steps.refuse(403))

    assert await writer.supersede([gone, claim])

    assert len(api.sent("PATCH")) == 2


async def test_what_cannot_be_taken_back_in_time_is_told(api, client, gate, steps, caplog):
    writer = Writer(client, lambda event: None, gate, limit_s=0.1, release_s=0.3)
    claim = put_claim(api, finalized=True)
    api.script("PATCH", CLAIM, *[steps.refuse(500)] * 200)

    assert await writer.supersede([claim])

    assert "claim ns/c not taken back from an earlier leader in time" in caplog.text


async def test_who_no_longer_leads_takes_nothing_back(api, writer, gate):
    claim = put_claim(api, finalized=True)
    gate.open = False
    writer.deposed = True

    assert await writer.supersede([claim])

    assert api.sent("PATCH") == []


async def test_nothing_is_settled_while_a_claim_is_taken_back_nor_soon_after_that_was_given_up(api, writer, steps):
    claim = put_claim(api, finalized=True)
    api.script("PATCH", CLAIM, steps.hang)
    writer.patience_s = 1.0
    before = writer.settled

    taking = asyncio.ensure_future(writer.supersede([claim]))
    await api.until(lambda: api.sent("PATCH"))
    during = writer.settled
    taking.cancel()
    await asyncio.wait([taking])
    after = writer.settled, writer.writing

    assert (before, during, after) == (True, False, (False, 0))
    await settled(writer)


@pytest.mark.parametrize(("status", "settled"), [(500, False), (422, True)])
async def test_a_write_without_an_answer_may_be_applied_for_some_time(api, writer, steps, status, settled):
    put_pod(api)
    api.script("PATCH", f"{POD}/status", steps.refuse(status))
    writer.patience_s = 60.0

    writer.reports.put(ReportUnschedulable(POD_REF, "Nope", "no room"))
    await refused_once(writer)

    assert writer.settled == settled
