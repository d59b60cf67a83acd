"""What pods ask of the nodes and pods around them beside devices, from plain JSON: ports, anti-affinity and spread.

Of pods that e2e.sim.actors.households makes: selectors are matchLabels, and mean pods of the pod's own namespace.
"""

from collections import Counter
from collections.abc import Iterable

from e2e.sim.store import Raw

Stood = Iterable[tuple[Raw, Raw]]
"""Pods with the nodes that they stand on."""


def ports(pod: Raw) -> list[tuple[str, str, int]]:
    """Address, protocol and number of each port of the host that a pod takes."""
    return [
        (each.get("hostIP") or "0.0.0.0", each.get("protocol") or "TCP", each["hostPort"])
        for container in pod["spec"]["containers"] for each in container.get("ports") or () if each.get("hostPort")
    ]  # fmt: skip


def collide(one: Raw, other: Raw) -> bool:
    """Whether two pods take the same port of their host."""
    return any(a[1:] == b[1:] and (a[0] == b[0] or "0.0.0.0" in {a[0], b[0]}) for a in ports(one) for b in ports(other))


def _selects(selector: Raw, pod: Raw) -> bool:
    labels = pod["metadata"].get("labels") or {}
    return all(labels.get(key) == value for key, value in selector["matchLabels"].items())


def _domain(node: Raw, topology: str) -> str | None:
    return (node["metadata"].get("labels") or {}).get(topology)


def _repels(pod: Raw, at: Raw, other: Raw, on: Raw) -> bool:
    """Whether the required anti-affinity of a pod on one node keeps another one off another node."""
    terms = ((pod["spec"].get("affinity") or {}).get("podAntiAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution", ()
    )
    return any(
        _domain(at, each["topologyKey"]) is not None
        and _domain(at, each["topologyKey"]) == _domain(on, each["topologyKey"])
        and pod["metadata"]["namespace"] == other["metadata"]["namespace"] and _selects(each["labelSelector"], other)
        for each in terms
    )  # fmt: skip


def apart(pod: Raw, node: Raw, other: Raw, on: Raw) -> bool:
    """Whether neither of two pods keeps the other off its node."""
    return not _repels(pod, node, other, on) and not _repels(other, on, pod, node)


def spread(pod: Raw) -> list[Raw]:
    """Its constraints that must hold."""
    constraints = pod["spec"].get("topologySpreadConstraints") or ()
    return [each for each in constraints if each["whenUnsatisfiable"] == "DoNotSchedule"]


def even(pod: Raw, node: Raw, others: Stood, nodes: Iterable[Raw], loose: Iterable[Raw] = ()) -> bool:
    """Whether a pod may stand on a node among others that stand on some of these nodes.

    loose : pods that may stand anywhere; they are taken to stand where that helps.
    """
    others, nodes, loose = list(others), list(nodes), list(loose)
    return all(_even(each, pod, node, others, nodes, loose) for each in spread(pod))


def _even(constraint: Raw, pod: Raw, node: Raw, others: Stood, nodes: Iterable[Raw], loose: Iterable[Raw]) -> bool:
    topology, namespace = constraint["topologyKey"], pod["metadata"]["namespace"]
    own = _domain(node, topology)
    if own is None:
        return False
    wanted = pod["spec"].get("nodeSelector") or {}
    counts: Counter[str] = Counter()
    counted = set()
    for each in nodes:  # nodeAffinityPolicy is Honor where it is not set
        labels, domain = each["metadata"].get("labels") or {}, _domain(each, topology)
        if domain is not None and all(labels.get(key) == value for key, value in wanted.items()):
            counts[domain] += 0
            counted.add(each["metadata"]["name"])
    for other, on in others:
        metadata = other["metadata"]
        here = metadata["namespace"] == namespace and on["metadata"]["name"] in counted
        if here and "deletionTimestamp" not in metadata and metadata["uid"] != pod["metadata"]["uid"]:
            counts[str(_domain(on, topology))] += _selects(constraint["labelSelector"], other)
    if own not in counts:
        return False
    for each in loose:
        if each["metadata"]["namespace"] == namespace and _selects(constraint["labelSelector"], each):
            counts[min(counts, key=lambda name: (name == own, counts[name]))] += len(counts) > 1
    itself = int(_selects(constraint["labelSelector"], pod))
    return counts[own] + itself - min(counts.values()) <= constraint["maxSkew"]
