"""How much of a cluster's GPUs a policy keeps in use, on a trace: `python -m e2e.bench.openb --nodes CSV --pods CSV`.

Any trace in the format of openb (e2e/bench/trace.py). Without --churn the protocol of FGD's artifact: pods only arrive,
until 130 % of the GPUs were asked for; alloc_at_100 is the percentage in use when 100 % was asked for, utilisation that
at the end. With --churn LOAD pods also leave, and ask for LOAD times the GPUs at any time; utilisation and rejected are
then averages over the second half. One JSON line a seed. Every final state is put to a checker of its own.
"""

import argparse
import heapq
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from e2e.bench import protocol
from e2e.bench.check import Held, WrongStateError, wrongs
from e2e.bench.dovetail import Dovetail
from e2e.bench.drive import SHIPPED
from e2e.bench.policies import POLICIES, reference
from e2e.bench.policies.base import Placed, Scheduler
from e2e.bench.trace import Shape, Trace, TraceError, read

DOVETAIL = "dovetail"
NAMES = (DOVETAIL, *POLICIES)
Figures = dict[str, float | None]


def scheduler(
    policy: str, trace: Trace, order: Sequence[int], seed: int, batch: int, weights: Mapping[str, float]
) -> Scheduler:
    """A policy on the trace's empty machines; weights are Dovetail's, where they are not as shipped."""
    if policy == DOVETAIL:
        return Dovetail(trace.machines, seed, batch, weights)
    return reference(policy, trace, order, seed)


def fill(trace: Trace, policy: str, seed: int, batch: int = 1, weights: Mapping[str, float] = SHIPPED) -> Figures:
    """Percentages after the pods of one seed have arrived."""
    drawn = protocol.fill(trace, seed)
    placing = scheduler(policy, trace, drawn.order, seed, batch, weights)
    found = placing.place(drawn.shapes)
    arrived, used, held = [], [], []
    asked = taken = 0
    for number, (shape, placed) in enumerate(zip(drawn.shapes, found, strict=True)):
        asked += shape.demand
        if placed is not None:
            taken += shape.demand
            held.append(_held(number, shape, placed))
        arrived.append(asked)
        used.append(taken)
    _verify(trace, held)
    alloc = protocol.alloc_at(100, arrived, used, trace.capacity)
    return {
        "alloc_at_100": None if alloc is None else round(alloc, 3),
        "utilisation": round(100 * taken / trace.capacity, 3),
        "pods_per_second": round(len(found) / placing.seconds, 1),
    }


def churn(
    trace: Trace,
    policy: str,
    seed: int,
    load: float,
    arrivals: int = protocol.ARRIVALS,
    weights: Mapping[str, float] = SHIPPED,
) -> Figures:
    """Percentages while the pods of one stream come and go."""
    drawn = protocol.churn(trace, seed, load, arrivals)
    placing = scheduler(policy, trace, drawn.order, seed, 1, weights)
    running: list[tuple[float, int]] = []
    placed: dict[int, Placed] = {}
    times, used, taken = [0.0], [0], 0
    start = drawn.arrives[arrivals // 2]
    asked = lost = 0
    for number, (shape, arrives) in enumerate(zip(drawn.shapes, drawn.arrives, strict=True)):
        while running and running[0][0] <= arrives:
            leaves, gone = heapq.heappop(running)
            placing.now = leaves
            placing.free(drawn.shapes[gone], placed.pop(gone))
            taken -= drawn.shapes[gone].demand
            times.append(leaves)
            used.append(taken)
        placing.now = arrives
        [found] = placing.place([shape])
        if found is not None:
            placed[number] = found
            heapq.heappush(running, (drawn.leaves[number], number))
            taken += shape.demand
            times.append(arrives)
            used.append(taken)
        if arrives >= start:
            asked += shape.demand
            lost += shape.demand if found is None else 0
    _verify(trace, [_held(number, drawn.shapes[number], each) for number, each in placed.items()])
    return {
        "alloc_at_100": None,
        "utilisation": round(protocol.utilisation(times, used, start, drawn.arrives[-1], trace.capacity), 3),
        "rejected": round(100 * lost / asked, 3),
        "pods_per_second": round(arrivals / placing.seconds, 1),
    }


def _held(number: int, shape: Shape, placed: Placed) -> Held:
    return Held(f"pod {number}", shape, placed.machine, placed.gpus)


def _verify(trace: Trace, held: list[Held]) -> None:
    found = wrongs(trace.machines, held)
    if found:
        raise WrongStateError("; ".join(found[:5]))


def numbers(text: str) -> list[int]:
    """`42,43` as numbers."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of whole numbers such as 42,43") from None


def main(arguments: list[str] | None = None) -> int:
    """Run and print. Exit code 1 for a state that cannot be, 2 for files that cannot be read."""
    parser = argparse.ArgumentParser(
        prog="python -m e2e.bench.openb", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=Path, required=True, help="CSV")
    parser.add_argument("--pods", type=Path, required=True, help="CSV")
    parser.add_argument("--seeds", type=numbers, default=[42], help="such as 42,43")
    parser.add_argument("--policy", choices=NAMES, default=DOVETAIL)
    parser.add_argument("--churn", type=float, metavar="LOAD", help="such as 1.0: pods leave, too")
    parser.add_argument("--arrivals", type=int, default=protocol.ARRIVALS, help="of a stream with churn")
    parser.add_argument(
        "--batch", type=int, default=1, help="pods that Dovetail sees at once: it decides easy ones first"
    )
    chosen = parser.parse_args(arguments)
    try:
        trace = read(chosen.nodes, chosen.pods)
        for seed in chosen.seeds:
            if chosen.churn is None:
                figures = fill(trace, chosen.policy, seed, chosen.batch)
            else:
                figures = churn(trace, chosen.policy, seed, chosen.churn, chosen.arrivals)
            line = {"bench": "openb", "trace": trace.name, "policy": chosen.policy, "seed": seed, "churn": chosen.churn}
            print(json.dumps({**line, **figures}), flush=True)
    except TraceError as error:
        print(error, file=sys.stderr)
        return 2
    except WrongStateError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
