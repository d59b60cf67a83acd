"""Links as people tell them: what an annotation or an entry of the ConfigMap may say, and what is wrong with it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from scheduler.core.errors import TopologyError
from scoring.topology.boxes import BOXES

MAX_GBPS: Final = 1e6
MAX_DEVICES: Final = 256
"""Whole GPUs of one node whose links are learned: more than any machine has."""
MAX_PAIRS: Final = MAX_DEVICES * (MAX_DEVICES - 1)

Speed = tuple[str, str, float]


@dataclass(frozen=True, slots=True)
class Told:
    """What was said of one node.

    where : by whom, for messages. words : the same, short, for explanations.
    pairs : two devices and the GB/s between them. matrix : GB/s, row by row, of `devices`; if these are not named, of
    the node's GPUs in the order of their PCI bus ids. default : GB/s of every other pair, None to leave it open.
    numa : device -> NUMA node. switches, rails : devices behind one PCIe switch, or on one rail, by name of either.
    """

    where: str
    words: str
    pairs: tuple[Speed, ...] = ()
    devices: tuple[str, ...] = ()
    matrix: tuple[tuple[float, ...], ...] = ()
    default: float | None = None
    numa: tuple[tuple[str, int], ...] = ()
    switches: tuple[tuple[str, tuple[str, ...]], ...] = ()
    rails: tuple[tuple[str, tuple[str, ...]], ...] = ()


KEYS: Final = ("pairs", "devices", "matrix", "default", "gbpsPerLink", "box", "numa", "switches", "rails")


def told(where: str, words: str, content: Mapping[str, Any]) -> Told:
    """Check what a mapping of KEYS says. Raises TopologyError.

    Only its own shape is checked here: whether the node has such devices is found out when a node is at hand.
    """
    box = content.get("box")
    if box is not None:
        return _of_box(where, words, box, content)
    rate = 1.0
    if content.get("gbpsPerLink") is not None:
        rate = _speed(where, "gbpsPerLink", content["gbpsPerLink"])
    devices = _names(where, "devices", content.get("devices"))
    default = content.get("default")
    found = Told(
        where,
        words,
        pairs=_pairs(where, content.get("pairs"), rate),
        devices=devices,
        matrix=_matrix(where, content.get("matrix"), devices, rate),
        default=None if default is None else _speed(where, "default", default) * rate,
        numa=_numa(where, content.get("numa")),
        switches=_groups(where, "switches", content.get("switches")),
        rails=_groups(where, "rails", content.get("rails")),
    )
    if found == Told(where, words):
        raise TopologyError(where, "says nothing", f"give one of {', '.join(KEYS)}")
    return found


def _of_box(where: str, words: str, box: object, content: Mapping[str, Any]) -> Told:
    if not isinstance(box, str) or box not in BOXES:
        raise TopologyError(where, f"box {show(box)} is not known", f"known are {', '.join(BOXES)}")
    beside = [key for key in KEYS if key not in {"box", "devices"} and content.get(key) is not None]
    if beside:
        raise TopologyError(where, f"gives both box and {', '.join(beside)}", "keep one of them")
    known = BOXES[box]
    matrix = tuple(tuple(row) for row in known.links.tolist())
    devices = _names(where, "devices", content.get("devices"))
    if devices and len(devices) != len(matrix):
        raise TopologyError(
            where, f"names {len(devices)} devices and box {box} has {len(matrix)} GPUs", "name them all"
        )
    return Told(where, f"{words}: box {box}", devices=devices, matrix=matrix)


def _pairs(where: str, pairs: object, rate: float) -> tuple[Speed, ...]:
    found = []
    for number, pair in enumerate(_list(where, "pairs", pairs, MAX_PAIRS)):
        match pair:
            case [str(one), str(other), speed]:
                found.append((one, other, _speed(where, f"pairs[{number}]", speed) * rate))
            case _:
                problem = f"pairs[{number}] is not two device names and a number"
                raise TopologyError(where, problem, "write [DEVICE, DEVICE, GBPS]")
    return tuple(found)


def _matrix(where: str, matrix: object, devices: Sequence[str], rate: float) -> tuple[tuple[float, ...], ...]:
    rows = _list(where, "matrix", matrix, MAX_DEVICES)
    size = len(devices) or len(rows)
    remedy = "give one row and one column a device"
    if rows and len(rows) != size:
        raise TopologyError(where, f"matrix has {len(rows)} rows for {size} devices", remedy)
    found = []
    for i, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != size:
            shown = f"has {len(row)} numbers" if isinstance(row, list) else "is not a list"
            raise TopologyError(where, f"matrix[{i}] {shown}, not {size}", remedy)
        found.append(tuple(_speed(where, f"matrix[{i}][{j}]", speed) * rate for j, speed in enumerate(row)))
    for i in range(len(found)):
        for j in range(i):
            if found[i][j] != found[j][i]:
                problem = f"matrix[{j}][{i}] is {found[j][i]:g} and matrix[{i}][{j}] is {found[i][j]:g}"
                raise TopologyError(where, problem, "links are symmetric: write the same in both")
    return tuple(found)


def _numa(where: str, numa: object) -> tuple[tuple[str, int], ...]:
    remedy = "write DEVICE: NUMBER, 0 or more"
    if numa is None:
        return ()
    if not isinstance(numa, dict) or len(numa) > MAX_PAIRS:
        raise TopologyError(where, "numa is not a mapping of devices to numbers", remedy)
    for name, number in numa.items():
        if not isinstance(name, str):
            raise TopologyError(where, f"numa: device {show(name)} is not a text", "quote it")
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 2**31:
            raise TopologyError(where, f"numa of {name[:80]}: {show(number)} is not a NUMA node", remedy)
    return tuple(numa.items())


def _groups(where: str, key: str, groups: object) -> tuple[tuple[str, tuple[str, ...]], ...]:
    if groups is None:
        return ()
    if not isinstance(groups, dict) or len(groups) > MAX_PAIRS:
        raise TopologyError(where, f"{key} is not a mapping of names to lists of devices", "write NAME: [DEVICE, ...]")
    found = tuple((str(name)[:80], _names(where, f"{key}[{show(name)}]", names)) for name, names in groups.items())
    seen: dict[str, str] = {}
    for name, names in found:
        for each in names:
            if seen.setdefault(each, name) != name:
                raise TopologyError(where, f"{key}: {each[:80]} is in {seen[each]} and in {name}", "keep one")
    return found


def _names(where: str, key: str, names: object) -> tuple[str, ...]:
    found = _list(where, key, names, MAX_PAIRS)
    for number, name in enumerate(found):
        if not isinstance(name, str):
            raise TopologyError(where, f"{key}[{number}]: {show(name)} is not a device name", "quote PCI addresses")
    if len(set(found)) < len(found):
        [(twice, _)] = Counter(found).most_common(1)
        raise TopologyError(where, f"{key} names {twice[:80]} twice", "name each device once")
    return tuple(found)


def _list(where: str, key: str, found: object, limit: int) -> list[Any]:
    if found is None:
        return []
    if not isinstance(found, list):
        raise TopologyError(where, f"{key} is not a list")
    if len(found) > limit:
        raise TopologyError(where, f"{key} has {len(found)} entries, more than {limit}", "no machine has so many")
    return found


def _speed(where: str, field: str, speed: object) -> float:
    if isinstance(speed, bool) or not isinstance(speed, int | float) or not 0 <= speed <= MAX_GBPS:
        raise TopologyError(where, f"{field}: {show(speed)} is not a speed", f"give GB/s from 0 to {MAX_GBPS:g}")
    return float(speed)


def show(value: object) -> str:
    """A value in a message: short, and safe to make for any value."""
    if isinstance(value, str):
        return repr(value[:40])
    if value is None:
        return "nothing"
    if isinstance(value, bool | int | float):
        return repr(str(value)[:40]) if not isinstance(value, int) or abs(value) < 10**40 else "a huge number"
    return f"a {type(value).__name__}"
