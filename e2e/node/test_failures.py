"""What fails on real nodes: a replica of Dovetail, a kubelet, a driver."""

import time
from collections.abc import Callable, Iterator

import pytest

from e2e.api import History, Raw, until, version
from e2e.dovetail import NAMESPACE
from e2e.judge import judge
from e2e.node.conftest import Datacenter, Tenant, replicas
from e2e.workload import claim, claim_spec, request, template

LEASE = "dovetail"
_SLACK_S = 5.0


def holder(datacenter: Datacenter) -> str:
    """The name of the pod that leads, empty where none does."""
    lease = datacenter.cluster.api.get("Lease", LEASE, NAMESPACE)["spec"]
    return str(lease.get("holderIdentity", "")).rpartition("_")[0]


def state(pods: list[Raw]) -> list[tuple[str, list[tuple[str, int]]]]:
    """What changes when a pod is replaced or a container starts anew."""
    return [
        (
            each["metadata"]["uid"],
            [(one["containerID"], one["restartCount"]) for one in each["status"]["containerStatuses"]],
        )
        for each in pods
    ]


def started(tenant: Tenant, names: list[str]) -> list[Raw]:
    """Pods with one GPU each."""
    if tenant.api.find("ResourceClaimTemplate", "one", tenant.namespace) is None:
        tenant.create(template(tenant.namespace, "one", claim_spec([request()])))
    for name in names:
        tenant.start(name, templates=["one"])
    return tenant.running(*names)


@pytest.fixture
def history(tenant: Tenant) -> Iterator[History]:
    """What becomes of pods and claims of the namespace, from before the first is created."""
    with History(tenant.api.access, "Pod", "ResourceClaim", namespace=tenant.namespace) as opened:
        yield opened


def faults(history: History, tenant: Tenant, names: list[str]) -> list[str]:
    """What the record says must not have been: devices in two claims at one time, pods before their claims."""
    history.caught_up(max(version(tenant.get(name)) for name in names))
    verdict = judge(history)
    assert verdict.placed.keys() == set(names)
    return verdict.faults


def test_the_other_replica_leads_soon_after_the_leader_was_killed(
    tenant: Tenant, history: History, gpus: None, say: Callable[[str], None]
) -> None:
    # given a leader, another replica, and pods that run
    datacenter = tenant.datacenter
    before = started(tenant, ["a", "b"])
    [leader] = [each for each in replicas(datacenter) if each["metadata"]["name"] == holder(datacenter)]
    duration = datacenter.cluster.api.get("Lease", LEASE, NAMESPACE)["spec"]["leaseDurationSeconds"]
    [status] = leader["status"]["containerStatuses"]
    [node] = [each for each in datacenter.nodes if each.name == leader["spec"]["nodeName"]]
    # when the leader's process is killed
    begun = time.monotonic()
    node.kill(status["containerID"].removeprefix("containerd://"))
    tenant.start("c", templates=["one"])
    # then another one leads within the lease and a bit, and decides
    until(lambda: holder(datacenter) not in {"", leader["metadata"]["name"]}, "another leader", duration + _SLACK_S)
    took = time.monotonic() - begun
    say(f"real nodes: another replica led {took:.1f} s after kill -9 of the leader (lease {duration} s)")
    tenant.running("c")
    # and what ran is untouched
    assert state(tenant.running("a", "b")) == state(before)
    told = [tenant.told(name)[0] for name in ("a", "b", "c")]
    assert len({(each["pool"], each["device"]) for each in told}) == 3
    assert faults(history, tenant, ["a", "b", "c"]) == []
    # and the killed one is back, as a follower
    until(lambda: all(_ready(each) for each in replicas(datacenter)), "both replicas ready", 60.0)


def test_nothing_is_used_twice_after_kubelet_and_driver_were_killed(
    tenant: Tenant, history: History, gpus: None
) -> None:
    # given pods on half of all GPUs
    datacenter = tenant.datacenter
    names = [f"p{number}" for number in range(8)]
    before = started(tenant, names)
    told = {name: tenant.told(name) for name in names}
    # when kubelet and driver of every node are killed, pods are created meanwhile, and both come back
    for node in datacenter.nodes:
        node.kill_kubelet()
        node.kill_driver("gpu.nvidia.com")
    later = [f"q{number}" for number in range(8)]
    for name in later:
        tenant.start(name, templates=["one"])
    for node in datacenter.nodes:
        node.start_kubelet()
        node.start_driver("gpu.nvidia.com")
    tenant.running(*later)
    # then those that ran did so all the time, with their devices
    assert state(tenant.running(*names)) == state(before)
    assert {name: tenant.told(name) for name in names} == told
    # and the others have what was free
    told |= {name: tenant.told(name) for name in later}
    assert told == {name: tenant.given(name) for name in told}
    assert len({(each[0]["pool"], each[0]["device"]) for each in told.values()}) == 16
    assert faults(history, tenant, names + later) == []
    # and what was prepared before can be unprepared by those that came after
    tenant.end(*names)
    until(lambda: sum(len(node.prepared()) for node in datacenter.nodes) == len(later), "half unprepared", 15.0)


def test_driver_refuses_a_device_that_somebody_gave_to_two_claims(tenant: Tenant, gpus: None) -> None:
    # given a pod with a device, and a claim that somebody else allocated the same one to, for a pod on the same node
    for name in ("a", "b"):
        tenant.create(claim(tenant.namespace, name, claim_spec([request()])))
    tenant.start("a", claims=["a"])
    [first] = tenant.running("a")
    made = tenant.pod("b", claims=["b"], scheduler="somebody-else")
    made["spec"]["nodeName"] = first["spec"]["nodeName"]
    second = tenant.api.create(made)
    allocation = tenant.api.get("ResourceClaim", "a", tenant.namespace)["status"]["allocation"]
    user = {"resource": "pods", "name": "b", "uid": second["metadata"]["uid"]}
    status = {"status": {"allocation": allocation, "reservedFor": [user]}}
    tenant.api.patch("ResourceClaim", "b", status, tenant.namespace, "status")

    # then the driver names both claims, and the pod does not start
    def refused() -> bool:
        said = f"of {tenant.namespace}/a and {tenant.namespace}/b"
        return any(said in each["message"] for each in tenant.api.list("Event", tenant.namespace))

    until(refused, "an event with the driver's refusal", 30.0)
    assert tenant.get("b")["status"]["phase"] == "Pending"
    assert state(tenant.running("a")) == state([first])


def _ready(pod: Raw) -> bool:
    return any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", ()))
