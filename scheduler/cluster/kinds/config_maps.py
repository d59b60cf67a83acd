"""What ConfigMaps hold for us: a map of links, and a configuration."""

from dataclasses import dataclass
from typing import Final

from scheduler.cluster.documents import read_yaml
from scheduler.cluster.kinds.fields import FieldError, Kinds, metadata_of
from scheduler.cluster.wire import config_maps as wire
from scheduler.cluster.wire.parts import Metadata
from scheduler.core import names
from scheduler.core.errors import TopologyError
from scheduler.core.model import Uid
from scheduler.core.topology.maps import LinkMap, link_map


@dataclass(frozen=True, slots=True)
class ConfigText:
    """The SchedulerConfig that a ConfigMap holds, as text. key : namespace/name of the ConfigMap."""

    key: str
    uid: Uid
    text: str

    @property
    def where(self) -> str:
        """Whose text it is, for people."""
        return f"ConfigMap {self.key}: data[{names.CONFIG_KEY}]"


def config_text_of(raw: wire.ConfigMap) -> ConfigText:
    """What a ConfigMap says under `config.yaml`. Raises FieldError."""
    metadata = raw.metadata or Metadata()
    key = f"{metadata.namespace}/{metadata.name}" if metadata.namespace else metadata.name
    content = (raw.data or {}).get(names.CONFIG_KEY)
    if content is None:
        elsewhere = names.CONFIG_KEY in (raw.binary_data or {})
        said = "is under binaryData" if elsewhere else "is missing"
        raise FieldError(f"data[{names.CONFIG_KEY}]", said, "put the text there")
    return ConfigText(key, Uid(metadata.uid or ""), content)


def _link_map(raw: wire.ConfigMap) -> LinkMap:
    metadata = metadata_of(raw.metadata, uid=True, namespaced=True)
    path = f"data[{names.TOPOLOGY_KEY}]"
    try:
        content = read_yaml((raw.data or {}).get(names.TOPOLOGY_KEY, ""))
        return link_map(metadata.name, Uid(metadata.uid or ""), content)
    except TopologyError as error:
        raise FieldError(path, error.problem, error.remedy) from error
    except ValueError as error:
        raise FieldError(path, str(error), "see README for its format") from error


KINDS: Final[Kinds[LinkMap]] = {
    "ConfigMap": (wire.ConfigMap, _link_map),
}
