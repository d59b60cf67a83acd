"""Volumes of pods."""

from typing import Any

from msgspec import field

from scheduler.cluster.wire.parts import Part


class ClaimSource(Part):
    """core/v1 PersistentVolumeClaimVolumeSource."""

    claim_name: str = ""


class RbdSource(Part):
    """core/v1 RBDVolumeSource."""

    monitors: list[str] | None = None
    pool: str | None = None
    image: str = ""
    read_only: bool | None = None


class IscsiSource(Part):
    """core/v1 ISCSIVolumeSource."""

    iqn: str = ""
    read_only: bool | None = None


class GceSource(Part):
    """core/v1 GCEPersistentDiskVolumeSource."""

    pd_name: str = ""
    read_only: bool | None = None


class CloudSource(Part):
    """core/v1 volume sources with an ID: AWSElasticBlockStore, Cinder and Portworx."""

    volume_id: str = field(default="", name="volumeID")
    read_only: bool | None = None


class AzureSource(Part):
    """core/v1 AzureDiskVolumeSource."""

    disk_uri: str = field(default="", name="diskURI")


class ImageVolume(Part):
    """core/v1 ImageVolumeSource."""

    reference: str | None = None


class Volume(Part):
    """core/v1 Volume: the sources that decide where a pod may run."""

    name: str = ""
    image: ImageVolume | None = None
    persistent_volume_claim: ClaimSource | None = None
    ephemeral: Any = None
    gce_persistent_disk: GceSource | None = None
    aws_elastic_block_store: CloudSource | None = None
    azure_disk: AzureSource | None = None
    cinder: CloudSource | None = None
    portworx_volume: CloudSource | None = None
    rbd: RbdSource | None = None
    iscsi: IscsiSource | None = None
