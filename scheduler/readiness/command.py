"""`dovetail readiness`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from scheduler.audit.sources import Problem
from scheduler.core.errors import printable
from scheduler.readiness.assessment import assess
from scheduler.readiness.blueprint import FAMILIES
from scheduler.readiness.record import Document, from_files, of_document, written
from scheduler.readiness.report import FORMATS


def readiness(
    paths: Sequence[str],
    form: str,
    only: Sequence[str] = (),
    live: Document | None = None,
    record: Path | None = None,
) -> int:
    """Print what a cluster has, lacks and needs next; `live` is what was read of one, else it is in these files.

    record : where `live` is written. Exit codes: 0 every family is ready, 1 some are not or may not be, 2 bad input.
    """
    names = [each.name for each in FAMILIES]
    for value, known, name in ((form, list(FORMATS), "--format"), *((each, names, "--for") for each in only)):
        if value not in known:
            print(printable(f"{name} {value}: is none of {', '.join(known)}"), file=sys.stderr)
            return 2
    if live is None:
        found, problems = from_files(paths)
        if problems:
            return _refused(problems)
    else:
        try:
            if record is not None:
                record.write_text(written(live), encoding="utf-8")
        except OSError as error:
            words = f"cannot be written ({error.strerror}): check path and permissions"
            return _refused([Problem(str(record), 0, words)])
        found, problems = of_document(live)
    assessment = assess(found, tuple(only))
    print(FORMATS[form](assessment))
    for problem in problems:
        print(printable(f"left out: {problem}"), file=sys.stderr)
    return 0 if assessment.ready and not problems else 1


def _refused(problems: Sequence[Problem]) -> int:
    for problem in problems:
        print(printable(str(problem)), file=sys.stderr)
    return 2
