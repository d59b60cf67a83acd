"""What must be equal in our answer and upstream's: the nodes that each rule rejects, and those that are left.

Where Dovetail means to differ, nothing is drawn: `spec.os` is asked of a node's label here and of nothing there (the
kubelet turns the pod away), and room is kept for nominated pods of every scheduler, there for those of its profiles.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from e2e.oracle.plain.generator import NAMED, PLUGINS, Json
from e2e.oracle.plain.ours import SERVED, Found, feasible

FEASIBLE: Final = "feasible"
REFUSED: Final = "refused"


class Difference(NamedTuple):
    """One difference: of which plugins, of the nodes that are left (`feasible`), or that we refuse the pod."""

    rule: str
    text: str


def rejected(answer: Json, *plugins: str) -> frozenset[str]:
    """The nodes that one of these plugins of upstream rejects."""
    return frozenset(name for plugin in plugins for name in answer["rejected"].get(plugin, {}))


def differences(names: frozenset[str], found: Found, answer: Json) -> Iterator[Difference]:
    """All of one pod, on nodes of these names."""
    left = names - rejected(answer, *PLUGINS, NAMED)
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


def counted(names: frozenset[str], where: str, pod: str, rejected: Iterable[str]) -> Iterator[Difference]:
    """Of a pod that names its node: it has to be counted on the node that NodeName leaves it; where : ours."""
    ours, theirs = names - {where}, frozenset(rejected)
    if ours != theirs:
        yield Difference(NAMED, f"pod {pod}: {_told(ours, theirs)}")


def _told(ours: frozenset[str], theirs: frozenset[str]) -> str:
    parts = [f"only we reject {sorted(ours - theirs)}"] if ours - theirs else []
    parts += [f"only upstream rejects {sorted(theirs - ours)}"] if theirs - ours else []
    return ", ".join(parts)


def doubted(names: frozenset[str], answer: Json) -> str:
    """What upstream says of itself that cannot be: its plugins one by one leave other nodes than together."""
    left = sorted(names - rejected(answer, *PLUGINS, NAMED))
    return "" if left == answer["feasible"] else f"one by one they leave {left}, together {answer['feasible']}"
