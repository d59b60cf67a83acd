"""What a scrape costs the loop: `python -m e2e.bench.census`.

5,000 nodes x 8 GPUs, each in use or free by the toss of a coin, as many claims, and pods of 32 shapes that were seen.
Prints one JSON line: CPU time of the first count and the median of later ones, after a device came free in between,
and of the longest piece of each, in milliseconds. Garbage collection is off, as after a list it scans little.
"""

import argparse
import gc
import json
import statistics
import time
from dataclasses import replace

from e2e.bench.scoring import cluster, demand
from scheduler.core.backlog import Backlog
from scheduler.core.cel import compile_selector
from scheduler.core.census import Asked, Census
from scheduler.core.eligibility import Verdicts
from scheduler.core.model import Uid


def count(census: Census) -> tuple[float, float]:
    """Milliseconds of CPU time of one count, and of its longest piece."""
    pieces, took = census.count(), []
    while True:
        begun = time.process_time_ns()
        ended = next(pieces, _END) is _END
        took.append((time.process_time_ns() - begun) / 1e6)
        if ended:
            return sum(took), max(took)


_END = object()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=5_000)
    parser.add_argument("--devices", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--shared", action="store_true", help="GPUs are shared by claims")
    options = parser.parse_args()
    state = cluster(options.nodes, options.devices, shared=options.shared, seed=1)
    compile_selector("true")  # builds the parser, as a process does when it starts
    asked = Asked()
    for number in range(1, 33):
        wanted = demand(state, (number,), (), "10Gi" if options.shared else "")
        asked.arrive(replace(wanted, resources=(("cpu", 1_000 * number), ("memory", 2**30 * number))))
    census = Census(state, Verdicts(10_000), asked, Backlog(), lambda pod: True)
    gc.collect()
    gc.disable()
    first = count(census)
    later = []
    for number in range(options.rounds):
        state.drop_claim(Uid(f"held-node-{number:05d}"))
        later.append(count(census))
    print(
        json.dumps(
            {
                "nodes": options.nodes,
                "devices": options.devices,
                "shared": options.shared,
                "first ms": round(first[0], 1),
                "first, longest piece ms": round(first[1], 2),
                "later ms": round(statistics.median(total for total, _ in later), 1),
                "later, longest piece ms": round(statistics.median(piece for _, piece in later), 2),
            }
        )
    )


if __name__ == "__main__":
    main()
