"""What all classes of pods share, so that none works out what another knows."""

from collections import OrderedDict

from scheduler.core.config import EngineConfig
from scheduler.core.demand import Demand, DeviceRequest
from scheduler.core.eligibility import Eligibility, Verdicts
from scheduler.core.parts import Parts
from scheduler.core.puzzles import Puzzles
from scheduler.core.solvers.puzzle import Puzzle
from scheduler.core.solvers.search import NodeAnswer, NodeProblem, solve
from scheduler.core.solvers.table import table_of
from scheduler.core.stock import Stock
from scoring.sets import SetTable


class Catalogue:
    """Device verdicts, solved node problems, and what is left of the nodes' devices and of what is cut."""

    MAX_ANSWERS = 50_000
    MAX_LEARNED = 1_000
    MAX_REQUESTS = 1_024
    MAX_TABLES = 512

    def __init__(self, config: EngineConfig) -> None:
        self.config = config
        self.stock = Stock()
        self.parts = Parts()
        self.verdicts = Verdicts(config.scalar_steps)
        self.puzzles = Puzzles(first_fit=config.device_choice == "first-fit")
        self.answers: dict[NodeProblem | Puzzle, NodeAnswer] = {}
        self.learned: list[NodeProblem | Puzzle] = []  # what longer searches solved, in the order of their answers
        self.learned_before = 0  # how many stood in front of those
        self._eligible: OrderedDict[DeviceRequest, Eligibility] = OrderedDict()
        self._tables: OrderedDict[NodeProblem, SetTable | None] = OrderedDict()

    def first_fit(self, demand: Demand) -> bool:
        """Whether a pod gets the first devices that fit instead of the best: those are what other schedulers take."""
        return demand.foreign or self.config.device_choice == "first-fit"

    def table(self, problem: NodeProblem) -> SetTable | None:
        """All answers to a problem whatever is free, None where each has to be searched; nothing is free in it."""
        if problem in self._tables:
            self._tables.move_to_end(problem)
            return self._tables[problem]
        if len(self._tables) >= self.MAX_TABLES:
            self._tables.popitem(last=False)
        found = self._tables[problem] = table_of(problem, self.config.search_steps)
        return found

    def eligibility(self, request: DeviceRequest) -> Eligibility:
        """Verdicts for a request, shared by every class that makes it."""
        found = self._eligible.get(request)
        if found is None:
            if len(self._eligible) >= self.MAX_REQUESTS:
                self._eligible.popitem(last=False)
            found = self._eligible[request] = Eligibility(request)
        self._eligible.move_to_end(request)
        return found

    def answer(self, problem: NodeProblem | Puzzle) -> NodeAnswer:
        """The solution of a node problem, searched once."""
        found = self.answers.get(problem)
        if found is None:
            found = solve(problem, self.config.search_steps)
            self._keep(problem, found)
        return found

    def learn(self, problem: NodeProblem | Puzzle, answer: NodeAnswer) -> None:
        """Keep the answer of a longer search."""
        self._keep(problem, answer)
        if len(self.learned) >= self.MAX_LEARNED:
            self.learned_before += len(self.learned)
            self.learned.clear()
        self.learned.append(problem)

    def _keep(self, problem: NodeProblem | Puzzle, answer: NodeAnswer) -> None:
        if len(self.answers) >= self.MAX_ANSWERS:
            self.answers.clear()
        self.answers[problem] = answer
