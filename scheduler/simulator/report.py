"""What people see of a run: a table of pods and a map of devices."""

import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final, TextIO

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from scheduler.core.plan import Decision, Option
from scheduler.core.topology import natural
from scheduler.simulator.maps import NodeMap, plain
from scheduler.simulator.run import Outcome

_WIDTH: Final = 120  # where the output is no terminal
_SHOWN: Final = 10  # devices of a group that are all shown
_COLOURS: Final = ("cyan", "green", "yellow", "magenta", "blue", "bright_red", "bright_cyan", "bright_green")


def console(stream: TextIO | None = None) -> Console:
    """For people, or for a file that people will read."""
    stream = stream or sys.stdout
    return Console(file=stream, width=None if stream.isatty() else _WIDTH, highlight=False, soft_wrap=False)


def show(outcome: Outcome, maps: Sequence[NodeMap], out: Console) -> None:
    """Everything."""
    out.print(pods(outcome))
    for each in device_map(maps):
        out.print(each)
    for key, reason in outcome.pending.items():
        words = plain(reason if key in reason else f"{key}: {reason}")
        out.print(Text.assemble(("pending  ", "bold red"), words), soft_wrap=True)
    for warning in dict.fromkeys(each for warnings in outcome.warnings.values() for each in warnings):
        out.print(Text.assemble(("warning  ", "yellow"), plain(warning)), soft_wrap=True)
    if outcome.skipped:
        counted = ", ".join(f"{count} {kind}" for kind, count in outcome.skipped.items())
        out.print(Text(plain(f"skipped  {counted}: no part of a simulation"), style="dim"))
    if not outcome.settled:
        out.print(Text("the simulation was ended before it came to rest", style="bold red"))
    total = len(outcome.bound) + len(outcome.pending)
    out.print(Text(f"{len(outcome.bound)} of {total} pods bound", style="bold"))


def pods(outcome: Outcome) -> Table:
    """One line a pod: where it is, with what, how good that is, and what the next best would have been."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("POD", overflow="fold")
    table.add_column("NODE", overflow="fold")
    table.add_column("DEVICES", overflow="fold")
    table.add_column("SCORE", justify="right")
    table.add_column("NEXT BEST", overflow="fold")
    for key in sorted(outcome.bound, key=natural):
        decision = outcome.decisions.get(key)
        if decision is None:  # it was bound before the run
            continue
        winner = decision.winner
        cells = [key, winner.node, _devices(winner), f"{winner.total:.3f}", _next(decision)]
        table.add_row(*(Text(plain(cell)) for cell in cells))
    for key in sorted(outcome.pending, key=natural):
        table.add_row(Text(plain(key)), Text("pending", style="bold red"), "", "", "")
    return table


def _devices(option: Option) -> str:
    return ", ".join(name if pool == option.node else f"{pool}/{name}" for _, pool, name in option.devices)


def _next(decision: Decision) -> str:
    other = decision.runner_up
    if other is None:
        return "no other node fits"
    return f"{other.node} {other.total:.3f}, of {decision.feasible_nodes} that fit"


def device_map(maps: Sequence[NodeMap]) -> list[Table | Text | Padding]:
    """Nodes with used devices, one line for each set of linked devices in a NUMA node; then the nodes all free."""
    used = [each for each in maps if any(seat.holders for seat in each.seats)]
    free = [each.node for each in maps if not any(seat.holders for seat in each.seats)]
    colours = _colours(used)
    shared = _namespace(used)
    parts: list[Table | Text | Padding] = []
    for each in used:
        count = sum(bool(seat.holders) for seat in each.seats)
        whole = each.seats[0].holders
        if len(each.islands) == 1 and all(seat.holders == whole for seat in each.seats):
            words = f"  all {count}, {_speed(each, each.islands[0])}  "
            who = (_names(whole, shared), colours.get(whole[0], ""))
            parts += [Text(), Text.assemble((plain(each.node), "bold"), words, who)]
            continue
        parts.append(Text())
        parts.append(
            Text.assemble(
                (plain(each.node), "bold"),
                f"  {count} of {len(each.seats)} devices used",
                (plain(f"  links: {each.layout.source}"), "dim"),
            )
        )
        parts.append(Padding(_groups(each, colours, shared), (0, 0, 0, 2)))
    if free:
        parts.append(Text())
        shown = ", ".join(free[:_SHOWN]) + (f" and {len(free) - _SHOWN} more" if len(free) > _SHOWN else "")
        parts.append(Text(plain(f"all free: {shown}"), style="dim"))
    parts.append(Text())
    return parts


def _colours(maps: Sequence[NodeMap]) -> Mapping[str, str]:
    """Neighbours on a node get different colours, as far as they reach."""
    found: dict[str, str] = {}
    for each in maps:
        names = dict.fromkeys(holder for seat in each.seats for holder in seat.holders)
        for place, name in enumerate(names):
            found.setdefault(name, _COLOURS[place % len(_COLOURS)])
    return found


def _namespace(maps: Sequence[NodeMap]) -> str:
    """`namespace/` if all pods are in one, which then need not be repeated; else nothing."""
    names = {holder for each in maps for seat in each.seats for holder in seat.holders}
    found = {name.partition("/")[0] for name in names}
    return f"{found.pop()}/" if len(found) == 1 else ""


def _names(holders: Sequence[str], shared: str) -> str:
    return plain(" + ".join(holder.removeprefix(shared) for holder in holders))


def _groups(each: NodeMap, colours: Mapping[str, str], shared: str) -> Table:
    island_of = {row: number for number, island in enumerate(each.islands) for row in island}
    rows: dict[tuple[int, int], list[int]] = defaultdict(list)
    for row in range(len(each.seats)):
        rows[island_of.get(row, len(each.islands)), int(each.layout.numa[row])].append(row)
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for (island, numa), members in sorted(rows.items()):
        where = f"NUMA {numa}" if numa >= 0 else "NUMA ?"
        speed = _speed(each, each.islands[island]) if island < len(each.islands) else _unlinked(each, members)
        table.add_row(where, speed, _seats(each, members, colours, shared))
    return table


def _speed(each: NodeMap, island: Sequence[int]) -> str:
    speeds = sorted({int(each.layout.links[a, b]) for a in island for b in island if a < b} - {0})
    text = f"{speeds[0]}-{speeds[-1]}" if len(speeds) > 1 else f"{speeds[0]}"
    return f"{len(island)} linked, {text} GB/s"


def _unlinked(each: NodeMap, members: Sequence[int]) -> str:
    unknown = any(each.layout.bandwidth[a, b] != each.layout.bandwidth[a, b] for a in members for b in members)
    return "links unknown" if unknown else "no links"


def _seats(each: NodeMap, members: Sequence[int], colours: Mapping[str, str], shared: str) -> Text:
    """`pod: its devices`, and what is free."""
    text = Text()
    by_holder: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for row in members:
        by_holder[each.seats[row].holders].append(each.seats[row].name)
    free = by_holder.pop((), [])
    for holder, names in by_holder.items():
        text.append(f"{_names(holder, shared)}: {plain(' '.join(names))}", style=colours.get(holder[0], ""))
        text.append("   ")
    if free:
        shown = " ".join(free) if len(free) <= _SHOWN else f"{len(free)} devices"
        text.append(f"free: {plain(shown)}", style="dim")
    return text
