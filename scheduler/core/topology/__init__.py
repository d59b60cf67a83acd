"""What can be known of the links and places of a node's devices, and of nodes among each other.

    reading    attributes of devices, in every spelling
    told       what people may say of links, and what is wrong with it
    maps       the ConfigMap `dovetail-topology`
    sources    who knows what of links, in the order in which it is believed
    labels     node labels: clique, rack, block, spine

Each source speaks for the pairs that those above it left open. What none knows stays NaN: no island is invented.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from scheduler.core.errors import TopologyError
from scheduler.core.model import Device, Node
from scheduler.core.partitions import fabric
from scheduler.core.topology import sources
from scheduler.core.topology.maps import LinkMap
from scheduler.core.topology.reading import KNOWN, Reading, Spellings, natural
from scheduler.core.topology.sources import Box, Found
from scheduler.core.topology.told import Told
from scoring.arrays import Floats
from scoring.topology import TOPOLOGIES
from scoring.topology.base import Layout, Place

__all__ = ["KNOWN", "Learned", "LinkMap", "Spellings", "learn", "natural"]

_ALIKE = 0.75  # speeds are one speed told in two ways if they differ by no more: line rate, planning figure, nominal


@dataclass(frozen=True, slots=True)
class Learned:
    """The layout of a node's devices, and what was wrong with the sources that were put aside.

    products : GPUs in the box by product, which entries of the ConfigMap may be about.
    """

    layout: Layout
    warnings: tuple[str, ...] = ()
    products: Mapping[str, int] = field(default_factory=dict)


def learn(
    node: Node,
    devices: Sequence[tuple[str, Device]],
    links: LinkMap | None = None,
    *,
    partitions: bool = True,
    further: Spellings = KNOWN,
) -> Learned:
    """The layout of a node's devices, given with their drivers in the node's order.

    partitions : whether Fabric Manager partitions bind; links are learned from them in any case. further : attributes
    that an admin named.

    Never fails: a source that contradicts itself or the devices is ignored, and named in `warnings`.
    """
    box = Box(node, devices, further)
    entry, rivals = sources.chosen(links, box)
    warnings = [*rivals, *_contradictions(box)]
    too_many = sources.too_many(box)
    found: list[Found] = []
    if too_many:
        warnings.append(too_many)
    else:
        found, entry = _ask(box, entry, warnings)
    bandwidth, said = _join(box, found, warnings)
    if np.isnan(bandwidth).any():
        said.append(box.why_unknown if not any(said) else "some pairs unknown")
    places = _places(box, entry, warnings)
    column = {model.name: model.column(places) for model in TOPOLOGIES}
    shared = {
        model.name: model.shared(places)
        for model in TOPOLOGIES
        if any(len(model.domains(place)) > 1 for place in places)
    }
    none = np.zeros((0, 0), np.bool_)
    layout = Layout(
        bandwidth=bandwidth,
        numa=column["numa"],
        pcie=column["pcie"],
        source="; ".join(filter(None, said)) or "nothing to link",
        linkable=box.linkable,
        switch=column["switch"],
        rail=column["rail"],
        near_numa=shared.get("numa", none),
        near_pcie=shared.get("pcie", none),
        fabric=fabric(devices) if partitions else (),
    )
    return Learned(layout, tuple(warnings), box.products)


def _ask(box: Box, entry: Told | None, warnings: list[str]) -> tuple[list[Found], Told | None]:
    """What each source says, and the entry of the ConfigMap unless it cannot be used."""
    found: list[Found] = []
    usable = entry
    try:
        if entry is not None:
            found.append(Found(sources.speeds_of(box, entry), entry.words, told=True))
    except TopologyError as error:
        warnings.append(str(error))
        usable = None
    try:
        said = sources.annotation(box.node)
        if said is not None:
            found.append(Found(sources.speeds_of(box, said), said.words, told=True))
    except TopologyError as error:
        warnings.append(str(error))
    for source in sources.INFERRED:
        try:
            heard = source(box)
        except TopologyError as error:
            warnings.append(str(error))
            continue
        if heard is not None:
            found.append(heard)
    return found, usable


def _join(box: Box, found: Sequence[Found], warnings: list[str]) -> tuple[Floats, list[str]]:
    """GB/s, each pair by the first source that speaks of it, and which sources those were."""
    bandwidth = box.silence
    np.fill_diagonal(bandwidth, 0)
    said: list[str] = []
    for number, each in enumerate(found):
        # What drivers and tables say of one box follows from each other; only people can be wrong about it.
        warnings += [_disagreement(box, first, each) for first in found[:number] if first.told and _differ(first, each)]
        open_pairs = np.isnan(bandwidth) & ~np.isnan(each.speeds)
        if open_pairs.any():
            bandwidth[open_pairs] = each.speeds[open_pairs]
            said.append(each.words)
    return bandwidth, said


def _apart(first: Found, second: Found) -> "np.ndarray[tuple[int, int], np.dtype[np.bool_]]":
    known = ~np.isnan(first.speeds) & ~np.isnan(second.speeds)
    one, other = np.nan_to_num(first.speeds), np.nan_to_num(second.speeds)
    apart: np.ndarray[tuple[int, int], np.dtype[np.bool_]] = known & (
        np.minimum(one, other) < _ALIKE * np.maximum(one, other)
    )
    np.fill_diagonal(apart, val=False)
    return apart


def _differ(first: Found, second: Found) -> bool:
    return bool(_apart(first, second).any())


def _disagreement(box: Box, first: Found, second: Found) -> str:
    apart = _apart(first, second)
    i, j = np.argwhere(apart)[0].tolist()
    more = int(apart.sum()) // 2 - 1
    return (
        f"node {box.node.name}: {first.words} says {first.speeds[i, j]:g} GB/s between {box.devices[i].name} and "
        f"{box.devices[j].name}, {second.words or 'what the devices are'} says {second.speeds[i, j]:g}"
        f"{f', and so for {more} more pairs' if more else ''}; the former counts: correct the one that is wrong"
    )


def _contradictions(box: Box) -> list[str]:
    """Devices that give their NUMA node twice, and differently."""
    wrong: list[Reading] = [device for device in box.devices if device.contradictions]
    if not wrong:
        return []
    more = f" (and {len(wrong) - 1} more devices)" if len(wrong) > 1 else ""
    first = wrong[0]
    return [
        f"node {box.node.name}, device {first.driver}/{first.name}{more}: attributes disagree on the NUMA node: "
        f"{first.contradictions[0]}; the first counts: check the driver"
    ]


def _places(box: Box, entry: Told | None, warnings: list[str]) -> list[Place]:
    """Where each device sits: what the ConfigMap says of that counts before what drivers do."""
    places = [device.place for device in box.devices]
    if entry is None or not (entry.numa or entry.switches or entry.rails):
        return places
    try:
        numa = {box.resolve(entry.where, key): node for key, node in entry.numa}
        switches = {box.resolve(entry.where, key): name for name, keys in entry.switches for key in keys}
        rails = {box.resolve(entry.where, key): name for name, keys in entry.rails for key in keys}
    except TopologyError as error:
        warnings.append(str(error))
        return places
    for i, place in enumerate(places):
        own = place.numa
        if i in numa:
            if own and own[0] != numa[i]:
                device = box.devices[i]
                warnings.append(
                    f"node {box.node.name}: {entry.words} puts {device.name} on NUMA node {numa[i]}, driver "
                    f"{device.driver} on {own[0]}; the former counts: correct the one that is wrong"
                )
            own = (numa[i],)
        places[i] = replace(place, numa=own, switch=switches.get(i, ""), rail=rails.get(i, ""))
    return places
