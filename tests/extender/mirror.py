"""A scheduler's state as a table of the extender."""

import random
from typing import Any

import numpy as np

from scheduler.cluster.decode import decode
from scheduler.core.candidates import Candidates
from scheduler.core.catalogue import Catalogue
from scheduler.core.columns import ABSENT
from scheduler.core.config import EngineConfig, Ownership
from scheduler.core.demand import Demand, resolve
from scheduler.core.engine import Engine
from scheduler.core.messages import Seen
from scheduler.core.model import Request, Result, Slice
from scheduler.core.quantity import parse_quantity
from scheduler.core.state import State
from scheduler.simulator.fleet import device_classes, fleet
from scoring.extender.table import Node, NodeState, Table
from tests import build

SHARED_DRIVER = "shared.example.com"


def state_of(counts: dict[str, int], seed: int, *, shared: int = 0, flawed: bool = False) -> State:
    """A fleet, part of whose devices are in use. shared : nodes with 4 devices that are shared."""
    chance = random.Random(seed)
    engine = Engine(EngineConfig(ownership=Ownership(all_nodes=True)))

    def see(item: Any) -> None:
        engine.handle(Seen(item), 0.0)

    for raw in [*device_classes(), *fleet(counts, seed, nics=True)]:
        raw["metadata"].setdefault("uid", raw["metadata"]["name"])
        item = decode(raw["kind"], raw)
        if isinstance(item, Slice) and flawed:
            item = _flawed(item, chance)
        see(item)
        if isinstance(item, Slice):
            share = chance.choice([0.0, 0.2, 0.5, 0.7])
            used = [device.name for device in item.devices if chance.random() < share]
            _hold(see, item, dict.fromkeys(used))
    see(build.device_class("shared", driver=SHARED_DRIVER))
    for number in range(shared):
        name = f"shared-{number}"
        see(build.node(name, cpu=chance.choice([32_000, 64_000])))
        devices = [
            build.replace(build.device(f"gpu-{i}", {"index": i}, {"memory": "80Gi"}), shareable=True) for i in range(4)
        ]
        item = build.slice_of(devices, node=name, driver=SHARED_DRIVER)
        see(item)
        _hold(see, item, {device.name: chance.randrange(9) for device in devices})
    state = engine.state
    state.settle()
    for row in np.flatnonzero(state.nodes.live).tolist():
        if chance.random() < 0.6:
            state.nodes.use(row, {"cpu": chance.randrange(30) * 1000, "memory": chance.randrange(90) * 2**30}, 1)
    return state


def _flawed(item: Slice, chance: random.Random) -> Slice:
    devices = []
    for device in item.devices:
        taints = (build.taint("note", effect="None"),) if chance.random() < 0.3 else ()
        devices.append(build.replace(device, taints=taints))
    return build.replace(item, devices=tuple(devices))


def _hold(see: Any, item: Slice, used: dict[str, int | None]) -> None:
    results = []
    for name, eighths in used.items():
        result = Result("r", item.driver, item.pool, name)
        if eighths is not None:
            amount = {"memory": parse_quantity(f"{10 * eighths}Gi")}
            result = build.replace(result, share_id=f"{item.pool}-{name}", consumed=amount)
        results.append(result)
    if results:
        see(build.allocated(build.claim(f"held-{item.pool}-{item.driver}"), *results))


def demand(state: State, *requests: Request, cpu: int = 4_000, memory: int = 2**33) -> Demand:
    """Of a pod with one claim, or none."""
    claim = build.claim("asked", *requests)
    state.put_claim(claim)
    ways = resolve(build.pod("asks", claims=[claim] if requests else [], cpu=cpu, memory=memory), state)
    return ways.open[0].demand


def judged_by_the_core(state: State, demand: Demand, opinion: Any, market: Any = None) -> tuple[Candidates, Catalogue]:
    from scheduler.core.budget import Budget

    catalogue = Catalogue(EngineConfig())
    catalogue.stock.refresh(state)
    if market is not None:
        catalogue.stock.trade(market)
    found = Candidates(demand, catalogue, opinion)
    for _ in range(100):
        found.refresh(state, Budget(10**12))
        if found.settled:
            return found, catalogue
    raise AssertionError("never settled")


def table_of(state: State, catalogue: Catalogue) -> tuple[Table, list[int]]:
    """The table, and the row of each of its nodes in the state."""
    rows = np.flatnonzero(state.nodes.live).tolist()
    codes = sorted({int(code) for code in np.unique(state.products.codes) if code != ABSENT})
    table = Table(state.bays.layouts, [product_name(code) for code in codes])
    for place, row in enumerate(rows):
        table.put(place, node_of(state, catalogue, row, codes))
    return table, rows


def product_name(code: int) -> str:
    return f"product-{code}"


def _left(state: State, catalogue: Catalogue, row: int, size: int) -> list[int]:
    """As the stock has it; what it does not count is whole or taken."""
    linkable = state.bays.layouts[int(state.bays.layout[row])].linkable
    free = [1000 * (state.bays.bits[row] >> place & 1) for place in range(size)]
    return np.where(linkable, catalogue.stock.left[row, :size], free).tolist()


def node_of(state: State, catalogue: Catalogue, row: int, codes: list[int]) -> Node:
    at = np.array([row], np.int32)
    layout = int(state.bays.layout[row])
    size = state.bays.layouts[layout].size
    seen = state.bays.rows[row][:size]
    return Node(
        name=state.nodes.nodes[row].name,
        layout=layout,
        products=tuple(codes.index(code) for code in state.products.codes[seen].tolist()),
        shared=tuple((state.capacities.codes[seen] != ABSENT).tolist()),
        cpu=int(state.nodes.amounts(state.nodes.allocatable, "cpu", at)[0]),
        memory=int(state.nodes.amounts(state.nodes.allocatable, "memory", at)[0]),
        state=NodeState(
            left=tuple(_left(state, catalogue, row, size)),
            cpu_left=int(state.nodes.left("cpu", at)[0]),
            memory_left=int(state.nodes.left("memory", at)[0]),
            used=bool(state.nodes.amounts(state.nodes.used, "pods", at)[0] > 0),
            flaws=tuple(state.flaws[seen].tolist()),
            changes=int(state.bays.disturbed[row]),
        ),
    )
