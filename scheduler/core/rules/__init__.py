"""What must hold for a placement. One rule, one file; the order is the order of reasons."""

from scheduler.core.rules.affinity import Affinity
from scheduler.core.rules.attach_limits import AttachLimits
from scheduler.core.rules.attraction import PodAffinity
from scheduler.core.rules.base import NodeRule, PodRule
from scheduler.core.rules.bound_volumes import BoundVolumes
from scheduler.core.rules.disks import Disks
from scheduler.core.rules.extended import ExtendedResources
from scheduler.core.rules.features import DeclaredFeatures
from scheduler.core.rules.free_volumes import FreeVolumes
from scheduler.core.rules.held import HeldClaims
from scheduler.core.rules.labels import NodeLabels
from scheduler.core.rules.nominated import NominatedPods
from scheduler.core.rules.ownership import OwnedNodes
from scheduler.core.rules.ports import HostPorts
from scheduler.core.rules.repelled import StandingAntiAffinity
from scheduler.core.rules.repelling import PodAntiAffinity
from scheduler.core.rules.resources import NodeResources
from scheduler.core.rules.spread import TopologySpread
from scheduler.core.rules.taints import NodeTaints
from scheduler.core.rules.volume_zones import VolumeZones

POD_RULES: tuple[PodRule, ...] = (TopologySpread(), PodAffinity(), PodAntiAffinity(), StandingAntiAffinity())
"""Rules on the pods around a node."""

NODE_RULES: tuple[NodeRule, ...] = (
    ExtendedResources(),
    OwnedNodes(),
    NodeLabels(),
    Affinity(),
    NodeTaints(),
    DeclaredFeatures(),
    HeldClaims(),
    HostPorts(),
    BoundVolumes(),
    VolumeZones(),
    NodeResources(),
    NominatedPods(),
    FreeVolumes(),
    AttachLimits(),
    Disks(),
    *POD_RULES,
)
"""Rules on nodes. Those on devices are in `eligibility`, those on sets of devices in `solvers/search`."""
