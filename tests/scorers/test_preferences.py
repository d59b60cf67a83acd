"""What the shipped weights choose: facts of real boxes, and laws over random fleets of them."""

from itertools import combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.scorecard import Scorecard, score_nodes, score_sets
from scoring.scorers import NODE_SCORERS, SET_SCORERS
from scoring.scorers.base import Loads, Sets
from scoring.topology.base import Layout
from scoring.topology.catalogue import lookup
from scoring.weights import Weights

TWO_SOCKETS = [0, 0, 0, 0, 1, 1, 1, 1]
BRIDGES = {(0, 2), (1, 3), (4, 5), (6, 7)}
EVERY = range(8)
WEIGHTS = Weights()


def bridged(speed):
    matrix = np.zeros((8, 8), np.float32)
    for i, j in BRIDGES:
        matrix[i, j] = matrix[j, i] = speed
    return matrix


def box(bandwidth, numa=TWO_SOCKETS, pcie=range(8)):
    return Layout(bandwidth, np.array(numa, np.int32), np.array(pcie, np.int32), "test")


BRIDGED = box(bridged(300))
H100 = box(lookup("NVIDIA H100 80GB HBM3", 8).bandwidth)
A100 = box(lookup("NVIDIA A100-SXM4-40GB", 8).bandwidth, [0, 0, 1, 1, 2, 2, 3, 3], [0, 0, 1, 1, 2, 2, 3, 3])
DGX1 = box(lookup("Tesla V100-SXM2-16GB", 8).bandwidth, TWO_SOCKETS, TWO_SOCKETS)
UNKNOWN = box(lookup("NVIDIA A40", 8).bandwidth)


def machine(layout, free=EVERY, cpu=None, memory=1.0):
    """A node with these free devices; its free cpu (a share of 100 cores) goes with them unless it is given."""
    free = frozenset(free)
    return layout, free, len(free) / 8 if cpu is None else cpu, memory


def options(nodes, count):
    """Every set of `count` devices on every node with all scores; a pod takes 10 of 100 cores a device."""
    chosen, cards = [], []
    for at, (layout, free, cpu, memory) in enumerate(nodes):
        picked = list(combinations(sorted(free), count))
        if not picked:
            continue
        members = np.zeros((len(picked), layout.size), np.bool_)
        np.put_along_axis(members, np.array(picked), values=True, axis=1)
        sets = Sets(layout, np.isin(np.arange(layout.size), list(free)), members)
        amounts = (
            8,
            len(free) - count,
            100_000,
            int(cpu * 100_000) - count * 10_000,
            1000,
            int(memory * 1000),
            *5 * [0],
        )
        loads = Loads(*(np.full(len(picked), amount, np.int64) for amount in amounts))
        card = score_sets(SET_SCORERS, WEIGHTS.vector(SET_SCORERS), sets)
        cards.append(card.beside(score_nodes(NODE_SCORERS, WEIGHTS.vector(NODE_SCORERS), loads)))
        chosen += [(at, set(pick)) for pick in picked]
    if not cards:
        return [], None
    first = cards[0]
    return chosen, Scorecard(first.names, np.concatenate([card.scores for card in cards], axis=1), first.weights)


def best(nodes, count):
    """All choices that share the highest total."""
    chosen, card = options(nodes, count)
    return [choice for choice, total in zip(chosen, card.total, strict=True) if total == card.total.max()]


def choice(nodes, count):
    return best(nodes, count)[0]


# ---------------------------------------------------------------- facts of boxes


def test_the_best_quads_of_a_dgx1_are_its_two_sockets():
    assert best([machine(DGX1)], 4) == [(0, {0, 1, 2, 3}), (0, {4, 5, 6, 7})]


def test_the_best_pairs_of_a_dgx1_have_two_links_and_one_socket():
    pairs = {tuple(sorted(pair)) for _, pair in best([machine(DGX1)], 2)}

    assert pairs == {(0, 3), (1, 2), (2, 3), (4, 7), (5, 6), (6, 7)}


def test_four_pairs_in_turn_all_get_two_links_on_a_dgx1():
    free, speeds = set(EVERY), []
    while free:
        _, pair = choice([machine(DGX1, free)], 2)
        speeds.append(DGX1.bandwidth[tuple(pair)])
        free -= pair

    assert speeds == [50, 50, 50, 50]


def test_on_a_bridged_box_pairs_are_bridges_and_quads_are_numa_nodes():
    assert {tuple(sorted(pair)) for _, pair in best([machine(BRIDGED)], 2)} == BRIDGES
    assert best([machine(BRIDGED)], 4) == [(0, {0, 1, 2, 3}), (0, {4, 5, 6, 7})]


def test_slow_bridges_are_worth_taking_too():
    assert {tuple(sorted(pair)) for _, pair in best([machine(box(bridged(56)))], 2)} == BRIDGES


def test_a_second_pair_goes_beside_the_first():
    assert best([machine(BRIDGED, {1, 3, 4, 5, 6, 7})], 2) == [(0, {1, 3})]


def test_on_a_switched_box_numa_decides_since_links_do_not():
    assert best([machine(H100)], 4) == [(0, {0, 1, 2, 3}), (0, {4, 5, 6, 7})]
    assert best([machine(A100)], 2) == [(0, {0, 1}), (0, {2, 3}), (0, {4, 5}), (0, {6, 7})]


def test_unknown_links_are_treated_as_none_and_numa_decides():
    assert all(len({TWO_SOCKETS[i] for i in pair}) == 1 for _, pair in best([machine(UNKNOWN)], 2))


def test_one_gpu_comes_from_the_nearly_full_switched_box():
    assert choice([machine(H100), machine(H100, {2, 5}), machine(H100, {0, 1, 4, 6, 7})], 1)[0] == 1


def test_one_gpu_is_an_orphan_rather_than_half_of_a_pair_on_a_fuller_node():
    assert choice([machine(BRIDGED, {4, 5}), machine(BRIDGED, {0, 1, 3, 4, 5, 6, 7})], 1) == (1, {0})


def test_eight_gpus_go_where_all_are_linked():
    assert choice([machine(BRIDGED), machine(DGX1), machine(H100)], 8)[0] == 2


def test_a_nic_beside_them_does_not_change_which_gpus_are_best():
    matrix = np.zeros((9, 9), np.float32)
    matrix[:8, :8] = BRIDGED.bandwidth
    numa, pcie = np.array([*TWO_SOCKETS, 0], np.int32), np.array([*EVERY, 4], np.int32)
    with_nic = Layout(matrix, numa, pcie, "test", np.arange(9) < 8)
    members = np.array([[i in {*pair, 8} for i in range(9)] for pair in combinations(EVERY, 2)])

    card = score_sets(SET_SCORERS, WEIGHTS.vector(SET_SCORERS), Sets(with_nic, np.ones(9, np.bool_), members))

    best_set = set(np.flatnonzero(members[card.best]).tolist())
    assert tuple(sorted(best_set - {8})) in BRIDGES
    assert card.breakdown(card.best)["bandwidth"] == 0.75  # 300 / (300 + 100), as without the NIC


def rails(sockets=TWO_SOCKETS):
    """Eight GPUs behind NVSwitches, then eight NICs; two of each behind a PCIe root."""
    matrix = np.zeros((16, 16), np.float32)
    matrix[:8, :8] = H100.bandwidth
    numa, pcie = np.array(sockets * 2, np.int32), np.array([0, 0, 1, 1, 2, 2, 3, 3] * 2, np.int32)
    return Layout(matrix, numa, pcie, "test", np.arange(16) < 8)


def with_nics(frees, gpus, nics):
    """The best choice for a pod of so many GPUs and NICs on nodes with these free devices."""
    layout, every = rails(), []
    for at, free in enumerate(frees):
        picks = [
            set(own + others)
            for own in combinations([i for i in sorted(free) if i < 8], gpus)
            for others in combinations([i for i in sorted(free) if i >= 8], nics)
        ]
        members = np.array([[i in pick for i in range(16)] for pick in picks])
        sets = Sets(layout, np.isin(np.arange(16), list(free)), members)
        card = score_sets(SET_SCORERS, WEIGHTS.vector(SET_SCORERS), sets)
        every += [(total, -at, pick) for total, pick in zip(card.total.tolist(), picks, strict=True)]
    _, at, pick = max(every, key=lambda each: each[:2])
    return -at, pick


def test_nics_come_from_behind_the_root_of_a_gpu():
    assert with_nics([set(range(16))], 2, 2) in [(0, {i, i + 1, i + 8, i + 9}) for i in (0, 2, 4, 6)]
    assert with_nics([{0, 2, 5, 10, 13, 15}], 1, 1) in [(0, {2, 10}), (0, {5, 13})]


def test_a_pod_of_four_takes_a_whole_socket_rather_than_what_is_left_of_two():
    left_of_two = {0, 1, 4, 5, 8, 9, 12, 13}
    assert with_nics([left_of_two, set(range(16))], 4, 4)[0] == 1
    assert choice([machine(H100, {0, 1, 4, 5}), machine(H100)], 4) == (1, {0, 1, 2, 3})


def test_one_gpu_leaves_whole_what_another_socket_cannot_serve_anyway():
    assert choice([machine(H100, {0, 1, 2, 3, 4, 5, 6})], 1)[1] <= {4, 5, 6}
    assert choice([machine(H100, {0, 1, 4, 5, 6})], 1)[1] <= {4, 5, 6}


# ---------------------------------------------------------------- laws over mixed fleets

machines = st.builds(
    machine,
    st.sampled_from([BRIDGED, BRIDGED, H100, A100]),
    st.sets(st.sampled_from(EVERY)),
    st.floats(0, 1),
    st.floats(0, 1),
)
fleets = st.lists(machines, min_size=1, max_size=4)


def chosen_where_possible(nodes, count, good):
    """Whether the best choice is good, wherever any choice is."""
    chosen, card = options(nodes, count)
    judged = [good(nodes[at][0], nodes[at][1], pick) for at, pick in chosen]
    return not any(judged) or judged[card.best]


@given(fleets)
@settings(max_examples=250, deadline=None)
def test_pods_of_two_take_a_linked_pair_wherever_there_is_one(nodes):
    assert chosen_where_possible(nodes, 2, lambda layout, _, pair: layout.links[tuple(pair)] > 0)


@given(fleets)
@settings(max_examples=250, deadline=None)
def test_pods_of_four_are_split_over_the_sockets_of_a_bridged_box_only_as_a_last_resort(nodes):
    assert chosen_where_possible(
        nodes, 4, lambda layout, _, quad: layout is not BRIDGED or len({TWO_SOCKETS[i] for i in quad}) == 1
    )


@given(fleets)
@settings(max_examples=250, deadline=None)
def test_pods_of_one_take_a_gpu_without_free_linked_neighbours_wherever_there_is_one(nodes):
    assert chosen_where_possible(
        nodes, 1, lambda layout, free, one: not any(layout.links[i, j] > 0 for i in one for j in free - one)
    )
