"""What the engine is told, as plain values; `service/settings.py` reads and validates the file behind it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from scheduler.core import names
from scheduler.core.gates import Gates
from scheduler.core.model import Node
from scheduler.core.topology import KNOWN, Spellings
from scoring.profiles import DEFAULT


@dataclass(frozen=True, slots=True)
class Ownership:
    """What Dovetail may allocate. All that is stated must hold; what is not stated does not limit.

    Nothing in the API keeps two schedulers from giving one device to two claims, so this is never guessed:
    by default only nodes that carry the label `dovetail.scheduler/owned` are used.
    """

    all_nodes: bool = False
    drivers: frozenset[str] = frozenset()
    device_classes: frozenset[str] = frozenset()

    def owns(self, node: Node) -> bool:
        """Whether pods may be placed on this node."""
        return self.all_nodes or node.labels.get(names.OWNED, "false") != "false"


@dataclass(frozen=True, slots=True)
class Overrides:
    """What pods may choose for themselves by annotation.

    profiles : names, None for every one there is. weights : name -> least and most; what is not named may not be set.
    """

    profiles: frozenset[str] | None = None
    weights: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RemoteScorer:
    """A scorer of somebody else. weight : as those of our own. timeout_s : how long a pod waits for its answer."""

    name: str
    weight: float
    timeout_s: float


GREEDY: Final = "greedy"
REGRET: Final = "regret"
JOINT: Final = "joint"
SOLVERS: Final = (GREEDY, REGRET, JOINT)

LIVE: Final = (
    "profile", "weights", "profiles", "scheduler_profiles", "overrides", "batch", "solver", "joint_limit_s", "digest",
)  # fmt: skip
"""What may change while an engine runs. All else is built into what it knows of the cluster."""


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Everything that steers decisions.

    scheduler_name : whose pods are ours. scheduler_profiles : further ones, each with the profile of its pods.
    profile : the weights of pods that choose none. weights : scorer name -> weight >= 0, merged over them.
    profiles : name -> weights, merged over the shipped profile of that name, or over the shipped weights.
    overrides : what pods may choose.
    batch : pods decided per cycle.
    search_steps : device-search steps per node shape inside the core; harder shapes leave as Solve.
    cycle_steps : steps of about a microsecond that a cycle spends on pods that take long, and that one pod takes before
        the next, so that no claim holds up the pods of others. The plans are the same for any number.
    solve_steps, scalar_steps : the budgets that Solve and EvaluateScalar carry; 100,000 scalar steps take seconds.
    solver : what decides pods of one cycle that get in each other's way: "greedy" one after the other, "regret" by
        repairing that, "joint" by HiGHS on top, which takes joint_limit_s.
    verify_plans : check each plan with the independent checker before acting on it.
    seed : fixes the order in which equal nodes are preferred.
    gates : which rules of Dynamic Resource Allocation are in force.
    binding_timeout_s : how long after its allocation a claim may wait for binding conditions. volume_timeout_s : how
        long a placed pod may wait until its PersistentVolumeClaims are bound.
    fabric_partitions : a claim takes whole GPUs that publish Fabric Manager partitions one partition at a time.
    unlisted_draw : a device in use that no slice lists any more shuts a pool with shared counters, as nobody knows what
        it draws on them. Upstream counts it as nothing.
    spellings : attributes of devices, beyond those that are known, that tell where they sit.
    remote : who is asked about the best nodes of every pod.
    digest : what stands for all of this in decisions; empty if nobody made one.
    """

    scheduler_name: str = names.SCHEDULER_NAME
    ownership: Ownership = field(default_factory=Ownership)
    profile: str = DEFAULT
    weights: Mapping[str, float] = field(default_factory=dict)
    profiles: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    scheduler_profiles: Mapping[str, str] = field(default_factory=dict)
    overrides: Overrides = field(default_factory=Overrides)
    device_choice: str = "scored"  # "first-fit" takes the first devices that fit, in name order
    batch: int = 256
    search_steps: int = 60
    cycle_steps: int = 2_500
    solve_steps: int = 2_000_000
    scalar_steps: int = 100_000
    solver: str = REGRET
    joint_limit_s: float = 0.2
    verify_plans: bool = False
    seed: int = 0
    gates: Gates = field(default_factory=Gates)
    binding_timeout_s: float = 600.0
    volume_timeout_s: float = 600.0
    fabric_partitions: bool = True
    unlisted_draw: bool = True
    spellings: Spellings = KNOWN
    remote: tuple[RemoteScorer, ...] = ()
    digest: str = ""

    @property
    def scheduler_names(self) -> frozenset[str]:
        """The schedulerNames of pods that are ours."""
        return frozenset({self.scheduler_name, *self.scheduler_profiles})

    def can_become(self, other: "EngineConfig") -> bool:
        """Whether a running engine may go over to another configuration: they differ in `LIVE` at most."""
        alike = replace(self, **{name: getattr(other, name) for name in LIVE}) == other
        return alike and self.scheduler_names == other.scheduler_names
