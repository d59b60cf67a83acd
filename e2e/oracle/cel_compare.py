"""Asks the Go oracle questions of kind "cel" and compares its answers with ours."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Case = dict[str, Any]
Answer = dict[str, Any]


def ask(oracle: Path, cases: Sequence[Case]) -> list[Answer | None]:
    """The oracle's answers; None for a case on which it crashes, as Kubernetes' compiler does on some constants."""
    answers: list[Answer | None] = []
    while len(answers) < len(cases):
        rest = cases[len(answers) :]
        text = "".join(json.dumps(case, ensure_ascii=True) + "\n" for case in rest)
        run = subprocess.run([str(oracle)], input=text.encode(), capture_output=True, check=False, timeout=600)
        found = [json.loads(line) for line in run.stdout.splitlines() if line.strip()]
        answers.extend(found[: len(rest)])
        if len(found) < len(rest):
            if run.returncode == 0:
                raise RuntimeError(f"{oracle} gave {len(found)} answers to {len(rest)} questions")
            answers.append(None)
    return answers


def difference(case: Case, theirs: Answer | None, ours: Answer, *, bound: bool = True) -> str:
    """What differs in compile-error-or-not, error-or-not, verdict, cost and (if `bound`) maxCost; empty if nothing."""
    if theirs is None:
        return ""
    if theirs["outcome"] != ours["outcome"]:
        return f"outcome {theirs['outcome']}, ours {ours['outcome']}: {theirs.get('error') or ours.get('error')}"
    if theirs["outcome"] != "ok":
        return ""
    if bound and theirs["maxCost"] != ours["maxCost"]:
        return f"maxCost {theirs['maxCost']}, ours {ours['maxCost']}"
    for i, (one, other) in enumerate(zip(theirs["answers"], ours["answers"], strict=True)):
        if ("error" in one) != ("error" in other):
            return f"device {i}: {one}, ours {other}"
        if "error" not in one and (one["match"], one["cost"]) != (other["match"], other["cost"]):
            return f"device {i}: {one}, ours {other}"
    return ""
