"""Dovetail against kube-scheduler's own filter plugins: `python -m e2e.oracle.plain --cases N --seed S [--rule R]`.

Exits with 1 when anything differs, or when some plugin has fewer than --least pods that it keeps off some nodes and
lets onto others. `--case S/N` plays one cluster again and prints all of it, `--small` no more of it than a difference
needs.
"""

import argparse
import os
import random
import sys
import time
from pathlib import Path

from e2e.oracle.plain import golden
from e2e.oracle.plain.differ import Seen, replay, report, run, told
from e2e.oracle.plain.generator import FAMILIES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--seed", type=int, help="a new one each time if it is not given")
    parser.add_argument("--rule", choices=FAMILIES, help="what all pods are about at least")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--show", type=int, default=3, metavar="K", help="differences told of each kind")
    parser.add_argument("--least", type=int, default=0)
    parser.add_argument("--case", metavar="S/N", help="play this cluster alone")
    parser.add_argument("--small", action="store_true", help="with --case: make it small")
    parser.add_argument("--keep", type=Path, help="with --case: add it with upstream's answers to this file")
    parser.add_argument("--golden", type=Path, help="write all cases with upstream's answers to this file")
    arguments = parser.parse_args()
    if arguments.case:
        found = replay(arguments.case, arguments.rule, small=arguments.small, keep=arguments.keep)
        sys.exit(1 if found else 0)
    seed = random.SystemRandom().randrange(2**32) if arguments.seed is None else arguments.seed
    begun, total = time.monotonic(), Seen()
    for seen in run(seed, arguments.cases, arguments.jobs, arguments.rule, keep=arguments.golden is not None):
        total.add(seen)
    lines = report(total, arguments.least)
    print("\n".join([*told(total, arguments.rule, arguments.show), f"seed {seed}", *lines]))
    print(f"{time.monotonic() - begun:.0f} s")
    if arguments.golden:
        print(golden.write(arguments.golden, total.golden))
    sys.exit(1 if total.differing or any(line.endswith(" short") for line in lines) else 0)


if __name__ == "__main__":
    main()
