"""Wrong choices, on which our checker and Kubernetes' allocator must agree too: a checker that accepts all is none."""

import copy
import random
from collections.abc import Iterator, Sequence
from typing import Final

from e2e.oracle import ours
from e2e.oracle.generator import Json
from e2e.oracle.judge import Difference, devices_of, rules_of

_MOVED: Final = ("driver", "pool", "device")


def mutant(case: Json, results: Sequence[Json]) -> list[Json] | None:
    """The choice with one device in place of another, or two that change places; None where there is nothing to change.

    It may well be right. The same each time for a case.
    """
    dice = random.Random(case["id"])
    found = copy.deepcopy(list(results))
    chosen = [each for allocation in found for each in allocation["devices"].get("results", [])]
    listed = [
        (item["spec"]["driver"], item["spec"]["pool"]["name"], device["name"])
        for item in case["slices"]
        for device in item["spec"].get("devices", [])
    ]
    if not chosen or not listed:
        return None
    one, other = dice.choice(chosen), dice.choice(chosen)
    if one is not other and dice.random() < 0.5:
        for key in _MOVED:
            one[key], other[key] = other[key], one[key]
    else:
        one.update(zip(_MOVED, dice.choice(listed), strict=True))
    return found


def differences(case: Json, wrong: Sequence[Json], again: Json) -> Iterator[Difference]:
    """What our checker says otherwise than the oracle, whose answer to the case narrowed to the mutant is `again`."""
    if again["outcome"] == "timeout":
        return
    accepted = again["outcome"] == "ok" and _sorted(again.get("results", [])) == _sorted(wrong)
    problems = ours.refused(case, again["results"] if accepted else wrong)
    if accepted and problems:
        kind = f"our checker refuses what upstream accepts: {rules_of(problems)}"
        yield Difference(kind, "\n    ".join([str(devices_of(wrong)), *problems]))
    if not accepted and not problems:
        text = f"{devices_of(wrong)}\n    upstream {again['outcome']} {again.get('error', '')}"
        yield Difference("our checker accepts what upstream refuses", text)


def _sorted(results: Sequence[Json]) -> list[list[str]]:
    return [sorted(group) for group in devices_of(results)]
