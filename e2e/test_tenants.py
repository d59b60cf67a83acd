"""Two tenants in two namespaces share one GPU: what each has, what a third is told, and what their quota refuses.

The objects are those of manifests/examples/tenants-shares and tenants-mig, as kubectl builds them.
"""

import re
from collections.abc import Sequence

import pytest

from e2e.api import ApiRefusalError, Raw, until
from e2e.conftest import World, runs, unschedulable
from e2e.dovetail import Dovetail
from e2e.examples import FOLDER
from e2e.judge import claim_names
from e2e.kustomize import built
from e2e.node.ledger import overused
from e2e.workload import claim, claim_spec, first_available, pod, request, template
from scheduler.simulator import fleet

A, B = "tenant-a", "tenant-b"
QUOTA = "{}.deviceclass.resource.k8s.io/devices"
TOO_LARGE = "with capacity.requests.memory of 36Gi at most"
SHARE = "device.allowMultipleAllocations"


def one_gpu(box: str) -> list[Raw]:
    """A node named `one` of this kind that has only its first GPU."""
    found = []
    for part in fleet.slices(box, "one"):
        spec = part["spec"]
        if "sharedCounters" in spec:
            spec["sharedCounters"] = spec["sharedCounters"][:1]
        spec["devices"] = [each for each in spec.pop("devices", ()) if each["name"].split("-")[1] == "0"]
        if not spec["devices"]:
            del spec["devices"]
        if "devices" in spec or "sharedCounters" in spec:
            found.append(part)
    for part in found:
        part["spec"]["pool"]["resourceSliceCount"] = len(found)
    return [fleet.node(box, "one"), *found]


def stated(example: str) -> str:
    """What the README of an example says that a third tenant is told, on one line."""
    [block] = re.findall(
        r"^```\n(lack .*?)```$", (FOLDER / example / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    return " ".join(block.split())


def settle(world: World, example: str, items: Sequence[Raw]) -> None:
    """Publish these nodes and slices, apply the example, and wait until both tenants' pods are placed."""
    world.publish([*fleet.device_classes(), *items])
    world.apply(built(FOLDER / example))
    for namespace in (A, B):
        served(world, namespace)


def served(world: World, namespace: str) -> None:
    """Wait until the quota of a tenant is in force, and its pod is placed."""
    until(lambda: hard(world, namespace) == limits(world, namespace), f"quota of {namespace} in force")
    until(lambda: any(placed(each) for each in pods(world, namespace)), f"pod of {namespace} placed")


def quota(world: World, namespace: str) -> Raw:
    return world.api.get("ResourceQuota", "gpus", namespace)


def limits(world: World, namespace: str) -> Raw:
    found: Raw = quota(world, namespace)["spec"]["hard"]
    return found


def hard(world: World, namespace: str) -> Raw:
    found: Raw = quota(world, namespace).get("status", {}).get("hard", {})
    return found


def used(world: World, namespace: str, device_class: str) -> str:
    return str(quota(world, namespace)["status"]["used"][QUOTA.format(device_class)])


def pods(world: World, namespace: str) -> list[Raw]:
    return world.api.list("Pod", namespace)


def placed(item: Raw) -> str:
    return str(item["spec"].get("nodeName", ""))


def comes(world: World, namespace: str, name: str, seconds: float = 30.0) -> None:
    """Wait until a tenant's pod is on a node."""
    until(lambda: placed(world.api.get("Pod", name, namespace)), f"pod {name} of {namespace} placed", seconds)


def results(world: World, *namespaces: str) -> dict[str, list[Raw]]:
    """What each allocated claim of some namespaces holds."""
    return {
        f"{namespace}/{each['metadata']['name']}": each["status"]["allocation"]["devices"]["results"]
        for namespace in namespaces
        for each in world.api.list("ResourceClaim", namespace)
        if "allocation" in each.get("status", {})
    }


def ask(world: World, name: str, *, namespace: str = "", **fields: object) -> None:
    """A claim and a pod that uses it, both of this name; `fields` as those of `workload.request`."""
    at = namespace or world.namespace
    world.create(claim(at, name, claim_spec([request(**fields)])), pod(at, name, claims=[name]))  # type: ignore[arg-type]


def exceeded(device_class: str, limited: int) -> str:
    """What the API server says of one device more than a full quota has; a regular expression."""
    name = QUOTA.format(device_class)
    return re.escape(f"exceeded quota: gpus, requested: {name}=1, used: {name}={limited}, limited: {name}={limited}")


def event(world: World, namespace: str, name: str, reason: str) -> str:
    """The message of the first event of this reason about a pod, once there is one."""
    selector = f"involvedObject.name={name},reason={reason}"
    found: list[Raw] = until(lambda: world.api.list("Event", namespace, fieldSelector=selector), f"{reason} of {name}")
    return str(found[0]["message"])


def condition(world: World, namespace: str, name: str, part: str) -> str:
    """The message of the pod's PodScheduled condition, once it is False and says this."""

    def told() -> str:
        found = world.api.get("Pod", name, namespace)["status"].get("conditions", [])
        said = [each["message"] for each in found if each["type"] == "PodScheduled" and each["status"] == "False"]
        return next((text for text in said if part in text), "")

    return str(until(told, f"condition of pod {name} with {part!r}", 30.0))


# ---------------------------------------------------------------- by consumable capacity


def test_two_tenants_share_a_gpu_by_memory_and_a_third_is_told_how_much_is_left(
    world: World, dovetail: Dovetail
) -> None:
    # given one GPU of 81559Mi, of which both tenants have 36Gi
    items = one_gpu("dgx-h100-shared")
    settle(world, "tenants-shares", items)
    held = results(world, A, B)
    assert [len(each) for each in held.values()] == [1, 1]
    shares = [each for [each] in held.values()]
    assert {(each["pool"], each["device"]) for each in shares} == {("one", "gpu-0")}
    assert [each["consumedCapacity"] for each in shares] == [{"memory": "36Gi"}] * 2
    assert len({each["shareID"] for each in shares}) == 2
    # when a third asks for more than the rest
    ask(world, "third", cel=SHARE, capacity={"requests": {"memory": "16Gi"}})
    # then condition and event say which capacity lacks, and how much of it is left, as the README has it
    assert "would take 16Gi of capacity memory, 7831Mi of 81559Mi left" in stated("tenants-shares")
    message = unschedulable(world, "third", stated("tenants-shares"))
    assert message in event(world, world.namespace, "third", "FailedScheduling")
    # and what is left is given to whoever asks for no more
    ask(world, "fourth", cel=SHARE, capacity={"requests": {"memory": "7831Mi"}})
    assert runs(world, "fourth") == "one"
    slices = [each for each in items if each["kind"] == "ResourceSlice"]
    assert overused(slices, results(world, A, B, world.namespace)) == []
    # and the third gets its share once a tenant leaves
    world.api.delete("Deployment", "chat", B)
    world.api.delete_all("Pod", B)
    assert runs(world, "third") == "one"
    assert overused(slices, results(world, A, B, world.namespace)) == []


def test_a_tenant_has_no_more_and_no_larger_shares_than_quota_and_policy_say(world: World, dovetail: Dovetail) -> None:
    # given room for everybody, and a tenant with one share of two
    settle(world, "tenants-shares", [fleet.node("dgx-h100-shared", "box"), *fleet.slices("dgx-h100-shared", "box")])
    until(lambda: used(world, A, "gpu.nvidia.com") == "1", "one share counted")

    def refused() -> str:
        try:
            world.api.create(claim(A, "whole", claim_spec([request()])))
        except ApiRefusalError as error:
            return str(error)
        world.api.delete("ResourceClaim", "whole", A)
        return ""

    # then no claim may ask for a whole GPU, by saying so, by saying nothing, or as an alternative
    assert TOO_LARGE in until(refused, "policy in force")
    large = request(cel=SHARE, capacity={"requests": {"memory": "37Gi"}})
    with pytest.raises(ApiRefusalError, match=re.escape(TOO_LARGE)):
        world.api.create(claim(A, "large", claim_spec([large])))
    with pytest.raises(ApiRefusalError, match=re.escape(TOO_LARGE)):
        world.api.create(template(A, "large", claim_spec([large])))
    either = first_available(request("one", cel=SHARE), request("two", count=2))
    with pytest.raises(ApiRefusalError, match="name no alternatives"):
        world.api.create(claim(A, "either", claim_spec([either])))
    # and a second share is the last: a claim made by hand is refused
    small = claim_spec([request(cel=SHARE, capacity={"requests": {"memory": "1Gi"}})])
    world.api.create(claim(A, "second", small))
    with pytest.raises(ApiRefusalError, match=exceeded("gpu.nvidia.com", 2)) as refusal:
        world.api.create(claim(A, "third", small))
    assert refusal.value.status == 403
    # and a pod whose claim is made of a template is told by the controller, and by us that the claim is missing
    world.api.patch("Deployment", "chat", {"spec": {"replicas": 2}}, A)
    [waiting] = until(lambda: [each for each in pods(world, A) if not placed(each)], "another pod")
    name = waiting["metadata"]["name"]
    assert "exceeded quota: gpus" in event(world, A, name, "FailedResourceClaimCreation")
    condition(world, A, name, "its ResourceClaim has not been made from template share-36gi")
    # and a pod that asks for nvidia.com/gpu is told by us, since we make its claim
    extended = pod(A, "extended")
    extended["spec"]["containers"][0]["resources"]["limits"] = {"nvidia.com/gpu": "1"}
    world.api.create(extended)
    condition(world, A, "extended", TOO_LARGE)
    # and the other tenant still has its second share
    world.api.create(claim(B, "second", small))
    # and once there is room in the quota the pod that waited gets its share
    world.api.delete("ResourceClaim", "second", A)
    comes(world, A, name, 120.0)


# ---------------------------------------------------------------- by MIG


def test_two_tenants_share_a_gpu_by_mig_and_a_third_is_told_which_counters_lack(
    world: World, dovetail: Dovetail
) -> None:
    # given one GPU, of which both tenants have a half
    items = one_gpu("dgx-h100-dynamic-mig")
    settle(world, "tenants-mig", items)
    held = results(world, A, B)
    assert sorted(each["device"] for [each] in held.values()) == ["gpu-0-mig-3g40gb-9-0", "gpu-0-mig-3g40gb-9-4"]
    # when a third asks for the smallest part
    ask(world, "third", device_class="mig-seventh")
    # then condition and event say which counters of the GPU lack, and how much of them is left, as the README has it
    assert "9984Mi of counter memory of gpu-0-counter-set, 663Mi of 81559Mi left" in stated("tenants-mig")
    message = unschedulable(world, "third", stated("tenants-mig"))
    assert message in event(world, world.namespace, "third", "FailedScheduling")
    slices = [each for each in items if each["kind"] == "ResourceSlice"]
    assert overused(slices, results(world, A, B, world.namespace)) == []
    # and it runs once a tenant leaves
    world.api.delete("Deployment", "chat", B)
    world.api.delete_all("Pod", B)
    assert runs(world, "third") == "one"
    assert overused(slices, results(world, A, B, world.namespace)) == []


def test_a_quota_for_each_size_of_part_is_kept(world: World, dovetail: Dovetail) -> None:
    # given room for everybody, and a tenant with its only half
    box = "dgx-h100-dynamic-mig"
    settle(world, "tenants-mig", [fleet.node(box, "box"), *fleet.slices(box, "box")])
    until(lambda: used(world, A, "mig-half") == "1", "one half counted")
    # then a second half is refused, and two sevenths are not
    with pytest.raises(ApiRefusalError, match=exceeded("mig-half", 1)):
        world.api.create(claim(A, "half", claim_spec([request(device_class="mig-half")])))
    for name in ("one", "two"):
        ask(world, name, namespace=A, device_class="mig-seventh")
        comes(world, A, name)
    with pytest.raises(ApiRefusalError, match=exceeded("mig-seventh", 2)):
        world.api.create(claim(A, "three", claim_spec([request(device_class="mig-seventh")])))
    # and neither is there a way around by the driver's own classes, or by all devices of a kind
    for other in ("mig.nvidia.com", "gpu.nvidia.com"):
        with pytest.raises(ApiRefusalError, match=exceeded(other, 0)):
            world.api.create(claim(A, "other", claim_spec([request(device_class=other)])))
    with pytest.raises(ApiRefusalError, match=re.escape(QUOTA.format("mig-half") + "=32")):
        world.api.create(claim(A, "all", claim_spec([request(device_class="mig-half", count=0)])))
    # and not by an extended resource: its claim is ours to make, and we tell why it cannot be
    extended = pod(A, "extended")
    extended["spec"]["containers"][0]["resources"]["limits"] = {"nvidia.com/gpu": "1"}
    world.api.create(extended)
    said = condition(world, A, "extended", "exceeded quota: gpus")
    assert "the claim for its extended resources could not be made (forbidden)" in said
    assert claim_names(world.api.get("Pod", "extended", A)) == []
    # and a pod of no more quota than that has used nothing of it
    assert used(world, A, "gpu.nvidia.com") == "0"
