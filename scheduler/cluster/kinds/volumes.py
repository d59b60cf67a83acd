"""Volumes of pods, and the disks that they and persistent volumes name."""

from collections.abc import Sequence

from scheduler.cluster.kinds.fields import required
from scheduler.cluster.wire import volumes as wire
from scheduler.cluster.wire.storage import PersistentVolumeSpec
from scheduler.core.model import Disk, PodVolume


def volumes_of(volumes: Sequence[wire.Volume], pod: str) -> tuple[PodVolume, ...]:
    """Those that decide where a pod of this name may run. Raises FieldError."""
    found = []
    for index, volume in enumerate(volumes):
        if volume.persistent_volume_claim is not None:
            at = f"spec.volumes[{index}].persistentVolumeClaim.claimName"
            found.append(PodVolume(volume.name, required(volume.persistent_volume_claim.claim_name, at)))
        elif volume.ephemeral is not None:
            found.append(PodVolume(volume.name, f"{pod}-{volume.name}", ephemeral=True))
        elif volume.rbd is not None:
            source = volume.rbd
            image = (source.pool or "rbd", source.image)
            disk = Disk("rbd", image, bool(source.read_only), frozenset(source.monitors or ()))
            found.append(PodVolume(volume.name, disk=disk))
        elif volume.iscsi is not None:
            disk = Disk("iscsi", (volume.iscsi.iqn,), bool(volume.iscsi.read_only))
            found.append(PodVolume(volume.name, disk=disk))
        elif (named := disk_of(volume)) is not None:
            found.append(PodVolume(volume.name, disk=named))
    return tuple(found)


def disk_of(raw: wire.Volume | PersistentVolumeSpec) -> Disk | None:
    """The disk of a kind that CSI drivers took over which is named there."""
    if raw.gce_persistent_disk is not None:
        source = raw.gce_persistent_disk
        return Disk("gcePersistentDisk", (source.pd_name,), bool(source.read_only))
    if raw.aws_elastic_block_store is not None:
        return Disk("awsElasticBlockStore", (raw.aws_elastic_block_store.volume_id,))
    if raw.azure_disk is not None:
        return Disk("azureDisk", (raw.azure_disk.disk_uri,))
    if raw.cinder is not None:
        return Disk("cinder", (raw.cinder.volume_id,))
    return Disk("portworxVolume", (raw.portworx_volume.volume_id,)) if raw.portworx_volume is not None else None
