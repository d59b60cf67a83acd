"""`dovetail audit`."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from scheduler.audit.catalogue import SEVERITIES
from scheduler.audit.inspection import inspect
from scheduler.audit.rendering import sources
from scheduler.audit.report import FORMATS
from scheduler.audit.sources import Problem
from scheduler.core.errors import printable


def audit(
    paths: Sequence[str],
    form: str,
    fail_on: str,
    objects: Iterable[tuple[str, Any]] = (),
    unread: Sequence[tuple[str, str]] = (),
) -> int:
    """Print what there is to say of these paths, of (where, object) pairs, and of (where, why) that could not be read.

    Exit codes: 0 nothing at or above `fail_on`, 1 something, 2 something could not be read or a wrong argument.
    """
    levels = [*SEVERITIES, "never"]
    for value, known, name in ((form, list(FORMATS), "--format"), (fail_on, levels, "--fail-on")):
        if value not in known:
            print(printable(f"{name} {value}: is none of {', '.join(known)}"), file=sys.stderr)
            return 2
    report = inspect(sources(paths), objects)
    report.problems = sorted({*report.problems, *(Problem(where, 0, why) for where, why in unread)})
    print(FORMATS[form](report))
    for problem in report.problems:
        print(printable(str(problem)), file=sys.stderr)
    if report.problems or any(finding.id == "UNPARSED" for finding in report.findings):
        return 2
    return int(report.worst() >= levels.index(fail_on))
