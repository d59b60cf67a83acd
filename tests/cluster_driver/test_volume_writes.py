"""What is written for volumes of placed pods, and taken back: as the API server is asked, and what is answered."""

import asyncio

import pytest

from scheduler.cluster.lease import OpenFence
from scheduler.cluster.write import Writer
from scheduler.core.messages import (
    BindVolume,
    PodRef,
    SelectNode,
    StorageRef,
    UnbindVolume,
    UnselectNode,
    VolumeRefused,
    VolumeWritten,
)
from scheduler.core.model import Uid

POD = PodRef("ns", "p", Uid("pod-uid"), "1")
VOLUME = "/api/v1/persistentvolumes/pv"
CLAIM = "/api/v1/namespaces/ns/persistentvolumeclaims/c"
SELECTED = "volume.kubernetes.io/selected-node"
BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"


@pytest.fixture
async def writes(api, client):
    """Writes one instruction; returns the answers."""
    answers: asyncio.Queue = asyncio.Queue()
    writer = Writer(client, answers.put_nowait, OpenFence(), limit_s=0.5, release_s=3.0)
    running = asyncio.create_task(writer.run())

    async def write(instruction, *, answered=True):
        writer.submit(instruction)
        if answered:
            return await asyncio.wait_for(answers.get(), 10)
        while writer.writing:
            await asyncio.sleep(0.01)
        return None

    yield write
    running.cancel()


def volume(api, phase="Available", **spec):
    made = {"metadata": {"name": "pv", "uid": "volume-uid"}, "spec": spec, "status": {"phase": phase}}
    return StorageRef("", "pv", Uid("volume-uid"), api.put(VOLUME, made)["metadata"]["resourceVersion"])


def claim(api, **annotations):
    metadata = {"name": "c", "namespace": "ns", "uid": "claim-uid"}
    if annotations:
        metadata["annotations"] = {SELECTED: annotations["selected"]}
    made = {"metadata": metadata, "spec": annotations.get("spec", {})}
    return StorageRef("ns", "c", Uid("claim-uid"), api.put(CLAIM, made)["metadata"]["resourceVersion"])


KEPT = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": "ns", "name": "c", "uid": "claim-uid"}


async def test_a_volume_is_kept_for_a_claim(api, writes):
    kept, own = volume(api, capacity={"storage": "1Gi"}), claim(api)

    answer = await writes(BindVolume(POD, own, kept, named=False))

    found = api.objects[VOLUME]
    assert answer == VolumeWritten(POD.uid, own.uid, found["metadata"]["resourceVersion"])
    assert found["spec"] == {
        "capacity": {"storage": "1Gi"},
        "claimRef": {**KEPT, "resourceVersion": own.resource_version},
    }
    assert found["metadata"]["annotations"] == {BY_CONTROLLER: "yes"}


async def test_a_volume_that_was_kept_by_name_is_not_said_to_be_bound_by_a_controller(api, writes):
    kept = volume(api, claimRef={"namespace": "ns", "name": "c"})

    await writes(BindVolume(POD, claim(api), kept, named=True))

    assert "annotations" not in api.objects[VOLUME]["metadata"]
    assert api.objects[VOLUME]["spec"]["claimRef"]["uid"] == "claim-uid"


@pytest.mark.parametrize(("named", "left"), [(False, None), (True, {"namespace": "ns", "name": "c"})])
async def test_what_was_kept_is_freed_as_it_was(api, writes, named, left):
    reference = {"namespace": "ns", "name": "c"} if named else None
    kept, own = volume(api, **({"claimRef": reference} if named else {})), claim(api)
    await writes(BindVolume(POD, own, kept, named=named))

    await writes(UnbindVolume(POD, own, kept, named=named), answered=False)

    found = api.objects[VOLUME]
    reference = found["spec"].get("claimRef")
    assert (reference and {key: reference.get(key) for key in ("namespace", "name")}) == left
    assert (reference or {}).get("uid") is None
    assert found["metadata"].get("annotations") in (None, {})


@pytest.mark.parametrize(("phase", "uid"), [("Bound", "claim-uid"), ("Available", "other")])
async def test_a_volume_that_is_being_bound_or_is_anothers_is_left_alone(api, writes, phase, uid):
    kept = volume(api, phase, claimRef={**KEPT, "uid": uid})

    await writes(UnbindVolume(POD, claim(api), kept, named=False), answered=False)

    assert api.sent("PATCH", VOLUME) == []


async def test_a_volume_that_changed_is_not_written_to(api, writes):
    kept, own = volume(api), claim(api)
    volume(api, claimRef={**KEPT, "uid": "other"})

    answer = await writes(BindVolume(POD, own, kept, named=False))

    assert (type(answer), answer.cause) == (VolumeRefused, "conflict")


async def test_a_node_is_set_and_taken_off_again(api, writes):
    own = claim(api)

    answer = await writes(SelectNode(POD, own, "n1"))
    assert api.objects[CLAIM]["metadata"]["annotations"] == {SELECTED: "n1"}
    assert answer == VolumeWritten(POD.uid, own.uid, api.objects[CLAIM]["metadata"]["resourceVersion"])

    await writes(UnselectNode(POD, own, "n1"), answered=False)
    assert not api.objects[CLAIM]["metadata"].get("annotations")


@pytest.mark.parametrize("state", [{"selected": "n2"}, {"selected": "n1", "spec": {"volumeName": "pv"}}])
async def test_a_node_that_another_set_or_that_was_used_stays(api, writes, state):
    await writes(UnselectNode(POD, claim(api, **state), "n1"), answered=False)

    assert api.sent("PATCH", CLAIM) == []


@pytest.mark.parametrize("applied", [True, False])
async def test_a_write_without_an_answer_is_settled_by_a_look(api, steps, writes, applied):
    own = claim(api)

    async def lost(server, request):
        if applied:
            body = server.sent("PATCH", CLAIM)[-1]
            server.apply("PATCH", CLAIM, body["body"], body["type"])
        return await steps.refuse(500)(server, request)

    api.script("PATCH", CLAIM, lost)

    answer = await writes(SelectNode(POD, own, "n1"))

    assert isinstance(answer, VolumeWritten if applied else VolumeRefused)
    assert (SELECTED in (api.objects[CLAIM]["metadata"].get("annotations") or {})) is applied


async def test_a_claim_that_is_used_again_is_released_no_further(api, steps, writes):
    own = claim(api, selected="n1")
    api.script("GET", CLAIM, *[steps.refuse(503)] * 3)
    release = asyncio.create_task(writes(UnselectNode(POD, own, "n1"), answered=False))
    await api.until(lambda: api.sent("GET", CLAIM))

    await writes(SelectNode(POD, own, "n2"))
    await release

    assert api.objects[CLAIM]["metadata"]["annotations"] == {SELECTED: "n2"}
