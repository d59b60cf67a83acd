"""Pools: an incremental index says what a look at all slices says, and only those nodes are rebuilt that may differ."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core.config import Ownership
from scheduler.core.model import NodeSelector, Slice
from scheduler.core.pools import Pool
from scheduler.core.state import State
from tests.build import device, gpus, node, requirement, slice_of, term

NODES = [node(f"n{i}", labels={"zone": "a" if i < 2 else "b"}) for i in range(3)]
ZONE_A = NodeSelector((term(requirement("zone", "In", "a")),))


@st.composite
def slices(draw) -> Slice:
    name = draw(st.sampled_from(["s0", "s1", "s2", "s3"]))
    where = draw(
        st.sampled_from([{"node": "n0"}, {"node": "n1"}, {"node": "n2"}, {"selector": ZONE_A}, {"all_nodes": True}])
    )
    return slice_of(
        [device(draw(st.sampled_from([name, "twin"])))],
        **where,
        name=name,
        pool=draw(st.sampled_from(["p", "q"])),
        generation=draw(st.integers(1, 2)),
        slice_count=draw(st.integers(1, 3)),
    )


STEPS = st.lists(slices() | st.sampled_from(["s0", "s1", "s2", "s3"]), max_size=12)


def seen(state: State) -> dict[str, tuple[list[str], tuple[str, ...]]]:
    """Device names and problems by node."""
    found = {}
    for name, row in state.nodes.rows.items():
        devices = [state.row_device[device][1].name for device in state.bays.rows[row].tolist() if device >= 0]
        found[name] = (devices, state.bays.problems.get(row, ()))
    return found


def fresh(published: dict[str, Slice]) -> State:
    state = State(Ownership(all_nodes=True))
    for item in [*NODES, *published.values()]:
        state.put_slice(item) if isinstance(item, Slice) else state.put_node(item)
    state.settle()
    return state


@settings(max_examples=300, deadline=None)
@given(STEPS, st.booleans())
def test_after_any_history_every_node_sees_what_a_fresh_start_would_see(steps, large):
    many, Pool.MANY = Pool.MANY, 0 if large else 64
    try:
        state, published = fresh({}), {}
        for step in steps:
            if isinstance(step, Slice):
                published[step.name] = step
                state.put_slice(step)
            else:
                published.pop(step, None)
                state.drop_slice(step)
            state.settle()

            assert seen(state) == seen(fresh(published))
    finally:
        Pool.MANY = many


@pytest.mark.interpreted
def test_a_slice_of_a_pool_over_many_nodes_costs_its_own_node_until_the_pool_is_whole():
    state = State(Ownership(all_nodes=True))
    count = Pool.MANY + 36
    for i in range(count):
        state.put_node(node(f"m{i}"))
    costs = []
    for i in range(count):
        before = state.nodes.changes.position
        state.put_slice(gpus(f"m{i}", 1, pool="wide", name=f"wide-{i}", slice_count=count))
        state.settle()
        costs.append(state.nodes.changes.position - before)

    assert max(costs[Pool.MANY + 1 : -1]) <= 2
    assert costs[-1] >= count
    assert not state.bays.problems
