"""What an API server offers: its version, and where it keeps each kind that is watched.

A kind may have moved through several versions of its API group while it ripened. The first of its homes that the server
has is watched; all of them are decoded to the same model.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from scheduler.cluster.client import ApiError, Client
from scheduler.cluster.watch import Watched
from scheduler.core import names
from scheduler.core.errors import ConfigError
from scheduler.core.gates import NAMES, Gates
from scheduler.core.messages import Kind

log = logging.getLogger(__name__)

_DRA: Final = "resource.k8s.io"
_STORAGE: Final = "storage.k8s.io/v1"


@dataclass(frozen=True, slots=True)
class Source:
    """A kind, its resource name, and the group versions that have it, the best first (none: the core group).

    selector : which of its objects matter. gate : the field of Gates without which nobody reads it; a kind that has
    none is required. namespace : the only one that is looked into. optional : scheduling goes on where it may not be
    read.
    """

    kind: Kind
    resource: str
    homes: tuple[str, ...] = ()
    selector: str = ""
    gate: str = ""
    namespace: str = ""
    optional: bool = False

    @property
    def gate_name(self) -> str:
        """Kubernetes' name of the gate; empty without one."""
        return NAMES.get(self.gate, "")


SOURCES: Final = (
    # For their labels, which (anti-)affinity of pods may select by.
    Source("Namespace", "namespaces"),
    Source("Node", "nodes"),
    Source("DeviceClass", "deviceclasses", (f"{_DRA}/v1",)),
    # v1 came with Kubernetes 1.37, v1beta2 with 1.36, v1alpha3 with 1.33; only v1 is on by default.
    Source(
        "DeviceTaintRule",
        "devicetaintrules",
        (f"{_DRA}/v1", f"{_DRA}/v1beta2", f"{_DRA}/v1alpha3"),
        gate="device_taint_rules",
    ),
    Source("ResourceSlice", "resourceslices", (f"{_DRA}/v1",)),
    Source("ResourceClaim", "resourceclaims", (f"{_DRA}/v1",)),
    Source(
        "PodGroup",
        "podgroups",
        ("scheduling.k8s.io/v1beta1", "scheduling.k8s.io/v1alpha3"),
        gate="workload_claims",
    ),
    Source(
        "ConfigMap",
        "configmaps",
        selector=f"metadata.name={names.TOPOLOGY_MAP}",
        namespace=names.NAMESPACE,
        optional=True,
    ),
    Source("PersistentVolumeClaim", "persistentvolumeclaims"),
    Source("PersistentVolume", "persistentvolumes"),
    Source("StorageClass", "storageclasses", (_STORAGE,)),
    Source("CSINode", "csinodes", (_STORAGE,)),
    Source("CSIDriver", "csidrivers", (_STORAGE,)),
    Source("CSIStorageCapacity", "csistoragecapacities", (_STORAGE,)),
    Source("VolumeAttachment", "volumeattachments", (_STORAGE,)),
    # Everybody's pods: they use the nodes. One that ends leaves the selection, which the server reports as DELETED.
    Source("Pod", "pods", selector="status.phase!=Succeeded,status.phase!=Failed"),
)


@dataclass(frozen=True, slots=True)
class Served:
    """What one server has: `minor` of its version 1.minor (None: it does not say), and the home of each kind."""

    minor: int | None
    homes: Mapping[Kind, str]

    def watched(self, gates: Gates) -> tuple[Watched, ...]:
        """What to watch under these gates; a kind that is missing costs one line of the log.

        Raises ConfigError for a kind that scheduling is impossible without.
        """
        found = []
        missing = []
        for source in SOURCES:
            if source.gate and not getattr(gates, source.gate):
                continue
            home = self.homes.get(source.kind)
            if home is not None:
                prefix = f"/apis/{home}" if home else "/api/v1"
                if source.namespace:
                    prefix += f"/namespaces/{source.namespace}"
                path = f"{prefix}/{source.resource}"
                found.append(Watched(source.kind, path, source.selector, optional=source.optional))
            elif source.gate:
                log.warning(
                    "the cluster serves %s in none of %s: going on as if there were none",
                    source.kind,
                    ", ".join(source.homes),
                )
            elif not source.optional:
                missing.append(source)
        if missing:
            kinds = ", ".join(f"{source.kind} of {source.homes[0]}" for source in missing)
            raise ConfigError("cluster", f"does not serve {kinds}", "Kubernetes 1.34 or newer does")
        return tuple(found)


async def discover(client: Client) -> Served:
    """Ask the server. Raises ApiError."""
    kinds: dict[str, frozenset[str]] = {}
    homes: dict[Kind, str] = {}
    for source in SOURCES:
        if not source.homes:
            homes[source.kind] = ""
        for home in source.homes:
            if home not in kinds:
                kinds[home] = await client.kinds(home)
            if source.kind in kinds[home]:
                homes[source.kind] = home
                break
    return Served(await _minor(client), homes)


async def _minor(client: Client) -> int | None:
    try:
        return await client.minor_version()
    except ApiError as error:
        if error.cause in {"unknown", "conflict"}:
            raise
        log.warning("the cluster does not tell its version (%s): taking the feature gates of the newest", error)
        return None
