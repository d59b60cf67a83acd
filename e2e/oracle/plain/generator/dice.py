"""The draw of one cluster, and the words that all draws share."""

from typing import Any, Final

from e2e.oracle.generator.dice import Luck

Json = dict[str, Any]

PLUGINS: Final = (
    "NodeUnschedulable", "TaintToleration", "NodeAffinity", "NodePorts", "NodeResourcesFit", "VolumeRestrictions",
    "NodeVolumeLimits", "VolumeBinding", "VolumeZone", "PodTopologySpread", "InterPodAffinity", "NodeDeclaredFeatures",
)  # fmt: skip
"""Upstream's filter plugins whose rules are drawn, and judged of pods that wait."""
NAMED: Final = "NodeName"
"""The one that pods which wait have nothing to do with: those with a nodeName wait for no scheduler. It is judged of
those that run: what it leaves of the nodes is where they must be counted, and nowhere else."""
NOMINATED: Final = "nominated pods"
FAMILIES: Final = (*PLUGINS, NOMINATED)
_RARE: Final = ("VolumeRestrictions", "PodTopologySpread")  # drawn more often, since they seldom tell nodes apart
"""Kinds of trouble of a cluster: each is a rule, or what all rules must take into account."""
VOLUMES: Final = ("VolumeRestrictions", "NodeVolumeLimits", "VolumeBinding", "VolumeZone")

HOST: Final = "kubernetes.io/hostname"
ZONE: Final = "topology.kubernetes.io/zone"
REGION: Final = "topology.kubernetes.io/region"
OLD_ZONE: Final = "failure-domain.beta.kubernetes.io/zone"
RACK: Final = "example.com/rack"
DISK: Final = "disk"
GENERATION: Final = "generation"
NAMESPACES: Final = ("default", "default", "team-a", "team-b")
FEATURE: Final = "RestartAllContainersOnContainerExits"
"""The only declared feature that a pod can need under default gates."""


class Dice(Luck):
    """The draw of one cluster. families : the kinds of trouble in it; `rule` is one of them if it is given."""

    def __init__(self, seed: int, number: int, rule: str | None = None) -> None:
        super().__init__(f"plain {seed}/{number}" + (f" {rule}" if rule else ""))
        drawn = {self.of(*FAMILIES, *_RARE) for _ in range(self.of(1, 2, 2, 3, 3, 4, 12))}
        if drawn == {NOMINATED}:
            drawn.add(self.of(*PLUGINS))
        if rule is not None:
            drawn = {rule, *(drawn if self.chance(0.5) else ())}
        self.rule = rule
        self.families = frozenset(drawn)
