"""What `dovetail run` must be permitted to do, and the question to the API server whether it is.

The table here is the only one: the roles in manifests/ equal it, to the verb, for each version of Kubernetes. A process
that lacks something decides nothing, says what is missing and which file grants it, and asks again; without what is
optional it goes on and says what is gone.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from scheduler.cluster.client import ApiError, Client
from scheduler.cluster.discovery import SOURCES, Served
from scheduler.core import names
from scheduler.core.gates import Gates

log = logging.getLogger(__name__)

BASE: Final = "manifests/base/rbac.yaml"
POD_GROUPS: Final = "manifests/components/pod-groups"

REVIEWS: Final = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_WHO: Final = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
_DRA: Final = "resource.k8s.io"
_LEASES: Final = "coordination.k8s.io"
_SHOWN: Final = 4  # missing permissions that are spelled out


@dataclass(frozen=True, slots=True)
class Permission:
    """One verb on one resource.

    resource : with its subresource, such as pods/binding. group : its API group, empty for the core's.
    purpose : what does not work without it. namespace, name : the only ones it is needed for; empty: all.
    manifest : what grants it. gate : Kubernetes' name of the feature gate without which it is not needed.
    since : the minor version of Kubernetes that began to ask for it. optional : scheduling goes on without it.
    """

    verb: str
    resource: str
    group: str
    purpose: str
    namespace: str = ""
    name: str = ""
    manifest: str = BASE
    gate: str = ""
    since: int = 0
    optional: bool = False

    def __str__(self) -> str:
        text = f"verb {self.verb} on {self.resource}" + (f".{self.group}" if self.group else "")
        if self.name:
            text += f" {self.name}"
        return text + (f" in namespace {self.namespace}" if self.namespace else " in all namespaces")

    @property
    def remedy(self) -> str:
        """What the admin can do."""
        return f"apply {self.manifest}" + (f" or set featureGates.{self.gate}: false" if self.gate else "")


WRITES: Final = (
    Permission("get", "pods", "", "finding out whether a binding was taken in"),
    Permission("create", "pods/binding", "", "binding pods"),
    Permission("patch", "pods/status", "", "saying why a pod waits, and which claim serves its extended resources"),
    Permission("create", "events", "", "events of pods", optional=True),
    Permission("get", "resourceclaims", _DRA, "finding out whether an allocation was taken in"),
    Permission("patch", "resourceclaims", _DRA, "the finalizer that keeps an allocated claim"),
    Permission("update", "resourceclaims", _DRA, "the same where the server takes no patch of opaque parameters"),
    Permission("patch", "resourceclaims/status", _DRA, "allocations and reservations"),
    Permission("update", "resourceclaims/status", _DRA, "the same where the server takes no patch"),
    # Checked for the whole cluster when an allocation or a reservation changes; there is no such object (KEP-4817).
    Permission("patch", "resourceclaims/binding", _DRA, "allocations and reservations", since=36),
    Permission("update", "resourceclaims/binding", _DRA, "the same where the server takes no patch", since=36),
    Permission("create", "resourceclaims", _DRA, "claims for extended resources", gate="DRAExtendedResource"),
    Permission("delete", "resourceclaims", _DRA, "claims for extended resources", gate="DRAExtendedResource"),
    Permission("get", "persistentvolumes", "", "finding out whether a volume was kept for a claim"),
    Permission("patch", "persistentvolumes", "", "keeping volumes for claims of pods that are placed"),
    Permission("get", "persistentvolumeclaims", "", "finding out whether a node was set on a claim"),
    Permission("patch", "persistentvolumeclaims", "", "having volumes made where pods are placed"),
    Permission("create", "tokenreviews", "authentication.k8s.io", "metrics for others than this pod", optional=True),
    Permission(
        "create", "subjectaccessreviews", "authorization.k8s.io", "metrics for others than this pod", optional=True
    ),
)
ELECTION: Final = (
    Permission("create", "leases", _LEASES, "leader election", namespace=names.NAMESPACE),
    Permission("get", "leases", _LEASES, "leader election", namespace=names.NAMESPACE, name=names.LEASE),
    Permission("update", "leases", _LEASES, "leader election", namespace=names.NAMESPACE, name=names.LEASE),
)


def needed(
    served: Served, gates: Gates, *, election: bool = True, config_map: tuple[str, str] = ("", "")
) -> tuple[Permission, ...]:
    """What a process needs in a cluster that serves this, under these gates.

    config_map : namespace and name of the one whose configuration is followed, if any.
    """
    on = gates.by_name()
    writes = [
        each
        for each in WRITES
        if (not each.gate or on[each.gate]) and (served.minor is None or served.minor >= each.since)
    ]
    namespace, name = config_map
    purpose = "following the configuration"
    listing = Permission("list", "configmaps", "", purpose, namespace=namespace, name=name, optional=True)
    follows = (listing, replace(listing, verb="watch")) if name else ()
    return (*_reads(served, gates), *follows, *writes, *(ELECTION if election else ()))


def _reads(served: Served, gates: Gates) -> Iterable[Permission]:
    for source in SOURCES:
        home = served.homes.get(source.kind)
        if home is None or (source.gate and not getattr(gates, source.gate)):
            continue
        known = Permission(
            "list",
            source.resource,
            home.partition("/")[0] if home else "",
            f"knowing {source.kind}s",
            namespace=source.namespace,
            name=source.selector.removeprefix("metadata.name=") if source.namespace else "",
            manifest=POD_GROUPS if source.kind == "PodGroup" else BASE,
            gate=source.gate_name,
            optional=source.optional,
        )
        yield known
        yield replace(known, verb="watch")


class _Verdict(msgspec.Struct):
    allowed: bool = False


class _Review(msgspec.Struct):
    status: _Verdict


class _User(msgspec.Struct):
    username: str = ""


class _UserInfo(msgspec.Struct, rename="camel"):
    user_info: _User


class _Identity(msgspec.Struct):
    status: _UserInfo


_decode_review = msgspec.json.Decoder(_Review).decode
_decode_identity = msgspec.json.Decoder(_Identity).decode


async def missing(client: Client, wanted: Sequence[Permission]) -> list[Permission]:
    """Which of them the API server would refuse, in their order. Raises ApiError."""
    answers = await asyncio.gather(*(_allowed(client, each) for each in wanted))
    return [each for each, allowed in zip(wanted, answers, strict=True) if not allowed]


async def _allowed(client: Client, permission: Permission) -> bool:
    resource, _, part = permission.resource.partition("/")
    attributes = {
        "verb": permission.verb,
        "group": permission.group,
        "resource": resource,
        "subresource": part,
        "namespace": permission.namespace,
        "name": permission.name,
    }
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    answer = await client.request("POST", REVIEWS, msgspec.json.encode(body))
    try:
        return _decode_review(answer).status.allowed
    except msgspec.MsgspecError as error:
        raise ApiError("invalid", 200, f"POST {REVIEWS}: {error}") from error


async def account(client: Client) -> str:
    """By which name the API server knows this process."""
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    try:
        return _decode_identity(await client.request("POST", _WHO, msgspec.json.encode(body))).status.user_info.username
    except (ApiError, msgspec.MsgspecError):
        return "this account"


def describe(who: str, lacking: Sequence[Permission]) -> str:
    """One line for logs and the readiness probe: who lacks what, and what would help."""
    shown = ", ".join(f"{each} ({each.purpose})" for each in lacking[:_SHOWN])
    more = f" and {len(lacking) - _SHOWN} more" if len(lacking) > _SHOWN else ""
    remedies = "; ".join(dict.fromkeys(each.remedy for each in lacking))
    return f"{who} lacks {shown}{more}: {remedies}"


class SelfCheck:
    """Asks until nothing essential is missing.

    problem : what is missing and keeps the process from deciding; empty when nothing is.
    without : what is missing and is done without. again_s : seconds between two tries.
    """

    def __init__(self, client: Client, again_s: float = 5.0) -> None:
        self.problem = ""
        self.without: tuple[Permission, ...] = ()
        self._client = client
        self.again_s = again_s

    def allows(self, verb: str, resource: str) -> bool:
        """Whether something optional is permitted, as far as the API server told."""
        return not any((each.verb, each.resource) == (verb, resource) for each in self.without)

    @property
    def reservation(self) -> str:
        """What a process that works does without, to follow its state; empty when it lacks nothing."""
        if not self.without:
            return ""
        return " without " + ", ".join(dict.fromkeys(each.purpose for each in self.without))

    async def passed(self, wanted: Sequence[Permission]) -> None:
        """Returns once all that is essential is permitted, or the API server does not say."""
        who = ""
        while True:
            try:
                lacking = await missing(self._client, wanted)
            except ApiError as error:
                if error.cause != "unknown":
                    log.warning("permissions are not checked, the API server does not tell them: %s", error)
                    self.problem = ""
                    return
                log.warning("permissions are not known yet: %s", error)
                await asyncio.sleep(self.again_s)
                continue
            if lacking:
                who = who or await account(self._client)
            essential = [each for each in lacking if not each.optional]
            problem = describe(who, essential) if essential else ""
            if problem and problem != self.problem:
                log.error("not permitted: %s; nothing is decided until then", problem)
            self.problem = problem
            if not essential:
                self.without = tuple(lacking)
                if lacking:
                    log.warning(
                        "going on without: %s; granted later, it counts after a restart", describe(who, lacking)
                    )
                return
            await asyncio.sleep(self.again_s)
