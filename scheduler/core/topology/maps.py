"""The ConfigMap `dovetail-topology`: what an operator tells of machines, and which nodes each entry is about.

    apiVersion: config.dovetail.scheduler/v1alpha1
    kind: Topology
    boxes:
      - match: {node: box-7}                           # or {nodeSelector: {pool: a40}}, or
        pairs: [["gpu-0", "gpu-2", 56], ...]           # {productName: NVIDIA A40, count: 8}
        default: 0

An entry that names a node counts before one that selects labels, and that before one for a product; among equals the
first counts. An entry that cannot be used is put aside with a problem, and the others stay.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from scheduler.core import names
from scheduler.core.errors import TopologyError
from scheduler.core.model import Node, Uid
from scheduler.core.topology.told import KEYS, Told, show, told
from scoring.topology.catalogue import folded

MAX_BOXES: Final = 10_000
MAP: Final = f"ConfigMap {names.NAMESPACE}/{names.TOPOLOGY_MAP}"
_MATCH: Final = "give match: {node: NAME}, {nodeSelector: {LABEL: VALUE}} or {productName: NAME, count: N}"

Counts = Mapping[str, int]
"""GPUs in the box by product, as `catalogue.folded` writes it."""


@dataclass(frozen=True, slots=True)
class Match:
    """Which nodes an entry is about: one node, those with these labels, or those with `count` GPUs of a product."""

    node: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    product: str = ""
    count: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """One machine, or kind of machine, of the ConfigMap."""

    match: Match
    told: Told


@dataclass(frozen=True)
class LinkMap:
    """The ConfigMap as read. problems : what is wrong with entries that were put aside."""

    name: str
    uid: Uid
    entries: tuple[Entry, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Namespace and name."""
        return f"{names.NAMESPACE}/{self.name}"

    def of(self, node: Node, products: Counts) -> tuple[Entry, ...]:
        """Entries about a node that rank alike, the one that counts first; empty if there is none."""
        named = self._by_node.get(node.name)
        if named is not None:
            return (named,)
        selecting = tuple(
            each for each in self._selecting if all(node.labels.get(key) == value for key, value in each.match.labels)
        )
        counted = (self._by_product.get(item) for item in products.items())
        return selecting or tuple(each for each in counted if each is not None)

    @cached_property
    def _by_node(self) -> Mapping[str, Entry]:
        return {each.match.node: each for each in self.entries if each.match.node}

    @cached_property
    def _selecting(self) -> tuple[Entry, ...]:
        return tuple(each for each in self.entries if each.match.labels)

    @cached_property
    def _by_product(self) -> Mapping[tuple[str, int], Entry]:
        return {(each.match.product, each.match.count): each for each in self.entries if each.match.product}

    def strangers(self, nodes: Mapping[str, Node]) -> tuple[str, ...]:
        """Problems of entries that name a node which does not exist."""
        return tuple(
            f"{each.told.where}: node {each.match.node} does not exist; correct the name, or remove the entry"
            for name, each in self._by_node.items()
            if name not in nodes
        )


def link_map(name: str, uid: Uid, content: object) -> LinkMap:
    """The map that a document describes. Raises TopologyError for one that is no Topology at all."""
    header = {"apiVersion": names.CONFIG_API_VERSION, "kind": names.TOPOLOGY_KIND}
    where = f"{MAP}, key {names.TOPOLOGY_KEY}"
    if content is None:
        return LinkMap(name, uid)
    if not isinstance(content, dict):
        raise TopologyError(where, f"holds {show(content)}, not a mapping", f"begin with kind: {names.TOPOLOGY_KIND}")
    for key, value in header.items():
        if content.get(key) != value:
            raise TopologyError(where, f"{key} is {show(content.get(key))}", f"write {key}: {value}")
    unknown = [show(key) for key in content if key not in {*header, "boxes"}]
    if unknown:
        raise TopologyError(where, f"{unknown[0]} is not a known key", "put machines under boxes")
    boxes = content.get("boxes")
    if boxes is None:
        boxes = []
    if not isinstance(boxes, list) or len(boxes) > MAX_BOXES:
        raise TopologyError(where, f"boxes is not a list of at most {MAX_BOXES} machines", "write - match: ...")
    entries: list[Entry] = []
    matches: dict[Match, Entry] = {}
    problems: list[str] = []
    for number, box in enumerate(boxes):
        try:
            entry = _entry(f"{MAP}, boxes[{number}]", f"ConfigMap {names.TOPOLOGY_MAP} boxes[{number}]", box)
            same = matches.setdefault(entry.match, entry)
            if same is not entry:
                raise TopologyError(entry.told.where, f"is about the same nodes as {same.told.where}", "keep one")
            entries.append(entry)
        except TopologyError as error:
            problems.append(str(error))
    return LinkMap(name, uid, tuple(entries), tuple(problems))


def _entry(where: str, words: str, box: object) -> Entry:
    if not isinstance(box, dict):
        raise TopologyError(where, f"is {show(box)}, not a mapping", _MATCH)
    unknown = [show(key) for key in box if key not in {"match", *KEYS}]
    if unknown:
        raise TopologyError(where, f"{unknown[0]} is not a known key", f"known are match, {', '.join(KEYS)}")
    return Entry(_match(where, box.get("match")), told(where, words, box))


def _match(where: str, match: object) -> Match:
    if not isinstance(match, dict):
        raise TopologyError(where, "has no match", _MATCH)
    known: dict[str, Any] = {key: value for key, value in match.items() if value is not None}
    if known.keys() == {"node"} and isinstance(known["node"], str) and known["node"]:
        return Match(node=known["node"])
    if known.keys() == {"nodeSelector"}:
        labels = known["nodeSelector"]
        if (
            isinstance(labels, dict)
            and labels
            and all(isinstance(text, str) for item in labels.items() for text in item)
        ):
            return Match(labels=tuple(sorted(labels.items())))
        raise TopologyError(
            where, "match.nodeSelector is not a mapping of labels to texts", "quote numbers and booleans"
        )
    if known.keys() == {"productName", "count"}:
        product, count = known["productName"], known["count"]
        if isinstance(product, str) and folded(product) and isinstance(count, int) and count > 0 and count is not True:
            return Match(product=folded(product), count=count)
        raise TopologyError(where, "match needs a productName and a count of 1 or more", _MATCH)
    raise TopologyError(where, f"match gives {', '.join(map(show, known)) or 'nothing'}", _MATCH)
