"""Who holds which device: the devices of every node, with their links, after a run."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from scheduler.cluster import decode
from scheduler.core.errors import DecodeError
from scheduler.core.match import selects_node
from scheduler.core.model import Claim, Device, Node, Slice
from scheduler.core.topology import KNOWN, LinkMap, Spellings, learn, natural
from scheduler.simulator.objects import Raw
from scoring.topology.base import Layout

Identity = tuple[str, str, str]
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    """Without what could steer a terminal: files may come from anywhere."""
    return _CONTROL.sub("?", text)


@dataclass(frozen=True, slots=True)
class Seat:
    """A device of a node, and who holds it: pods as namespace/name, or the claim where no pod uses it."""

    driver: str
    pool: str
    name: str
    holders: tuple[str, ...]

    @property
    def identity(self) -> Identity:
        """Driver, pool and device."""
        return (self.driver, self.pool, self.name)


@dataclass(frozen=True)
class NodeMap:
    """The devices of a node in the order of its layout."""

    node: str
    seats: tuple[Seat, ...]
    layout: Layout

    @cached_property
    def islands(self) -> tuple[tuple[int, ...], ...]:
        """Sets of devices that direct links connect, each of two devices or more."""
        links = self.layout.links > 0
        open_rows = set(range(len(self.seats)))
        found: list[tuple[int, ...]] = []
        while open_rows:
            island: set[int] = set()
            edge = {min(open_rows)}
            while edge:
                island |= edge
                edge = set(np.flatnonzero(links[sorted(edge)].any(axis=0)).tolist()) - island
            open_rows -= island
            if len(island) > 1:
                found.append(tuple(sorted(island)))
        return tuple(found)

    def worst_link(self, held: Iterable[Identity]) -> float | None:
        """GB/s of the slowest pair among these devices; None where fewer than two of them can have links."""
        chosen = set(held)
        rows = [row for row, seat in enumerate(self.seats) if seat.identity in chosen and self.layout.linkable[row]]
        if len(rows) < 2:
            return None
        pairs = self.layout.links[np.ix_(rows, rows)][~np.eye(len(rows), dtype=np.bool_)]
        return float(pairs.min())


def node_maps(objects: Sequence[Raw], further: Spellings = KNOWN) -> list[NodeMap]:
    """Every node that has devices, by name."""
    nodes: dict[str, Node] = {}
    slices: list[Slice] = []
    claims: list[Claim] = []
    links: LinkMap | None = None
    for raw in objects:
        kind = raw["kind"]
        if kind not in {"Node", "ResourceSlice", "ResourceClaim", "ConfigMap"}:
            continue
        try:
            item = decode.decode(kind, raw)
        except DecodeError:
            if kind != "ConfigMap":  # as in the engine, which has told what is wrong with it
                raise
            continue
        if isinstance(item, Node):
            nodes[item.name] = item
        elif isinstance(item, Slice):
            slices.append(item)
        elif isinstance(item, Claim):
            claims.append(item)
        elif isinstance(item, LinkMap):
            links = item
    held = holders(claims)
    local = _local(nodes, _newest(slices))
    found = []
    for name in sorted(local, key=natural):
        devices = sorted(local[name], key=lambda pair: (pair[0].driver, pair[0].pool, natural(pair[1].name)))
        seats = tuple(
            Seat(item.driver, item.pool, device.name, held.get((item.driver, item.pool, device.name), ()))
            for item, device in devices
        )
        learned = learn(nodes[name], [(item.driver, device) for item, device in devices], links, further=further)
        found.append(NodeMap(name, seats, learned.layout))
    return found


def holders(claims: Iterable[Claim]) -> Mapping[Identity, tuple[str, ...]]:
    """Device -> pods that use it."""
    found: dict[Identity, tuple[str, ...]] = {}
    for claim in claims:
        if claim.allocation is None:
            continue
        pods = tuple(f"{claim.namespace}/{each.name}" for each in claim.reserved_for)
        for result in claim.allocation.results:
            if not result.admin_access:
                found[result.identity] = found.get(result.identity, ()) + (pods or (f"claim {claim.key}",))
    return found


def _newest(slices: Iterable[Slice]) -> list[Slice]:
    generations: dict[tuple[str, str], int] = {}
    for item in slices:
        pool = (item.driver, item.pool)
        generations[pool] = max(generations.get(pool, item.generation), item.generation)
    return [item for item in slices if item.generation == generations[item.driver, item.pool]]


def _local(nodes: Mapping[str, Node], slices: Iterable[Slice]) -> dict[str, list[tuple[Slice, Device]]]:
    found: dict[str, list[tuple[Slice, Device]]] = defaultdict(list)
    for item in slices:
        if item.node_name is not None:
            chosen = [item.node_name] if item.node_name in nodes else []
        elif item.all_nodes:
            chosen = list(nodes)
        elif item.node_selector is not None:
            chosen = [name for name, node in nodes.items() if selects_node(item.node_selector, node)]
        else:
            chosen = []
        for name in chosen:
            found[name] += [(item, device) for device in item.devices]
    return found
