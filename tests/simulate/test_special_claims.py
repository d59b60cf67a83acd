"""The API in memory makes, allocates and names the claims that serve extended resources, by the server's rules."""

import json
from dataclasses import replace

import pytest

from scheduler.cluster import decode, encode
from scheduler.core.extended import special_claim
from scheduler.core.messages import (
    ClaimCreated,
    ClaimRef,
    ClaimRefused,
    ClaimWritten,
    CreateClaim,
    DeleteClaim,
    Gone,
    PodRef,
    Seen,
)
from scheduler.core.model import Allocation, RequestMapping, Result
from scheduler.simulator.api import Api, RefusedError

GPU = "example.com/gpu"


def pod():
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "d"},
        "spec": {"containers": [{"name": "main", "resources": {"limits": {GPU: "1"}}}]},
    }


def cluster():
    """A cluster with the pod, and the instruction to make its claim."""
    api = Api([pod()])
    api.events()
    raw = api.get("Pod", "d/p")
    reference = PodRef("d", "p", raw["metadata"]["uid"], raw["metadata"]["resourceVersion"])
    allocation = Allocation((Result("container-0-request-0", "drv", "n1", "gpu-0"),), None)
    return api, CreateClaim(reference, special_claim(decode.decode("Pod", raw), {GPU: "gpu"}), allocation)


def made():
    api, write = cluster()
    api.execute(write)
    raw = api.get("ResourceClaim", write.special.claim.key)
    metadata = raw["metadata"]
    claim = ClaimRef("d", metadata["name"], metadata["uid"], metadata["resourceVersion"], finalized=True)
    return api, write, DeleteClaim(write.pod, claim)


def test_the_claim_is_answered_as_created_and_then_as_written():
    api, write = cluster()

    created, written, *seen = api.execute(write)

    assert isinstance(created, ClaimCreated)
    assert isinstance(written, ClaimWritten)
    assert (created.claim.allocation, created.claim.uid) == (None, written.claim.uid)
    assert written.claim.allocation.results == write.allocation.results
    assert written.claim.reserved_by(write.pod.uid)
    assert [type(event) for event in seen] == [Seen, Seen, Seen]


def test_the_pod_names_the_claim():
    api, write, _ = made()

    said = api.get("Pod", "d/p")["status"]["extendedResourceClaimStatus"]
    assert said["resourceClaimName"] == write.special.claim.name
    assert said["requestMappings"] == [
        {"containerName": "main", "resourceName": GPU, "requestName": "container-0-request-0"}
    ]


def test_a_claim_of_that_name_is_in_the_way():
    api, write, _ = made()

    (refused,) = api.execute(write)

    assert (type(refused), refused.claim, refused.cause) == (ClaimRefused, write.special.claim.uid, "conflict")


@pytest.mark.parametrize(
    "mappings",
    [
        (),
        (RequestMapping("other", GPU, "r"),),
        (RequestMapping("main", "example.com/nic", "r"),),
        (RequestMapping("main", GPU, "r"), RequestMapping("main", GPU, "r")),
    ],
)
def test_mappings_that_mean_nothing_are_refused_and_the_claim_stays_to_be_deleted(mappings):
    api, write = cluster()

    created, refused, *_ = api.execute(replace(write, special=replace(write.special, mappings=mappings)))

    assert (refused.claim, refused.cause) == (created.claim.uid, "invalid")
    assert "extendedResourceClaimStatus" not in api.get("Pod", "d/p")["status"]


def test_what_the_status_said_once_can_be_changed_but_not_taken_back():
    api, write, _ = made()
    body = json.dumps({"status": {"extendedResourceClaimStatus": None}}).encode()

    api.patch("Pod", "d/p", body, encode.MERGE, status=True)
    kept = api.get("Pod", "d/p")["status"]["extendedResourceClaimStatus"]
    again = encode.special_claim_patch(write.pod, "another", write.special.mappings)
    api.patch("Pod", "d/p", again, encode.STRATEGIC, status=True)

    assert kept["resourceClaimName"] == write.special.claim.name
    assert api.get("Pod", "d/p")["status"]["extendedResourceClaimStatus"]["resourceClaimName"] == "another"


def test_a_deletion_takes_the_claim_away_though_it_is_allocated():
    api, write, deletion = made()

    events = api.execute(deletion)

    assert Gone("ResourceClaim", write.special.claim.key, deletion.claim.uid) in events
    with pytest.raises(RefusedError):
        api.get("ResourceClaim", write.special.claim.key)
    assert api.execute(deletion) == []


def test_the_claim_goes_with_its_pod():
    api, _, _ = made()

    api.delete("Pod", "d/p")

    assert api.all("ResourceClaim") == []
