"""python -m e2e.sim --seed S --steps N [--mode apart|contested|both] [--jobs N]

Runs episodes, each a cluster of its own, until they come to N steps; the same arguments give the same run, to the hash.
Of both modes of ownership every third episode is contested.
Prints of each fault how often it bit, and how often in 20,000 steps; `steps_per_second` are those of one process, of
its own time. Exit code 1 when an invariant does not hold, with the episode, its options and its last steps on stderr. A
run of a million steps or more fails as well when one of the faults did not bite once in 20,000 steps, or something of
volumes and neighbours (V1 to V22) was not seen once in a million: another scheduler is first with a claim (F53) only
where devices are contested.
"""

import argparse
import json
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from hashlib import blake2b

from e2e.sim.faults import CATALOGUE, PLAIN
from e2e.sim.simulation import APART, BOTH, CONTESTED, EPISODE, outcome, summary
from e2e.sim.world import BrokenError

_LONG = 1_000_000  # steps of a run that has to have met every fault
_ONCE_IN = 20_000
_PLAIN_ONCE_IN = 1_000_000  # volumes are few, so that devices stay the most of it
_CONTESTED = 3  # of both modes, one episode in so many is contested


@dataclass
class Part:
    """What one process ran. `failure` is what there is to say of the first violation."""

    steps: int = 0
    episodes: int = 0
    bound: int = 0
    seconds: float = 0.0
    bites: Counter[str] = field(default_factory=Counter)
    digest: str = ""
    failure: str = ""


def numbers(first: int, every: int) -> Iterator[int]:
    while True:
        yield first
        first += every


def run(seed: int, steps: int, mode: str, first: int, every: int, one: bool, each: bool) -> Part:
    """Every so manieth episode, from `first` on."""
    begun = time.process_time()
    part, digest = Part(), blake2b(digest_size=8)
    for number in numbers(first, every):
        own = mode if mode != BOTH else CONTESTED if number % _CONTESTED == _CONTESTED - 1 else APART
        simulation, error = outcome(1_000_003 * seed + number, min(EPISODE, steps - part.steps), own)
        said = summary(simulation)
        part.steps += said["steps"]
        part.bound += said["bound"]
        part.episodes += 1
        part.bites += simulation.world.bites
        digest.update(said["hash"].encode())
        if each:
            print(json.dumps({"episode": number, **said}), flush=True)
        if error is not None:
            trace = "" if isinstance(error, BrokenError) else "".join(traceback.format_exception(error))
            part.failure = (
                f"episode {number} of seed {seed}, {own}:\n{simulation.options.lines()}\n{simulation.story(error)}\n"
                f"{trace}{error}\nafter {part.steps} steps, at {simulation.world.now:.3f} s; "
                f"again with --seed {seed} --mode {own} --episode {number}"
            )
        if error is not None or one or part.steps >= steps:
            part.seconds, part.digest = time.process_time() - begun, digest.hexdigest()
            return part
    raise AssertionError


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m e2e.sim", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--mode", choices=(APART, CONTESTED, BOTH), default=BOTH)
    parser.add_argument("--jobs", type=int, default=1, help="processes that share the steps")
    parser.add_argument("--episode", type=int, help="only this one")
    parser.add_argument("--each", action="store_true", help="a line for every episode")
    given = parser.parse_args(arguments)
    print(f"seed {given.seed}, {given.steps} steps, {given.mode}", flush=True)
    begun = time.monotonic()
    one, first = given.episode is not None, given.episode or 0
    if given.jobs == 1 or one:
        parts = [run(given.seed, given.steps, given.mode, first, 1, one, given.each)]
    else:
        share = -(-given.steps // given.jobs)
        with ProcessPoolExecutor(given.jobs) as pool:
            jobs = [
                pool.submit(run, given.seed, share, given.mode, number, given.jobs, False, given.each)
                for number in range(given.jobs)
            ]
            parts = [job.result() for job in jobs]
    steps, bites = sum(part.steps for part in parts), sum((part.bites for part in parts), Counter())
    for fault, words in {**CATALOGUE, **PLAIN}.items():
        print(f"{fault:>4} {bites[fault]:8d} {bites[fault] / steps * _ONCE_IN:8.1f}  {words}")
    line = {
        "seed": given.seed, "steps": steps, "episodes": sum(part.episodes for part in parts),
        "bound": sum(part.bound for part in parts), "rests": bites["rest"], "clashes": bites["clash"],
        "seconds": round(max(part.seconds for part in parts), 1),
        "steps_per_second": round(steps / sum(part.seconds for part in parts)),
        "wall_seconds": round(time.monotonic() - begun, 1),
        "hash": "+".join(part.digest for part in parts),
    }  # fmt: skip
    print(json.dumps(line))
    failures = [part.failure for part in parts if part.failure]
    print("\n".join(failures), end="\n" if failures else "", file=sys.stderr)
    rare = [fault for fault in CATALOGUE if bites[fault] * _ONCE_IN < steps and (given.mode, fault) != (APART, "F53")]
    rare += [fault for fault in PLAIN if bites[fault] * _PLAIN_ONCE_IN < steps]
    if steps >= _LONG and rare:
        print(f"seen too rarely: {', '.join(rare)}", file=sys.stderr)
        return 1
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
