"""Records the golden answers of the Go oracle: `python -m e2e.oracle.cel_golden --oracle PATH [--out FILE]`.

Expressions over every function, overload, operator and macro: each call that the registry declares, by hand where a
value matters, and random ones that stay the same for a seed. Answers are kept as the oracle gave them, less the texts
of its errors; cases on which the oracle crashes are left out.
"""

import argparse
import gzip
import json
from pathlib import Path
from typing import Any

from e2e.oracle.cel_compare import ask
from e2e.oracle.cel_fuzz import DEVICES, DRIVER, Generator, case_of

ROOT = Path(__file__).parents[2]
WRITTEN = ROOT / "e2e" / "oracle" / "cel_expressions.txt"
TARGET = ROOT / "tests" / "cel" / "golden_costs.json.gz"
RANDOM = 600


def expressions() -> list[str]:
    """What is asked: the written ones (one a line, `#` starts a remark), then the random ones."""
    lines = WRITTEN.read_text(encoding="utf-8").splitlines()
    written = [line for line in lines if line and not line.startswith("#")]
    return list(dict.fromkeys([*written, *(Generator(7_000_000 + i).expression() for i in range(RANDOM))]))


def recorded(oracle: Path) -> list[dict[str, Any]]:
    """Expressions with the oracle's answers: maxCost and per device "error" or [match, cost], or none of it."""
    asked = expressions()
    found = []
    for expression, answer in zip(asked, ask(oracle, [case_of(i, each) for i, each in enumerate(asked)]), strict=True):
        if answer is None:
            continue
        entry: dict[str, Any] = {"expression": expression}
        if answer["outcome"] == "ok":
            entry["maxCost"] = answer["maxCost"]
            entry["answers"] = [
                "error" if "error" in each else [each["match"], each["cost"]] for each in answer["answers"]
            ]
        found.append(entry)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--oracle", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=TARGET)
    options = parser.parse_args()
    found = recorded(options.oracle)
    text = json.dumps({"driver": DRIVER, "devices": DEVICES, "cases": found}, ensure_ascii=True, indent=0)
    with gzip.GzipFile(options.out, "wb", mtime=0) as file:
        file.write(text.encode())
    refused = sum("answers" not in each for each in found)
    errors = sum(answer == "error" for each in found for answer in each.get("answers", ()))
    answers = sum(len(each.get("answers", ())) for each in found)
    print(json.dumps({"cases": len(found), "refused": refused, "answers": answers, "errors": errors}))


if __name__ == "__main__":
    main()
