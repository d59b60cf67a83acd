"""What the tests of the checker share: one pod with one claim, what is around it, and pairs of plans."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from scheduler.core.config import Ownership
from scheduler.core.errors import SelectorError
from scheduler.core.gates import Gates
from scheduler.core.model import Allocation, AttributeValue, Claim, Device, Node, Pod, Slice
from scheduler.core.plan import Plan
from scheduler.core.quantity import Quantity
from scheduler.core.verify import Violation, World, violations
from tests.build import allocation, claim, gpus, node, placement, plan, pod, result, slice_of, world

Scene = tuple[World, Plan]
Case = Callable[[], tuple[Scene, Scene]]


class Cases(list[tuple[str, Case]]):
    """Pairs of a correct scene, and one that breaks just the rule."""

    def breaks(self, rule: str) -> Callable[[Case], Case]:
        def register(case: Case) -> Case:
            self.append((rule, case))
            return case

        return register


def evaluate(
    expression: str, driver: str, attributes: Mapping[str, Any], capacity: Mapping[str, Any], shared: bool
) -> bool:
    """Just enough of CEL for these tests; `index` fails where it is absent, as an absent attribute does in CEL."""
    if asked := re.fullmatch(r'device\.driver == "(.*)"', expression):
        return driver == asked[1]
    if asked := re.fullmatch(r"index < (\d+)", expression):
        if "index" not in attributes:
            raise SelectorError(expression, "no such key: index")
        return attributes["index"] < int(asked[1])
    raise SelectorError(expression, "does not compile")


def derive(
    expression: str,
    driver: str,
    attributes: Mapping[str, AttributeValue],
    capacity: Mapping[str, Quantity],
    shared: bool,
) -> AttributeValue:
    """An attribute by its name, perhaps `+ 1`."""
    name, _, more = expression.partition(" + ")
    if name not in attributes:
        raise SelectorError(expression, f"no such key: {name}")
    value = attributes[name]
    return value + int(more) if more and isinstance(value, int) else value


def found(scene: Scene) -> list[Violation]:
    return list(violations(*scene, evaluate=evaluate, derive=derive))


# ---------------------------------------------------------------- one pod with one claim, and what is around it

USER, BARE, ASKED = pod("p", claims=["c"]), pod("p"), claim("c")
FIRST = allocation(result("gpu-0"))
BOTH = allocation(result("gpu-0"), result("gpu-1"))


def scene(
    *others: Any,
    pod: Pod = USER,
    claim: Claim = ASKED,
    given: Allocation = FIRST,
    where: str = "n1",
    ownership: Ownership | None = None,
    gates: Gates | None = None,
) -> Scene:
    """Pod p goes to a node with `given` for its claim c. Unless others are given: node n1 with gpu-0 and gpu-1."""
    return of_claims([(claim, given)], *others, pod=pod, where=where, ownership=ownership, gates=gates)


def of_claims(
    pairs: Sequence[tuple[Claim, Allocation]],
    *others: Any,
    pod: Pod = USER,
    where: str = "n1",
    ownership: Ownership | None = None,
    gates: Gates | None = None,
) -> Scene:
    """Pod p goes to a node with these allocations for its claims."""
    around = [pod, *(claim for claim, _ in pairs), *others]
    if not any(isinstance(item, Node) for item in others):
        around.append(node("n1"))
    if not any(isinstance(item, Slice) for item in others):
        around.append(gpus("n1", 2))
    made = world(*around, ownership=ownership)
    return replace(made, gates=gates or Gates()), plan(placement(pod, where, pairs))


def bare(*others: Any, pod: Pod = BARE, where: str = "n1", ownership: Ownership | None = None) -> Scene:
    """Pod p, which has no claims, goes to a node."""
    around = [pod, *others] if any(isinstance(item, Node) for item in others) else [pod, *others, node("n1")]
    return world(*around, ownership=ownership), plan(placement(pod, where))


def joining(the_claim: Claim, *others: Any, pod: Pod = USER, where: str = "n1") -> Scene:
    """Pod p joins claim c as it is."""
    return world(pod, the_claim, *others, node("n1"), gpus("n1", 2)), plan(placement(pod, where, joined=[the_claim]))


def devices(*made: Device, **where: Any) -> Slice:
    return slice_of(made, **(where or {"node": "n1"}))
