"""Dovetail as its Deployment on real nodes: pods start, and each is told of exactly the devices of its claims."""

from e2e.api import until
from e2e.conftest import unschedulable
from e2e.inventory import CLASS, DRIVER, device, device_class, slice_on
from e2e.node.conftest import NODES, Datacenter, Step, Tenant, publish, replicas
from e2e.workload import claim, claim_spec, first_available, request, template
from scheduler.simulator import fleet

MIG = 'device.attributes["gpu.nvidia.com"].profile == "{}"'


def test_the_documented_path_leads_from_an_empty_cluster_to_a_placed_pod(
    documented_path: list[Step], datacenter: Datacenter
) -> None:
    # when the commands were run as they stand in README
    by_verb = {each.command.split()[1]: each.output for each in documented_path}
    # then the pod's own output, which is what the last of them prints, names one device
    assert "DRA_" in by_verb["logs"]
    assert '"driver": "gpu.example.com"' in by_verb["logs"]
    # and both replicas of the Deployment are ready, each on a node of its own
    assert len(replicas(datacenter)) == 2
    assert {each["spec"]["nodeName"] for each in replicas(datacenter)} == set(NODES)


def test_sixteen_pods_get_sixteen_devices_and_print_exactly_theirs(tenant: Tenant, gpus: None) -> None:
    # given two nodes with eight GPUs each, and sixteen pods that want one
    tenant.create(template(tenant.namespace, "one", claim_spec([request()])))
    names = [f"p{number}" for number in range(16)]
    for name in names:
        tenant.start(name, templates=["one"])
    # when all of them run
    pods = tenant.running(*names)
    # then each prints the device of its claim, on its node, and no device is named twice
    told = {name: tenant.told(name) for name in names}
    assert told == {name: tenant.given(name) for name in names}
    assert all(len(each) == 1 for each in told.values())
    assert {name: each[0]["pool"] for name, each in told.items()} == {
        each["metadata"]["name"]: each["spec"]["nodeName"] for each in pods
    }
    devices = {(each[0]["pool"], each[0]["device"]) for each in told.values()}
    assert devices == {(node, f"gpu-{number}") for node in NODES for number in range(8)}
    # and one more waits until one is gone, and gets its device
    tenant.start("late", templates=["one"])
    unschedulable(tenant.world, "late", "0 of 2 nodes")
    [freed] = told["p7"]
    tenant.end("p7")
    tenant.running("late")
    [late] = tenant.told("late")
    assert (late["pool"], late["device"]) == (freed["pool"], freed["device"])
    # and when all are gone, then so are their claims, and nothing is left prepared
    tenant.end(*(set(names) - {"p7"}), "late")
    until(lambda: not tenant.api.list("ResourceClaim", tenant.namespace), "no claims", 15.0)
    assert not any(node.prepared() for node in tenant.datacenter.nodes)


def test_pods_that_share_a_claim_print_the_same_devices(tenant: Tenant, gpus: None) -> None:
    tenant.create(claim(tenant.namespace, "pair", claim_spec([request(count=2)])))
    for name in ("a", "b"):
        tenant.start(name, claims=["pair"])
    pods = tenant.running("a", "b")

    assert len({each["spec"]["nodeName"] for each in pods}) == 1
    assert tenant.told("a") == tenant.told("b") == tenant.given("a")
    assert len(tenant.told("a")) == 2


def test_pod_gets_a_part_of_a_gpu_whose_other_parts_others_get(tenant: Tenant) -> None:
    # given a node whose GPUs can be cut, published in place of whole ones by the same driver
    before = _generation(tenant, "node-b")
    publish(tenant.datacenter, {"node-a": [], "node-b": fleet.slices("dgx-h100-dynamic-mig", "node-b")})
    assert _generation(tenant, "node-b") > before
    # when one pod wants a part, one a part of another size, and seven a whole GPU
    for name, profile in (("half", "3g.40gb"), ("seventh", "1g.10gb")):
        wanted = claim_spec([request(device_class="mig.nvidia.com", cel=MIG.format(profile))])
        tenant.create(claim(tenant.namespace, name, wanted))
        tenant.start(name, claims=[name])
    tenant.running("half", "seventh")
    tenant.create(claim(tenant.namespace, "whole", claim_spec([request(count=7)])))
    tenant.start("whole", claims=["whole"])
    tenant.running("whole")
    # then both parts are of one GPU, which is none of the seven
    parts = [tenant.told(name) for name in ("half", "seventh")]
    assert parts == [tenant.given(name) for name in ("half", "seventh")]
    cut = {_parent(tenant, each[0]["device"]) for each in parts}
    whole = {_parent(tenant, each["device"]) for each in tenant.told("whole")}
    assert len(cut) == 1
    assert len(whole) == 7
    assert not cut & whole


def test_pods_print_their_share_of_a_device(tenant: Tenant, installed: Datacenter) -> None:
    # given a device of 10Gi for many
    policy = {"default": "1Gi", "validRange": {"min": "1Gi", "step": "1Gi"}}
    shared = device(
        "d0", allowMultipleAllocations=True, capacity={"memory": {"value": "10Gi", "requestPolicy": policy}}
    )
    publish(installed, {"node-a": [slice_on("node-a", [shared])], "node-b": []})
    tenant.world.publish([device_class()])
    # when two pods want parts of it
    for name, memory in (("small", "2500Mi"), ("large", "6Gi")):
        wanted = claim_spec([request(device_class=CLASS, capacity={"requests": {"memory": memory}})])
        tenant.create(claim(tenant.namespace, name, wanted))
        tenant.start(name, claims=[name])
    tenant.running("small", "large")
    # then each prints its own share, rounded as the device wants it
    told = [tenant.told(name) for name in ("small", "large")]
    assert told == [tenant.given(name) for name in ("small", "large")]
    [[small], [large]] = told
    assert [each["consumedCapacity"] for each in (small, large)] == [{"memory": "3Gi"}, {"memory": "6Gi"}]
    assert (small["driver"], small["device"]) == (large["driver"], large["device"]) == (DRIVER, "d0")
    assert small["shareID"] != large["shareID"]


def test_pod_prints_the_alternative_that_it_got(tenant: Tenant, gpus: None) -> None:
    # given a request for nine GPUs, or else two
    either = first_available(request("nine", count=9), request("two", count=2))
    tenant.create(claim(tenant.namespace, "either", claim_spec([either])))
    tenant.start("p", claims=["either"])
    tenant.running("p")

    assert tenant.told("p") == tenant.given("p")
    assert [each["request"] for each in tenant.told("p")] == ["gpu/two", "gpu/two"]


def test_pod_that_wants_an_extended_resource_prints_the_device_of_the_claim_made_for_it(
    tenant: Tenant, gpus: None
) -> None:
    made = tenant.pod("p")
    made["spec"]["containers"][0]["resources"]["limits"] = {"nvidia.com/gpu": "2"}
    tenant.create(made)
    [stored] = tenant.running("p")

    assert tenant.told("p") == tenant.given("p")
    assert len(tenant.told("p")) == 2
    named = stored["status"]["extendedResourceClaimStatus"]["resourceClaimName"]
    assert {each["claim"] for each in tenant.told("p")} == {f"{tenant.namespace}/{named}"}


def _generation(tenant: Tenant, node: str) -> int:
    listed = tenant.api.list("ResourceSlice", fieldSelector=f"spec.nodeName={node}")
    return max((each["spec"]["pool"]["generation"] for each in listed), default=0)


def _parent(tenant: Tenant, name: str) -> str:
    """The bus address of the GPU that a device is, or is a part of."""
    for each in tenant.api.list("ResourceSlice"):
        for listed in each["spec"].get("devices", ()):
            if listed["name"] == name:
                return str(listed["attributes"]["resource.kubernetes.io/pciBusID"]["string"])
    raise AssertionError(f"device {name}: not published")
