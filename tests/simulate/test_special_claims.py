"""The API in memory makes, allocates and names the claims that serve extended resources, by the server's rules."""

import json
from dataclasses import replace

import pytest

from scheduler.cluster import decode, encode
from scheduler.core import names
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
from scheduler.simulator import fleet
from scheduler.simulator.api import Api, RefusedError
from scheduler.simulator.objects import Found, Objects, parse
from scheduler.simulator.run import simulate

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


# ---------------------------------------------------------------- the whole of it

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: vllm}
spec:
  replicas: REPLICAS
  template:
    metadata: {labels: {app: vllm}}
    spec:
      schedulerName: dovetail
      initContainers:
      - name: warm
        image: vllm
        resources: {limits: {nvidia.com/gpu: "1"}}
      containers:
      - name: main
        image: vllm
        resources: {limits: {nvidia.com/gpu: "2"}}
"""


def simulated(*more, replicas=1, boxes=1):
    workload = [each.raw for each in parse("workload", DEPLOYMENT.replace("REPLICAS", str(replicas))).found]
    objects = [*fleet.fleet({"dgx-h100": boxes}), *fleet.device_classes(), *workload, *more]
    return simulate(Objects([Found(raw, "here") for raw in objects]))


def of(outcome, kind):
    return [raw for raw in outcome.objects if raw["kind"] == kind]


def plugin_node(gpus):
    amounts = {"cpu": "64", "memory": "512Gi", "pods": "110", "nvidia.com/gpu": str(gpus)}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "old", "labels": {names.OWNED: "true"}},
        "status": {"allocatable": amounts, "capacity": amounts},
    }


def test_a_simulation_places_pods_with_the_best_devices_for_their_extended_resources():
    outcome = simulated()

    (claim,) = of(outcome, "ResourceClaim")
    (found,) = of(outcome, "Pod")
    assert outcome.pending == {}
    assert claim["metadata"]["annotations"] == {names.EXTENDED_CLAIM: "true"}
    assert [each["request"] for each in claim["status"]["allocation"]["devices"]["results"]] == [
        "container-1-request-0", "container-1-request-0",
    ]  # fmt: skip
    assert claim["status"]["reservedFor"][0]["uid"] == found["metadata"]["uid"]
    assert found["status"]["extendedResourceClaimStatus"] == {
        "resourceClaimName": claim["metadata"]["name"],
        "requestMappings": [
            {"containerName": "main", "resourceName": "nvidia.com/gpu", "requestName": "container-1-request-0"},
            {"containerName": "warm", "resourceName": "nvidia.com/gpu", "requestName": "container-1-request-0"},
        ],
    }


def test_a_simulation_fills_devices_and_plugins_and_tells_the_rest_why():
    outcome = simulated(plugin_node(3), replicas=6)

    nodes = sorted(pod["spec"].get("nodeName", "") for pod in of(outcome, "Pod"))
    assert nodes == ["", "dgx-h100-0", "dgx-h100-0", "dgx-h100-0", "dgx-h100-0", "old"]
    assert len(of(outcome, "ResourceClaim")) == 4
    (reason,) = outcome.pending.values()
    assert "1 lack nvidia.com/gpu (asks 2, at most 1 left)" in reason
    assert "1 lack 2 free devices for request nvidia.com/gpu of container main" in reason
