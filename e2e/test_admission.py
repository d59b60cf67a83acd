"""The admission policies of manifests/components/admission, on a real API server of each version: what they refuse, in
which words, and that our own work passes all of them."""

from collections.abc import Callable, Iterator

import pytest

from e2e.api import Access, Api, ApiRefusalError, Raw, collection, until
from e2e.cluster import Cluster
from e2e.conftest import World, runs, serve, unschedulable
from e2e.dovetail import Dovetail, token
from e2e.inventory import CLASS, DRIVER, device_class, devices, slice_on
from e2e.judge import devices_of
from e2e.kustomize import MANIFESTS, built
from e2e.workload import claim, claim_spec, first_available, pod, request, template
from scheduler.simulator import fleet

OWNED = "gpu.nvidia.com"
USE_OURS = "set schedulerName: dovetail"
MARK = {"resource.kubernetes.io/extended-resource-claim": "true"}
FINALIZER = "resource.kubernetes.io/delete-protection"


@pytest.fixture(scope="session", params=["default", "older"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    opened: Cluster = request.getfixturevalue(f"{request.param}_cluster")
    return opened


@pytest.fixture(scope="module")
def fences(cluster: Cluster) -> Iterator[None]:
    """The policies on classes and nodes; those on our account are part of what every test runs with."""
    items = [item for name in ("classes", "nodes") for item in policies(name)]
    for item in items:
        if item["kind"] == "ConfigMap":
            item["data"]["pattern"] = "^box$"
        cluster.api.apply(item)
    yield
    for item in items:
        cluster.api.delete(item["kind"], item["metadata"]["name"], item["metadata"].get("namespace", ""))


def policies(component: str) -> list[Raw]:
    return built(MANIFESTS / "components" / "admission" / component)


@pytest.fixture
def own(cluster: Cluster) -> Iterator[Api]:
    """The API as Dovetail's account sees it."""
    access = cluster.api.access
    api = Api(Access(access.server, token(cluster.api), access.tls))
    yield api
    api.close()


def dry(api: Api, method: str, path: str, body: Raw | None = None, kind: str = "application/merge-patch+json") -> Raw:
    """A request that is judged and changes nothing."""
    return api.call(method, f"{path}{'&' if '?' in path else '?'}dryRun=All", body, kind)


def refused(attempt: Callable[[], object], *words: str) -> None:
    """The attempt is refused by a policy, in these words. New policies take a moment to count."""
    said = ""

    def denied() -> bool:
        nonlocal said
        try:
            attempt()
        except ApiRefusalError as error:
            said = str(error)
            return "ValidatingAdmissionPolicy" in said
        return False

    try:
        until(denied, f"a refusal with {words}", 10.0)
    except AssertionError as error:
        raise AssertionError(f"{error}; the last refusal: {said!r}") from None
    assert all(word in said for word in words), said


def try_pod(world: World, made: Raw) -> Callable[[], Raw]:
    return lambda: dry(world.api, "POST", collection("Pod", world.namespace), made, "application/json")


def one(name: str = OWNED) -> Raw:
    return claim_spec([request(device_class=name)])


def allocation(driver: str, node: str) -> Raw:
    """A status that gives one device."""
    result = {"request": "gpu", "driver": driver, "pool": node, "device": "gpu-0"}
    field = {"key": "metadata.name", "operator": "In", "values": [node]}
    where = {"nodeSelectorTerms": [{"matchFields": [field]}]}
    return {"status": {"allocation": {"devices": {"results": [result]}, "nodeSelector": where}}}


def allocate(world: World, api: Api, name: str, driver: str, node: str) -> Callable[[], Raw]:
    path = f"{collection('ResourceClaim', world.namespace)}/{name}"
    return lambda: dry(api, "PATCH", f"{path}/status", allocation(driver, node))


# ---------------------------------------------------------------- classes and drivers that are ours


@pytest.mark.usefixtures("fences")
def test_a_pod_with_a_template_of_an_owned_class_names_our_scheduler(world: World) -> None:
    # given templates of an owned class, one behind an alternative, and one of a foreign class
    either = claim_spec([first_available(request("a", CLASS), request("b", OWNED))])
    world.create(
        template(world.namespace, "ours", one()),
        template(world.namespace, "either", either),
        template(world.namespace, "theirs", one(CLASS)),
    )
    # then pods of another scheduler may use the foreign one only, and pods of ours all
    for name in ("ours", "either"):
        said = f"ResourceClaimTemplate {name} asks for devices that Dovetail allocates: {USE_OURS}"
        refused(try_pod(world, pod(world.namespace, "p", templates=["theirs", name], scheduler="another")), said)
    try_pod(world, pod(world.namespace, "p", templates=["theirs"], scheduler="another"))()
    try_pod(world, pod(world.namespace, "p", templates=["ours", "either", "theirs"]))()


@pytest.mark.usefixtures("fences")
@pytest.mark.parametrize("resource", ["nvidia.com/gpu", "deviceclass.resource.kubernetes.io/mig.nvidia.com"])
def test_a_pod_with_an_extended_resource_of_an_owned_class_names_our_scheduler(world: World, resource: str) -> None:
    def wanting(scheduler: str, name: str = resource) -> Raw:
        made = pod(world.namespace, "p", scheduler=scheduler)
        main = made["spec"]["containers"][0]
        made["spec"]["initContainers"] = [
            {"name": "warm", "image": main["image"], "resources": {"limits": {name: "1"}}}
        ]
        return made

    refused(try_pod(world, wanting("another")), f"{resource} is served by devices that Dovetail allocates: {USE_OURS}")
    try_pod(world, wanting("another", "example.com/other"))()
    try_pod(world, wanting("dovetail"))()


@pytest.mark.usefixtures("fences")
def test_only_dovetail_allocates_owned_devices_and_no_others(world: World, own: Api) -> None:
    # given claims of an owned and of a foreign class, and a node of ours
    world.publish([fleet.node("dgx-h100", "box")])
    world.create(claim(world.namespace, "owned", one()), claim(world.namespace, "foreign", one(CLASS)))
    # then whoever else may write claims cannot give an owned device
    others = f"devices of driver {OWNED} are allocated by Dovetail alone"
    refused(allocate(world, world.api, "owned", OWNED, "box"), others)
    allocate(world, world.api, "foreign", DRIVER, "box")()
    # and Dovetail neither a device of another driver nor one for another class
    refused(allocate(world, own, "owned", DRIVER, "box"), f"devices of driver {DRIVER} are not Dovetail's")
    refused(allocate(world, own, "foreign", OWNED, "box"), f"device class {CLASS} is not Dovetail's")
    allocate(world, own, "owned", OWNED, "box")()


@pytest.mark.usefixtures("fences")
def test_kube_scheduler_cannot_allocate_for_a_pod_that_came_before_its_claim(world: World) -> None:
    # given a pod of kube-scheduler whose claim did not exist when it was created, so that nothing could be said of it
    world.cluster.start_kube_scheduler()
    world.publish([*fleet.device_classes(), fleet.node("dgx-h100", "box"), *fleet.slices("dgx-h100", "box")])
    world.create(pod(world.namespace, "early", claims=["late"], scheduler="default-scheduler"))
    # when the claim is made
    world.create(claim(world.namespace, "late", one()))
    # then its allocation is refused, and the pod's events say why
    said = until(
        lambda: [
            event["message"]
            for event in world.api.list("Event", world.namespace)
            if event["involvedObject"]["name"] == "early" and "allocated by Dovetail alone" in event["message"]
        ],
        "an event on the pod",
    )
    world.cluster.stop_kube_scheduler()
    assert USE_OURS in said[0]
    assert "allocation" not in world.api.get("ResourceClaim", "late", world.namespace).get("status", {})
    assert "nodeName" not in world.api.get("Pod", "early", world.namespace)["spec"]


# ---------------------------------------------------------------- nodes that are ours


@pytest.mark.usefixtures("fences")
def test_our_account_binds_and_allocates_on_named_nodes_only(world: World, own: Api) -> None:
    # given a node that the ConfigMap names, and two that it does not
    world.publish([fleet.node("dgx-h100", name) for name in ("box", "box-2", "bare")])
    world.create(pod(world.namespace, "p"), claim(world.namespace, "c", one()))

    def bind(api: Api, node: str) -> Callable[[], Raw]:
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": "p"},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        path = f"{collection('Pod', world.namespace)}/p/binding"
        return lambda: dry(api, "POST", path, body, "application/json")

    for name in ("bare", "box-2"):
        said = f"node {name} is not Dovetail's: ConfigMap dovetail-nodes says ^box$"
        refused(bind(own, name), said)
        refused(allocate(world, own, "c", OWNED, name), said.replace(" is not", " are not"))
        bind(world.api, name)()
    bind(own, "box")()
    allocate(world, own, "c", OWNED, "box")()


# ---------------------------------------------------------------- what our account may write


def test_our_account_creates_and_deletes_claims_for_extended_resources_only(
    world: World, own: Api, cluster: Cluster
) -> None:
    if cluster.profile.name == "v1.35":
        pytest.skip("the role for 1.35 has neither verb")
    [user] = world.create(pod(world.namespace, "p"))
    world.create(claim(world.namespace, "tenants", one()))
    path = collection("ResourceClaim", world.namespace)
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": user["metadata"]["uid"], "controller": True}
    special = claim(world.namespace, "special", one())
    special["metadata"] |= {"annotations": MARK, "ownerReferences": [owner]}

    said = "Dovetail creates and deletes only claims for a pod's extended resources"
    for without in ("annotations", "ownerReferences"):
        odd = {**special, "metadata": {key: each for key, each in special["metadata"].items() if key != without}}
        refused(lambda odd=odd: dry(own, "POST", path, odd, "application/json"), said)
    dry(own, "POST", path, special, "application/json")
    refused(lambda: dry(own, "DELETE", f"{path}/tenants"), said)
    world.create(special)
    dry(own, "DELETE", f"{path}/special")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"labels": {"a": "b"}}, "no label, annotation or owner"),
        ({"annotations": MARK}, "no label, annotation or owner"),
        ({"finalizers": ["example.com/theirs", "example.com/new"]}, "no finalizer but"),
        ({"finalizers": []}, "takes its finalizer only from claims for extended resources"),
    ],
    ids=["label", "annotation", "finalizer", "no finalizer"],
)
def test_our_account_changes_only_its_finalizer_of_a_claim(world: World, own: Api, change: Raw, said: str) -> None:
    made = claim(world.namespace, "c", one())
    made["metadata"]["finalizers"] = ["example.com/theirs"]
    world.create(made)
    path = f"{collection('ResourceClaim', world.namespace)}/c"

    refused(lambda: dry(own, "PATCH", path, {"metadata": change}), said)
    dry(own, "PATCH", path, {"metadata": {"finalizers": ["example.com/theirs", FINALIZER]}})
    world.api.patch("ResourceClaim", "c", {"metadata": {"finalizers": None}}, world.namespace)


def test_our_account_lets_one_user_in_or_out_and_touches_no_driver_status(
    world: World, own: Api, cluster: Cluster
) -> None:
    # given a claim that two of four pods use
    world.create(claim(world.namespace, "c", one(CLASS)))
    made = world.create(*(pod(world.namespace, name, claims=["c"]) for name in ("a", "b", "c", "d")))
    users = [{"resource": "pods", "name": each["metadata"]["name"], "uid": each["metadata"]["uid"]} for each in made]
    path = f"{collection('ResourceClaim', world.namespace)}/c/status"
    status = allocation(DRIVER, "box")["status"]
    world.api.call("PATCH", path, {"status": {**status, "reservedFor": users[:2]}}, "application/merge-patch+json")

    def write(**fields: object) -> Callable[[], Raw]:
        return lambda: dry(own, "PATCH", path, {"status": fields})

    refused(write(reservedFor=[]), "one user of a claim in or out at a time")
    refused(write(reservedFor=users), "one user of a claim in or out at a time")
    refused(write(reservedFor=None, allocation=None), "one user of a claim in or out at a time")
    refused(write(reservedFor=[*users[:2], {**users[2], "resource": "jobs"}]), "for pods and their groups only")
    driver = {"driver": DRIVER, "pool": "box", "device": "gpu-0", "conditions": []}
    if cluster.profile.name == "v1.35":
        refused(write(devices=[driver]), "nothing into status.devices")
    else:  # newer versions ask for a permission that we lack, before any policy
        with pytest.raises(ApiRefusalError, match='resource="resourceclaims/driver"'):
            write(devices=[driver])()
    write(reservedFor=users[:3])()
    write(reservedFor=users[:1])()
    # and gives the devices back once one user is left
    world.api.call("PATCH", path, {"status": {"reservedFor": users[:1]}}, "application/merge-patch+json")
    write(reservedFor=None, allocation=None, devices=None)()


def test_our_account_writes_of_pods_what_a_scheduler_writes(world: World, own: Api) -> None:
    # given a pod of ours, one of another scheduler, and one that runs
    world.publish([fleet.node("dgx-h100", "box")])
    bound = pod(world.namespace, "bound")
    bound["spec"]["nodeName"] = "box"
    world.create(pod(world.namespace, "ours"), pod(world.namespace, "theirs", scheduler="another"), bound)

    def write(name: str, **status: object) -> Callable[[], Raw]:
        path = f"{collection('Pod', world.namespace)}/{name}/status"
        return lambda: dry(own, "PATCH", path, {"status": status})

    waits = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    ready = {"type": "Ready", "status": "False", "reason": "Forged"}
    refused(write("theirs", conditions=[waits]), "only of pods whose schedulerName is its own")
    refused(write("bound", conditions=[waits]), "only of pods that are not bound")
    refused(write("ours", conditions=[waits, ready]), "the condition PodScheduled")
    refused(write("ours", phase="Failed"), "the condition PodScheduled")
    write("ours", conditions=[waits])()

    def bind(**metadata: object) -> Callable[[], Raw]:
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": "ours", **metadata},
            "target": {"apiVersion": "v1", "kind": "Node", "name": "box"},
        }
        path = f"{collection('Pod', world.namespace)}/ours/binding"
        return lambda: dry(own, "POST", path, body, "application/json")

    refused(bind(annotations={"example.com/role": "admin"}), "no annotations but those under dovetail.scheduler/")
    refused(bind(labels={"app": "another"}), "no labels")
    bind(labels={"topology.kubernetes.io/zone": "a", "topology.kubernetes.io/region": "b"})()
    bind(annotations={"dovetail.scheduler/explain": "{}"})()


# ---------------------------------------------------------------- our own work


@pytest.mark.usefixtures("fences")
def test_our_work_passes_every_policy(world: World, cluster: Cluster, start_dovetail: Callable[..., Dovetail]) -> None:
    # given a box of ours, one that is not, and a class that is not
    bare = fleet.node("dgx-h100", "bare")
    del bare["metadata"]["labels"]["dovetail.scheduler/owned"]
    box = [fleet.node("dgx-h100", "box"), *fleet.slices("dgx-h100", "box")]
    foreign = [device_class(), slice_on("box", devices(1))]
    world.publish([*fleet.device_classes(), *box, bare, *fleet.slices("dgx-h100", "bare"), *foreign])
    owned = f'{{"nodes": "labelled", "drivers": ["{OWNED}"], "deviceClasses": ["{OWNED}"]}}'
    dovetail = start_dovetail(settings={"DOVETAIL_OWNERSHIP": owned}).ready()
    # when pods come with a template, with a claim that two share, and with what cannot be
    world.create(template(world.namespace, "pair", claim_spec([request(count=2)])))
    world.create(pod(world.namespace, "t", templates=["pair"]))
    assert runs(world, "t") == "box"
    shared = serve(world, "first", one())
    world.create(pod(world.namespace, "second", claims=["first"]))
    assert runs(world, "second") == "box"
    world.create(claim(world.namespace, "never", one(CLASS)), pod(world.namespace, "n", claims=["never"]))
    unschedulable(world, "n", CLASS, "not among those that Dovetail owns")
    # and, where there are such, with an extended resource
    if cluster.profile.name != "v1.35":
        extended = pod(world.namespace, "e")
        extended["spec"]["containers"][0]["resources"]["limits"] = {"nvidia.com/gpu": "1"}
        world.create(extended)
        assert runs(world, "e") == "box"
    # then devices were given, and nothing was refused
    assert len(devices_of(shared)) == 1
    log = dovetail.child.tail(2000)
    assert "ValidatingAdmissionPolicy" not in log
    assert '"error"' not in log


def test_what_the_policies_are_built_from_is_not_applied() -> None:
    assert {item["kind"] for name in ("classes", "nodes", "account") for item in policies(name)} == {
        "ConfigMap",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    }
    assert [item["metadata"]["name"] for item in policies("classes") if item["kind"] == "ConfigMap"] == []
