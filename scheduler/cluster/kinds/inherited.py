"""Volumes of in-tree plugins as the CSI drivers know them that took over (k8s.io/csi-translation-lib)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from scheduler.core.model import Disk, NodeSelector, NodeSelectorTerm, Requirement
from scheduler.core.storage import OLD_REGION, OLD_ZONE, PLACES_APART, REGION, ZONE, places_in

_KEYS: Final[Mapping[str, str]] = {
    "gcePersistentDisk": "topology.gke.io/zone",
    "awsElasticBlockStore": "topology.ebs.csi.aws.com/zone",
    "cinder": "topology.cinder.csi.openstack.org/zone",
}
"""By source, the label that the driver sets on nodes. Other sources keep their affinity as it is."""


class UntranslatableError(Exception):
    """A volume that the driver cannot know."""


def handle_of(disk: Disk, labels: Mapping[str, str]) -> str:
    """By what the driver knows a disk; labels : of its PersistentVolume. Raises UntranslatableError."""
    [name] = disk.identity
    if disk.kind == "gcePersistentDisk":
        zones = (labels.get(OLD_ZONE) or labels.get(ZONE, "")).split(PLACES_APART)
        if len(zones) > 1:
            return f"projects/UNSPECIFIED/regions/{_region_of(zones)}/disks/{name}"
        return f"projects/UNSPECIFIED/zones/{zones[0] or 'UNSPECIFIED'}/disks/{name}"
    if disk.kind == "awsElasticBlockStore" and name.startswith("aws://"):
        found = name.removeprefix("aws://").partition("/")[2].strip("/")
        if not found.startswith("vol-") or "/" in found:
            raise UntranslatableError
        return found
    return name


def _region_of(zones: list[str]) -> str:
    """The one region of Google Cloud that all of these zones are in."""
    parts = [zone.split("-") for zone in zones]
    regions = {"-".join(part[:2]) for part in parts}
    if any(len(part) != 3 for part in parts) or len(regions) != 1:
        raise UntranslatableError
    return regions.pop()


def affinity_of(affinity: NodeSelector | None, kind: str, labels: Mapping[str, str]) -> NodeSelector | None:
    """The nodes for a volume of this source as the driver has it: by its own label instead of that of zones."""
    key = _KEYS.get(kind)
    if key is None:
        return affinity
    terms = affinity.terms if affinity is not None else ()
    used = {line.key for term in terms for line in term.labels}
    known = [each for each in (ZONE, OLD_ZONE) if each in used] or [each for each in (ZONE, OLD_ZONE) if each in labels]
    zone: str = known[0] if known else ZONE
    renamed: dict[str, str] = (
        {zone: key} if any(line.values for term in terms for line in term.labels if line.key == zone) else {}
    )
    zones = tuple(sorted(places_in(labels.get(zone, "")) - {""}))
    if not renamed and zones:
        here = Requirement(key, "In", zones)
        terms = tuple(NodeSelectorTerm((*term.labels, here), term.fields) for term in terms or (NodeSelectorTerm(),))
    if zone == OLD_ZONE:
        renamed[OLD_REGION] = REGION
    if not terms:
        return affinity
    return NodeSelector(
        tuple(
            replace(term, labels=tuple(replace(line, key=renamed.get(line.key, line.key)) for line in term.labels))
            for term in terms
        )
    )
