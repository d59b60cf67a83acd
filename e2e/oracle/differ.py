"""Dovetail against Kubernetes' own allocator, case by case: `python -m e2e.oracle.differ --cases N --seed S`.

Cases are drawn by e2e/oracle/generator. `judge.py` says what must be equal. Every second case is decided by first fit,
the others by score. Our checker is shown upstream's choices, and wrong ones (`mutants.py`). At the end stands, for each
family of rules, how many cases ended in which way upstream, and how often each allowed difference was seen. Exits with
1 when there was any other difference, or when a family has fewer cases of an outcome than --least.

`--case S/N` plays one case again and prints all of it; `--minimise` makes a case of each kind of difference small.
"""

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from e2e.oracle import golden, mutants
from e2e.oracle.generator import FAMILIES, IMPOSSIBLE, Json, make, question
from e2e.oracle.judge import (
    TIMEOUT_S,
    Allowed,
    Difference,
    answered,
    askable,
    checked,
    choices,
    narrowed,
    outcomes,
)
from e2e.oracle.minimise import minimised
from e2e.oracle.ours import Answer
from e2e.oracle.upstream import Oracle, program

CHUNK: Final = 250
"""Cases asked at once."""
MUTANTS: Final = 3
"""One in so many placed cases also tries a wrong choice on our checker."""
OUTCOMES: Final = ("ok", "nofit", "node-error", "fatal", "timeout")
CHOICES: Final = ("scored", "first-fit")


@dataclass(slots=True)
class Seen:
    """What some cases showed. differing : (case, kind, text). milliseconds : in our engine and in the oracle."""

    cases: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    families: Counter[tuple[str, str]] = field(default_factory=Counter)
    allowed: Counter[str] = field(default_factory=Counter)
    same: Counter[str] = field(default_factory=Counter)
    differing: list[tuple[str, str, str]] = field(default_factory=list)
    golden: list[Json] = field(default_factory=list)
    milliseconds: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Seen") -> None:
        self.cases += other.cases
        for mine, theirs in (
            (self.outcomes, other.outcomes), (self.allowed, other.allowed), (self.same, other.same),
            (self.milliseconds, other.milliseconds),
        ):  # fmt: skip
            mine.update(theirs)
        self.families.update(other.families)
        self.differing += other.differing
        self.golden += other.golden


def choice_of(number: int) -> str:
    """How the engine chooses devices in a case."""
    return CHOICES[number % 2]


def judged(oracle: Oracle, seed: int, numbers: range, *, keep: bool = False) -> Seen:
    """Some cases of a seed, asked together. keep : those fit to be golden, too."""
    seen = Seen(cases=len(numbers))
    cases = [make(seed, number) for number in numbers]
    placed: list[tuple[int, Json, Answer]] = []
    wrong: list[tuple[int, list[Json]]] = []
    answers = oracle.ask_all([question(case, TIMEOUT_S) for case in cases])
    for number, case, upstream in zip(numbers, cases, answers, strict=True):
        outcome = upstream["outcome"]
        seen.outcomes[outcome] += 1
        seen.families.update((family, outcome) for family in case["families"])
        seen.milliseconds["upstream"] += upstream.get("milliseconds", 0.0)
        mine = answered(case, choice_of(number), verify=number % 2 == 0)
        if isinstance(mine, Answer):
            seen.milliseconds["ours"] += mine.milliseconds
        said = outcomes(upstream, mine)
        if isinstance(said, Difference):
            seen.differing.append((case["id"], said.kind, said.text))
        elif isinstance(said, Allowed):
            seen.allowed[said.name] += 1
        if isinstance(mine, Answer) and mine.outcome == "ok" and not isinstance(said, Difference):
            placed.append((number, upstream, mine))
        seen.differing += [(case["id"], each.kind, each.text) for each in checked(case, upstream)]
        if number % MUTANTS == 0 and outcome == "ok":
            mutant = mutants.mutant(case, upstream.get("results", []))
            wrong += [(number, mutant)] if mutant is not None and askable(case, mutant) else []
        if keep and golden.fit(number, outcome, case):
            seen.golden.append(golden.entry(case, upstream))
    by_number = dict(zip(numbers, cases, strict=True))
    _judge_choices(oracle, seen, by_number, placed)
    _judge_mutants(oracle, seen, by_number, wrong)
    return seen


def _judge_choices(
    oracle: Oracle, seen: Seen, cases: dict[int, Json], placed: Sequence[tuple[int, Json, Answer]]
) -> None:
    asked = [(number, mine) for number, _, mine in placed if askable(cases[number], mine.results)]
    questions = [question(narrowed(cases[number], mine.results), TIMEOUT_S) for number, mine in asked]
    again = dict(zip((number for number, _ in asked), oracle.ask_all(questions), strict=True))
    for number, upstream, mine in placed:
        answer = again.get(number)
        found = list(choices(cases[number], upstream, mine, answer))
        seen.differing += [(cases[number]["id"], each.kind, each.text) for each in found]
        seen.same[f"{choice_of(number)}: placed"] += 1
        if answer is None:
            seen.same["placed, and not put to upstream: a device has an attribute of no known type"] += 1
        elif answer["outcome"] == "timeout":
            seen.allowed["upstream: timeout when asked to accept our choice"] += 1


def _judge_mutants(oracle: Oracle, seen: Seen, cases: dict[int, Json], wrong: Sequence[tuple[int, list[Json]]]) -> None:
    questions = [question(narrowed(cases[number], mutant), TIMEOUT_S) for number, mutant in wrong]
    for (number, mutant), again in zip(wrong, oracle.ask_all(questions), strict=True):
        found = mutants.differences(cases[number], mutant, again)
        seen.differing += [(cases[number]["id"], each.kind, each.text) for each in found]
        seen.same[f"mutant: upstream {again['outcome']}"] += 1


def differences(case: Json, oracle: Oracle, choice: str) -> list[Difference]:
    """All of one case; what `judged` does for many at a time."""
    upstream = oracle.ask(question(case, TIMEOUT_S))
    mine = answered(case, choice, verify=True)
    said = outcomes(upstream, mine)
    found = [said] if isinstance(said, Difference) else []
    if not found and isinstance(mine, Answer) and mine.outcome == "ok":
        mine_asked = question(narrowed(case, mine.results), TIMEOUT_S)
        again = oracle.ask(mine_asked) if askable(case, mine.results) else None
        found += choices(case, upstream, mine, again)
    found += checked(case, upstream)
    if upstream["outcome"] == "ok":
        mutant = mutants.mutant(case, upstream.get("results", []))
        if mutant is not None and askable(case, mutant):
            answer = oracle.ask(question(narrowed(case, mutant), TIMEOUT_S))
            found += mutants.differences(case, mutant, answer)
    return found


_oracles: dict[Path, Oracle] = {}  # of a worker process, and ending with it


def _work(arguments: tuple[int, range, Path, bool]) -> Seen:
    seed, numbers, path, keep = arguments
    if path not in _oracles:
        _oracles[path] = Oracle(path)
    return judged(_oracles[path], seed, numbers, keep=keep)


def run(seed: int, cases: int, jobs: int, *, keep: bool = False, first: int = 0) -> Iterator[Seen]:
    """Chunks of cases as they are done, in any order."""
    path = program()
    work = [
        (seed, range(start, min(start + CHUNK, first + cases)), path, keep)
        for start in range(first, first + cases, CHUNK)
    ]
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        yield from pool.imap_unordered(_work, work)


def replay(identity: str, choice: str, minimise: bool) -> int:
    """One case in full; how many differences it has."""
    seed, _, number = identity.partition("/")
    case = make(int(seed), int(number))
    with Oracle(program()) as oracle:
        found = differences(case, oracle, choice)
        if minimise and found:
            case = smaller(case, oracle, found[0].kind, choice)
            found = differences(case, oracle, choice)
        print(json.dumps(case, indent=1))
        print("upstream:", json.dumps(oracle.ask(question(case, TIMEOUT_S))))
        print("ours:", answered(case, choice, verify=False))
    for each in found:
        print(f"{each.kind}: {each.text}")
    return len(found)


def smaller(case: Json, oracle: Oracle, kind: str, choice: str) -> Json:
    """The case without all that this kind of difference does not need."""
    return minimised(case, lambda other: any(each.kind == kind for each in differences(other, oracle, choice)))


def report(seen: Seen, seconds: float, least: int) -> list[str]:
    """The summary's lines; those of families that fall short say so."""
    lines = [f"{seen.cases} cases in {seconds:.0f} s, {seen.milliseconds['ours'] / 1000:.0f} s of them in our engine, "
             f"{seen.milliseconds['upstream'] / 1000:.0f} s in upstream's allocator"]  # fmt: skip
    lines.append(f"{'family':24}" + "".join(f"{outcome:>12}" for outcome in OUTCOMES))
    for family in FAMILIES:
        counts = [seen.families[family, outcome] for outcome in OUTCOMES]
        possible = [outcome for outcome in OUTCOMES[:4] if (family, outcome) not in IMPOSSIBLE]
        short = " short" if min(seen.families[family, outcome] for outcome in possible) < least else ""
        lines.append(f"{family:24}" + "".join(f"{count:12}" for count in counts) + short)
    lines.append(f"{'any':24}" + "".join(f"{seen.outcomes[outcome]:12}" for outcome in OUTCOMES))
    lines += [f"{count:8} {name}" for name, count in sorted(seen.same.items())]
    lines += [f"{count:8} allowed: {name}" for name, count in sorted(seen.allowed.items())]
    kinds = Counter(kind for _, kind, _ in seen.differing)
    lines += [f"{count:8} DIFFERENT: {kind}" for kind, count in kinds.most_common()]
    lines.append(f"{len(seen.differing):8} differences in {len({case for case, _, _ in seen.differing})} cases")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--show", type=int, default=2, metavar="K", help="differences told in full, of each kind")
    parser.add_argument("--least", type=int, default=0, help="cases that each family must have of each outcome")
    parser.add_argument("--minimise", action="store_true", help="make the first case of each kind of difference small")
    parser.add_argument("--golden", type=Path, help="keep a sample with the oracle's answers in this file")
    parser.add_argument("--keep", type=Path, help="add the small cases with the oracle's answers to this file")
    parser.add_argument("--case", metavar="S/N", help="play this case alone")
    parser.add_argument("--choice", choices=CHOICES, help="how --case chooses devices")
    arguments = parser.parse_args()
    if arguments.case:
        number = int(arguments.case.partition("/")[2])
        choice = arguments.choice or choice_of(number)
        sys.exit(1 if replay(arguments.case, choice, arguments.minimise) else 0)
    begun, total = time.monotonic(), Seen()
    shown: Counter[str] = Counter()
    keep = arguments.golden is not None
    for seen in run(arguments.seed, arguments.cases, arguments.jobs, keep=keep, first=arguments.first):
        total.add(seen)
        for case, kind, text in seen.differing:
            shown[kind] += 1
            if shown[kind] <= arguments.show:
                print(f"--case {case}  {kind}: {text}", flush=True)
    lines = report(total, time.monotonic() - begun, arguments.least)
    print("\n".join(lines))
    small = list(_small(total)) if arguments.minimise or arguments.keep else []
    if arguments.keep:
        print(golden.append(arguments.keep, small))
    if keep:
        print(golden.write(arguments.golden, total.golden))
    short = any(line.endswith(" short") for line in lines)
    sys.exit(1 if total.differing or short else 0)


def _small(seen: Seen) -> Iterator[Json]:
    """A small case of each kind of difference, with the oracle's answer."""
    first: dict[str, list[str]] = defaultdict(list)
    for case, kind, _ in sorted(seen.differing, key=lambda each: int(each[0].partition("/")[2])):
        first[kind].append(case)
    with Oracle(program()) as oracle:
        for kind, cases in first.items():
            seed, _, number = cases[0].partition("/")
            case = smaller(make(int(seed), int(number)), oracle, kind, choice_of(int(number)))
            upstream = oracle.ask(question(case, TIMEOUT_S))
            print(f"smallest of {kind} (from {cases[0]}):\n{json.dumps(case)}\n  upstream: {json.dumps(upstream)}")
            for each in differences(case, oracle, choice_of(int(number))):
                print(f"  {each.kind}: {each.text}")
            print(f"  ours: {answered(case, choice_of(int(number)), verify=False)}", flush=True)
            yield golden.entry(case, upstream)


if __name__ == "__main__":
    main()
