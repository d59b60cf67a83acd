"""Scorers of others: what they are asked about a pod, what they said, and what their shares do to the choice of a node.

A pod that fits somewhere leaves as ScoreRemotely with its best nodes and waits; other pods are decided meanwhile. It is
decided once every scorer has answered, or has had its time. Both are told by events and by `now`, so a replay decides
the same. Only the nodes that were asked about compete; where none of them fits any more, our own scores decide. Whoever
says nothing in time, or something that is no score, is absent for this pod: its weight counts nowhere.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Final

from scheduler.core.candidates import Candidates, Choice
from scheduler.core.config import RemoteScorer
from scheduler.core.demand import Resolved
from scheduler.core.messages import PodRef, RemoteScored, ScoreRemotely
from scheduler.core.model import Pod, Uid
from scheduler.core.plan import REMOTE, Heard
from scheduler.core.state import State
from scoring.opinion import Opinion
from scoring.placement import raised as raised_rank

MAX_CANDIDATES: Final = 32
SPARE_S: Final = 1.0
"""Waited beyond the time that scorers have: `now` is when a cycle began, and they are asked after it. Whoever asks them
tells itself when their time is over (service/remote.py), so that this only serves where even that is not told."""
USED, ABSENT, LATE = "used", "absent", "late"
OUTCOMES: Final = (USED, ABSENT, LATE)
Way = tuple[Resolved, Candidates]


@dataclass(slots=True)
class _Asked:
    """A pod that waits. until : for how long. nodes : that were asked about. heard : by scorer, what was said.

    open : whether answers are still taken.
    """

    generation: int
    until: float
    nodes: tuple[str, ...]
    heard: dict[str, Heard] = field(default_factory=dict)
    open: bool = True


class Remote:
    """Who is asked about which pods. counts : by scorer, how many of its answers were USED, ABSENT or came LATE."""

    def __init__(self, scorers: Sequence[RemoteScorer]) -> None:
        self.scorers: Final = {scorer.name: scorer for scorer in scorers}
        self.counts: Counter[tuple[str, str]] = Counter()
        self._patience_s = max((scorer.timeout_s for scorer in scorers), default=0.0)
        self._asked: dict[Uid, _Asked] = {}  # those whose time ends first come first
        self._generation = 0

    def tally(self) -> dict[tuple[str, str], int]:
        """`counts`, with what never happened."""
        return {(name, outcome): self.counts[name, outcome] for name in self.scorers for outcome in OUTCOMES}

    @property
    def next_time(self) -> float | None:
        """When a pod has waited long enough; None: none waits."""
        return next((asked.until for asked in self._asked.values() if asked.open), None)

    def ask(self, pod: Pod, reference: PodRef, ways: Sequence[Way], state: State, now: float) -> ScoreRemotely | None:
        """What to ask about a pod; None where it fits nowhere, so that nobody has to be asked."""
        found = sorted(
            (
                (-choice.rank, int(state.nodes.order[choice.row]), choice.row, choice)
                for _, candidates in ways
                for choice in candidates.leading(state, MAX_CANDIDATES)
            ),
            key=lambda each: each[:3],
        )
        choices = {row: choice for *_, row, choice in reversed(found)}  # of several ways the best
        best = [choices[row].option for row in dict.fromkeys(row for _, _, row, _ in found)]
        if not best:
            return None
        best = best[:MAX_CANDIDATES]
        self._generation += 1
        self.forget(pod.uid)
        until = now + self._patience_s + SPARE_S
        self._asked[pod.uid] = _Asked(self._generation, until, tuple(option.node for option in best))
        cpu, memory = pod.requests.get("cpu", 0), pod.requests.get("memory", 0)
        return ScoreRemotely(reference, self._generation, tuple(self.scorers), cpu, memory, tuple(best))

    def waits(self, pod: Uid) -> bool:
        """Whether a pod was asked about, and answers may still come."""
        asked = self._asked.get(pod)
        return asked is not None and asked.open

    def knows(self, pod: Uid) -> bool:
        """Whether a pod was asked about, and no more answers are waited for."""
        asked = self._asked.get(pod)
        return asked is not None and not asked.open

    def heard(self, pod: Uid) -> tuple[Heard, ...]:
        """What was said about a pod that waits no longer, scorer by scorer; nothing if nobody was asked."""
        asked = self._asked.get(pod)
        if asked is None:
            return ()
        return tuple(
            asked.heard.get(scorer.name)
            or Heard(scorer.name, scorer.weight, {}, f"no answer within {scorer.timeout_s * 1000:g} ms")
            for scorer in self.scorers.values()
        )

    def hear(self, event: RemoteScored) -> bool:
        """Take an answer in; whether it was the last one that its pod waits for."""
        asked, scorer = self._asked.get(event.pod), self.scorers.get(event.scorer)
        if scorer is None:
            return False
        expected = asked is not None and asked.open and asked.generation == event.generation
        if asked is None or not expected or scorer.name in asked.heard:
            self.counts[scorer.name, LATE] += 1
            return False
        problem = event.problem or problem_of(event.scores, len(asked.nodes))
        scores = {} if problem else dict(zip(asked.nodes, event.scores, strict=True))
        asked.heard[scorer.name] = Heard(scorer.name, scorer.weight, scores, problem)
        asked.open = len(asked.heard) < len(self.scorers)
        return not asked.open

    def overdue(self, now: float) -> list[Uid]:
        """Pods that have waited long enough; they wait no longer."""
        late = [uid for uid in takewhile(lambda uid: self._asked[uid].until <= now, self._asked) if self.waits(uid)]
        for uid in late:
            self._asked[uid].open = False
        return late

    def decided(self, pod: Uid) -> None:
        """A pod is decided: count who helped, and expect nothing more."""
        for heard in self.heard(pod):
            self.counts[heard.scorer, ABSENT if heard.problem else USED] += 1
        self.forget(pod)

    def again(self) -> list[Uid]:
        """Forget all that was asked and said; returns the pods that it was about, which are to be asked about anew."""
        pods = list(self._asked)
        self._asked.clear()
        return pods

    def forget(self, pod: Uid) -> None:
        """The pod left or changed: what was said about it is of no use."""
        self._asked.pop(pod, None)


def problem_of(scores: Sequence[float], count: int) -> str:
    """Why an answer about so many candidates cannot be used, in words; empty if each has a score in [0, 1]."""
    if len(scores) != count:
        return f"gave {len(scores)} scores for {count} candidates"
    for number, score in enumerate(scores):
        if not 0 <= score <= 1:  # nor is NaN
            return f"gave the score {score:g} to candidate {number}, which is not within 0 and 1"
    return ""


def ranked(
    state: State, ways: Sequence[Way], heard: Sequence[Heard], opinion: Opinion
) -> list[tuple[Choice, Resolved]]:
    """The choices among which the best is taken: the best two of each way, or all that scorers of others judged."""
    asked = dict.fromkeys([node for each in heard for node in each.scores])
    judged = [
        (raised(choice, heard, opinion), resolved)
        for resolved, candidates in (ways if asked else ())
        for node in asked
        if (choice := candidates.at(state, node)) is not None
    ]
    return judged or [
        (choice, resolved) for resolved, candidates in ways for choice in candidates.best(state) if choice is not None
    ]


def raised(choice: Choice, heard: Sequence[Heard], opinion: Opinion) -> Choice:
    """A choice with the shares of scorers of others, as far as they judged its node."""
    node = choice.option.node
    said = [(each, each.weight * opinion.scale, each.scores[node]) for each in heard if node in each.scores]
    if not said:
        return choice
    more = math.fsum(weight * score for _, weight, score in said)
    own = opinion.whole(choice.option.scores)
    whole = own + math.fsum(weight for _, weight, _ in said)
    scores: Mapping[str, float] = {REMOTE + each.scorer: round(score, 6) for each, _, score in said}
    option = replace(
        choice.option,
        scores={**choice.option.scores, **scores},
        total=round((choice.option.total * own + more) / whole, 6),
    )
    return replace(choice, rank=raised_rank(choice.rank, more, opinion.unit), option=option)
