"""What must be equal in our answer and upstream's: the nodes that each rule rejects, and those that are left.

Where Dovetail means to differ, nothing is drawn: `spec.os` is asked of a node's label here and of nothing there (the
kubelet turns the pod away); a nominated pod that is being deleted keeps no room here; and room is kept for nominated
pods of every scheduler, there for those of the scheduler's own profiles.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from e2e.oracle.plain.generator import NOMINATED, PLUGINS, Json
from e2e.oracle.plain.ours import MISSING, SERVED, Found, feasible

NAMED: Final = "NodeName"
FEASIBLE: Final = "feasible"
REFUSED: Final = "refused"


ALLOWED: Final = {
    "volumes of in-tree plugins that a CSI driver serves": re.compile(
        r"volumes\[\S+\]\.(gcePersistentDisk|awsElasticBlockStore)|which a CSI driver serves in its place"
    ),
}
"""What README says is not supported, with the words of the refusal."""


class Difference(NamedTuple):
    """One difference: of which plugins, of the nodes that are left (`feasible`), or that we refuse the pod."""

    rule: str
    text: str


def rejected(answer: Json, *plugins: str) -> frozenset[str]:
    """The nodes that one of these plugins of upstream rejects."""
    return frozenset(name for plugin in plugins for name in answer["rejected"].get(plugin, {}))


def comparable(found: Found, families: frozenset[str]) -> bool:
    """Whether a pod can be judged, on a cluster with trouble of these families: not if what is missing decides it."""
    absent = MISSING & families
    return not ((found.unsupported and absent) or NOMINATED in absent)


def allowed(found: Found) -> str:
    """Why a pod may be refused that upstream would place; empty if there is no such reason."""
    known = (name for name, words in ALLOWED.items() if found.unsupported and words.search(found.refusal))
    return next(known, "")


def differences(names: frozenset[str], found: Found, answer: Json) -> Iterator[Difference]:
    """All of one pod that is not refused for a reason that is allowed, on nodes of these names."""
    served = [name for name in (*PLUGINS, NAMED) if name not in MISSING]
    left = names - rejected(answer, *served)
    if found.refusal:
        if left:
            yield Difference(REFUSED, f"upstream has {sorted(left)}, we none: {found.refusal}")
        return
    for plugins, rules in SERVED.items():
        ours = frozenset[str]().union(*(found.rejected[name] for name in rules))
        if ours != rejected(answer, *plugins):
            yield Difference(" + ".join(plugins), _told(ours, rejected(answer, *plugins)))
    if feasible(found, names) != left:
        yield Difference(FEASIBLE, _told(names - feasible(found, names), names - left))


def _told(ours: frozenset[str], theirs: frozenset[str]) -> str:
    parts = [f"only we reject {sorted(ours - theirs)}"] if ours - theirs else []
    parts += [f"only upstream rejects {sorted(theirs - ours)}"] if theirs - ours else []
    return ", ".join(parts)


def doubted(names: frozenset[str], answer: Json) -> str:
    """What upstream says of itself that cannot be: its plugins one by one leave other nodes than together."""
    left = sorted(names - rejected(answer, *PLUGINS, NAMED))
    return "" if left == answer["feasible"] else f"one by one they leave {left}, together {answer['feasible']}"
