"""Claims that cannot both hold what they hold: of one device, or of more shares or counters than there are.

Nothing in the API server keeps two schedulers from allocating one device to two claims, and no write of either fails
(KEP-4381 leaves it to them). So before a pod is bound its claims are held against all others once more, and claims that
change afterwards against those of pods that are bound: the former is yielded, the latter can only be told.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from scheduler.core.model import Allocation, Uid
from scheduler.core.state import State

TOO_MUCH: Final = "take more than there is of"


def clashes(state: State, uid: Uid, allocation: Allocation) -> dict[Uid, str]:
    """The other claims that an allocated claim clashes with, and how, in words.

    What administrators look at (adminAccess) clashes with nothing, and what is not published any more draws on no
    counters, as upstream counts.
    """
    found: dict[Uid, str] = {}
    for result in allocation.results:
        if result.admin_access:
            continue
        identity = result.identity
        for other in state.holders.get(identity, ()):
            if other != uid:
                found.setdefault(other, f"hold the same device {'/'.join(identity)}")
        if identity in state.shares:
            device = f"device {'/'.join(identity)}"
            name = state.overdrawn(identity)
            how = f"{TOO_MUCH} capacity {name} of {device}" if name else ""
            how = how if state.is_shared(result) else f"hold the same {device}"
            if how:
                for other in state.shares[identity]:
                    found.setdefault(other, how)
        for counter_set, counter, others in state.overdrawn_counters(identity):
            how = f"{TOO_MUCH} counter {counter} of {counter_set} in pool {'/'.join(identity[:2])}"
            for other in others:
                found.setdefault(other, how)
    found.pop(uid, None)
    return found


@dataclass(frozen=True, slots=True)
class Clash:
    """Two claims that clash, and how, in words."""

    claim: Uid
    other: Uid
    how: str


@dataclass(slots=True)
class Clashes:
    """What clashes that was told, and which claims are to be looked at.

    `told` counts clashes since the start.
    """

    told: int = 0
    _changed: set[Uid] = field(default_factory=set)
    _standing: dict[Uid, dict[Uid, str]] = field(default_factory=dict)

    @property
    def standing(self) -> int:
        """How many there are now."""
        return sum(len(others) for others in self._standing.values()) // 2

    def changed(self, uid: Uid) -> None:
        """A claim has another allocation than before: what was told of it is over, and it is looked at anew."""
        self.gone(uid)
        self._changed.add(uid)

    def gone(self, uid: Uid) -> None:
        """A claim holds nothing any more."""
        self._changed.discard(uid)
        for other in self._standing.pop(uid, ()):
            others = self._standing[other]
            del others[uid]
            if not others:
                del self._standing[other]

    def fresh(self, state: State, *, again: bool = False) -> Iterator[Clash]:
        """Clashes of claims that changed. again : these claims are looked at once more next time."""
        changed = sorted(self._changed)
        if not again:
            self._changed = set()
        for uid in changed:
            claim = state.claims.current.get(uid)
            if claim is None or claim.allocation is None:
                continue
            for other, how in sorted(clashes(state, uid, claim.allocation).items()):
                if other not in self._standing.get(uid, ()):
                    yield Clash(uid, other, how)

    def tell(self, clash: Clash) -> None:
        """A clash is told now."""
        self.told += 1
        for one, other in ((clash.claim, clash.other), (clash.other, clash.claim)):
            self._standing.setdefault(one, {})[other] = clash.how
