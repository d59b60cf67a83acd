"""Every name that users, manifests or other programs meet. README lists them; a test holds the two together."""

import hashlib
from typing import Final

COMMANDS: Final = (
    "run", "demo", "simulate", "explain", "snapshot", "replay", "whatif",
    "config", "extender", "audit", "migrate", "plan", "readiness", "doublebook",
)  # fmt: skip

SCHEDULER_NAME: Final = "dovetail"

PREFIX: Final = "dovetail.scheduler/"
OWNED: Final = PREFIX + "owned"  # label on nodes, and key of the device taint
PROFILE: Final = PREFIX + "profile"
WEIGHTS: Final = PREFIX + "weights"
LINKS: Final = PREFIX + "links"
EXPLAIN: Final = PREFIX + "explain"
GANG: Final = PREFIX + "gang"
GANG_MIN_COUNT: Final = PREFIX + "gang-min-count"
TOPOLOGY_REQUIRED: Final = PREFIX + "topology-required"
TOPOLOGY_PREFERRED: Final = PREFIX + "topology-preferred"
LABELS: Final = (
    OWNED, PROFILE, WEIGHTS, LINKS, EXPLAIN, GANG, GANG_MIN_COUNT, TOPOLOGY_REQUIRED, TOPOLOGY_PREFERRED,
)  # fmt: skip

CONFIG_API_VERSION: Final = "config.dovetail.scheduler/v1alpha1"
CONFIG_KIND: Final = "SchedulerConfig"
NAMESPACE: Final = "dovetail-system"
CONFIG_MAP: Final = "dovetail-config"
CONFIG_KEY: Final = "config.yaml"
TOPOLOGY_MAP: Final = "dovetail-topology"
TOPOLOGY_KEY: Final = "topology.yaml"
TOPOLOGY_KIND: Final = "Topology"
LEASE: Final = "dovetail"
METRICS_PREFIX: Final = "dovetail_"
ENVIRONMENT_PREFIX: Final = "DOVETAIL_"
PROTO_PACKAGE: Final = "dovetail.scoring.v1"

CLAIM_FINALIZER: Final = "resource.kubernetes.io/delete-protection"  # set by every DRA scheduler (KEP-4381)
EXTENDED_CLAIM: Final = "resource.kubernetes.io/extended-resource-claim"
"""Annotation, "true" on a claim that a scheduler made for a pod's extended resources (KEP-5004)."""
IMPLICIT_EXTENDED: Final = "deviceclass.resource.kubernetes.io/"
"""The name of a DeviceClass behind this is an extended resource too."""

_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"  # of names that Kubernetes generates


def is_extended(resource: str) -> bool:
    """Whether devices may serve this resource: it is nobody's built-in one."""
    if resource.startswith(IMPLICIT_EXTENDED):
        return True
    return "/" in resource and "kubernetes.io/" not in resource and not resource.startswith("requests.")


def is_counted(resource: str) -> bool:
    """Whether kube-scheduler counts what is requested of this resource; the API server lets nothing else through.

    (`IsScalarResourceName` of pkg/scheduler/util, and the three that have a place of their own.)
    """
    if resource in {"cpu", "memory", "ephemeral-storage"} or "kubernetes.io/" in resource:
        return True
    return resource.startswith(("hugepages-", "attachable-volumes-")) or is_extended(resource)


def suffix(*parts: object) -> str:
    """Five characters as Kubernetes generates them for names, the same for the same parts."""
    digest = int.from_bytes(hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest(), "big")
    return "".join(_ALPHABET[digest // len(_ALPHABET) ** place % len(_ALPHABET)] for place in range(5))
