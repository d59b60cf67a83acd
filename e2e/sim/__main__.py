"""python -m e2e.sim --seed S --steps N [--mode apart|contested]

Runs episodes, each a cluster of its own, until they come to N steps; the same arguments give the same run, to the hash.
Exit code 1 when an invariant does not hold, with the episode, its options and its last steps on stderr.
"""

import argparse
import json
import sys
import time
import traceback
from collections import Counter
from hashlib import blake2b

from e2e.sim.faults import CATALOGUE
from e2e.sim.simulation import APART, CONTESTED, EPISODE, outcome, summary
from e2e.sim.world import BrokenError


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m e2e.sim", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--mode", choices=(APART, CONTESTED), default=APART)
    parser.add_argument("--episode", type=int, help="only this one, with the seed that was printed for it")
    parser.add_argument("--each", action="store_true", help="a line for every episode")
    given = parser.parse_args(arguments)
    print(f"seed {given.seed}, {given.steps} steps, {given.mode}", flush=True)
    begun = time.process_time()
    total, bites, digest, bound, number = 0, Counter(), blake2b(digest_size=8), 0, given.episode or 0
    while total < given.steps:
        seed = 1_000_003 * given.seed + number
        simulation, error = outcome(seed, min(EPISODE, given.steps - total), given.mode)
        said = summary(simulation)
        total += said["steps"]
        bound += said["bound"]
        bites += simulation.world.bites
        digest.update(said["hash"].encode())
        if given.each:
            print(json.dumps({"episode": number, **said}), flush=True)
        if error is not None:
            print(f"episode {number} of seed {given.seed}, {given.mode}:", file=sys.stderr)
            print(simulation.options.lines(), file=sys.stderr)
            print(simulation.story(error), file=sys.stderr)
            if not isinstance(error, BrokenError):
                traceback.print_exception(error)
            print(f"{error}\nafter {total} steps, at {simulation.world.now:.3f} s", file=sys.stderr)
            return 1
        if given.episode is not None:
            break
        number += 1
    took = time.process_time() - begun
    for fault, words in CATALOGUE.items():
        print(f"{fault:>4} {bites[fault]:8d}  {words}")
    line = {
        "seed": given.seed, "steps": total, "episodes": number, "bound": bound, "seconds": round(took, 1),
        "steps_per_second": round(total / took), "hash": digest.hexdigest(),
    }  # fmt: skip
    print(json.dumps(line))
    return 0


if __name__ == "__main__":
    sys.exit(main())
