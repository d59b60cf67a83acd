"""ConfigMaps."""

from scheduler.cluster.wire.parts import Metadata, Part


class ConfigMap(Part):
    """core/v1 ConfigMap."""

    metadata: Metadata | None = None
    data: dict[str, str] | None = None
    binary_data: dict[str, str] | None = None
