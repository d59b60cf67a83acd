"""How close `dovetail plan share` comes to the optimum, and how fast: `python -m e2e.bench.share [--seeds A,B]`.

1,000 models on 200 GPUs: 72 H100 that MIG can cut on demand, 48 A100 that one namespace claims at a time, 80 L40S that
several claims may share. 85 % of the models need no isolation, 14 % that of memory, 1 % a GPU of their own; they
are of eight namespaces, and one in ten has two replicas on different GPUs. Sizes are drawn two ways: `spread`, from
distributions, so that no two models are alike; and `catalogue`, from short lists.

One JSON line a problem, then one in all: {"bench": "share", "problems", "gap": {"median", "worst"}, "seconds":
{"median", "worst"}, "faults"}. gap : GPUs above the proven bound, as a share of it. seconds : of a processor, from
objects in memory to the plan; `clock` says how long that took beside what else ran. The exit code is 1 if there are
faults: a gap above 2 %, more than 10 seconds, a replica without a place.
"""

import argparse
import json
import random
import sys
import time
from statistics import median

from scheduler.sharing.command import planned, stock_of
from scheduler.sharing.plan import SharePlan
from scheduler.sharing.wishes import Model
from scheduler.simulator.fleet import device_classes, fleet
from scheduler.simulator.objects import Raw, parse

MODELS = 1_000
GAP = 0.02
LIMIT_S = 10.0
SIZES = ("spread", "catalogue")
GI = 2**30


def objects() -> list[Raw]:
    """The fleet: 25 boxes of 8 GPUs."""
    shared = fleet({"l40s-pcie": 10})
    for raw in shared:
        for device in raw["spec"].get("devices", ()):
            value = device["capacity"]["memory"]["value"]
            policy = {"default": value, "validRange": {"min": "1Mi", "step": "1Mi"}}
            device["allowMultipleAllocations"] = True
            device["capacity"]["memory"] = {"value": value, "requestPolicy": policy}
    return fleet({"dgx-h100-dynamic-mig": 9, "dgx-a100": 6}) + shared + device_classes()


def models(sizes: str, seed: int) -> tuple[Model, ...]:
    """The models of one problem."""
    dice = random.Random(f"{sizes}/{seed}")
    found = []
    for number in range(MODELS):
        if sizes == "spread":
            memory = min(max(int(dice.lognormvariate(1.5, 0.6) * 1024), 300), 38 * 1024) * 2**20
            compute = dice.randint(30, 280) * 7
        else:
            memory = dice.choice((2, 3, 4, 5, 6, 8, 10, 12, 16)) * GI
            compute = dice.choice((5, 10, 15, 20)) * 70
        [isolation] = dice.choices(("none", "memory", "full"), (85, 14, 1))
        replicas = 2 if dice.random() < 0.1 else 1
        namespace = f"team-{dice.randrange(8)}"
        found.append(Model(namespace, f"m{number}", replicas, memory, compute, isolation, (), "gpu"))
    return tuple(found)


def solved(sizes: str, seed: int, text: str) -> tuple[SharePlan, float, float]:
    """The plan of one problem, and the seconds it took: of a processor, and by the clock."""
    wanted = models(sizes, seed)
    cluster = parse("fleet", text)
    begun, clock = time.process_time(), time.perf_counter()
    plan = planned(wanted, stock_of(cluster, "fleet"))
    return plan, time.process_time() - begun, time.perf_counter() - clock


def main() -> int:
    """Solve, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--seeds", default="1,2,3", help="comma between them")
    seeds = [int(each) for each in parser.parse_args().seeds.split(",")]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects()})
    gaps, seconds, faults = [], [], []
    for sizes in SIZES:
        for seed in seeds:
            plan, took, clock = solved(sizes, seed, text)
            gap = plan.gap if plan.gap is not None else 1.0
            line = {"sizes": sizes, "seed": seed, "gpus": plan.used, "least": plan.least, "missing": plan.absent}
            print(
                json.dumps({**line, "gap": round(gap, 4), "seconds": round(took, 2), "clock": round(clock, 2)}),
                flush=True,
            )
            gaps.append(gap)
            seconds.append(took)
            if gap > GAP or took > LIMIT_S or plan.absent:
                faults.append(f"{sizes} {seed}")
    told = {
        "bench": "share",
        "problems": len(gaps),
        "gap": {"median": round(median(gaps), 4), "worst": round(max(gaps), 4)},
        "seconds": {"median": round(median(seconds), 2), "worst": round(max(seconds), 2)},
        "faults": faults,
    }
    print(json.dumps(told))
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
