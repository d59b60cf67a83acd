"""Messages to plain values. Whatever cannot be used is refused here, by the name of its field and its value."""

import math
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from scoring.arrays import Floats, Mask, Rows
from scoring.extender.judged import Wish
from scoring.extender.limits import (
    MAX_AMOUNT,
    MAX_ASKS,
    MAX_DEVICES,
    MAX_GBPS,
    MAX_KINDS,
    MAX_LAYOUTS,
    MAX_NAME,
    MAX_PODS,
    MAX_PRODUCTS,
    MAX_TOP,
)
from scoring.extender.table import Ask, Node, NodeState, Usual
from scoring.extender.v1 import scoring_pb2 as pb
from scoring.flaws import Flaw
from scoring.prices import WHOLE
from scoring.topology.base import Layout, numbered
from scoring.topology.nvlink import switched, unknown

_SHOWN: Final = 60
_SOURCE: Final = "told by the client"
_MOST_ARRIVALS: Final = 1e12


class InvalidError(ValueError):
    """A message that cannot be used: which field, its value, what is wrong with it."""

    def __init__(self, field: str, value: object, problem: str) -> None:
        shown = ascii(value)
        super().__init__(f"{field} = {shown if len(shown) <= _SHOWN else shown[:_SHOWN] + '...'}: {problem}")


def name(value: str, field: str) -> str:
    """A name, not empty and not too long."""
    if not value:
        raise InvalidError(field, value, "a name is needed")
    if len(value) > MAX_NAME:
        raise InvalidError(field, value, f"is longer than {MAX_NAME} characters")
    return value


def _within(value: float, least: float, most: float, field: str) -> None:
    if not least <= value <= most:  # nor is NaN
        raise InvalidError(field, value, f"is not within {least:g} and {most:g}")


def _count(values: Sequence[object], least: int, most: int, field: str) -> None:
    if not least <= len(values) <= most:
        allowed = f"{most}" if least == most else f"{least} to {most}"
        raise InvalidError(f"len({field})", len(values), f"must be {allowed}")


def _distinct(values: Sequence[str], field: str) -> None:
    seen: dict[str, int] = {}
    for number, value in enumerate(values):
        if value in seen:
            raise InvalidError(f"{field}[{number}]", value, f"is that of {field}[{seen[value]}] as well")
        seen[value] = number


# ---------------------------------------------------------------- tables


def layouts(header: pb.Header) -> Iterator[Layout]:
    """The layouts of a table, one after the other: a thousand of them take a while."""
    _count(header.layouts, 0, MAX_LAYOUTS, "layouts")
    for number, each in enumerate(header.layouts):
        yield _layout(each, f"layouts[{number}]")


def products(header: pb.Header) -> list[str]:
    """The names of products."""
    _count(header.products, 0, MAX_PRODUCTS, "products")
    found = [name(each, f"products[{number}]") for number, each in enumerate(header.products)]
    _distinct(found, "products")
    return found


def _layout(message: pb.Layout, field: str) -> Layout:
    size = message.devices
    _within(size, 0, MAX_DEVICES, f"{field}.devices")
    if message.linkable:
        _count(message.linkable, size, size, f"{field}.linkable")
    return Layout(
        _bandwidth(message, field),
        _places(message.numa, size, f"{field}.numa"),
        _places(message.pcie_root, size, f"{field}.pcie_root"),
        _SOURCE,
        np.array(message.linkable, np.bool_) if message.linkable else np.ones(size, np.bool_),
        _places(message.pcie_switch, size, f"{field}.pcie_switch"),
        _places(message.rail, size, f"{field}.rail"),
    )


def _bandwidth(message: pb.Layout, field: str) -> Floats:
    size = message.devices
    if message.islands:
        if message.bandwidth:
            raise InvalidError(f"{field}.islands", list(message.islands), "are given beside bandwidth; give one")
        _count(message.islands, size, size, f"{field}.islands")
        _within(message.island_gbps, 0, MAX_GBPS, f"{field}.island_gbps")
        for number, island in enumerate(message.islands):
            _within(island, -1, 2**31 - 1, f"{field}.islands[{number}]")
        fabric = [None if island < 0 else island for island in message.islands]
        return switched([message.island_gbps] * size, fabric)
    if not message.bandwidth:
        return unknown(size)
    _count(message.bandwidth, size * size, size * size, f"{field}.bandwidth")
    speeds: Floats = np.array(message.bandwidth, np.float32).reshape(size, size)
    good = (speeds == -1) | (speeds >= 0) & (speeds <= MAX_GBPS)
    np.fill_diagonal(good, np.diag(speeds) == 0)
    for problem, where in (
        (f"is neither -1 nor within 0 and {MAX_GBPS:g}, or not 0 where a device is paired with itself", ~good),
        ("differs from that of the same pair the other way round", good & good.T & (speeds != speeds.T)),
    ):
        if where.any():
            at = int(where.ravel().argmax())
            raise InvalidError(f"{field}.bandwidth[{at}]", float(speeds.ravel()[at]), problem)
    found: Floats = np.where(speeds == -1, np.float32(np.nan), speeds).astype(np.float32)
    return found


def _places(values: Sequence[int], size: int, field: str) -> Rows:
    if not values:
        return np.full(size, -1, np.int32)
    _count(values, size, size, field)
    for number, value in enumerate(values):
        _within(value, -1, 2**31 - 1, f"{field}[{number}]")
    return numbered([None if value < 0 else value for value in values])


def node(message: pb.Node, field: str, known: Sequence[Layout], n_products: int) -> Node:
    """A node of a table that knows these layouts and so many products."""
    name(message.name, f"{field}.name")
    if message.layout >= len(known):
        raise InvalidError(f"{field}.layout", message.layout, f"there are {len(known)} layouts")
    size = known[message.layout].size
    _count(message.products, size, size, f"{field}.products")
    for number, product in enumerate(message.products):
        if product >= n_products:
            raise InvalidError(f"{field}.products[{number}]", product, f"there are {n_products} products")
    if message.shared:
        _count(message.shared, size, size, f"{field}.shared")
    shared = tuple(message.shared) or (False,) * size
    _within(message.cpu_milli, 0, MAX_AMOUNT, f"{field}.cpu_milli")
    _within(message.memory_bytes, 0, MAX_AMOUNT, f"{field}.memory_bytes")
    if not message.HasField("state"):
        raise InvalidError(f"{field}.state", None, "is needed")
    now = state(message.state, f"{field}.state", shared)
    return Node(
        message.name, message.layout, tuple(message.products), shared, message.cpu_milli, message.memory_bytes, now
    )


def state(message: pb.NodeState, field: str, shared: Sequence[bool]) -> NodeState:
    """The state of a node with so many devices, of which these are shared."""
    size = len(shared)
    left = tuple(message.left)
    _count(left, size, size, f"{field}.left")
    for number, (amount, parts) in enumerate(zip(left, shared, strict=True)):
        if amount > WHOLE:
            raise InvalidError(f"{field}.left[{number}]", amount, f"is more than {WHOLE}")
        if not parts and amount not in {0, WHOLE}:
            raise InvalidError(f"{field}.left[{number}]", amount, f"is neither 0 nor {WHOLE}; the device is not shared")
    flaws = tuple(message.flaws)
    if flaws:
        _count(flaws, size, size, f"{field}.flaws")
        for number, flaw in enumerate(flaws):
            _within(flaw, Flaw.NONE, Flaw.BROKEN, f"{field}.flaws[{number}]")
    _within(message.cpu_left_milli, -MAX_AMOUNT, MAX_AMOUNT, f"{field}.cpu_left_milli")
    _within(message.memory_left_bytes, -MAX_AMOUNT, MAX_AMOUNT, f"{field}.memory_left_bytes")
    return NodeState(
        left, message.cpu_left_milli, message.memory_left_bytes, message.used, flaws or (0,) * size, message.changes
    )


def mix(message: pb.Mix) -> tuple[list[Usual], float]:
    """The mix of demand, and how much the cluster grows."""
    _count(message.kinds, 0, MAX_KINDS, "mix.kinds")
    _within(message.growth, 0, 1, "mix.growth")
    found = []
    for number, kind in enumerate(message.kinds):
        field = f"mix.kinds[{number}]"
        _within(kind.cpu_milli, 0, MAX_AMOUNT, f"{field}.cpu_milli")
        _within(kind.amount, math.ulp(0.0), _MOST_ARRIVALS, f"{field}.amount")
        asked = _ask(kind.ask, f"{field}.ask") if kind.HasField("ask") else Ask(0, 0, ())
        found.append(Usual(asked, kind.cpu_milli, kind.amount))
    return found, message.growth


# ---------------------------------------------------------------- pods


def wishes(request: pb.ScoreRequest) -> list[Wish]:
    """What the pods of a call ask for."""
    _count(request.pods, 1, MAX_PODS, "pods")
    _within(request.top, 0, MAX_TOP, "top")
    return [_wish(pod, f"pods[{number}]") for number, pod in enumerate(request.pods)]


def _wish(pod: pb.Pod, field: str) -> Wish:
    _count(pod.asks, 0, MAX_ASKS, f"{field}.asks")
    asks = tuple([_ask(ask, f"{field}.asks[{number}]") for number, ask in enumerate(pod.asks)])
    _within(pod.cpu_milli, 0, MAX_AMOUNT, f"{field}.cpu_milli")
    _within(pod.memory_bytes, 0, MAX_AMOUNT, f"{field}.memory_bytes")
    sets = [frozenset(ask.products) for ask in asks]
    for number, ask in enumerate(asks):
        if ask.share and len(asks) > 1:
            raise InvalidError(f"{field}.asks[{number}].share", ask.share, "a pod that asks for shares has one ask")
        for other in range(number):
            if sets[other] != sets[number] and (both := sets[other] & sets[number]):
                problem = f"asks[{other}] names {min(both)!a} too, and not all of the same products"
                raise InvalidError(f"{field}.asks[{number}].products", list(ask.products), problem)
    if sum(ask.count for ask in asks) > MAX_DEVICES:
        raise InvalidError(f"{field}.asks", sum(ask.count for ask in asks), f"are more than {MAX_DEVICES} devices")
    return Wish(asks, pod.cpu_milli, pod.memory_bytes)


def _ask(message: pb.Ask, field: str) -> Ask:
    _within(message.count, 1, MAX_DEVICES, f"{field}.count")
    _within(message.share, 0, WHOLE, f"{field}.share")
    _count(message.products, 1, MAX_PRODUCTS, f"{field}.products")
    for number, product in enumerate(message.products):
        name(product, f"{field}.products[{number}]")
    _distinct(message.products, f"{field}.products")
    return Ask(message.count, message.share, tuple(message.products))


def allowed(packed: bytes, size: int, field: str) -> Mask:
    """Which rows of a table of this size may be taken, bool (size,)."""
    if not packed:
        return np.ones(size, np.bool_)
    if len(packed) != -(-size // 8):
        raise InvalidError(f"len({field})", len(packed), f"must be {-(-size // 8)}, for {size} rows")
    bits: Mask = np.unpackbits(np.frombuffer(packed, np.uint8), count=size, bitorder="little").view(np.bool_)
    return bits


# ---------------------------------------------------------------- answers


def pack(values: Floats) -> bytes:
    """float32 in little endian."""
    return values.astype("<f4").tobytes()


def unpack(packed: bytes) -> Floats:
    """What `pack` made. Raises ValueError where it is not a whole number of float32."""
    found: Floats = np.frombuffer(packed, "<f4").astype(np.float32)
    return found
