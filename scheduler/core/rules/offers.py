"""What nodes have to offer claims that wait for their volumes, in columns over nodes."""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from scheduler.core.match import admits
from scheduler.core.model import Node, NodeSelector
from scheduler.core.mounts import Mounts, Wanted, choose
from scheduler.core.nodes import NodeTable
from scheduler.core.rules.affinity import selected
from scheduler.core.rules.base import spread_out
from scheduler.core.volumes import Volumes, anywhere, indexed
from scoring.arrays import Mask, Rows

FEW_ROWS = 16  # up to here one node after the other is faster than columns
Amounts = NDArray[np.float64]
_Offer = tuple[NodeSelector | None, float]


def least(nodes: NodeTable, offers: Iterable[_Offer], rows: Rows) -> Amounts:
    """The least of the offers whose selector selects a node, None all of them; inf without any: float64 (len(rows),).

    Selectors for one label each are looked up together.
    """
    best: dict[NodeSelector | None, float] = {}
    for selector, amount in offers:
        best[selector] = min(amount, best.get(selector, math.inf))
    found = np.full(len(rows), best.pop(None, math.inf))
    values: dict[str, dict[str | None, float]] = {}
    for selector, amount in best.items():
        line = indexed(selector) if selector is not None else None
        if line is not None:
            by_value = values.setdefault(line.key, {})
            by_value.update({each: min(amount, by_value.get(each, math.inf)) for each in line.values})
        elif selector is not None:
            found[selected(nodes, selector, rows) & (found > amount)] = amount
    for key, by_value in values.items():
        column = nodes.labels.get(key)
        if column is not None:
            found = np.minimum(found, spread_out(column, rows, partial(_amount_of, by_value)))
    return found


def _amount_of(amounts: Mapping[str | None, float], value: str | None) -> float:
    return amounts.get(value, math.inf)


def compete(wanted: tuple[Wanted, ...]) -> bool:
    """Whether claims may be after the same volumes."""
    classes = [each.storage_class for each in wanted if each.node is None and each.reserved is None]
    return len(set(classes)) < len(classes)


def used_share(nodes: NodeTable, mounts: Mounts, rows: Rows) -> Amounts:
    """What the claims request as a share of what would serve them on each of these nodes, float64 (len(rows),).

    As VolumeBinding counts it (`Score`): by class of storage, and the mean over classes. Where a free volume would be
    taken, such volumes count and no others; elsewhere what drivers have room for. NaN where there is neither.
    """
    taken, room = _capacities(nodes, mounts, rows)
    serves = ~np.isnan(taken).all(axis=0)
    counted = ~np.isnan(np.where(serves, taken, room))
    sizes = np.array([each.size.value() if each.size is not None else 0 for each in mounts.wanted], np.float64)
    total, number = np.zeros(len(rows)), np.zeros(len(rows))
    for storage_class in {each.storage_class for each in mounts.wanted}:
        own = [at for at, each in enumerate(mounts.wanted) if each.storage_class == storage_class]
        requested = (counted[own] * sizes[own, None]).sum(axis=0)
        # Volumes add up. Room is for all claims together: what the last of them, the largest, would draw on.
        left = np.zeros(len(rows))
        for at in own:
            left = np.where(np.isnan(room[at]), left, room[at])
        capacity = np.where(serves, np.nan_to_num(taken[own]).sum(axis=0), left)
        fits = (capacity > 0) & (requested <= capacity)
        there = counted[own].any(axis=0)
        total += np.where(there, np.divide(requested, capacity, out=np.ones(len(rows)), where=fits), 0.0)
        number += there
    shares: Amounts = np.divide(total, number, out=np.full(len(rows), math.nan), where=number > 0)
    return shares


def _capacities(nodes: NodeTable, mounts: Mounts, rows: Rows) -> tuple[Amounts, Amounts]:
    """Capacity of the free volume that each claim gets on each node, and of what drivers have room for, if measured.

    float64 (claims, len(rows)), NaN for nothing.
    """
    shape = (len(mounts.wanted), len(rows))
    taken, room = np.full(shape, math.nan), np.full(shape, math.nan)
    rooms = [_room(nodes.volumes, wanted) for wanted in mounts.wanted]
    apart: Mask = np.ones(len(rows), np.bool_)
    if len(rows) > FEW_ROWS:
        for at, wanted in enumerate(mounts.wanted):
            smallest = least(nodes, _volumes(nodes.volumes, wanted), rows)
            most = -least(nodes, rooms[at], rows)
            taken[at] = np.where(np.isinf(smallest), math.nan, smallest)
            room[at] = np.where(np.isinf(most), math.nan, most)
        apart = ~np.isnan(taken).all(axis=0) & compete(mounts.wanted)
    for number in np.flatnonzero(apart).tolist():
        node = nodes.nodes[int(rows[number])]
        if node is not None:
            taken[:, number], room[:, number] = _at(nodes.volumes, mounts, rooms, node)
    return taken, room


def _volumes(volumes: Volumes, wanted: Wanted) -> list[_Offer]:
    """Free volumes that would do for a claim, where they can be used, with their capacity."""
    if wanted.node is not None:
        return []
    if wanted.reserved is not None:
        name, affinity = wanted.reserved
        return [(affinity, volumes.volumes.current[name].capacity.value())]
    free = volumes.free.get(wanted.storage_class, {}).values()
    return [(each.affinity, each.capacity.value()) for each in free if wanted.suits(each)]


def _room(volumes: Volumes, wanted: Wanted) -> list[_Offer]:
    """Where drivers have room for a claim, with how much, below zero: of several the least is the most."""
    if wanted.provision is None or not wanted.provision.measured or wanted.size is None:
        return []
    return [
        (anywhere(each.topology), -each.capacity.value())
        for each in volumes.roomy(wanted.storage_class, wanted.size)
        if each.topology is not None and each.capacity is not None
    ]


def _at(volumes: Volumes, mounts: Mounts, rooms: Sequence[list[_Offer]], node: Node) -> tuple[list[float], list[float]]:
    """As `_capacities`, of one node. rooms : of each claim, what `_room` says."""
    names = choose(volumes, mounts, node) or ("",) * len(mounts.wanted)
    taken = [volumes.volumes.current[name].capacity.value() if name else math.nan for name in names]
    room = []
    for offers in rooms:
        there = [-amount for selector, amount in offers if admits(selector, node.labels)]
        room.append(max(there, default=math.nan))
    return taken, room
