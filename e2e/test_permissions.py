"""Every rule of the shipped roles is needed: all are used when all kinds of work are done, and without one of them a
named kind of work stops, Dovetail says which permission is missing, and goes on once it is granted.

Dovetail runs inside the test here, as the whole process that `dovetail run` starts, with its ServiceAccount's token.
"""

import asyncio
import json
import logging
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from e2e.api import Access, Api, Raw, collection, until
from e2e.cluster import Cluster, LocalCluster, write_kubeconfig
from e2e.conftest import World
from e2e.dovetail import CONFIG_MAP, NAMESPACE, token
from e2e.inventory import CLASS, DRIVER, device_class, devices, node, slice_on
from e2e.proxy import Proxy
from e2e.storage import SELECTED, storage_class, volume, volume_claim, with_volumes
from e2e.workload import claim, claim_spec, pod, request
from scheduler.cluster.client import Client
from scheduler.cluster.discovery import SOURCES, Served
from scheduler.core.gates import Gates
from scheduler.service import access as reviews
from scheduler.service.permissions import Permission, missing, needed
from scheduler.service.run import Process
from scheduler.service.settings import load

NEWEST = Served(37, {source.kind: source.homes[0] if source.homes else "" for source in SOURCES})
NEEDED = needed(NEWEST, Gates(), config_map=(NAMESPACE, CONFIG_MAP))
GROUPS = [each for each in needed(NEWEST, Gates(workload_claims=True)) if each.resource == "podgroups"]
READS = [each for each in NEEDED if each.verb in {"list", "watch"}]
LEASES = [each for each in NEEDED if each.resource == "leases"]
REVIEWS = [each for each in NEEDED if each.resource.endswith("reviews")]
WRITES = [each for each in NEEDED if each not in {*READS, *LEASES, *REVIEWS}]
RESOURCE = "example.com/dev"
ONE = claim_spec([request(device_class=CLASS)])
ODD = '{"b": 1, "a": 2}'  # opaque parameters that the server would write otherwise
SETTINGS = {
    "DOVETAIL_HTTP__PORT": "0",
    "DOVETAIL_CONFIG_MAP__NAME": CONFIG_MAP,
    # A write that gets no answer is given up after a fifth of the lease, and a bit.
    "DOVETAIL_LEADER_ELECTION__LEASE_SECONDS": "10",
    "DOVETAIL_LEADER_ELECTION__RENEW_SECONDS": "8",
    "DOVETAIL_LEADER_ELECTION__RETRY_SECONDS": "1",
}

# Connections that a process leaves open end with its loop, here as when a real one exits.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class Said(logging.Handler):
    """What was logged, from any thread."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


class Service:
    """A process of Dovetail in a thread of its own. blind : it asks for no permission at its start."""

    def __init__(self, kubeconfig: Path, *, blind: bool = False, gates: str = "") -> None:
        self._said = Said()
        self.process: Process | None = None
        self._kubeconfig = kubeconfig
        self._blind = blind
        self._settings = SETTINGS | ({"DOVETAIL_FEATURE_GATES": gates} if gates else {})
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> "Service":
        logging.getLogger().addHandler(self._said)
        logging.getLogger().setLevel(logging.INFO)
        self._thread.start()
        until(lambda: self.process is not None, "the process is made", 20.0, 0.02)
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)
        logging.getLogger().removeHandler(self._said)
        assert not self._thread.is_alive(), "the process does not end"

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        client = await Client.connect(self._kubeconfig)
        lease_client = client.sibling(4)
        process = Process(load(None, self._settings), client, lease_client)
        process.permissions.again_s = 0.1
        process.patience_s = 0.5
        if self._blind:
            process.permissions.passed = _nothing_asked  # type: ignore[method-assign]
        self.process = process
        try:
            await process.run(self._stop)
        finally:
            await client.close()
            await lease_client.close()

    @property
    def deciding(self) -> bool:
        return self.process is not None and self.process.loop.deciding

    @property
    def unready(self) -> str:
        """What the readiness probe is told; empty when it is well."""
        assert self.process is not None
        return "; ".join(filter(None, (check.problem() for check in self.process.ready())))

    @property
    def state(self) -> str:
        assert self.process is not None
        return self.process._state()

    @property
    def lines(self) -> list[str]:
        """What it logged."""
        return self._said.lines

    def forget(self) -> None:
        """What it logged until now."""
        self.lines.clear()

    def tells(self, lacking: Permission) -> bool:
        """Whether log or readiness probe have the API server's refusal for want of this permission."""
        words = f'cannot {lacking.verb} resource "{lacking.resource}"'
        synthetic = f'resource="{lacking.resource}", verb="{lacking.verb}"'  # how resourceclaims/binding is told
        return any(words in line or synthetic in line for line in [*self.lines, self.unready])

    def ready(self) -> "Service":
        until(lambda: self.deciding, f"it decides; it says {self.unready!r}", 30.0, 0.02)
        return self


async def _nothing_asked(wanted: object) -> None:
    """In place of the self-check."""


# ---------------------------------------------------------------- the role, less one rule


@contextmanager
def account(cluster: Cluster) -> Iterator[Api]:
    """The API as Dovetail's account sees it."""
    access = cluster.api.access
    api = Api(Access(access.server, token(cluster.api), access.tls))
    yield api
    api.close()


@pytest.fixture(scope="module")
def own(cluster: Cluster) -> Iterator[Api]:
    with account(cluster) as api:
        yield api


def permitted(own: Api, asked: Permission) -> bool:
    resource, _, part = asked.resource.partition("/")
    attributes = {
        "verb": asked.verb, "group": asked.group, "resource": resource, "subresource": part,
        "namespace": asked.namespace, "name": asked.name,
    }  # fmt: skip
    kind = "SelfSubjectAccessReview"
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": {"resourceAttributes": attributes}}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    allowed: bool = own.call("POST", path, body)["status"]["allowed"]
    return allowed


def single(rules: list[Raw]) -> list[tuple[str, str, str, str]]:
    """Verb, resource, group and name of each thing that the rules grant."""
    return [
        (verb, resource, group, name)
        for rule in rules
        for verb in rule["verbs"]
        for resource in rule["resources"]
        for group in rule["apiGroups"]
        for name in rule.get("resourceNames", [""])
    ]


@contextmanager
def without(api: Api, own: Api, lacking: Permission) -> Iterator[None]:
    """The installed roles grant all but this, until the block ends."""
    kind, namespace = ("Role", lacking.namespace) if lacking.namespace else ("ClusterRole", "")
    gone = (lacking.verb, lacking.resource, lacking.group, lacking.name)
    [role] = [
        item
        for item in api.list(kind, namespace)
        if item["metadata"]["name"].startswith("dovetail") and gone in single(item.get("rules") or [])
    ]
    left = [
        {"verbs": [verb], "resources": [resource], "apiGroups": [group], **({"resourceNames": [name]} if name else {})}
        for verb, resource, group, name in single(role["rules"])
        if (verb, resource, group, name) != gone
    ]
    api.patch(kind, role["metadata"]["name"], {"rules": left}, namespace)
    try:
        until(lambda: not permitted(own, lacking), f"{lacking} is gone", 10.0, 0.02)
        yield
    finally:
        api.patch(kind, role["metadata"]["name"], {"rules": role["rules"]}, namespace)
        until(lambda: permitted(own, lacking), f"{lacking} is back", 10.0, 0.02)


@pytest.fixture(scope="module")
def kubeconfig(cluster: Cluster) -> Path:
    """Of Dovetail's account."""
    return kubeconfig_for(cluster, cluster.api.access.server)


def kubeconfig_for(cluster: Cluster, server: str) -> Path:
    assert isinstance(cluster, LocalCluster)
    certificate = cluster.folder / "certs" / "apiserver.crt" if server.startswith("https") else None
    path = cluster.folder / f"inside-{server.rpartition(':')[2]}.kubeconfig"
    write_kubeconfig(path, server, token(cluster.api), certificate, user="dovetail")
    return path


@pytest.fixture(scope="session")
def cluster(default_cluster: Cluster) -> Cluster:
    if not isinstance(default_cluster, LocalCluster):
        pytest.skip("takes rules from the installed roles and reads the audit log: for a cluster of its own")
    return default_cluster


# ---------------------------------------------------------------- kinds of work


@dataclass(frozen=True)
class Work:
    """Something that people see done. `begin` asks for it, `done` looks."""

    name: str
    begin: Callable[[World], None]
    done: Callable[[World], bool]


def inventory() -> list[Raw]:
    classes = [storage_class("local"), storage_class("made", "store.example.com/nobody")]
    return [device_class(extendedResourceName=RESOURCE), node("n1"), slice_on("n1", devices(16)), *classes]


def bound(world: World, name: str) -> bool:
    return "nodeName" in world.api.get("Pod", name, world.namespace)["spec"]


def places(name: str) -> Work:
    """A pod with a claim gets a node."""

    def begin(world: World) -> None:
        world.create(claim(world.namespace, name, ONE), pod(world.namespace, name, claims=[name]))

    return Work(f"pod {name} placed", begin, lambda world: bound(world, name))


def tells(name: str) -> Work:
    """A pod that cannot be placed is told why."""

    def begin(world: World) -> None:
        world.create(pod(world.namespace, name, cpu="10000"))

    def done(world: World) -> bool:
        status = world.api.get("Pod", name, world.namespace)["status"]
        return any(each["type"] == "PodScheduled" for each in status.get("conditions", []))

    return Work(f"reason of {name} told", begin, done)


def records(name: str) -> Work:
    """A pod that was placed has an event."""

    def begin(world: World) -> None:
        world.create(pod(world.namespace, name))

    def done(world: World) -> bool:
        events = world.api.list("Event", world.namespace)
        return any(each["reason"] == "Scheduled" and each["involvedObject"]["name"] == name for each in events)

    return Work(f"event of {name}", begin, done)


def odd_claim(world: World, name: str) -> None:
    spec = claim_spec([request(device_class=CLASS)], config=[{"opaque": {"driver": DRIVER, "parameters": "<here>"}}])
    body = json.dumps(claim(world.namespace, name, spec)).replace('"<here>"', ODD)
    world.api.raw("POST", collection("ResourceClaim", world.namespace), body.encode())


def places_odd() -> Work:
    """A claim with parameters that no patch may touch gets its finalizer."""

    def begin(world: World) -> None:
        odd_claim(world, "odd")
        world.create(pod(world.namespace, "odd", claims=["odd"]))

    return Work("odd claim allocated", begin, lambda world: bound(world, "odd"))


def joins_odd() -> Work:
    """A pod joins a claim whose allocation repeats such parameters, as kube-scheduler writes it."""

    def begin(world: World) -> None:
        odd_claim(world, "shared")
        made = world.api.get("ResourceClaim", "shared", world.namespace)
        field = {"key": "metadata.name", "operator": "In", "values": ["n1"]}
        config = {"source": "FromClaim", "opaque": {"driver": DRIVER, "parameters": "<here>"}}
        result = {"request": "gpu", "driver": DRIVER, "pool": "n1", "device": "d15"}
        made["status"] = {
            "allocation": {
                "devices": {"results": [result], "config": [config]},
                "nodeSelector": {"nodeSelectorTerms": [{"matchFields": [field]}]},
                "allocationTimestamp": "2026-01-01T00:00:00Z",
            }
        }
        body = json.dumps(made).replace('"<here>"', ODD)
        world.api.raw("PUT", f"{collection('ResourceClaim', world.namespace)}/shared/status", body.encode())
        world.create(pod(world.namespace, "joins", claims=["shared"]))

    return Work("odd claim joined", begin, lambda world: bound(world, "joins"))


def extended(world: World, name: str, **spec: object) -> Raw:
    made = pod(world.namespace, name)
    made["spec"]["containers"][0]["resources"]["limits"] = {RESOURCE: "1"}
    made["spec"] |= spec
    return made


def places_extended() -> Work:
    """A pod gets an extended resource, by a claim that is made for it."""

    def begin(world: World) -> None:
        world.create(extended(world, "extended"))

    return Work("extended resource given", begin, lambda world: bound(world, "extended"))


def replaces_leftover(name: str) -> Work:
    """A claim that an earlier attempt left behind goes, and the pod gets a new one."""

    def begin(world: World) -> None:
        [made] = world.create(extended(world, name, schedulingGates=[{"name": "example.com/wait"}]))
        left = claim(world.namespace, f"{name}-left", ONE)
        owner = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": made["metadata"]["uid"], "controller": True}
        mark = {"resource.kubernetes.io/extended-resource-claim": "true"}
        left["metadata"] |= {"ownerReferences": [owner], "annotations": mark}
        world.create(left)
        world.api.patch("Pod", name, {"spec": {"schedulingGates": None}}, world.namespace)

    def done(world: World) -> bool:
        return world.api.find("ResourceClaim", f"{name}-left", world.namespace) is None and bound(world, name)

    return Work(f"leftover of {name} replaced", begin, done)


def keeps(name: str) -> Work:
    """A pod gets a volume that is there."""

    def begin(world: World) -> None:
        world.publish([volume(f"{world.namespace}-{name}", "n1", "local", "1Gi")])
        world.create(volume_claim(world.namespace, name, "local"))
        world.create(with_volumes(pod(world.namespace, name), name))

    return Work(f"volume of {name} kept", begin, lambda world: bound(world, name))


def asks(name: str) -> Work:
    """A volume is to be made for a pod."""

    def begin(world: World) -> None:
        world.create(volume_claim(world.namespace, name, "made"))
        world.create(with_volumes(pod(world.namespace, name), name))

    return Work(f"volume of {name} asked for", begin, lambda world: selected(world, name))


def selected(world: World, name: str) -> bool:
    found = world.api.get("PersistentVolumeClaim", name, world.namespace)
    return SELECTED in found["metadata"].get("annotations", {})


def asks_no_more(name: str) -> Work:
    """A volume is no longer to be made once its pod is gone."""
    asking = asks(name)

    def begin(world: World) -> None:
        asking.begin(world)
        until(lambda: asking.done(world), asking.name)
        world.api.delete("Pod", name, world.namespace)

    return Work(f"volume of {name} asked for no more", begin, lambda world: not selected(world, name))


WORK: dict[tuple[str, str], Work] = {
    ("create", "pods/binding"): places("bound"),
    ("patch", "pods/status"): tells("told"),
    ("create", "events"): records("evented"),
    ("get", "resourceclaims"): places_odd(),
    ("patch", "resourceclaims"): places("finalized"),
    ("update", "resourceclaims"): places_odd(),
    ("patch", "resourceclaims/status"): places("allocated"),
    ("update", "resourceclaims/status"): joins_odd(),
    ("patch", "resourceclaims/binding"): places("reserved"),
    ("update", "resourceclaims/binding"): joins_odd(),
    ("create", "resourceclaims"): places_extended(),
    ("delete", "resourceclaims"): replaces_leftover("again"),
    ("patch", "persistentvolumes"): keeps("kept"),
    ("patch", "persistentvolumeclaims"): asks("asking"),
    ("get", "persistentvolumeclaims"): asks_no_more("asked"),
}
AFRESH = {
    ("get", "persistentvolumeclaims"): asks_no_more("later"),
    ("create", "events"): records("later"),
    ("patch", "pods/status"): tells("later"),
    ("delete", "resourceclaims"): replaces_leftover("later"),
}
"""What is not tried again by itself, or not soon: looked at with the next pod."""
KINDS_OF_WORK = list({each.name: each for each in WORK.values()}.values())
LOST = {
    ("get", "pods"): (re.compile(r"POST .*/pods/[^/]+/binding"), records("unanswered")),
    ("get", "persistentvolumes"): (re.compile(r"PATCH /api/v1/persistentvolumes/[^/]+"), keeps("unanswered")),
}
"""The write whose answer is lost, so that it has to be settled by a look at the object; and the work that waits."""


# ---------------------------------------------------------------- tests


def test_every_rule_has_a_test() -> None:
    tested = {*WORK, *LOST} | {(each.verb, each.resource) for each in (*READS, *LEASES, *REVIEWS)}
    assert tested == {(each.verb, each.resource) for each in NEEDED}


def audited(cluster: LocalCluster, start: int) -> list[Raw]:
    """What Dovetail asked for since the log was this long, but for the reviews of its own permissions."""
    with cluster.audit_log.open() as stream:
        stream.seek(start)
        events = [json.loads(line) for line in stream]
    return [
        each
        for each in events
        if each["userAgent"] == "dovetail"
        and "objectRef" in each
        and "selfsubject" not in each["objectRef"]["resource"]
    ]


def test_all_rules_are_used_and_no_other_verb_is_asked_for(world: World, cluster: LocalCluster) -> None:
    # given a process whose server does not stream lists, and loses the answers to a binding and to a volume's patch
    start = cluster.audit_log.stat().st_size if cluster.audit_log.exists() else 0
    world.publish(inventory())
    world.api.delete("Lease", "dovetail", NAMESPACE)
    with Proxy(world.api.access, loses_one(*(pattern for pattern, _ in LOST.values())), no_streams) as proxy:
        kubeconfig = kubeconfig_for(cluster, proxy.server)
        with Service(kubeconfig) as service:
            service.ready()
            # when it does all kinds of work, and somebody asks for its metrics
            for work in KINDS_OF_WORK:
                work.begin(world)
            for work in KINDS_OF_WORK:
                until(partial(work.done, world), f"{work.name} done", 40.0)
            assert judged(kubeconfig) == reviews.ALLOWED
        assert len(proxy.held) == len(LOST)
    # then it used what the table grants: binding is asked for behind a claim's status, and not noted by itself
    found = audited(cluster, start)
    asked = {
        (each["verb"], "/".join(filter(None, (each["objectRef"]["resource"], each["objectRef"].get("subresource")))))
        for each in found
    }
    assert asked == {(each.verb, each.resource) for each in NEEDED if each.resource != "resourceclaims/binding"}
    # and was refused nothing
    assert [each for each in found if each.get("responseStatus", {}).get("code") == 403] == []


def loses_one(*patterns: re.Pattern[str]) -> Callable[[str, str], bool]:
    """The first write of each of these is lost."""
    left = list(patterns)

    def holds(method: str, path: str) -> bool:
        found = [each for each in left if each.fullmatch(f"{method} {path.partition('?')[0]}")]
        for each in found:
            left.remove(each)
        return bool(found)

    return holds


def no_streams(method: str, path: str) -> bytes:
    """What a server says that does not know sendInitialEvents."""
    if "sendInitialEvents" not in path:
        return b""
    body = b'{"kind":"Status","code":400,"reason":"BadRequest","message":"not streamed"}'
    head = f"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def judged(kubeconfig: Path) -> object:
    """Whether an admin may read the metrics."""

    async def ask() -> object:
        client = await Client.connect(kubeconfig)
        try:
            return await reviews.Access(client).judge("Bearer admin-token", "/metrics")
        finally:
            await client.close()

    return asyncio.run(ask())


async def lacked(kubeconfig: Path, table: tuple[Permission, ...]) -> list[Permission]:
    client = await Client.connect(kubeconfig)
    try:
        return await missing(client, table)
    finally:
        await client.close()


@pytest.fixture(scope="class")
def service(kubeconfig: Path) -> Iterator[Service]:
    with Service(kubeconfig) as running:
        yield running.ready()


class TestWhileItWorks:
    """One process, of which rules are taken one by one."""

    @pytest.mark.parametrize("lacking", [each for each in WRITES if (each.verb, each.resource) in WORK], ids=str)
    def test_without_a_rule_its_work_stops_and_is_told_and_goes_on(
        self, world: World, own: Api, kubeconfig: Path, service: Service, lacking: Permission
    ) -> None:
        work = WORK[lacking.verb, lacking.resource]
        world.publish(inventory())
        with without(world.api, own, lacking):
            assert asyncio.run(lacked(kubeconfig, NEEDED)) == [lacking]
            service.forget()
            work.begin(world)
            until(lambda: service.tells(lacking), f"the refusal told; it says {service.lines}", 20.0, 0.02)
            assert not work.done(world)
        if afresh := AFRESH.get((lacking.verb, lacking.resource)):
            work = afresh
            work.begin(world)
        until(lambda: work.done(world), f"{work.name} once the rule is back", 40.0)


@pytest.mark.parametrize("look", LOST, ids=" ".join)
def test_without_a_look_a_lost_write_is_not_settled_and_the_probe_says_so(
    world: World, own: Api, cluster: Cluster, look: tuple[str, str]
) -> None:
    [lacking] = [each for each in WRITES if (each.verb, each.resource) == look]
    pattern, work = LOST[look]
    world.publish(inventory())
    with Proxy(world.api.access, loses_one(pattern)) as proxy, ExitStack() as stack:
        kubeconfig = kubeconfig_for(cluster, proxy.server)
        service = stack.enter_context(Service(kubeconfig)).ready()
        with without(world.api, own, lacking):
            assert asyncio.run(lacked(kubeconfig, NEEDED)) == [lacking]
            work.begin(world)
            words = f'cannot get resource "{lacking.resource}"'
            until(lambda: words in service.unready, f"the probe told; it says {service.unready!r}", 20.0)
            assert not work.done(world)
        until(lambda: work.done(world), f"{work.name} once the rule is back", 40.0)


def test_a_role_of_one_namespace_does_not_grant_bindings_of_claims(world: World, own: Api, kubeconfig: Path) -> None:
    # given the permission in one namespace only, which the API server never asks about
    [lacking] = [each for each in WRITES if (each.verb, each.resource) == ("patch", "resourceclaims/binding")]
    rbac = "rbac.authorization.k8s.io"
    metadata = {"name": "narrow", "namespace": world.namespace}
    rule = {"apiGroups": [lacking.group], "resources": [lacking.resource], "verbs": [lacking.verb]}
    subject = {"kind": "ServiceAccount", "name": "dovetail", "namespace": NAMESPACE}
    role = {"apiGroup": rbac, "kind": "Role", "name": "narrow"}
    with without(world.api, own, lacking):
        world.create(
            {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": metadata, "rules": [rule]},
            {
                "apiVersion": f"{rbac}/v1", "kind": "RoleBinding", "metadata": metadata,
                "roleRef": role, "subjects": [subject],
            },
        )  # fmt: skip
        until(lambda: permitted(own, replace(lacking, namespace=world.namespace)), "granted in the namespace", 10.0)
        # then it is still missing, as it would be when a claim is allocated
        assert asyncio.run(lacked(kubeconfig, NEEDED)) == [lacking]


def stops_at_start(cluster: Cluster, own: Api, lacking: Permission, gates: str = "") -> None:
    """Without the rule a process decides nothing and names it, and one that never asked cannot work."""
    server = cluster.api.access.server
    with ExitStack() as stack:
        if lacking.verb == "list":
            server = stack.enter_context(Proxy(cluster.api.access, says=no_streams)).server
        kubeconfig = kubeconfig_for(cluster, server)
        with without(cluster.api, own, lacking):
            with Service(kubeconfig, blind=True, gates=gates) as blind:
                until(lambda: blind.tells(lacking), f"the refusal told; it says {blind.lines}", 20.0, 0.02)
                assert lacking.optional or not blind.deciding
            service = stack.enter_context(Service(kubeconfig, gates=gates))
            if lacking.optional:
                service.ready()
                assert f"without {lacking.purpose}" in service.state
                return
            until(lambda: str(lacking) in service.unready, "the missing permission is named", 20.0, 0.02)
            assert f"lacks {lacking} (" in service.unready
            assert f"apply {lacking.manifest}" in service.unready
            assert not service.deciding
        service.ready()


@pytest.mark.parametrize("lacking", READS, ids=str)
def test_without_a_kind_nothing_is_decided_unless_it_is_optional(
    cluster: Cluster, own: Api, lacking: Permission
) -> None:
    stops_at_start(cluster, own, lacking)


@pytest.mark.parametrize("lacking", GROUPS, ids=str)
def test_without_pod_groups_nothing_is_decided_where_their_gate_is_on(
    alpha_cluster: Cluster, lacking: Permission
) -> None:
    if not isinstance(alpha_cluster, LocalCluster):
        pytest.skip("takes rules from the installed roles: for a cluster of its own")
    on = {name: value for name, value in alpha_cluster.profile.gates.items() if name in Gates().by_name()}
    with account(alpha_cluster) as own:
        stops_at_start(alpha_cluster, own, lacking, json.dumps(on))


@pytest.mark.parametrize("lacking", LEASES, ids=str)
def test_without_the_lease_nobody_leads(world: World, own: Api, cluster: Cluster, lacking: Permission) -> None:
    world.api.delete("Lease", "dovetail", NAMESPACE)
    if lacking.verb == "update":  # somebody led before
        spec = {"holderIdentity": "", "leaseDurationSeconds": 1}
        metadata = {"name": "dovetail", "namespace": NAMESPACE}
        world.create({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec})
    stops_at_start(cluster, own, lacking)


@pytest.mark.parametrize("lacking", REVIEWS, ids=str)
def test_without_reviews_metrics_stay_closed(world: World, own: Api, kubeconfig: Path, lacking: Permission) -> None:
    with without(world.api, own, lacking):
        assert asyncio.run(lacked(kubeconfig, NEEDED)) == [lacking]
        assert judged(kubeconfig) == reviews.UNDECIDED
    assert judged(kubeconfig) == reviews.ALLOWED
