"""Hold Dovetail against Kubernetes' allocator: `python -m e2e.oracle.generate --oracle PATH [--seed 1] [--cases N]`.

PATH is a program that reads one JSON case a line and answers one JSON line each: `structured.Allocator` of
k8s.io/dynamic-resource-allocation behind stdin and stdout. Every case is decided twice, with scored and with first-fit
device choice. What we choose is put to the allocator once more with every other device in use: it must accept it.
`--golden FILE` stores the cases and answers for `tests/oracle`; `--show N` prints the first N differences in full.
"""

import argparse
import gzip
import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from e2e.oracle.cases import FAMILIES, Json, make, question
from e2e.oracle.compare import CONSTRAINT, FAILED_SELECTOR, Outcome, brief, compare, devices_of, place

TIMEOUT_S = 2.0


class Oracle:
    """The allocator, as a process."""

    def __init__(self, path: Path) -> None:
        self._process = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, case: Json) -> Json:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question(case, 0, TIMEOUT_S)) + "\n")
        self._process.stdin.flush()
        answer: Json = json.loads(self._process.stdout.readline())
        assert answer["outcome"] != "bad-case", answer["error"]
        return answer

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def narrowed(case: Json, results: list[Json]) -> Json:
    """The case with every device in use that the results do not name."""
    chosen = {identity[1:] for claim in devices_of(results) for identity in claim}
    others = {
        (spec["driver"], spec["pool"]["name"], device["name"])
        for spec in (item["spec"] for item in case["slices"])
        for device in spec["devices"]
    } - chosen
    held = [{"request": "r", "driver": a, "pool": b, "device": c} for a, b, c in sorted(others)]
    claim = {"metadata": {"name": "rest"}, "spec": {}, "status": {"allocation": {"devices": {"results": held}}}}
    return {**case, "allocatedClaims": [*case["allocatedClaims"], claim]}


def acceptance(oracle: Oracle, case: Json, ours: Outcome, meant: str) -> str:
    """Why the allocator does not accept our choice; empty when it does."""
    if ours.results is None:
        return ""
    answer = oracle.ask(narrowed(case, ours.results))
    if answer["outcome"] != "ok":
        excused = meant == CONSTRAINT or brief(answer).get("error") == FAILED_SELECTOR or answer["outcome"] == "timeout"
        return "" if excused else f"upstream refuses our choice: {answer}"
    taken = [
        sorted(each[1:] for claim in devices_of(found) for each in claim) for found in (answer["results"], ours.results)
    ]
    return compare(answer, ours).difference or ("" if taken[0] == taken[1] else f"upstream takes {taken[0]}")


def judged(oracle: Oracle, case: Json, answer: Json, counts: Counter[str]) -> Iterator[str]:
    """Differences in one case; `counts` gains what was seen."""
    for choice in ("first-fit", "scored"):
        ours = place(case, choice, verify=True)
        found = compare(answer, ours)
        if found.difference:
            yield f"{choice}: {found.difference}"
        problem = acceptance(oracle, case, ours, found.meant)
        if problem:
            yield f"{choice}: {problem}"
        counts[f"{choice}: placed"] += ours.results is not None
        counts[f"{choice}: same devices"] += found.same_devices
        if found.meant:
            counts[f"{choice}: meant: {found.meant}"] += 1


def write_golden(path: Path, cases: list[Json]) -> None:
    """Write the same bytes for the same cases."""
    text = "".join(json.dumps(case, separators=(",", ":"), sort_keys=True) + "\n" for case in cases)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--oracle", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--golden", type=Path)
    parser.add_argument("--show", type=int, default=3)
    arguments = parser.parse_args()
    oracle = Oracle(arguments.oracle)
    counts: Counter[str] = Counter()
    families: Counter[tuple[str, bool]] = Counter()
    golden: list[Json] = []
    differences = 0
    for number in range(arguments.cases):
        case = make(arguments.seed, number)
        answer = oracle.ask(case)
        counts[f"upstream: {answer['outcome']}"] += 1
        families.update((family, answer["outcome"] == "ok") for family in case["families"])
        for difference in judged(oracle, case, answer, counts):
            differences += 1
            if differences <= arguments.show:
                print(f"case {arguments.seed}/{number}: {difference}")
                print(json.dumps(case))
                print(json.dumps(answer))
        if arguments.golden is not None and answer["outcome"] != "timeout":
            golden.append({**case, "answer": brief(answer)})
    oracle.close()
    for name, count in sorted(counts.items()):
        print(f"{count:7} {name}")
    for family in FAMILIES:
        print(f"{families[family, True]:7} ok {families[family, False]:7} not ok  {family}")
    print(f"{differences:7} differences in {arguments.cases} cases")
    if arguments.golden is not None:
        write_golden(arguments.golden, golden)
        print(f"{len(golden)} cases, {arguments.golden.stat().st_size} bytes in {arguments.golden}")
    raise SystemExit(1 if differences else 0)


if __name__ == "__main__":
    main()
