"""Which class backs an extended resource, and the claim that serves a pod: names, sharing, mappings."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.cluster import decode
from scheduler.core import names
from scheduler.core.extended import MAX_BASE, backing_class, is_special, special_claim
from scheduler.core.model import ExtendedRequest
from tests import build

GPU = "example.com/gpu"
NIC = "example.com/nic"
IMPLICIT = "deviceclass.resource.kubernetes.io/gpu"
CLASSES = {GPU: "gpu", NIC: "nic", IMPLICIT: "gpu"}


def container(name, gpu=None, *, always=False, **more):
    """Requests `gpu` of them; `more` by the last part of a resource's name, or with limits as they are."""
    requests = {} if gpu is None else {GPU: str(gpu)}
    requests |= {NIC: str(more.pop("nic"))} if "nic" in more else {}
    requests |= more.pop("requests", {})
    found = {"name": name, "resources": {"requests": requests, **more}}
    return {**found, "restartPolicy": "Always"} if always else found


def pod(*containers, init=(), name="p", status=None):
    raw = {
        "metadata": {"name": name, "namespace": "d", "uid": "u", "resourceVersion": "7"},
        "spec": {"containers": list(containers), "initContainers": list(init)},
        "status": status or {},
    }
    return decode.decode("Pod", raw)


def claimed(found, *served):
    """Requests as name -> (class, count), and mappings as (container, last part of the resource, request)."""
    special = special_claim(found, {name: CLASSES[name] for name in served or (GPU,)})
    requests = {each.name: (each.device_class, each.count) for each in special.claim.spec.requests}
    mappings = [(each.container, each.resource.rpartition("/")[2], each.request) for each in special.mappings]
    return requests, mappings


def request_at(place):
    position, number = place if isinstance(place, tuple) else (place, 0)
    return f"container-{position}-request-{number}"


def sidecar(name, gpu=None, **more):
    return container(name, gpu, always=True, **more)


# containers, init containers; requests as place -> devices; mappings as container and place of the request.
# A place is the container's position, with the number of its resource unless that is 0.
TABLE = {
    "one container": ([container("a", 2)], [], {0: 2}, [("a", 0)]),
    "a container without any keeps its place in the numbering": (
        [container("a"), container("b", 1)], [], {1: 1}, [("b", 1)],
    ),
    "zero is nothing": ([container("a", 0), container("b", 1)], [], {1: 1}, [("b", 1)]),
    "every container has its own devices": (
        [container("a", 2), container("b", 3)], [],
        {0: 2, 1: 3}, [("a", 0), ("b", 1)],
    ),
    "a sidecar too": (
        [container("a", 2)], [sidecar("s", 1)],
        {0: 1, 1: 2}, [("s", 0), ("a", 1)],
    ),
    "an init container uses what comes later": (
        [container("a", 2)], [container("i", 2)], {1: 2}, [("a", 1), ("i", 1)],
    ),
    "an init container that needs less uses the whole of it": (
        [container("a", 2)], [container("i", 1)], {1: 2}, [("a", 1), ("i", 1)],
    ),
    "an init container takes no more requests than it needs": (
        [container("a", 2), container("b", 2)], [container("i", 2)],
        {1: 2, 2: 2}, [("a", 1), ("b", 2), ("i", 1)],
    ),
    "an init container uses several": (
        [container("a", 2), container("b", 2)], [container("i", 3)],
        {1: 2, 2: 2}, [("a", 1), ("b", 2), ("i", 1), ("i", 2)],
    ),
    "an init container that needs more asks for the rest": (
        [container("a", 2)], [container("i", 5)],
        {0: 3, 1: 2}, [("a", 1), ("i", 1), ("i", 0)],
    ),
    "an init container alone": ([container("a")], [container("i", 4)], {0: 4}, [("i", 0)]),
    "init containers share the largest rest": (
        [container("a", 1)], [container("i", 3), container("k", 5)],
        {1: 4, 2: 1}, [("a", 2), ("i", 2), ("i", 1), ("k", 2), ("k", 1)],
    ),
    "of equal rests the first serves": (
        [container("a")], [container("i", 2), container("k", 2)],
        {0: 2}, [("i", 0), ("k", 0)],
    ),
    "init containers whose largest comes first": (
        [container("a")], [container("i", 4), container("k", 1)], {0: 4}, [("i", 0), ("k", 0)],
    ),
    "an init container with a rest beside one without": (
        [container("a", 2)], [container("i", 1), container("k", 3)],
        {1: 1, 2: 2}, [("a", 2), ("i", 2), ("k", 2), ("k", 1)],
    ),
    "a sidecar that started before is not shared": (
        [container("a")], [sidecar("s", 2), container("i", 2)],
        {0: 2, 1: 2}, [("s", 0), ("i", 1)],
    ),
    "a sidecar that starts later is shared": (
        [container("a")], [container("i", 2), sidecar("s", 2)], {1: 2}, [("s", 1), ("i", 1)],
    ),
    "sidecars on both sides": (
        [container("a", 1)], [sidecar("s", 1), container("i", 3), sidecar("t", 1)],
        {0: 1, 1: 1, 2: 1, 3: 1},
        [("s", 0), ("t", 2), ("a", 3), ("i", 2), ("i", 3), ("i", 1)],
    ),
    "two init containers around a sidecar": (
        [container("a")], [container("i", 3), sidecar("s", 2), container("k", 2)],
        {1: 2, 2: 2}, [("s", 1), ("i", 1), ("i", 2), ("k", 2)],
    ),
    "a later init container with none of its own to share": (
        [container("a", 4)], [container("i"), container("k", 4)], {2: 4}, [("a", 2), ("k", 2)],
    ),
    "an init container that asks for zero": (
        [container("a", 1)], [container("i", 0)], {1: 1}, [("a", 1)],
    ),
    "the number counts all resources of the container by name": (
        [container("a", 2, requests={"cpu": "1", "memory": "1Gi"})], [], {(0, 1): 2}, [("a", (0, 1))],
    ),
    "the number counts resources that ask for nothing": (
        [container("a", 2, requests={"cpu": "0", "a.com/x": "0"})], [], {(0, 2): 2}, [("a", (0, 2))],
    ),
    "a limit alone is a request": (
        [{"name": "a", "resources": {"limits": {GPU: "3"}}}], [], {0: 3}, [("a", 0)],
    ),
    "a large unit": ([container("a", "1k")], [], {0: 1000}, [("a", 0)]),
}  # fmt: skip


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.replace(" ", "-"))
def test_requests_and_mappings(case):
    containers, init, counts, mapped = TABLE[case]

    requests, mappings = claimed(pod(*containers, init=init))

    assert requests == {request_at(place): ("gpu", count) for place, count in counts.items()}
    assert mappings == [(name, "gpu", request_at(place)) for name, place in mapped]


def test_resources_are_numbered_by_name_and_mapped_one_after_the_other():
    requests, mappings = claimed(pod(container("a", 2, nic=1), container("b", nic=3)), GPU, NIC)

    assert requests == {
        "container-0-request-0": ("gpu", 2), "container-0-request-1": ("nic", 1), "container-1-request-0": ("nic", 3),
    }  # fmt: skip
    assert mappings == [
        ("a", "gpu", "container-0-request-0"),
        ("a", "nic", "container-0-request-1"),
        ("b", "nic", "container-1-request-0"),
    ]


def test_a_resource_that_is_not_served_is_left_out_and_keeps_its_number():
    requests, mappings = claimed(pod(container("a", 2, nic=1)), NIC)

    assert requests == {"container-0-request-1": ("nic", 1)}
    assert mappings == [("a", "nic", "container-0-request-1")]


def test_the_implicit_name_and_the_given_one_are_two_resources_of_one_class():
    requests, _ = claimed(pod(container("a", 1, requests={IMPLICIT: "2"})), GPU, IMPLICIT)

    assert requests == {"container-0-request-0": ("gpu", 2), "container-0-request-1": ("gpu", 1)}


def test_init_containers_share_within_a_resource_only():
    requests, mappings = claimed(pod(container("a", 4), init=[container("i", nic=2)]), GPU, NIC)

    assert requests == {"container-0-request-0": ("nic", 2), "container-1-request-0": ("gpu", 4)}
    assert mappings == [("a", "gpu", "container-1-request-0"), ("i", "nic", "container-0-request-0")]


def test_requests_stand_in_order_of_their_names_as_text():
    found = pod(*(container(f"c{number}", 1) for number in range(11)))

    special = special_claim(found, {GPU: "gpu"})

    listed = [request.name for request in special.claim.spec.requests]
    assert listed == sorted(listed)
    assert listed[1:3] == ["container-1-request-0", "container-10-request-0"]


def test_the_claim_is_the_pods_and_says_what_it_is():
    special = special_claim(pod(container("a", 1)), {GPU: "gpu"})

    claim = special.claim
    assert (claim.namespace, claim.owner) == ("d", "u")
    assert claim.annotations == {"resource.kubernetes.io/extended-resource-claim": "true"}
    assert is_special(claim)
    assert claim.name.startswith("p-extended-resources-")
    assert claim.name == special_claim(pod(container("a", 1)), {GPU: "gpu"}).claim.name


def test_another_version_of_the_pod_gets_a_claim_of_another_name():
    first = pod(container("a", 1))

    again = replace(first, resource_version="8")

    assert special_claim(first, {GPU: "gpu"}).claim.name != special_claim(again, {GPU: "gpu"}).claim.name


def test_a_long_pod_name_is_cut_as_the_api_server_cuts_generated_names():
    claim = special_claim(pod(container("a", 1), name="x" * 63), {GPU: "gpu"}).claim

    assert claim.name[:MAX_BASE] == "x" * 58
    assert len(claim.name) == 63


def test_claims_without_the_annotation_or_without_an_owner_are_not_special():
    special = special_claim(pod(container("a", 1)), {GPU: "gpu"}).claim

    assert not is_special(replace(special, annotations={}))
    assert not is_special(replace(special, annotations={names.EXTENDED_CLAIM: "false"}))
    assert not is_special(replace(special, owner=build.Uid("")))


# ---------------------------------------------------------------- which class


def offering(name, resource=GPU, created="2026-01-01T00:00:00Z"):
    return replace(build.device_class(name, extended_resource=resource), created=created)


@pytest.mark.parametrize(
    ("classes", "resource", "expected"),
    [
        ([offering("a")], GPU, "a"),
        ([offering("a", NIC)], GPU, None),
        ([], GPU, None),
        ([offering("a"), offering("b", created="2026-01-02T00:00:00Z")], GPU, "b"),
        ([offering("b"), offering("a", created="2026-01-02T00:00:00Z")], GPU, "a"),
        ([offering("b"), offering("a"), offering("c")], GPU, "a"),
        ([offering("b", created=""), offering("a", created="")], GPU, "a"),
        ([offering("gpu", "")], IMPLICIT, "gpu"),
        ([offering("gpu", NIC)], IMPLICIT, "gpu"),
        ([offering("other")], IMPLICIT, None),
        ([offering("gpu", "cpu")], "cpu", None),
        ([offering("gpu", "kubernetes.io/batteries")], "kubernetes.io/batteries", None),
        ([offering("gpu", "requests.example.com/gpu")], "requests.example.com/gpu", None),
    ],
)
def test_the_class_behind_a_resource(classes, resource, expected):
    found = backing_class(resource, {each.name: each for each in classes})

    assert (found.name if found else None) == expected


# ---------------------------------------------------------------- decoding


def test_pods_without_extended_resources_keep_nothing():
    found = pod(container("a", requests={"cpu": "1", "hugepages-2Mi": "2Mi"}))

    assert found.extended == ()
    assert found.extended_claim == ""


def test_what_a_container_asks_is_kept_with_its_place():
    found = pod(container("a", 2, requests={"cpu": "1"}), init=[container("i"), sidecar("s", 1)])

    assert found.extended == (ExtendedRequest("s", 1, True, GPU, 0, 1), ExtendedRequest("a", 2, True, GPU, 1, 2))
    assert found.unsupported == ()


def test_a_part_of_a_device_is_refused_by_name():
    found = pod(container("a", requests={IMPLICIT: "500m"}))

    assert found.unsupported == (f"containers[a].resources.requests[{IMPLICIT}] that is no whole number",)


def test_the_claim_that_the_status_names():
    status = {"extendedResourceClaimStatus": {"resourceClaimName": "p-extended-resources-x", "requestMappings": []}}

    assert pod(container("a", 1), status=status).extended_claim == "p-extended-resources-x"


# ---------------------------------------------------------------- laws

PARTS = st.tuples(st.sampled_from(["init", "sidecar"]), st.integers(0, 4))


@given(st.lists(PARTS, max_size=5), st.lists(st.integers(0, 4), min_size=1, max_size=4))
def test_at_every_time_each_container_has_devices_of_its_own_and_enough(first, amounts):
    init = [container(f"i{at}", gpu, always=kind == "sidecar") for at, (kind, gpu) in enumerate(first)]
    main = [container(f"c{at}", gpu) for at, gpu in enumerate(amounts)]
    found = pod(*main, init=init)

    special = special_claim(found, {GPU: "gpu"})

    counts = {request.name: request.count for request in special.claim.spec.requests}
    uses = {}
    for mapping in special.mappings:
        uses.setdefault(mapping.container, []).append(mapping.request)
    wanted = {each["name"]: int(each["resources"]["requests"][GPU]) for each in (*init, *main)}
    assert set(uses) == {name for name, amount in wanted.items() if amount}
    for name, requests in uses.items():
        assert len(set(requests)) == len(requests)
        assert sum(counts[request] for request in requests) >= wanted[name]
    started = []  # sidecars that run already
    moments = []  # containers that run at once
    for each in init:
        moments.append([*started, each["name"]])
        started += [each["name"]] if "restartPolicy" in each else []
    moments.append(started + [each["name"] for each in main])
    for running in moments:
        held = [request for name in running for request in uses.get(name, ())]
        assert len(set(held)) == len(held)
    assert sum(counts.values()) >= max(sum(wanted[name] for name in running) for running in moments)
    assert all(counts[request] > 0 for requests in uses.values() for request in requests)
    assert set(counts) == {request for requests in uses.values() for request in requests}
