"""Findings for people (table) and for programs (JSON); what could steer a terminal is escaped."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from scheduler.core.errors import printable
from scheduler.doublebook.clashes import KINDS, Clash

_MOST: Final = 8  # holders of one finding that a table shows


@dataclass(frozen=True, slots=True)
class Report:
    """What was found, what could not be judged, and how much was looked at, by kind."""

    found: Sequence[Clash]
    notes: Sequence[str]
    counts: Mapping[str, int]


def as_table(report: Report) -> str:
    """A line for each finding, who holds it below."""
    lines = []
    for each in report.found:
        sure = "" if each.certain else " (possibly: it depends on which devices the plugin chose)"
        lines += [f"{each.id}  {printable(each.where)}", f"    {printable(each.message)}{sure}"]
        lines += [f"    - {printable(holder)}" for holder in each.holders[:_MOST]]
        if len(each.holders) > _MOST:
            lines.append(f"    - and {len(each.holders) - _MOST} more")
    if report.found:
        ids = sorted({each.id for each in report.found})
        lines += ["", *(f"{each}: {KINDS[each]}" for each in ids), ""]
    lines += [f"note: {printable(note)}" for note in report.notes]
    looked = ", ".join(f"{count} {kind}" for kind, count in report.counts.items())
    return "\n".join([*lines, f"{len(report.found)} found in {looked or 'nothing'}"])


def as_json(report: Report) -> str:
    """`findings`, then `notes` and what was `read`."""
    body = {
        "findings": [
            {
                "id": each.id,
                "kind": KINDS[each.id],
                "where": each.where,
                "message": each.message,
                "holders": list(each.holders),
                "certain": each.certain,
            }
            for each in report.found
        ],
        "notes": list(report.notes),
        "read": dict(report.counts),
    }
    return json.dumps(body, indent=2)


FORMATS: Final[Mapping[str, Callable[[Report], str]]] = {"table": as_table, "json": as_json}
