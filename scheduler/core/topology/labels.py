"""What labels tell of a node's place among other nodes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from scoring.topology.fabric import LEVELS

CLIQUE: Final = "nvidia.com/gpu.clique"
"""ClusterUUID.CliqueID; written once the NVLink fabric between hosts works (NVIDIA k8s-device-plugin)."""

_CURRENT = "accelerator.topograph.run/"
_TIER = "fabric.topograph.run/tier-"
_OLDER = "network.topology.nvidia.com/"
_AWS = "topology.k8s.aws/"
_GCE = "cloud.google.com/gce-topology-"
_OCI = "oci.oraclecloud.com/host."

# Per level the labels that tell it, the first that a node has counts. Several labels together tell one value: the part
# that is asked for comes last, what it is a part of before it; parts that are absent are left out, but not the first.
SOURCES: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "host": ((_GCE + "host",),),
    "clique": (
        (CLIQUE,),
        (_CURRENT + "domain", _CURRENT + "sub-domain"),
        (_OLDER + "accelerator",),
        (_AWS + "ultraserver-id",),
    ),
    "rack": (
        (_TIER + "0",),
        (_OLDER + "leaf",),
        (_OLDER + "block",),  # what leaf was called before
        (_OCI + "rack_id",),
        (_GCE + "subblock",),
        (_AWS + "network-node-layer-3",),  # AWS counts from the top
    ),
    "block": (
        (_TIER + "1",),
        (_OLDER + "spine",),
        (_OCI + "network_block_id",),
        (_GCE + "block",),
        (_AWS + "network-node-layer-2",),
        (_AWS + "capacity-block-id",),
    ),
    "spine": (
        (_TIER + "2",),
        (_OLDER + "core",),
        (_OLDER + "datacenter",),  # what core was called before
        (_AWS + "network-node-layer-1",),
    ),
}


@dataclass(frozen=True, slots=True)
class Levels:
    """Where a node is: one text a level, in the order of `fabric.LEVELS`, empty where no label tells.

    told : the level with the labels that told it, in words for explanations.
    """

    values: tuple[str, ...]
    told: tuple[str, ...]

    @property
    def words(self) -> str:
        """For explanations; empty where nothing is known."""
        return ", ".join(self.told)


def levels(labels: Mapping[str, str]) -> Levels:
    """The levels that a node's labels tell."""
    values: list[str] = []
    told: list[str] = []
    for level in LEVELS:
        keys = _present(labels, SOURCES[level])
        # The family is part of the value: two families may use one text for different things.
        values.append("/".join([keys[0], *(labels[key] for key in keys)]) if keys else "")
        if keys:
            told.append(f"{level} {'/'.join(labels[key] for key in keys)} (label {' and '.join(keys)})")
    return Levels(tuple(values), tuple(told))


def _present(labels: Mapping[str, str], families: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    for family in families:
        if labels.get(family[0]):
            return tuple(key for key in family if labels.get(key))
    return ()
