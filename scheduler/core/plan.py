"""What a cycle decided, and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from scheduler.core.extended import SpecialClaim
from scheduler.core.model import Allocation, Uid
from scoring.profiles import DEFAULT


@dataclass(frozen=True, slots=True)
class Option:
    """One scored choice: a node with the devices that would be taken there.

    `scores` are in [0, 1] by scorer name; `total` is their weighted mean.
    `links` says where the node's links were learned from; `truncated` that the device search stopped at its limit.
    """

    node: str
    devices: tuple[tuple[str, str, str], ...]
    total: float
    scores: Mapping[str, float]
    links: str = ""
    truncated: bool = False


REMOTE: Final = "remote."
"""Before the name of somebody else's scorer among the scores of an Option."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What a scorer of somebody else said. scores : by node, in [0, 1]. problem : why it counts as absent, or empty."""

    scorer: str
    weight: float
    scores: Mapping[str, float]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """Why a pod goes where it goes: the winner, the next best node, and how many nodes were possible.

    profile : whose weights these are, but for those that the pod set itself. ignored : why its annotations are not
    followed, empty if they are. window : which solver decided it together with how many other pods, empty if none did.
    config : digest of the configuration in force. remote : what scorers of others said, as far as they were asked.
    """

    pod: str
    winner: Option
    runner_up: Option | None
    feasible_nodes: int
    nodes: int
    weights: Mapping[str, float]
    profile: str = DEFAULT
    ignored: str = ""
    window: str = ""
    config: str = ""
    remote: tuple[Heard, ...] = ()


@dataclass(frozen=True, slots=True)
class Mount:
    """A PersistentVolumeClaim (`namespace/name`) gets a volume, by its name; empty: one is made for it."""

    claim: str
    volume: str


@dataclass(frozen=True, slots=True)
class Placement:
    """A pod goes to a node: claims to allocate (uid -> allocation) and claims that it joins as they are.

    special : the claim that has to be made for it first; its allocation is among the others, under its uid.
    mounts : of the volume claims that waited for it, which volumes they get.
    """

    pod: Uid
    node: str
    allocations: Mapping[Uid, Allocation]
    joined: tuple[Uid, ...]
    decision: Decision
    special: SpecialClaim | None = None
    mounts: tuple[Mount, ...] = ()


# What a pod waits for; `core/backlog.py` holds which events can end which.
MISCONFIGURED: Final = "Misconfigured"  # an object must be mended or created first
UNSUPPORTED: Final = "Unsupported"  # asks for something that this version does not do
CLAIM_PENDING: Final = "ClaimPending"  # a claim is not made yet, or is being allocated for another pod
NO_FIT: Final = "NoFit"  # no node fits now
REFUSED: Final = "Refused"  # an error on some node ends every attempt, wherever the pod would fit
POOL_INVALID: Final = "PoolInvalid"  # no node fits, and a pool that might help contradicts itself
RETRY: Final = "Retry"  # a slow answer or a budget is outstanding
ASKING: Final = "Asking"  # scorers of others have yet to answer


@dataclass(frozen=True, slots=True)
class Unplaced:
    """A pod stays pending: a stable token and a sentence that counts nodes and names the nearest miss."""

    pod: Uid
    token: str
    message: str


@dataclass(frozen=True, slots=True)
class Plan:
    """All of a cycle, decided on one snapshot revision."""

    revision: int
    placements: tuple[Placement, ...]
    unplaced: tuple[Unplaced, ...]
