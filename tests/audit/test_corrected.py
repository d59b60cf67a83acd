"""The common outdated example and its corrected form, as they are shipped."""

import difflib
import re
from pathlib import Path

from scheduler.audit.inspection import inspect
from scheduler.audit.migrating.migration import migrate
from scheduler.audit.sources import Source

FOLDER = Path(__file__).resolve().parents[2] / "manifests" / "examples" / "corrected"
BEFORE, AFTER = ((FOLDER / name).read_text() for name in ("before.yaml", "after.yaml"))


def findings(text):
    report = inspect([Source("a.yaml", text)])
    assert report.problems == []
    return [(each.id, each.line) for each in report.findings]


def rows():
    """(lines of before.yaml, lines of after.yaml, finding) of the README's table, each line as number and text."""
    table = (FOLDER / "README.md").read_text().partition("## Line by line")[2].partition("\n\n## ")[0]
    for row in re.findall(r"^\| (\d.*) \|$", table, re.MULTILINE):
        before, after, finding, why = row.split(" | ")
        assert why
        yield (
            *([(int(at), text) for at, text in re.findall(r"(\d+): `([^`]+)`", cell)] for cell in (before, after)),
            finding,
        )


def test_a_migration_makes_one_of_the_other():
    result = migrate([Source("before.yaml", BEFORE)])

    assert result.texts["before.yaml"] == AFTER
    assert result.refused == []
    assert list(result.texts) == ["before.yaml", "deviceclasses.yaml"]


def test_one_has_four_findings_and_more_and_the_other_none():
    assert findings(BEFORE) == [("API002", 1), ("API010", 10), ("API011", 10), ("API012", 13), ("API016", 23)]
    assert findings(AFTER) == []


def test_only_the_corrected_form_is_applied():
    assert (FOLDER / "kustomization.yaml").read_text().partition("resources:\n")[2] == "  - after.yaml\n"


def test_the_table_tells_every_line_that_changes_and_every_finding():
    old, new = BEFORE.splitlines(), AFTER.splitlines()
    told = list(rows())
    for before, after, _ in told:
        assert all(text in old[at - 1] for at, text in before)
        assert all(text in new[at - 1] for at, text in after)

    changed, made = set(), set()
    for tag, first, last, start, end in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag != "equal":
            changed |= set(range(first + 1, last + 1))
            made |= set(range(start + 1, end + 1))
    moved = {at for at in changed if old[at - 1].strip() in {line.strip() for line in new}}
    assert changed - moved <= {at for before, _, _ in told for at, _ in before}
    assert made <= {at for _, after, _ in told for at, _ in after}
    assert {(finding, before[0][0]) for before, _, finding in told} >= set(findings(BEFORE))
