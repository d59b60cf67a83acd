"""Room for a pod that found none, made by pods that were placed moments ago and can still go elsewhere.

What a move leads to is asked of the engine's own state, so every rule counts: what `regret` does to numbers, this does
to nodes and devices.
"""

from collections.abc import Sequence
from typing import Final, Protocol

from scheduler.core.model import Uid
from scheduler.core.plan import Placement

TRIES: Final = 8  # moves that are tried for one pod; each has to look at a node or two


class Moves(Protocol):
    """The state, as far as moves go."""

    def find(self, pod: Uid) -> Placement | None:
        """The best place that a pod could have now, None if there is none; nothing changes."""

    def put(self, pod: Uid, place: Placement) -> None:
        """Let a pod that has none have a place that was found for it."""

    def lift(self, pod: Uid) -> Placement:
        """Take its place from a pod; returns it, so that it can be put back."""


class Repair:
    """Makes room. movable : pods that have a place and may go elsewhere. tries : moves that are left."""

    def __init__(self, moves: Moves, movable: Sequence[Uid], tries: int = TRIES) -> None:
        self._moves = moves
        self._movable = movable
        self.tries = tries

    def place(self, pod: Uid) -> list[Uid]:
        """Place a pod by moving one other, or one other and a third; returns who has another place now, itself first.

        Nobody who had a place is left without one. Nothing changes where the tries are not enough: then the list is
        empty.
        """
        return self._place(pod, [pod], chain=2)

    def _place(self, pod: Uid, busy: list[Uid], chain: int) -> list[Uid]:
        moves = self._moves
        for other in self._movable:
            if other in busy:
                continue
            if self.tries <= 0:
                break
            self.tries -= 1
            before = moves.lift(other)
            place = moves.find(pod)
            if place is not None:
                moves.put(pod, place)
                elsewhere = moves.find(other)
                if elsewhere is not None:
                    moves.put(other, elsewhere)
                    return [pod, other]
                moved = self._place(other, [*busy, other], chain - 1) if chain > 1 else []
                if moved:
                    return [pod, *moved]
                moves.lift(pod)
            moves.put(other, before)
        return []
