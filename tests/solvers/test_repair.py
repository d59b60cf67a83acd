"""Room is made by moving pods, and nobody loses a place by it."""

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core.solvers.repair import Repair


class Nodes:
    """Nodes with so much room each; a pod wants so much, on one of some nodes, the first of them rather."""

    def __init__(self, room, pods):
        self.room = list(room)
        self.pods = pods
        self.at = {}
        self.looks = 0

    def find(self, pod):
        self.looks += 1
        size, nodes = self.pods[pod]
        return next((node for node in nodes if self.room[node] >= size), None)

    def put(self, pod, place):
        assert pod not in self.at
        self.at[pod] = place
        self.room[place] -= self.pods[pod][0]
        assert self.room[place] >= 0

    def lift(self, pod):
        place = self.at.pop(pod)
        self.room[place] += self.pods[pod][0]
        return place

    def fill(self):
        """Place what fits, in order; returns what does not."""
        for pod in self.pods:
            place = self.find(pod)
            if place is not None:
                self.put(pod, place)
        return [pod for pod in self.pods if pod not in self.at]


def test_a_pod_moves_over():
    nodes = Nodes([1, 1], {"free": (1, [0, 1]), "bound": (1, [0])})
    assert nodes.fill() == ["bound"]

    changed = Repair(nodes, ["free"]).place("bound")

    assert changed == ["bound", "free"]
    assert nodes.at == {"bound": 0, "free": 1}


def test_a_pod_moves_over_for_one_that_moves_over():
    nodes = Nodes([1, 1, 1], {"a": (1, [0, 1]), "b": (1, [1, 2]), "c": (1, [0])})
    assert nodes.fill() == ["c"]

    changed = Repair(nodes, ["a", "b"]).place("c")

    assert changed == ["c", "a", "b"]
    assert nodes.at == {"c": 0, "a": 1, "b": 2}


def test_a_chain_of_three_is_not_looked_for():
    pods = {"a": (1, [0, 1]), "b": (1, [1, 2]), "c": (1, [2, 3]), "d": (1, [0])}
    nodes = Nodes([1, 1, 1, 1], pods)
    assert nodes.fill() == ["d"]
    before = dict(nodes.at)

    assert Repair(nodes, ["a", "b", "c"], tries=100).place("d") == []
    assert nodes.at == before


def test_tries_are_counted_over_all_pods():
    nodes = Nodes([2, 0], {f"p{i}": (1, [0]) for i in range(2)} | {"q": (1, [0]), "r": (1, [0])})
    assert nodes.fill() == ["q", "r"]
    repair = Repair(nodes, ["p0", "p1"], tries=3)
    nodes.looks = 0

    assert repair.place("q") == []
    assert repair.place("r") == []

    assert repair.tries == 0
    assert nodes.looks <= 6


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=4).flatmap(
        lambda room: st.tuples(
            st.just(room),
            st.lists(
                st.tuples(
                    st.integers(1, 3),
                    st.lists(st.integers(0, len(room) - 1), min_size=1, max_size=len(room), unique=True),
                ),
                max_size=8,
            ),
        )
    ),
    st.integers(0, 30),
)
def test_nobody_loses_a_place(case, tries):
    room, pods = case
    nodes = Nodes(room, dict(enumerate(pods)))
    waiting = nodes.fill()
    placed = dict(nodes.at)

    for pod in waiting:
        changed = Repair(nodes, list(placed), tries).place(pod)

        assert set(placed) <= set(nodes.at)
        assert (pod in nodes.at) == bool(changed)
        assert {each for each in nodes.at if nodes.at[each] != placed.get(each)} <= set(changed)
        placed = dict(nodes.at)
