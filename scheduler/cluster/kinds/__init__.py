"""What the shapes of `scheduler.cluster.wire` mean: one module for each kind of object, or for a part of several.

An object becomes one of `scheduler.core.model` or `scheduler.core.storage`. Parts that kinds share are in `fields`,
`opaque`, `selectors`, `taints` and `amounts`; a pod's own in `requests`, `neighbours` and `volumes`.
"""

from typing import Final

from scheduler.cluster.kinds import claims, classes, config_maps, groups, nodes, pods, slices, storage
from scheduler.cluster.kinds.fields import Kinds
from scheduler.core.model import Claim, ClaimTemplate, DeviceClass, Namespace, Node, Pod, PodGroup, Slice, TaintRule
from scheduler.core.storage import Stored
from scheduler.core.topology.maps import LinkMap

Watched = Namespace | Node | Slice | DeviceClass | TaintRule | Claim | PodGroup | Pod | LinkMap | Stored
Model = Watched | ClaimTemplate

KINDS: Final[Kinds[Model]] = {
    **nodes.KINDS,
    **slices.KINDS,
    **classes.KINDS,
    **claims.KINDS,
    **groups.KINDS,
    **config_maps.KINDS,
    **pods.KINDS,
    **storage.KINDS,
}
"""Shape and meaning by kind."""
ANNOTATIONS: Final = (claims.PREFIX, *storage.ANNOTATIONS)
"""What annotations that are read begin with, beside our own."""
