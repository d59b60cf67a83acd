"""Containers of pods."""

from msgspec import field

from scheduler.cluster.wire.parts import Amounts, Part


class ContainerClaim(Part):
    """core/v1 ResourceClaim: which of the pod's claims a container uses."""

    name: str = ""


class Resources(Part):
    """core/v1 ResourceRequirements."""

    requests: Amounts | None = None
    limits: Amounts | None = None
    claims: list[ContainerClaim] | None = None


class Port(Part):
    """ContainerPort."""

    container_port: int | None = None
    host_port: int | None = None
    protocol: str | None = None
    host_ip: str | None = field(default=None, name="hostIP")


class ExitRule(Part):
    """ContainerRestartRule."""

    action: str = ""


class VolumeMount(Part):
    """core/v1 VolumeMount."""

    bind_mount_options: list[str] | None = None


class Container(Part):
    """core/v1 Container."""

    name: str = ""
    image: str | None = None
    volume_mounts: list[VolumeMount] | None = None
    resources: Resources | None = None
    ports: list[Port] | None = None
    restart_policy: str | None = None
    restart_policy_rules: list[ExitRule] | None = None


class ContainerStatus(Part):
    """core/v1 ContainerStatus."""

    name: str = ""
    allocated_resources: Amounts | None = None
    resources: Resources | None = None
