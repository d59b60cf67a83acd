"""In which ways a GPU can be cut: maximal sets of parts that its counters allow at once.

Nothing is known here of MIG. What a driver publishes for each placement of a profile, memory slices by number among
it, says which placements exclude each other; so start slots, media engines and compute slices all count.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from scheduler.core.errors import InputError

MAX_STEPS: Final = 200_000
Shape = tuple[int, int]
"""Memory in bytes and compute of a part."""


def cuts(
    name: str, shapes: Sequence[Shape], draws: Sequence[Mapping[str, int]], left: Mapping[str, int]
) -> tuple[tuple[int, ...], ...]:
    """Sets of positions of parts, one for each maximal collection of shapes; no set is a worse version of another.

    draws : by part, what it takes of the counters, of which `left` is there. A GPU named `name` that can be cut in too
    many ways raises InputError.
    """
    useful = _useful(shapes, draws)
    steps = 0
    best: dict[tuple[Shape, ...], tuple[int, ...]] = {}

    def grow(chosen: tuple[int, ...], room: Mapping[str, int], after: int) -> None:
        nonlocal steps
        steps += 1
        if steps > MAX_STEPS:
            raise InputError(
                f"GPU {name}", f"can be cut in more than {MAX_STEPS} ways", "leave it out of the fleet file"
            )
        maximal = True
        for number, part in enumerate(useful):
            if part in chosen or any(amount > room[counter] for counter, amount in draws[part].items()):
                continue
            maximal = False
            if number >= after:
                rest = {counter: amount - draws[part].get(counter, 0) for counter, amount in room.items()}
                grow((*chosen, part), rest, number + 1)
        if maximal and chosen:
            best.setdefault(tuple(sorted((shapes[part] for part in chosen), reverse=True)), chosen)

    if useful and not any(draws[part] for part in useful):
        return (tuple(useful),)  # all of them exist already
    grow((), left, 0)
    found = sorted(best.items(), reverse=True)
    kept = [
        chosen
        for number, (mine, chosen) in enumerate(found)
        if not any(other != number and _serves(theirs, mine) for other, (theirs, _) in enumerate(found))
    ]
    return tuple(kept)


def _useful(shapes: Sequence[Shape], draws: Sequence[Mapping[str, int]]) -> list[int]:
    """Parts that no other part beats: as large, and drawing no more of anything. Of equal ones the first."""

    def beats(one: int, other: int) -> bool:
        larger = all(mine >= theirs for mine, theirs in zip(shapes[one], shapes[other], strict=True))
        if not larger or any(amount > draws[other].get(name, 0) for name, amount in draws[one].items()):
            return False
        same = shapes[one] == shapes[other] and draws[one] == draws[other]
        return bool(draws[one]) and (not same or one < other)

    every = range(len(shapes))
    return [part for part in every if not any(beats(other, part) for other in every if other != part)]


def _serves(one: tuple[Shape, ...], other: tuple[Shape, ...]) -> bool:
    """Whether each part of `other` has a part of its own in `one` that is as large. Both from the largest down."""
    if len(one) < len(other):
        return False
    owner: dict[int, int] = {}

    def place(part: int, seen: set[int]) -> bool:
        for slot, (memory, compute) in enumerate(one):
            if slot in seen or memory < other[part][0] or compute < other[part][1]:
                continue
            seen.add(slot)
            if slot not in owner or place(owner[slot], seen):
                owner[slot] = part
                return True
        return False

    return all(place(part, set()) for part in range(len(other)))
