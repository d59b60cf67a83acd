"""An assessment for people (table, markdown) and for programs (JSON).

Parts of every text were written by others: what could steer a terminal is escaped, and in markdown what could be
markup.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from scheduler.core.errors import printable
from scheduler.readiness.assessment import Assessment, differences
from scheduler.readiness.facts import Running
from scheduler.readiness.published import MEANINGS
from scheduler.readiness.releases import table_date

_MARKUP: Final = re.compile(r"([\\`*_{}\[\]<>()#+!|~&-])")
_WHOSE: Final = "these are of the API server that answered; scheduler and kubelets have their own, unasked"
_NUMBER: Final = re.compile(r"[0-9]+\. ")
_WIDEST: Final = 56


def as_json(found: Assessment) -> str:
    """Everything, under stable keys."""
    record = found.record
    body: dict[str, Any] = {
        "ready": found.ready,
        "kubernetes": {
            "version": record.version or None,
            "minor": record.minor,
            "recorded": record.date or None,
            "apis": None if record.apis is None else {version: list(kinds) for version, kinds in found.versions},
            "kinds": {kind: list(versions) for kind, versions in found.kinds},
            "kubelets": dict(sorted(_kubelets(found).items())),
        },
        "gates": [
            {"name": each.name, "state": each.state, "stage": each.stage, "basis": each.basis, "why": each.why}
            for each in found.gates
        ],
        "table": table_date(),
        "drivers": [_driver(each) for each in found.drivers],
        "families": [
            {
                "name": each.family.name,
                "about": each.family.about,
                "verdict": each.verdict,
                "needs": [
                    {
                        "what": need.what,
                        "verdict": need.verdict,
                        "why": need.why,
                        "step": need.step.text if need.step else None,
                    }
                    for need in each.needs
                ],
            }
            for each in found.families
        ],
        "changes": [{"what": each.what, "while pods run": each.answer, "how": each.how} for each in found.changes],
        "steps": [{"do": text, "for": list(families)} for text, families in found.steps],
        "unread": [{"what": what, "why": why} for what, why in record.unread],
    }
    return json.dumps(body, indent=2)


def _driver(each: Running) -> dict[str, Any]:
    published, installed = each.published, each.installed
    return {
        "driver": published.driver,
        "devices": each.devices,
        "count": len(published.devices),
        "nodes": len(published.nodes),
        "pools": published.pools,
        "types": dict(sorted(published.sorts.items())),
        "products": dict(sorted(published.products.items())),
        "publishes": dict(published.traits),
        "version": installed.version or None,
        "release": installed.release.release if installed.release else None,
        "date": installed.release.date if installed.release else None,
        "note": (installed.release.note or None) if installed.release else None,
        "source": installed.release.source if installed.release else None,
        "known from": installed.why,
        "differences": list(differences(each)),
        "incomplete": list(published.doubts),
    }


def _kubelets(found: Assessment) -> dict[str, int]:
    versions: dict[str, int] = {}
    for version in found.record.kubelets.values():
        versions[version] = versions.get(version, 0) + 1
    return versions


# ---------------------------------------------------------------- what both forms for people say


Section = tuple[str, Sequence[str], Sequence[Sequence[str]], Sequence[str]]
"""Heading, column heads (none: no table), rows, lines below."""


def _sections(found: Assessment) -> Iterable[Section]:
    yield _verdicts(found)
    yield "What to do next", (), (), _steps(found)
    yield _needs(found)
    yield _kubernetes(found)
    yield "Feature gates", ("GATE", "STATE", "STAGE", "KNOWN FROM"), _gates(found), (_WHOSE,)
    yield _drivers(found)
    heads = ("CHANGE", "POSSIBLE", "HOW")
    yield "What can change while pods run", heads, [(each.what, each.answer, each.how) for each in found.changes], ()
    if found.record.unread:
        yield "Not read", (), (), [f"{what}: {why}" for what, why in found.record.unread]


def _verdicts(found: Assessment) -> Section:
    rows = []
    for each in found.families:
        reasons = [need.what for need in each.needs if need.verdict != "met"]
        rows.append((each.family.name, each.verdict, each.family.about, ", ".join(reasons) or "-"))
    return "Readiness for the blueprint", ("FAMILY", "VERDICT", "SHOWS", "MISSING OR OPEN"), rows, ()


def _steps(found: Assessment) -> list[str]:
    lines = []
    for number, (text, families) in enumerate(found.steps, 1):
        lines.append(f"{number}. {text}" + (f" (for {_listing(families, found)})" if families else ""))
    return lines or ["nothing: every family is ready"]


def _listing(families: Sequence[str], found: Assessment) -> str:
    return "all" if 1 < len(families) == len(found.families) else ", ".join(families)


def _needs(found: Assessment) -> Section:
    rows: dict[tuple[str, str, str], list[str]] = {}
    for each in found.families:
        for need in each.needs:
            rows.setdefault((need.what, need.verdict, need.why), []).append(each.family.name)
    listed = [(what, verdict, why, _listing(families, found)) for (what, verdict, why), families in rows.items()]
    order = {"missing": 0, "open": 1, "met": 2}
    listed.sort(key=lambda row: order[row[1]])
    return "What the families need", ("NEED", "IS", "WHY", "FOR"), listed, ()


def _kubernetes(found: Assessment) -> Section:
    record = found.record
    lines = [f"version: {record.version or 'not known'}" + (f", recorded {record.date}" if record.date else "")]
    kubelets = _kubelets(found)
    if kubelets:
        lines.append("kubelets: " + ", ".join(f"{count} x {version}" for version, count in sorted(kubelets.items())))
    if record.apis is None:
        lines.append("which APIs are served is not known")
    for kind, versions in found.kinds:
        lines.append(f"{kind}: {'served by ' + ', '.join(versions) if versions else 'not served'}")
    rows = [(version, ", ".join(kinds) or "nothing") for version, kinds in found.versions]
    return "Kubernetes", ("API", "KINDS SERVED"), rows, lines


def _gates(found: Assessment) -> list[tuple[str, str, str, str]]:
    return [(each.name, each.state, each.stage or "-", each.why) for each in found.gates]


def _nodes(count: int) -> str:
    return "1 node" if count == 1 else f"{count} nodes"


def _drivers(found: Assessment) -> Section:
    rows = []
    lines = []
    for each in found.drivers:
        published, installed = each.published, each.installed
        version = installed.version or "not known"
        if installed.release is not None:
            version += f" ({installed.release.date})"
        elif installed.version and each.driver is not None and each.driver.releases:
            version += " (not in the table)"
        products = ", ".join(f"{count} x {name}" for name, count in sorted(published.products.items()))
        rows.append(
            (
                published.driver,
                version,
                f"{len(published.devices)} {each.devices} on {_nodes(len(published.nodes))}",
                products or "-",
                ", ".join(f"{name} {count}" for name, count in published.traits.items()) or "-",
            )
        )
        said = [f"version known from: {installed.why}", *differences(each), *published.doubts]
        if installed.release is not None and installed.release.note:
            said.append(f"{installed.release.release}: {installed.release.note}")
        lines += [f"{published.driver}: {text}" for text in said]
    if not rows:
        lines.append("no driver publishes anything")
    shown = sorted({name for each in found.drivers for name in each.published.traits}, key=list(MEANINGS).index)
    lines += [f"{name}: {MEANINGS[name]}" for name in shown]
    title = f"Drivers, against the table of {table_date()}"
    return title, ("DRIVER", "RELEASE", "DEVICES", "PRODUCTS", "PUBLISHES"), rows, lines


# ---------------------------------------------------------------- table and markdown


def as_table(found: Assessment) -> str:
    """Sections with columns; the last column is as wide as it must be."""
    lines: list[str] = []
    for title, heads, rows, below in _sections(found):
        lines += [title.upper(), ""] if lines == [] else ["", title.upper(), ""]
        if rows:
            cells = [[printable(cell) for cell in row] for row in rows]
            widths = [min(_WIDEST, max(len(row[i]) for row in [list(heads), *cells])) for i in range(len(heads))]
            lines += [_row(row, widths) for row in [list(heads), *cells]]
        lines += [printable(line) for line in below]
    return "\n".join(lines)


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def as_markdown(found: Assessment) -> str:
    """The same as tables for a wiki."""
    lines = ["# Readiness for Dynamic Resource Allocation", ""]
    for title, heads, rows, below in _sections(found):
        lines += [f"## {title}", ""]
        if rows:
            lines += ["| " + " | ".join(head.capitalize() for head in heads) + " |", "| --- " * len(heads) + "|"]
            lines += ["| " + " | ".join(map(_escaped, row)) + " |" for row in rows]
            lines.append("")

        lines += [_listed(line) for line in below]
        if below:
            lines.append("")
    return "\n".join(lines)


def _listed(line: str) -> str:
    """An entry of a list; those that have numbers keep them."""
    number = _NUMBER.match(line)
    return number[0] + _escaped(line[number.end() :]) if number else f"- {_escaped(line)}"


def _escaped(text: str) -> str:
    return _MARKUP.sub(r"\\\1", printable(text))


FORMATS: Final[Mapping[str, Callable[[Assessment], str]]] = {
    "table": as_table, "json": as_json, "markdown": as_markdown,
}  # fmt: skip
