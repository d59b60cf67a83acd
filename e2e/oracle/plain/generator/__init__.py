"""Seeded clusters of a few nodes with pods on them, and pods that wait, as API objects: small, nasty, and legal.

A cluster has trouble of a few families. Its draw depends on its seed, its number and the rule it is about alone. What
the API server makes of the objects is left to it: the oracle says what it keeps.
"""

from typing import Final

from e2e.oracle.plain.generator.dice import FAMILIES, NAMED, NOMINATED, PLUGINS, Dice, Json
from e2e.oracle.plain.generator.nodes import draw_nodes
from e2e.oracle.plain.generator.pods import draw_asked, draw_pods
from e2e.oracle.plain.generator.topology import draw_namespaces
from e2e.oracle.plain.generator.volumes import draw_storage

__all__ = ["ASKED", "FAMILIES", "NAMED", "NOMINATED", "PLUGINS", "Dice", "Json", "make"]

ASKED: Final = 5
"""Pods that are asked about in a cluster, each of them alone: so many cases."""


def make(seed: int, number: int, rule: str | None = None) -> Json:
    """One cluster, and under `asked` the pods to find nodes for. rule : what all of the pods are about at least."""
    dice = Dice(seed, number, rule)
    nodes = draw_nodes(dice)
    names = [str(node["metadata"]["name"]) for node in nodes]
    storage = draw_storage(dice, names)
    pods = draw_pods(dice, names, storage)
    asked = [draw_asked(dice, number, names, storage) for number in range(ASKED)]
    return {
        "id": f"{seed}/{number}",
        "families": sorted(dice.families),
        "nodes": nodes,
        "pods": pods,
        "namespaces": draw_namespaces(dice),
        **storage.objects,
        "asked": asked,
    }
