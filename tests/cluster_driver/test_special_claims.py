"""Claims for extended resources: made, allocated, reserved, named in the pod's status, in this order; and deleted."""

import asyncio

import pytest

from scheduler.cluster import decode
from scheduler.cluster.lease import OpenFence
from scheduler.cluster.write import Writer
from scheduler.core.extended import special_claim
from scheduler.core.messages import (
    ClaimCreated,
    ClaimRef,
    ClaimRefused,
    ClaimWritten,
    CreateClaim,
    DeleteClaim,
    PodRef,
)
from scheduler.core.model import Allocation, Result, Uid
from scheduler.core.names import CLAIM_FINALIZER

GPU = "example.com/gpu"
CLAIMS = "/apis/resource.k8s.io/v1/namespaces/ns/resourceclaims"
POD = "/api/v1/namespaces/ns/pods/p"
POD_REF = PodRef("ns", "p", Uid("pod-uid"), "7")


@pytest.fixture
async def writer(api, client):
    answers = asyncio.Queue()
    made = Writer(client, answers.put_nowait, OpenFence(), limit_s=0.1)
    made.answers = answers
    yield made
    made.abandon()


def put_pod(api, uid="pod-uid"):
    container = {"name": "main", "resources": {"requests": {GPU: "1"}}}
    metadata = {"namespace": "ns", "name": "p", "uid": uid}
    api.put(POD, {"metadata": metadata, "spec": {"containers": [container]}, "status": {"phase": "Pending"}})


def creation(api):
    put_pod(api)
    special = special_claim(decode.decode("Pod", api.objects[POD]), {GPU: "gpu"})
    allocation = Allocation((Result("container-0-request-0", "gpu.example.com", "n1", "gpu-0"),), None)
    return CreateClaim(POD_REF, special, allocation)


def path_of(write):
    return f"{CLAIMS}/{write.special.claim.name}"


async def answers(writer, write):
    """All answers, once nothing is under way."""
    writer.submit(write)
    async with asyncio.timeout(30):
        while not writer.idle:
            await asyncio.sleep(0.005)
    return [writer.answers.get_nowait() for _ in range(writer.answers.qsize())]


def steps_of(api):
    return [(each["method"], each["path"].rpartition("/")[2]) for each in api.requests if each["method"] != "GET"]


async def test_the_claim_is_made_then_allocated_and_then_named_in_the_pod(api, writer):
    write = creation(api)

    created, written = await answers(writer, write)

    assert steps_of(api) == [("POST", "resourceclaims"), ("PATCH", "status"), ("PATCH", "status")]
    assert [each["path"] for each in api.sent("PATCH")] == [f"{path_of(write)}/status", f"{POD}/status"]
    assert isinstance(created, ClaimCreated)
    assert (created.claim.allocation, created.claim.owner, created.claim.finalized) == (None, "pod-uid", True)
    assert isinstance(written, ClaimWritten)
    assert written.claim.uid == created.claim.uid
    assert written.claim.allocation.results == write.allocation.results
    assert written.claim.reserved_by("pod-uid")


async def test_the_pod_says_which_request_serves_which_container(api, writer):
    write = creation(api)

    await answers(writer, write)

    status = api.objects[POD]["status"]
    assert status["phase"] == "Pending"
    assert status["extendedResourceClaimStatus"] == {
        "resourceClaimName": write.special.claim.name,
        "requestMappings": [
            {"containerName": "main", "resourceName": GPU, "requestName": "container-0-request-0"}
        ],
    }  # fmt: skip


@pytest.mark.parametrize(("code", "cause"), [(403, "forbidden"), (409, "conflict"), (422, "invalid"), (404, "gone")])
async def test_a_claim_that_may_not_be_made_is_refused_under_its_provisional_uid(api, writer, steps, code, cause):
    write = creation(api)
    api.script("POST", CLAIMS, steps.refuse(code, "Why"))

    (refused,) = await answers(writer, write)

    assert (refused.claim, refused.cause) == (write.special.claim.uid, cause)
    assert steps_of(api) == [("POST", "resourceclaims")]


async def test_a_quota_that_is_used_up_is_no_missing_permission(api, writer, steps):
    message = "resourceclaims is forbidden: exceeded quota: gpus, requested: 1, used: 8, limited: 8"
    write = creation(api)
    api.script("POST", CLAIMS, steps.refuse(403, "Forbidden"), steps.refuse(403, "Forbidden", message=message))

    await answers(writer, write)
    missing = writer.forbidden
    await answers(writer, write)

    assert "Forbidden" in missing
    assert writer.forbidden == missing  # what was said of permissions stands, and nothing was added


@pytest.mark.parametrize(("code", "cause"), [(403, "forbidden"), (409, "conflict"), (422, "invalid"), (404, "gone")])
@pytest.mark.parametrize("what", ["allocation", "pod"])
async def test_what_fails_after_the_claim_was_made_is_refused_under_its_own_uid(api, writer, steps, what, code, cause):
    write = creation(api)
    api.script("PATCH", f"{path_of(write) if what == 'allocation' else POD}/status", steps.refuse(code, "Why"))

    created, refused = await answers(writer, write)

    assert isinstance(refused, ClaimRefused)
    assert (refused.claim, refused.cause) == (created.claim.uid, cause)
    assert "Why" in refused.message


@pytest.mark.parametrize("how", ["dropped", "504", "late"])
@pytest.mark.parametrize("what", ["claim", "allocation", "pod"])
async def test_what_was_applied_is_adopted_though_its_answer_was_lost(api, writer, steps, what, how):
    async def late(fake, request):
        await type(api).default(fake, request)
        await asyncio.sleep(60)

    write = creation(api)
    method, path = {
        "claim": ("POST", CLAIMS),
        "allocation": ("PATCH", f"{path_of(write)}/status"),
        "pod": ("PATCH", f"{POD}/status"),
    }[what]
    api.script(method, path, {"dropped": steps.apply_and_drop, "504": steps.apply_then(504), "late": late}[how])

    created, written = await answers(writer, write)

    assert (type(created), type(written)) == (ClaimCreated, ClaimWritten)
    assert len(api.sent("POST")) == 1
    assert api.objects[POD]["status"]["extendedResourceClaimStatus"]


@pytest.mark.parametrize("what", ["claim", "pod"])
async def test_what_was_not_applied_is_refused_as_unknown_after_the_servers_limit(api, writer, steps, what):
    write = creation(api)
    method, path = {"claim": ("POST", CLAIMS), "pod": ("PATCH", f"{POD}/status")}[what]
    api.script(method, path, steps.drop)
    begun = asyncio.get_running_loop().time()

    refused = (await answers(writer, write))[-1]

    assert (type(refused), refused.cause) == (ClaimRefused, "unknown")
    assert asyncio.get_running_loop().time() - begun >= 0.1


async def test_a_claim_that_is_made_after_a_first_look_is_still_adopted(api, writer, steps):
    write = creation(api)

    async def delayed(fake, request):
        body = fake.requests[-1]["body"]
        asyncio.get_running_loop().call_later(0.05, lambda: fake.apply("POST", CLAIMS, body, "application/json"))
        return await steps.drop(fake, request)

    api.script("POST", CLAIMS, delayed)

    created, written = await answers(writer, write)

    assert isinstance(created, ClaimCreated)
    assert isinstance(written, ClaimWritten)


async def test_somebody_elses_claim_of_this_name_is_never_taken_for_ours(api, writer, steps):
    write = creation(api)
    metadata = {"namespace": "ns", "name": write.special.claim.name, "uid": "another"}
    api.put(path_of(write), {"metadata": metadata, "spec": {"devices": {"requests": []}}})
    api.script("POST", CLAIMS, steps.drop)

    (refused,) = await answers(writer, write)

    assert (refused.claim, refused.cause) == (write.special.claim.uid, "conflict")
    assert not api.sent("PATCH")


async def test_a_pod_that_was_replaced_is_not_told_of_the_claim(api, writer, steps):
    write = creation(api)

    async def replaced(fake, request):
        put_pod(fake, uid="another")
        return await steps.drop(fake, request)

    api.script("PATCH", f"{POD}/status", replaced)

    refused = (await answers(writer, write))[-1]

    assert refused.cause == "gone"


# ---------------------------------------------------------------- deletion


async def made(api, writer):
    write = creation(api)
    written = (await answers(writer, write))[-1].claim
    api.requests.clear()
    claim = ClaimRef(written.namespace, written.name, written.uid, written.resource_version, finalized=True)
    return path_of(write), DeleteClaim(POD_REF, claim)


async def test_the_claim_is_marked_as_deleted_before_its_finalizer_is_taken_off(api, writer):
    path, deletion = await made(api, writer)

    await answers(writer, deletion)

    assert steps_of(api) == [("DELETE", path.rpartition("/")[2]), ("PATCH", path.rpartition("/")[2])]
    assert path not in api.objects


async def test_a_deletion_that_was_interrupted_is_finished(api, writer):
    path, deletion = await made(api, writer)
    api.objects[path]["metadata"]["deletionTimestamp"] = "now"

    await answers(writer, deletion)

    assert steps_of(api) == [("PATCH", path.rpartition("/")[2])]
    assert path not in api.objects


async def test_finalizers_of_others_stay(api, writer):
    path, deletion = await made(api, writer)
    api.objects[path]["metadata"]["finalizers"].append("example.com/audit")

    await answers(writer, deletion)

    assert api.objects[path]["metadata"]["finalizers"] == ["example.com/audit"]
    assert api.objects[path]["metadata"]["deletionTimestamp"]
    assert CLAIM_FINALIZER not in api.objects[path]["metadata"]["finalizers"]


async def test_a_claim_that_came_under_the_name_later_is_left_alone(api, writer):
    path, deletion = await made(api, writer)
    api.objects[path]["metadata"]["uid"] = "another"

    await answers(writer, deletion)

    assert path in api.objects
    assert steps_of(api) == []


async def test_a_claim_that_is_gone_needs_no_deletion(api, writer):
    path, deletion = await made(api, writer)
    del api.objects[path]

    await answers(writer, deletion)

    assert steps_of(api) == []


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_a_deletion_is_repeated_after_a_conflict_or_an_outage(api, writer, steps, method):
    path, deletion = await made(api, writer)
    api.script(method, path, steps.refuse(409, "Conflict"), steps.refuse(503), steps.drop)

    await answers(writer, deletion)

    assert path not in api.objects
