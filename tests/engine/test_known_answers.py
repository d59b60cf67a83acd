"""What is remembered of pods before changes nothing: the same events give the same instructions without it."""

import pytest

from e2e.bench.engine import answer, workload, world
from scheduler.core import demand, explain
from scheduler.core.candidates import Candidates
from scheduler.core.config import EngineConfig, Ownership
from scheduler.core.engine import Engine
from scheduler.core.explain import to_dict, to_json
from scheduler.core.messages import Drained, RecordDecision, Seen, Slow
from scheduler.core.ranking import Ranking
from scheduler.core.slow import answer as answer_slow
from scheduler.core.stock import Stock


def run(nodes=48, devices=4, pods=100):
    """All instructions, in order, until nothing is left to do; slow questions are answered in place."""
    engine = Engine(EngineConfig(ownership=Ownership(all_nodes=True)))
    inbox = [*world(nodes, devices), *(Seen(each) for pod, claim in workload(pods) for each in (claim, pod))]
    told = []
    while inbox:
        out = [each for event in inbox for each in engine.handle(event, 1.0)]
        while engine.next_wakeup() is not None and engine.next_wakeup() <= 1.0:
            out += engine.handle(Drained(), 1.0)
        told += [each for each in out if not isinstance(each, Slow)]
        inbox = []
        for each in out:
            inbox += [answer_slow(each)] if isinstance(each, Slow) else answer(engine, each)
    return told


class Forgetful(dict):
    """Takes everything and finds nothing."""

    def get(self, key, default=None):
        return default


@pytest.fixture
def forget(monkeypatch):
    """Nothing is remembered, and no node leads."""
    fresh = Candidates.__init__

    def forgetful(self, *args):
        fresh(self, *args)
        self._worths, self._told, self._choices, self._known_after = (Forgetful() for _ in range(4))

    monkeypatch.setattr(Candidates, "__init__", forgetful)
    monkeypatch.setattr(demand.Specs, "find", lambda *_: None)
    numbered = Stock.__init__

    def stock(self):
        numbered(self)
        self._lefts, self._known = Forgetful(), Forgetful()

    monkeypatch.setattr(Stock, "__init__", stock)

    def best(self, order):
        return (*self.top(2, order), None, None)[:2]

    monkeypatch.setattr(Ranking, "best", best)
    return monkeypatch


@pytest.mark.interpreted
def test_pods_are_decided_as_if_none_had_come_before(forget):
    plain = run()
    forget.undo()

    assert run() == plain
    assert sum(isinstance(each, RecordDecision) for each in plain) > 60


def test_annotations_are_what_the_decision_says():
    for each in run(pods=40):
        if isinstance(each, RecordDecision):
            said = to_dict(each.decision, heard=False)
            assert to_json(each.decision) == explain._COMPACT.encode(said)
