"""A report for people (table, markdown) and for programs (JSON, SARIF 2.1.0).

Parts of every text were written by others: what could steer a terminal is escaped, and in markdown what could be
markup.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

from scheduler.audit.catalogue import ENTRIES
from scheduler.audit.inspection import Finding, Report
from scheduler.core.errors import printable

_LEVELS: Final = {"info": "note", "warning": "warning", "error": "error"}
_MARKUP: Final = re.compile(r"([\\`*_{}\[\]<>()#+!|~&@-])")
_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"


def _where(finding: Finding) -> str:
    return f"{finding.file}:{finding.line}" if finding.line else finding.file


def summary(report: Report) -> str:
    """One line of counts."""
    objects = sum(report.read.values())
    severities = Counter(finding.severity for finding in report.findings)
    counts = ", ".join(f"{severities[each]} {each}" for each in ("error", "warning", "info") if severities[each])
    unread = f"; {len(report.problems)} could not be read" if report.problems else ""
    return f"{objects} objects, {len(report.findings)} findings" + (f" ({counts})" if counts else "") + unread


def benefits(report: Report) -> dict[str, list[str]]:
    """Of each benefit, the objects that would have it."""
    found: dict[str, dict[str, None]] = {}
    for finding in report.findings:
        if finding.benefit != "none":
            found.setdefault(finding.benefit, {})[finding.object] = None
    return {benefit: list(objects) for benefit, objects in sorted(found.items())}


def as_json(report: Report) -> str:
    """`findings`, then `problems` and the objects that would benefit."""
    body = {
        "findings": [_finding(finding) for finding in report.findings],
        "problems": [{"file": each.file, "line": each.line, "message": each.message} for each in report.problems],
        "benefits": benefits(report),
        "read": dict(sorted(report.read.items())),
    }
    return json.dumps(body, indent=2)


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.id, "severity": finding.severity, "benefit": finding.benefit, "file": finding.file,
        "line": finding.line, "object": finding.object, "message": finding.message, "advice": finding.advice,
    }  # fmt: skip


def as_sarif(report: Report) -> str:
    """SARIF 2.1.0: one run, all rules, what could not be read as notifications."""
    ids = list(ENTRIES)
    rules = [
        {
            "id": entry.id,
            "shortDescription": {"text": entry.sentence.format(what="…")},
            "help": {"text": entry.advice},
            "defaultConfiguration": {"level": _LEVELS[entry.severity]},
            "properties": {"benefit": entry.benefit},
        }
        for entry in ENTRIES.values()
    ]
    results = [
        {
            "ruleId": finding.id,
            "ruleIndex": ids.index(finding.id),
            "level": _LEVELS[finding.severity],
            "message": {"text": printable(f"{finding.object} {finding.message}. {finding.advice}")},
            "locations": [_location(finding.file, finding.line)],
        }
        for finding in report.findings
    ]
    notifications = [
        {
            "level": "error",
            "message": {"text": printable(problem.message)},
            "locations": [_location(problem.file, problem.line)],
        }
        for problem in report.problems
    ]
    run = {
        "tool": {"driver": {"name": "dovetail audit", "rules": rules}},
        "invocations": [
            {"executionSuccessful": not report.problems, "toolExecutionNotifications": notifications},
        ],
        "results": results,
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def _location(file: str, line: int) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": {"uri": quote(file.encode("utf-8", "surrogateescape"), safe="/:")}}
    if line > 0:
        place["region"] = {"startLine": line}
    return {"physicalLocation": place}


def as_markdown(report: Report) -> str:
    """Tables for a pull request or a wiki."""
    lines = ["# Audit for Dynamic Resource Allocation", "", summary(report) + ".", ""]
    if report.findings:
        lines += ["| Severity | Id | Where | Object | Finding |", "| --- | --- | --- | --- | --- |"]
        lines += [
            "| " + " | ".join(map(_escaped, (each.severity, each.id, _where(each), each.object, each.message))) + " |"
            for each in report.findings
        ]
        lines += ["", "## Advice", ""]
        lines += [f"- **{key}**: {_escaped(advice)}" for key, advice in _advice(report)]
        lines += ["", "## Who benefits", ""]
        lines += [
            f"- **{benefit}**: {', '.join(map(_escaped, objects))}" for benefit, objects in benefits(report).items()
        ]
        lines.append("")
    if report.problems:
        lines += ["## Not read", ""]
        lines += [f"- {_escaped(str(problem))}" for problem in report.problems]
        lines.append("")
    return "\n".join(lines)


def _escaped(text: str) -> str:
    return _MARKUP.sub(r"\\\1", printable(text))


def _advice(report: Report) -> list[tuple[str, str]]:
    return [(key, entry.advice) for key, entry in ENTRIES.items() if any(each.id == key for each in report.findings)]


def as_table(report: Report) -> str:
    """A line of columns for each finding, what it says below; then advice, once for each id."""
    lines = []
    if report.findings:
        rows = [
            [printable(text) for text in (each.severity, each.id, _where(each), each.object)]
            for each in report.findings
        ]
        heads = ["SEVERITY", "ID", "WHERE", "OBJECT"]
        widths = [min(60, max(len(row[i]) for row in [heads, *rows])) for i in range(len(heads))]
        lines.append(_row(heads, widths))
        for row, each in zip(rows, report.findings, strict=True):
            lines += [_row(row, widths), f"    {printable(each.message)}"]
        lines += ["", *(f"{key}: {advice}" for key, advice in _advice(report)), ""]
        for benefit, objects in benefits(report).items():
            shown = ", ".join(objects[:10]) + (f" and {len(objects) - 10} more" if len(objects) > 10 else "")
            lines.append(f"would gain {benefit}: {printable(shown)}")
    return "\n".join([*lines, summary(report)])


def _row(cells: list[str], widths: list[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


FORMATS: Final[Mapping[str, Callable[[Report], str]]] = {
    "table": as_table, "json": as_json, "sarif": as_sarif, "markdown": as_markdown,
}  # fmt: skip
