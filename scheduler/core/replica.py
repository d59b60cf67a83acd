"""Past decisions once more: a mirror of what an engine knew, and judges that say what they would have decided.

A replica is told what the engine was told of the cluster, and before each decision what the engine assumed then. So
the state is that of the moment, whoever judges it, and with whatever weights.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from scheduler.core.budget import Budget
from scheduler.core.candidates import Candidates
from scheduler.core.catalogue import Catalogue
from scheduler.core.cel import Outline
from scheduler.core.config import EngineConfig
from scheduler.core.demand import Demand, Refusal, resolve
from scheduler.core.engine import Engine
from scheduler.core.messages import EvaluateScalar, Event, Inspect, Inspected, ScalarEvaluated, Solve, Solved
from scheduler.core.model import Allocation, Resources, Uid
from scheduler.core.opinions import Opinions
from scheduler.core.parts import PartName
from scheduler.core.plan import RETRY, Heard, Placement, Unplaced
from scheduler.core.slow import answer
from scheduler.core.solvers.greedy import place
from scheduler.core.solvers.search import NodeAnswer
from scheduler.core.state import State
from scheduler.core.stock import ClassName
from scheduler.core.windows import Hint
from scoring.market import Market
from scoring.opinion import Opinion

MAX_CLASSES: Final = 256
_ROUNDS: Final = 64  # of slow questions about one pod


@dataclass(frozen=True, slots=True)
class Trade:
    """A market, with what its classes of devices and of parts are, by their numbers."""

    market: Market
    classes: tuple[ClassName, ...]
    parts: tuple[PartName, ...]

    @staticmethod
    def of(engine: Engine) -> "Trade":
        """What an engine goes by now."""
        catalogue = engine.catalogue
        return Trade(catalogue.stock.market, catalogue.stock.names(engine.state), catalogue.parts.names)


@dataclass(frozen=True, slots=True)
class Assumed:
    """How what an engine assumed differs from what it assumed at the decision before; None: no longer.

    places : by pod, its node and what it takes there. avoided : by device, why it is left alone. volumes : by volume,
    the claim that it is kept for.
    """

    allocations: Mapping[Uid, Allocation | None]
    places: Mapping[Uid, tuple[str, Resources] | None]
    avoided: Mapping[tuple[str, str, str], str | None]
    volumes: Mapping[str, Uid | None]


class Judge:
    """Decides one pod after another under one configuration, on a state that is not its own."""

    def __init__(self, state: State, config: EngineConfig) -> None:
        self._state = state
        self._config = config
        self._opinions = Opinions(config)
        self._catalogue = Catalogue(config)
        self._classes: OrderedDict[tuple[Demand, Opinion], Candidates] = OrderedDict()

    def learn(self, trade: Trade) -> None:
        """Go by this market from now on."""
        self._catalogue = Catalogue(self._config)
        self._classes.clear()
        self._catalogue.stock.adopt(self._state, trade.classes)
        self._catalogue.parts.adopt(trade.parts)
        self._catalogue.stock.trade(trade.market)

    def decide(self, uid: Uid, hint: Hint | None = None, heard: Sequence[Heard] = ()) -> Placement | Unplaced:
        """What becomes of a pod in the state as it is, which is not changed. hint, heard : see `place`."""
        state = self._state
        pod = state.pods.current.get(uid)
        if pod is None:
            return Unplaced(uid, RETRY, f"pod {uid}: is not known")
        ways = resolve(pod, state)
        if isinstance(ways, Refusal):
            return Unplaced(uid, ways.token, ways.message)
        preference = self._opinions.of(pod)
        tried = [(resolved, self._class(resolved.demand, preference.opinion)) for resolved in ways.open]
        for _ in range(_ROUNDS):
            if not self._settle(candidates for _, candidates in tried):
                continue
            outcome = place(state, pod, tried, ways.closed, preference, 0, hint, heard)
            unsolved = [problem for _, candidates in tried for problem in candidates.unsolved]
            if isinstance(outcome, Placement) or not unsolved:
                return outcome
            for problem in unsolved:
                solved = answer(Solve(problem, self._config.solve_steps, 0))
                if isinstance(solved, Solved) and isinstance(solved.answer, NodeAnswer):
                    self._catalogue.learn(problem, solved.answer)
        return Unplaced(uid, RETRY, f"pod {pod.key}: the search for its devices is not finished")

    def _settle(self, classes: Iterable[Candidates]) -> bool:
        """Bring classes up to the state, or answer what keeps them from that."""
        for candidates in classes:
            candidates.refresh(self._state, Budget(10**12))
            for each in candidates.pending:
                if each.tuples:
                    told = answer(EvaluateScalar(each.expression, each.tuples, self._config.scalar_steps, 0))
                    if isinstance(told, ScalarEvaluated):
                        self._catalogue.verdicts.learn(told.expression, told.tuples, told.verdicts)
                else:
                    seen = answer(Inspect(each.expression, 0))
                    if isinstance(seen, Inspected) and isinstance(seen.outline, Outline):
                        self._catalogue.verdicts.learn_outline(seen.outline)
            if not candidates.settled:
                return False
        return True

    def _class(self, demand: Demand, opinion: Opinion) -> Candidates:
        found = self._classes.pop((demand, opinion), None)
        if found is None:
            if len(self._classes) >= MAX_CLASSES:
                self._classes.popitem(last=False)
            found = Candidates(demand, self._catalogue, opinion)
        self._classes[demand, opinion] = found
        return found


class Replica:
    """The mirror. `state` is as the engine's was, once `assume` was told what the engine assumed."""

    def __init__(self, config: EngineConfig) -> None:
        self._engine = Engine(config)

    @property
    def state(self) -> State:
        """For judges."""
        return self._engine.state

    def take(self, event: Event) -> None:
        """Take in what was seen of the cluster. Nothing is ever decided."""
        self._engine.handle(event, 0.0)

    def assume(self, assumed: Assumed) -> None:
        """Go over to what the engine assumed at its next decision."""
        state = self.state
        for claim, allocation in assumed.allocations.items():
            if allocation is None:
                state.forget_allocation(claim)
            else:
                state.assume_allocation(claim, allocation)
        for pod, charge in assumed.places.items():
            if charge is None:
                state.forget_place(pod)
            else:
                state.charge_place(pod, *charge)
        for device, why in assumed.avoided.items():
            state.avoid(device, why)
        for volume, holder in assumed.volumes.items():
            state.volumes.give_back(volume)
            if holder is not None:
                state.volumes.take(volume, holder)
        state.settle()
