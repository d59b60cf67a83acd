"""`dovetail config diff`: which of the last decisions another configuration would have taken otherwise.

Each decision is taken three times in the state of its moment, and none changes what comes after it. First as it was, to
show that the record gives that state back: where the outcome is another one, the decision is not compared, and counted.
Then under the weights of then and under the new ones, each pod for itself: a plan for several pods is left out of both,
so that only what the weights do is shown. What scorers of others said counts as it did.
"""

import json
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from scheduler.core.errors import ConfigError, printable
from scheduler.core.explain import heard_of
from scheduler.core.plan import Mount, Option, Placement, Unplaced
from scheduler.core.replica import Judge, Replica, Trade
from scheduler.core.windows import Hint
from scheduler.service.record import Configured, Decided, read
from scheduler.service.settings import SchedulerConfig, go_over, parse, read_text

SHOWN: Final = 20
OUTPUTS: Final = ("text", "json")
_Where = tuple[str, tuple[str, ...]]
"""A node, and devices there as driver/pool/device."""


@dataclass(frozen=True, slots=True)
class Move:
    """A pod that would go elsewhere. then : where it went by the weights of then; now : where by the new ones."""

    pod: str
    then: _Where
    now: _Where


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of it.

    decisions : how many were looked at. moves : those that come out otherwise, oldest first. strange : decisions that
    the record did not give back, with what came out instead. waiting : what of the new configuration needs a restart,
    and is not in the comparison. digests : of the configurations of then, and of the new one.
    """

    decisions: int
    moves: tuple[Move, ...]
    strange: tuple[str, ...]
    waiting: tuple[str, ...]
    digests: tuple[tuple[str, ...], str]


def compare(record: Path, wanted: SchedulerConfig, last: int) -> Comparison:
    """Compare the `last` decisions of a record. Raises ConfigError for a record that cannot be read."""
    count = sum(isinstance(each, Decided) and each.kept for each in read(record))
    skipped = max(count - last, 0)
    seen = 0
    found: deque[Move] = deque()
    strange: list[str] = []
    waiting: tuple[str, ...] = ()
    digests: dict[str, None] = {}
    digest = wanted.digest()
    replica: Replica | None = None
    old: Judge | None = None
    new: Judge | None = None
    trade: Trade | None = None
    for entry in read(record):
        if isinstance(entry, Configured):
            settings, waiting = go_over(entry.settings, wanted)
            digest = settings.digest()
            if entry.begins or replica is None:
                replica, trade = Replica(entry.settings.engine(entry.minor)), None
            old = Judge(replica.state, entry.settings.engine(entry.minor))
            new = Judge(replica.state, settings.engine(entry.minor))
            if trade is not None:
                old.learn(trade)
                new.learn(trade)
            continue
        if replica is None or old is None or new is None:
            raise ConfigError(str(record), "does not begin with a configuration")
        if isinstance(entry, Trade):
            trade = entry
            old.learn(trade)
            new.learn(trade)
        elif isinstance(entry, Decided):
            replica.assume(entry.assumed)
            if not entry.kept:
                continue
            seen += 1
            if seen <= skipped:
                continue
            digests[str(entry.told.get("config", ""))] = None
            window = str(entry.told.get("window", ""))
            hint = Hint(str(entry.told["winner"]["node"]), window) if window else None
            heard = heard_of(entry.told)
            again, then = old.decide(entry.pod, hint, heard), old.decide(entry.pod, None, heard)
            was = _told(entry.told["winner"])
            if _where(again) != was:
                strange.append(f"{entry.told['pod']}: was on {_say(was)}, comes out on {_say(_where(again))}")
                continue
            if entry.mounts is not None and _mounts(again) != entry.mounts:
                told = f"got {_volumes(entry.mounts)}, and now gets {_volumes(_mounts(again))}"
                strange.append(f"{entry.told['pod']}: {told}")
                continue
            now = new.decide(entry.pod, None, heard)
            if _where(now) != _where(then):
                found.append(Move(str(entry.told["pod"]), _where(then), _where(now)))
        else:
            replica.take(entry)
    return Comparison(seen - skipped, tuple(found), tuple(strange), waiting, (tuple(digests), digest))


def diff(file: Path, record: Path, last: int, output: str) -> int:
    """Print which placements move. Returns the exit code: 0, or 2 for a file or a record that cannot be used."""
    try:
        found = compare(record, parse(read_text(file), str(file), {}), last)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(_as_data(found), indent=2) if output == "json" else _as_text(found))
    return 0


def _where(outcome: Placement | Unplaced) -> _Where:
    if isinstance(outcome, Unplaced):
        return ("", ())
    winner: Option = outcome.decision.winner
    return (winner.node, tuple(sorted("/".join(device) for device in winner.devices)))


def _mounts(outcome: Placement | Unplaced) -> tuple[Mount, ...]:
    return () if isinstance(outcome, Unplaced) else outcome.mounts


def _volumes(mounts: Sequence[Mount]) -> str:
    names = [f"PersistentVolume {each.volume}" if each.volume else "a new volume" for each in mounts]
    return printable(", ".join(names)) or "no volume"


def _told(winner: Mapping[str, Any]) -> _Where:
    return (str(winner["node"]), tuple(sorted(map(str, winner["devices"]))))


def _say(where: _Where) -> str:
    node, devices = where
    if not node:
        return "no node"
    names = " ".join(device.rpartition("/")[2] for device in devices)
    return printable(f"{node} {names}".rstrip())


def _as_data(found: Comparison) -> dict[str, Any]:
    then, now = found.digests
    return {
        "decisions": found.decisions,
        "under": list(then),
        "new": now,
        "moves": [{"pod": each.pod, "then": _place(each.then), "now": _place(each.now)} for each in found.moves],
        "notReproduced": list(found.strange),
        "needsRestart": list(found.waiting),
    }


def _place(where: _Where) -> dict[str, Any]:
    return {"node": where[0], "devices": list(where[1])}


def _as_text(found: Comparison) -> str:
    then, now = found.digests
    compared = found.decisions - len(found.strange)
    lines = [f"{compared} of the last {found.decisions} decisions compared: {', '.join(then) or 'none'} with {now}"]
    elsewhere = sum(each.then[0] != each.now[0] for each in found.moves)
    lines.append(
        f"{len(found.moves)} would come out otherwise: {elsewhere} on another node, "
        f"{len(found.moves) - elsewhere} with other devices of the same node"
    )
    if found.moves:
        width = max(len(printable(each.pod)) for each in found.moves[-SHOWN:])
        lines += ["", f"{'POD':<{width}}  THEN -> NOW"]
        lines += [
            f"{printable(each.pod):<{width}}  {_say(each.then)} -> {_say(each.now)}" for each in found.moves[-SHOWN:]
        ]
        if len(found.moves) > SHOWN:
            lines.append(f"and {len(found.moves) - SHOWN} earlier ones; --output json shows all")
    if found.strange:
        lines += ["", f"{len(found.strange)} not compared, since the record does not give them back, such as"]
        lines += [f"  {printable(each)}" for each in found.strange[:3]]
    if found.waiting:
        lines += ["", "not in the comparison, since it needs a restart:"]
        lines += [f"  {printable(each)}" for each in found.waiting]
    return "\n".join(lines)
