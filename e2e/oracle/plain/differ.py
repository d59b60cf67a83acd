"""Dovetail against kube-scheduler's own filter plugins, on random cases.

A case is a pod that waits on a cluster. `judge.py` says what must be equal. At the end stands for each of upstream's
plugins how many pods it kept off some nodes, all nodes and none.
"""

import itertools
import json
import multiprocessing
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from e2e.oracle.plain import golden, judge
from e2e.oracle.plain.generator import ASKED, NAMED, PLUGINS, Json, make
from e2e.oracle.plain.judge import Difference
from e2e.oracle.plain.ours import Cluster
from e2e.oracle.plain.smaller import smaller
from e2e.oracle.plain.upstream import program
from e2e.oracle.upstream import Oracle, OracleError

CHUNK: Final = 40
SOME, ALL, NONE = "some nodes", "all nodes", "no node"


@dataclass(slots=True)
class Seen:
    """What came of some clusters. differing : case, name of the pod, difference; verdicts : by plugin and how many."""

    cases: int = 0
    verdicts: Counter[tuple[str, str]] = field(default_factory=Counter)
    differing: list[tuple[str, str, Difference]] = field(default_factory=list)
    golden: list[Json] = field(default_factory=list)

    def add(self, other: "Seen") -> None:
        self.cases += other.cases
        self.verdicts.update(other.verdicts)
        self.differing += other.differing
        self.golden += other.golden


def verdicts(case: Json, answer: Json) -> Counter[tuple[str, str]]:
    """How many pods of a case each of upstream's plugins keeps off some nodes, all nodes and none."""
    found: Counter[tuple[str, str]] = Counter()

    def count(plugin: str, rejected: int) -> None:
        found[plugin, NONE if not rejected else ALL if rejected == len(case["nodes"]) else SOME] += 1

    for told in answer["answers"]:
        for plugin in PLUGINS:
            count(plugin, len(judge.rejected(told, plugin)))
    for rejected in answer.get("named", {}).values():
        count(NAMED, len(rejected))
    return found


def judged(case: Json, answer: Json, seen: Seen) -> None:
    """Compare all pods of a case, as the API server keeps it, with upstream's answers, and count them."""
    cluster = Cluster(case)
    names = frozenset(cluster.names)
    for key, rejected in answer.get("named", {}).items():
        place = cluster.place_of(key)
        seen.differing += [(case["id"], key, each) for each in judge.counted(names, place, key, rejected)]
    for pod, told in zip(case["asked"], answer["answers"], strict=True):
        seen.cases += 1
        where = (case["id"], pod["metadata"]["name"])
        doubt = judge.doubted(names, told)
        if doubt:
            seen.differing.append((*where, Difference("upstream itself", doubt)))
        found = cluster.ask(pod)
        seen.differing += [(*where, each) for each in judge.differences(names, found, told)]


_oracles: dict[Path, Oracle] = {}  # of a worker process, and ending with it


def _work(arguments: tuple[int, range, str | None, Path, bool]) -> Seen:
    seed, numbers, rule, path, keep = arguments
    if path not in _oracles:
        _oracles[path] = Oracle(path)
    seen = Seen()
    cases = [make(seed, number, rule) for number in numbers]
    for answer in _oracles[path].ask_all(cases):
        if answer["outcome"] != "ok":
            raise OracleError(f"{answer['outcome']}: {answer['error']}")
        judged(answer["stored"], answer, seen)
        seen.verdicts.update(verdicts(answer["stored"], answer))
        if keep:
            seen.golden.append(golden.entry(answer))
    return seen


def run(seed: int, cases: int, jobs: int, rule: str | None = None, *, keep: bool = False) -> Iterator[Seen]:
    """Chunks of at least so many cases in all, in order. rule : what all pods are about at least."""
    path, clusters = program(), -(-cases // ASKED)
    work = [(seed, range(start, min(start + CHUNK, clusters)), rule, path, keep) for start in range(0, clusters, CHUNK)]
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        yield from pool.imap(_work, work)


def replay(identity: str, rule: str | None, *, small: bool = False, keep: Path | None = None) -> int:
    """One cluster in full; how many differences it has.

    small : the first of them, with all that it does not need left out. keep : the file that is to have the case.
    """
    seed, _, number = identity.partition("/")
    case = make(int(seed), int(number), rule)
    with Oracle(program()) as oracle:
        found = _differences(oracle, case)
        if small and found:
            name, first = found[0][1], found[0][2].rule
            case["asked"] = [pod for pod in case["asked"] if pod["metadata"]["name"] == name]
            case = smaller(case, lambda tried: any(each.rule == first for _, _, each in _differences(oracle, tried)))
            found = _differences(oracle, case)
        answer = oracle.ask(case)
        print(json.dumps(golden.lean(answer["stored"]), indent=1))
        for pod, told in zip(answer["stored"]["asked"], answer["answers"], strict=True):
            print(pod["metadata"]["name"], "upstream:", json.dumps(told))
            print(pod["metadata"]["name"], "ours:", Cluster(answer["stored"]).ask(pod))
        if keep is not None:
            print(golden.append(keep, golden.entry(answer)))
    for _, name, each in found:
        print(f"{name}  {each.rule}: {each.text}")
    return len(found)


def _differences(oracle: Oracle, case: Json) -> list[tuple[str, str, Difference]]:
    """None for a case with an object that the API server would refuse, or that asks nothing."""
    try:
        answer = oracle.ask(case)
    except OracleError:
        return []
    if not answer.get("answers"):
        return []
    seen = Seen()
    judged(answer["stored"], answer, seen)
    return seen.differing


def report(seen: Seen, least: int) -> list[str]:
    """The summary's lines; those of plugins with fewer than `least` pods of both verdicts say so."""
    lines = [f"{seen.cases} cases"]
    lines.append(f"{'rejects':22}" + "".join(f"{how:>12}" for how in (SOME, ALL, NONE)))
    for plugin in (*PLUGINS, NAMED):
        counts = [seen.verdicts[plugin, how] for how in (SOME, ALL, NONE)]
        lines.append(f"{plugin:22}" + "".join(f"{count:12}" for count in counts) + " short" * (counts[0] < least))
    kinds = Counter(each.rule for _, _, each in seen.differing)
    lines += [f"{count:8} DIFFERENT: {rule}" for rule, count in kinds.most_common()]
    lines.append(f"{len(seen.differing)} differences in {len({case for case, _, _ in seen.differing})} clusters")
    return lines


def told(seen: Seen, rule: str | None, most: int) -> Iterator[str]:
    """The first differences of each kind, with what plays them again."""
    for _, group in itertools.groupby(sorted(seen.differing, key=lambda each: each[2].rule), lambda each: each[2].rule):
        for case, pod, each in itertools.islice(group, most):
            yield f"--case {case}{f' --rule {rule}' if rule else ''}  {pod}  {each.rule}: {each.text}"
