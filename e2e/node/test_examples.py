"""Examples as they are shipped, on real nodes: their pods run, and print what their claims were given."""

from e2e.api import Raw, until
from e2e.examples import Example, replicas
from e2e.node.conftest import NODES, Tenant, publish
from e2e.node.image import BUSYBOX
from scheduler.simulator import fleet

Told = dict[str, list[Raw]]
"""What the pods of each workload were told of their devices."""


def small(item: Raw) -> Raw:
    """The same workload with another program, which prints what it was told, and with what a test machine has.

    Models, GPUs and a server's image are not here: image, command and arguments are replaced, and the requests for cpu
    and memory, which are for nodes with hundreds of cores. Nothing else is: claims, tolerations, probes stay.
    """
    [container] = item["spec"]["template"]["spec"]["containers"]
    container |= {"image": BUSYBOX, "command": ["sh", "-c", "trap 'exit 0' TERM; env; sleep 3600 & wait"]}
    container.pop("args", None)
    container["resources"] |= {"requests": {"cpu": "10m", "memory": "8Mi"}, "limits": {"memory": "64Mi"}}
    return item


def run(tenant: Tenant, folder: str, box: str) -> Told:
    """Apply an example where both nodes are boxes of this kind, and wait until all of its pods run."""
    publish(tenant.datacenter, {name: fleet.slices(box, name) for name in NODES})
    items = Example(folder, f"{len(NODES)} {box}", "", 0).items(tenant.namespace)
    tenant.world.apply(small(each) if each["kind"] == "Deployment" else each for each in items)
    wanted = sum(replicas(each) for each in items)

    def made() -> list[Raw]:
        found = tenant.api.list("Pod", tenant.namespace)
        return found if len(found) == wanted else []

    pods = until(made, f"{wanted} pods of {folder} made", 30.0)
    running = tenant.running(*(each["metadata"]["name"] for each in pods))
    found: Told = {}
    for each in running:
        name = each["metadata"]["name"]
        told = tenant.told(name)
        assert told == tenant.given(name)
        assert {device["pool"] for device in told} == {each["spec"]["nodeName"]}
        found.setdefault(each["metadata"]["labels"]["app.kubernetes.io/name"], []).extend(told)
    return found


def devices(told: Told) -> set[tuple[str, str]]:
    return {(each["pool"], each["device"]) for given in told.values() for each in given}


def attribute(tenant: Tenant, device: Raw, name: str) -> str:
    """What the slices say of a device that a pod was told of."""
    [found] = [
        listed
        for each in tenant.api.list("ResourceSlice", fieldSelector=f"spec.nodeName={device['pool']}")
        for listed in each["spec"].get("devices", ())
        if listed["name"] == device["device"]
    ]
    return str(next(iter(found["attributes"][name].values())))


def test_pods_of_four_models_are_told_of_one_gpu_by_one_claim(tenant: Tenant) -> None:
    told = run(tenant, "shared-claim", "dgx-h100")

    assert told.keys() == {"chat", "embed", "rerank", "summary"}
    assert len(devices(told)) == 1
    assert {each["claim"] for given in told.values() for each in given} == {f"{tenant.namespace}/small-models"}


def test_pods_of_four_models_are_told_of_their_shares_of_one_gpu(tenant: Tenant) -> None:
    told = run(tenant, "consumable-capacity", "dgx-h100-shared")

    assert {name: [each["consumedCapacity"] for each in given] for name, given in told.items()} == {
        "chat": [{"memory": "28Gi"}],
        "embed": [{"memory": "10Gi"}],
        "rerank": [{"memory": "10Gi"}],
        "summary": [{"memory": "16Gi"}],
    }
    assert len(devices(told)) == 1
    assert len({each["shareID"] for given in told.values() for each in given}) == 4


def test_pods_of_three_models_are_told_of_parts_that_suit_them(tenant: Tenant) -> None:
    told = run(tenant, "mig", "dgx-h100-dynamic-mig")

    profiles = {name: attribute(tenant, given[0], "profile") for name, given in told.items()}
    assert profiles == {"chat": "3g.40gb", "embed": "1g.10gb", "summary": "2g.20gb"}
    # How many GPUs they are of depends on what this scheduler has learned from tests before; drivers refuse overlaps.
    assert len(devices(told)) == 3


def test_pods_of_one_model_are_told_of_a_gpu_each(tenant: Tenant) -> None:
    told = run(tenant, "one-gpu", "l40s-pcie")

    assert told.keys() == {"one-gpu"}
    assert len(devices(told)) == len(told["one-gpu"]) == 2
