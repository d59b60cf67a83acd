"""How far solvers of a window are from the optimum: `python -m e2e.bench.optimum [--instances N] [--seeds A,B]`.

Tight random windows: 2 to 6 nodes of 2, 4 or 8 devices, some of them in use; 4 to 24 pods that ask for 100 to 130 % of
the thousandths of devices that are left, whole devices in sets or a share of one, with cpu and memory; classes that may
use only some nodes, and pods without devices. Half of the windows have pods of one priority, half of two or three.

The optimum is an integer program without limits, and where there are up to 8 pods an enumeration of all states of the
nodes as well, which has to agree. Every plan is checked, and none may be worth less than that of plain greed. A ratio
compares a plan with the optimum where it matters: at the first level of worth at which they differ, so a plan that
places all that can be placed is judged by its values.

One JSON line a solver, then one in all: {"bench": "optimum", "instances", "enumerated", "ratios": {solver: {"mean",
"worst"}}, "faults"}. The exit code is 1 if there are faults, a mean ratio that is too low among them.
"""

import argparse
import json
import math
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from statistics import fmean

from scheduler.core.solvers.joint import OPTIMAL, joint
from scheduler.core.solvers.regret import in_order, regret
from scheduler.core.solvers.window import Offer, Plan, PodClass, Window, WindowPod, Worth, feasible

WHOLE = 1000
SMALL = 8  # pods up to which all is enumerated
LIMIT_S = 0.2
FLOORS = {"regret": 0.99, "joint": 0.998}
"""What the mean ratio has to reach."""
MODELS = ("a", "b", "c")


def instance(seed: int) -> Window:
    """One window."""
    dice = random.Random(seed)
    while True:
        window = _draw(dice)
        if window is not None:
            return window


def _draw(dice: random.Random) -> Window | None:
    """One, unless it comes out too large, too small, or not tight."""
    models = [dice.choice(MODELS) for _ in range(dice.randint(2, 6))]
    free = [_node(dice, dice.choice((2, 4, 8))) for _ in models]
    supply = sum(sum(left[2:]) for left in free)
    classes = [_class(dice, models, free) for _ in range(dice.randint(2, 6))]
    classes = [each for each in classes if each.offers]
    if not supply or not any(each.size for each in classes):
        return None
    priorities = [0] if dice.random() < 0.5 else list(range(0, 100 * dice.randint(2, 3), 100))
    load = dice.uniform(1.0, 1.25)
    pods: list[WindowPod] = []
    asked = 0
    while asked < load * supply and len(pods) < 25:
        kind = dice.randrange(len(classes))
        pods.append(WindowPod(dice.choice(priorities), kind))
        asked += classes[kind].size
    if not 4 <= len(pods) <= 24 or not supply <= asked <= 1.3 * supply:
        return None
    pods.sort(key=lambda pod: -pod.priority)
    return Window(tuple(pods), tuple(classes), tuple(free))


def _node(dice: random.Random, devices: int) -> tuple[int, ...]:
    """What is left: cpu in thousandths, memory in MiB, thousandths of each device."""
    left = [dice.choice((WHOLE, WHOLE, WHOLE, WHOLE, WHOLE, 0, dice.randrange(100, 1000, 50))) for _ in range(devices)]
    return (devices * dice.choice((6_000, 8_000, 12_000)), devices * dice.choice((16_384, 65_536)), *left)


def _class(dice: random.Random, models: Sequence[str], free: Sequence[tuple[int, ...]]) -> PodClass:
    """Pods that ask for the same, with all the ways to serve them."""
    allowed = set(MODELS) if dice.random() < 0.6 else set(dice.sample(MODELS, dice.randint(1, 2)))
    count, milli = dice.choice(((1, WHOLE), (1, WHOLE), (2, WHOLE), (4, WHOLE), (8, WHOLE), (0, 0)) + 3 * ((1, 0),))
    if count and not milli:
        milli = dice.randrange(100, 950, 10)
    cpu = dice.choice((1_000, 2_000, 4_000, 8_000, 11_000)) * max(count, 1)
    memory = dice.choice((2_048, 8_192, 30_000)) * max(count, 1)
    offers = []
    for node, (model, left) in enumerate(zip(models, free, strict=True)):
        if model not in allowed or cpu > left[0] or memory > left[1]:
            continue
        liking = dice.uniform(0, 300)
        usable = [place for place, each in enumerate(left[2:]) if count and each >= milli]
        for chosen in combinations(usable, count):
            amounts = [cpu, memory] + [milli if place in chosen else 0 for place in range(len(left) - 2)]
            offers.append(Offer(node, tuple(amounts), _value(liking, left[2:], chosen, milli)))
    return PodClass(tuple(offers), count * milli)


def _value(liking: float, left: Sequence[int], chosen: Sequence[int], milli: int) -> float:
    """Liking of the node, links between neighbours (0 and 1, 2 and 3, ...), little left of shared devices."""
    pairs = list(combinations(chosen, 2))
    linked = sum(a // 2 == b // 2 for a, b in pairs) / (len(chosen) // 2) if pairs else 1.0
    rest = sum(left[place] - milli for place in chosen) / WHOLE
    busy = sum(each < WHOLE for each in left) / len(left)
    return liking + 400.0 * linked + 200.0 * busy + 100.0 * (1 - rest)


def enumerated(window: Window) -> Worth:
    """The worth of the best plan: every state that nodes can be in after some of the pods, pod after pod.

    Of all ways to one state only the best is carried on, which is right because worth adds up level by level.
    """
    levels = len(window.tiers) + 1
    states: dict[tuple[tuple[int, ...], ...], tuple[float, ...]] = {window.free: (0.0,) * levels}
    for pod in window.pods:
        each = window.classes[pod.kind]
        level = window.tiers.index(pod.priority)
        after = dict(states)
        for free, worth in states.items():
            for offer in each.offers:
                left = tuple(a - b for a, b in zip(free[offer.node], offer.amounts, strict=True))
                if min(left) < 0:
                    continue
                state = (*free[: offer.node], left, *free[offer.node + 1 :])
                gained = list(worth)
                gained[level] += each.reward
                gained[-1] += offer.value
                if tuple(gained) > after.get(state, (-1.0,)):
                    after[state] = tuple(gained)
        states = after
    return max(states.values())


def ratio(worth: Worth, optimum: Worth) -> float:
    """Of the first level at which two worths differ; 1 where they do not."""
    for ours, theirs in zip(worth, optimum, strict=True):
        if abs(ours - theirs) > 1e-6 * max(1.0, abs(theirs)):
            return ours / theirs if theirs else math.inf
    return 1.0


@dataclass(slots=True)
class Tally:
    """What a solver reached, window after window. unproven : windows where it could not tell that nothing is better."""

    ratios: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    unproven: int = 0

    def line(self, solver: str) -> dict[str, object]:
        """For print."""
        return {
            "solver": solver,
            "mean": round(fmean(self.ratios), 6),
            "worst": round(min(self.ratios), 6),
            "optimal": sum(each == 1.0 for each in self.ratios),
            "below_99_percent": sum(each < 0.99 for each in self.ratios),
            "unproven": self.unproven,
            "cpu_ms_mean": round(1000 * fmean(self.times), 1),
            "cpu_ms_worst": round(1000 * max(self.times), 1),
        }


def optimum(window: Window) -> Worth:
    """The worth of the best plan."""
    answer = joint(window, in_order(window), limit_s=None, offers=None)
    if answer.status != OPTIMAL:
        raise RuntimeError(f"no optimum was found; {answer.gap:.4%} is open")
    return window.worth(answer.plan)


def run(seeds: Sequence[int], instances: int) -> Iterator[dict[str, object]]:
    """The lines, the last is that of all."""
    tallies = {"greedy": Tally(), "regret": Tally(), "joint": Tally()}
    faults = []
    counted = 0
    for seed in [seed * 1_000_000 + number for seed in seeds for number in range(instances)]:
        window = instance(seed)
        best = optimum(window)
        if len(window.pods) <= SMALL:
            counted += 1
            if ratio(enumerated(window), best) != 1.0:
                faults.append(f"window {seed}: the integer program and the enumeration differ")
        plans = _solved(window, tallies)
        least = window.worth(plans["greedy"])
        for solver, plan in plans.items():
            tallies[solver].ratios.append(ratio(window.worth(plan), best))
            if not feasible(window, plan):
                faults.append(f"window {seed}: the plan of {solver} does not fit")
            if window.worth(plan) < least:
                faults.append(f"window {seed}: the plan of {solver} is worth less than that of plain greed")
            if tallies[solver].ratios[-1] > 1.0:
                faults.append(f"window {seed}: the plan of {solver} is better than the optimum")
    for solver, tally in tallies.items():
        if fmean(tally.ratios) < FLOORS.get(solver, 0.0):
            faults.append(f"{solver} reaches {fmean(tally.ratios):.4f} of the optimum, not {FLOORS[solver]}")
        yield tally.line(solver)
    yield {
        "bench": "optimum",
        "seeds": list(seeds),
        "instances": len(seeds) * instances,
        "enumerated": counted,
        "limit_ms": round(1000 * LIMIT_S),
        "ratios": {
            solver: {"mean": round(fmean(each.ratios), 6), "worst": round(min(each.ratios), 6)}
            for solver, each in tallies.items()
        },
        "faults": faults,
    }


def _solved(window: Window, tallies: dict[str, Tally]) -> dict[str, Plan]:
    start = time.process_time()
    greedy = in_order(window)
    first = time.process_time()
    default = regret(window)
    second = time.process_time()
    answer = joint(window, default, LIMIT_S, clock=time.monotonic)
    third = time.process_time()
    for solver, seconds in (("greedy", first - start), ("regret", second - first), ("joint", third - second)):
        tallies[solver].times.append(seconds)
    tallies["joint"].unproven += answer.status != OPTIMAL
    return {"greedy": greedy, "regret": default, "joint": answer.plan}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instances", type=int, default=200, help="windows for each seed")
    parser.add_argument("--seeds", default="42", help="separated by commas")
    given = parser.parse_args(arguments)
    try:
        seeds = [int(each) for each in given.seeds.split(",")]
    except ValueError:
        parser.error(f"--seeds {given.seeds}: whole numbers separated by commas")
    if given.instances < 1:
        parser.error(f"--instances {given.instances}: at least one")
    line: dict[str, object] = {}
    for line in run(seeds, given.instances):
        print(json.dumps(line), flush=True)
    return 1 if line["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
