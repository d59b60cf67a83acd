"""Questions that are answered beside the loop, and which pods wait for which of them."""

from collections import defaultdict
from collections.abc import Hashable, Iterable

from scheduler.core.model import Uid

PATIENCE_S = 30.0  # an answer that takes longer is asked for again
MAX_QUESTIONS = 10_000  # that are remembered before those that nobody answered are dropped


class Questions:
    """Each question that is under way has a generation; an answer of another one is late or stale."""

    def __init__(self) -> None:
        self._asked: dict[Hashable, tuple[int, float]] = {}  # generation, and until when its answer is waited for
        self._of: dict[Uid, set[Hashable]] = {}
        self._askers: dict[Hashable, set[Uid]] = defaultdict(set)
        self._generation = 0

    def ask(self, key: Hashable, now: float) -> int | None:
        """A generation for a question that is not under way already."""
        asked = self._asked.get(key)
        if asked is not None and asked[1] > now:
            return None
        if len(self._asked) >= MAX_QUESTIONS:
            self._asked = {each: asked for each, asked in self._asked.items() if asked[1] > now}
        self._generation += 1
        self._asked[key] = (self._generation, now + PATIENCE_S)
        return self._generation

    def answered(self, key: Hashable, generation: int) -> bool:
        """Whether this is the answer that we still wait for; anything else is to be dropped."""
        asked = self._asked.get(key)
        if asked is None or asked[0] != generation:
            return False
        del self._asked[key]
        return True

    def await_answers(self, pod: Uid, keys: Iterable[Hashable]) -> None:
        """The pod waits for all of these, whoever asked, and for nothing else."""
        self.forget(pod)
        self._of[pod] = set(keys)
        for key in self._of[pod]:
            self._askers[key].add(pod)

    def forget(self, pod: Uid) -> None:
        """The pod waits for nothing."""
        for key in self._of.pop(pod, ()):
            self._askers[key].discard(pod)
            if not self._askers[key]:
                del self._askers[key]

    def release(self, key: Hashable) -> list[Uid]:
        """A question is answered; returns the pods that now wait for nothing, in order."""
        found = []
        for pod in sorted(self._askers.pop(key, ())):
            self._of[pod].discard(key)
            if not self._of[pod]:
                del self._of[pod]
                found.append(pod)
        return found
