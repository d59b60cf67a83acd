"""Which values the matchAttribute constraints of one claim take together on a node, really different ones once.

Constraints are twins if they say the same of requests that are the same: one for each pair of a GPU and a network card,
for example. Which twin has which value makes no difference to the devices that are taken, so twins take values in
ascending order, and a value as often as it has devices for. Of n pairs behind m roots that leaves m over n combinations
instead of m to the power of n.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

Wants = Sequence[tuple[int, tuple[int, ...]]]
Matches = Sequence[tuple[tuple[int, ...], tuple[int, ...]]]


def valuations(
    wants: Wants, matches: Matches, fixed: Mapping[int, tuple[int, ...]], free: set[int]
) -> Iterator[tuple[int, ...]]:
    """Combinations of one value a constraint, in ascending order.

    wants, matches : as in `search.NodeProblem`. fixed : what requests for all devices take. free : what is left.
    """
    values: list[list[int]] = []
    for members, labels in matches:
        held = {labels[position] for want in members if want in fixed for position in fixed[want]}
        if len(held) > 1 or -1 in held:
            return
        values.append(sorted(held) if held else _values(wants, members, labels, free))
    family = _families(wants, matches)
    rooms = {head: {value: _room(wants, *matches[head], value, free) for value in values[head]} for head in set(family)}
    yield from _ascending(values, family, rooms)


def _values(wants: Wants, members: tuple[int, ...], labels: tuple[int, ...], free: set[int]) -> list[int]:
    """Values that every one of these wants could take, in ascending order."""
    shared: set[int] | None = None
    for want in members:
        count, positions = wants[want]
        tally = Counter(labels[position] for position in positions if position in free and labels[position] >= 0)
        enough = {value for value, have in tally.items() if have >= count}
        shared = enough if shared is None else shared & enough
    return sorted(shared or ())


def _families(wants: Wants, matches: Matches) -> list[int]:
    """Of each constraint its first twin, or itself."""
    family: list[int] = []
    for number in range(len(matches)):
        twin = next((head for head in dict.fromkeys(family) if _are_twins(wants, matches, head, number)), number)
        family.append(twin)
    return family


def _are_twins(wants: Wants, matches: Matches, one: int, other: int) -> bool:
    """Whether all stays the same when their requests change places."""
    (first, labels), (second, others) = matches[one], matches[other]
    if labels != others or not set(first).isdisjoint(second):
        return False
    pairs = list(zip(_ordered(wants, first), _ordered(wants, second), strict=False))
    if len(first) != len(second) or any(wants[a] != wants[b] or not wants[a][0] for a, b in pairs):
        return False
    rest = [set(members) for number, (members, _) in enumerate(matches) if number not in {one, other}]
    return all((a in members) == (b in members) for a, b in pairs for members in rest)


def _ordered(wants: Wants, members: tuple[int, ...]) -> list[int]:
    return sorted(members, key=lambda want: (wants[want], want))


def _room(wants: Wants, members: tuple[int, ...], labels: tuple[int, ...], value: int, free: set[int]) -> int:
    """How many twins of a constraint could have this value, by counting; one where its devices are taken already."""
    asked: Counter[tuple[int, ...]] = Counter()
    for want in members:
        count, positions = wants[want]
        asked[positions] += count
    return min(
        sum(position in free and labels[position] == value for position in positions) // count if count else 1
        for positions, count in asked.items()
    )


def _ascending(
    values: Sequence[Sequence[int]], family: Sequence[int], rooms: Mapping[int, Mapping[int, int]]
) -> Iterator[tuple[int, ...]]:
    chosen: list[int] = []
    used: Counter[tuple[int, int]] = Counter()
    later = [family[number + 1 :].count(head) for number, head in enumerate(family)]

    def extend() -> Iterator[tuple[int, ...]]:
        number = len(chosen)
        if number == len(values):
            yield tuple(chosen)
            return
        head = family[number]
        least = max((value for value, mine in zip(chosen, family, strict=False) if mine == head), default=-1)
        left = {value: rooms[head][value] - used[head, value] for value in values[number] if value >= least}
        reach = sum(left.values())
        for value, room in left.items():
            if reach <= later[number]:
                return  # too few are left for the twins that follow
            if room > 0:
                chosen.append(value)
                used[head, value] += 1
                yield from extend()
                used[head, value] -= 1
                chosen.pop()
            reach -= room

    return extend()
