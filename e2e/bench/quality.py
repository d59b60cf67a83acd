"""How good placements are: `python -m e2e.bench.quality [--scenario S1,S7] [--seeds 42,43,44] [--policy dovetail]`.

| scenario        | what                                                      | figures                            |
|-----------------|-----------------------------------------------------------|------------------------------------|
| S1 to S5        | openb filled: default, gpushare60, multigpu50, gpuspec33, | alloc_at_100                       |
|                 | cpu250 (e2e/bench/openb.py; needs --traces)               |                                    |
| S1c S3c S4c     | the same with departures, load 1.0; first two seeds only  | utilisation, rejected              |
| S6              | MIG parts under churn (e2e/bench/mig.py)                  | accepted                           |
| S7              | DGX-1V and DGX H100 (e2e/bench/cliques.py)                | set_quality, p5_ring, wait;        |
|                 |                                                           | h100_alloc, h100_wait              |
| S8              | GPUs with NICs (e2e/bench/rails.py)                       | aligned_nics, single_socket, wait  |

One JSON line per scenario and seed, with the same figures of the baseline on that seed and a bound for each where there
is one: what nobody can do better than (null: not known, see --bounds). Then a line per scenario with mean, worst and
score: how much of the way from baseline to bound the policy goes. Dovetail runs with its shipped weights and knows
nothing beforehand; FGD is given the distribution of the trace, as published.
"""

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from e2e.bench import cliques, mig, openb, plot, protocol, rails
from e2e.bench.bounds import Bounds
from e2e.bench.check import WrongStateError
from e2e.bench.drive import SHIPPED
from e2e.bench.openb import DOVETAIL, Figures, numbers
from e2e.bench.trace import Trace, TraceError, read
from scoring.weights import Weights

NODES = "openb_node_list_gpu_node.csv"
TRACES = {"S1": "default", "S2": "gpushare60", "S3": "multigpu50", "S4": "gpuspec33", "S5": "cpu250"}
CHURN_LOAD = 1.0
STREAMS = 2
LESS_IS_BETTER = ("wait", "h100_wait", "rejected")


@dataclass(frozen=True, slots=True)
class Options:
    """What limits a run: `share` of machines and jobs, 1.0 for the suite's own size."""

    traces: Path | None
    share: float


@dataclass(frozen=True, slots=True)
class Scenario:
    """on : what it runs on, to tell kept baselines apart. figure : the one that is plotted.

    run : of policy, seed, weights. bound : of seed; what has none is left out.
    """

    name: str
    on: str
    figure: str
    baseline: str
    policies: Sequence[str]
    run: Callable[[str, int, Mapping[str, float]], Figures]
    bound: Callable[[int], Figures]


def scenarios(names: Sequence[str], options: Options, bounds: Bounds) -> list[Scenario]:
    """By name. Raises TraceError if a trace cannot be read."""
    found = []
    traces: dict[str, Trace] = {}
    for name in names:
        if name in {"S6", "S7", "S8"}:
            found.append(_BOXES[name](options, bounds))
            continue
        base = name.removesuffix("c")
        if base not in traces:
            traces[base] = _trace(TRACES[base], options)
        found.append((_churn if name.endswith("c") else _fill)(name, traces[base], options, bounds))
    return found


def _trace(name: str, options: Options) -> Trace:
    if options.traces is None:
        raise TraceError("S1 to S5 need openb's files: name their folder by --traces or DOVETAIL_TRACES")
    whole = read(options.traces / NODES, options.traces / f"openb_pod_list_{name}.csv")
    every = round(1 / options.share)
    return Trace(whole.name, whole.machines[::every], whole.jobs[::every])


def _fill(name: str, trace: Trace, options: Options, bounds: Bounds) -> Scenario:
    return Scenario(
        name,
        trace.digest,
        "alloc_at_100",
        "kube",
        openb.NAMES,
        lambda policy, seed, weights: openb.fill(trace, policy, seed, weights=weights),
        lambda seed: {"alloc_at_100": bounds.fill(trace, seed)},
    )


def _churn(name: str, trace: Trace, options: Options, bounds: Bounds) -> Scenario:
    arrivals = round(protocol.ARRIVALS * options.share)
    return Scenario(
        name,
        f"{trace.digest} {arrivals}",
        "utilisation",
        "fgd",
        openb.NAMES,
        lambda policy, seed, weights: openb.churn(trace, policy, seed, CHURN_LOAD, arrivals, weights),
        lambda seed: {"utilisation": bounds.churn(trace, CHURN_LOAD)},
    )


def _parts(options: Options, bounds: Bounds) -> Scenario:
    count = round(mig.JOBS * options.share)
    return Scenario(
        "S6",
        str(count),
        "accepted",
        "firstfit",
        mig.POLICIES,
        lambda policy, seed, weights: {**mig.run(policy, seed, count, weights)},
        lambda seed: {"accepted": bounds.parts(seed, count)},
    )


def _cliques(options: Options, bounds: Bounds) -> Scenario:
    count = round(cliques.JOBS * options.share)

    def run(policy: str, seed: int, weights: Mapping[str, float]) -> Figures:
        # Where links do not differ, the measure is how well plain packing does.
        plain = "packing" if policy == "firstfit" else policy
        mesh = cliques.run(cliques.MESH, policy, seed, count, weights)
        switched = cliques.run(cliques.SWITCHED, plain, seed, count, weights)
        return {**mesh, "h100_alloc": switched["alloc"], "h100_wait": switched["wait"]}

    return Scenario(
        "S7",
        str(count),
        "set_quality",
        "firstfit",
        cliques.POLICIES,
        run,
        lambda seed: {"set_quality": 1.0, "p5_ring": 1.0},
    )


def _rails(options: Options, bounds: Bounds) -> Scenario:
    count = round(rails.JOBS * options.share)
    return Scenario(
        "S8",
        str(count),
        "aligned_nics",
        "firstfit",
        rails.POLICIES,
        lambda policy, seed, weights: {**rails.run(policy, seed, count, weights)},
        lambda seed: {"aligned_nics": 1.0, "single_socket": 1.0},
    )


_BOXES = {"S6": _parts, "S7": _cliques, "S8": _rails}
NAMES = (*TRACES, "S1c", "S3c", "S4c", *_BOXES)


def rounded(figures: Mapping[str, float | None]) -> Figures:
    """For reading."""
    return {name: value if value is None else round(value, 4) for name, value in figures.items()}


def summary(runs: Sequence[Figures], baselines: Sequence[Figures], bounds: Sequence[Figures]) -> dict[str, Figures]:
    """Means and worst over runs, and the mean way from baseline to bound, where both are known and differ."""
    mean, worst, score = {}, {}, {}
    for name in runs[0]:
        values = [value for run in runs if (value := run[name]) is not None]
        if not values or name == "pods_per_second":
            continue
        mean[name] = statistics.fmean(values)
        worst[name] = max(values) if name in LESS_IS_BETTER else min(values)
        base = [value for run in baselines if (value := run.get(name)) is not None]
        best = [value for run in bounds if (value := run.get(name)) is not None]
        if len(base) == len(best) == len(values) and abs(statistics.fmean(best) - statistics.fmean(base)) > 1e-9:
            score[name] = (mean[name] - statistics.fmean(base)) / (statistics.fmean(best) - statistics.fmean(base))
    return {"mean": rounded(mean), "worst": rounded(worst), "score": rounded(score)}


def perturbed(weights: Mapping[str, float], fraction: float) -> list[dict[str, float]]:
    """The weights with one of them larger or smaller by a fraction, for each that counts at all."""
    whole = Weights(weights).values
    factors = (1 - fraction, 1 + fraction)
    return [{**whole, name: whole[name] * factor} for name in whole if whole[name] for factor in factors]


def _weights(text: str) -> dict[str, float]:
    try:
        found = {name: float(value) for name, _, value in (part.partition("=") for part in text.split(","))}
        return dict(Weights(found).values)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _names(text: str) -> list[str]:
    names = text.split(",")
    wrong = [name for name in names if name not in NAMES]
    if wrong:
        raise argparse.ArgumentTypeError(f"no scenario {', '.join(wrong)}; there are: {', '.join(NAMES)}")
    return names


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most 1")
    return value


def main(arguments: list[str] | None = None) -> int:
    """Run and print. Exit code 1 for a state that cannot be, 2 for bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m e2e.bench.quality", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenario", type=_names, help="such as S1,S4c; all that know the policy if not given")
    parser.add_argument("--seeds", type=numbers, default=[42, 43, 44], help="such as 42,43")
    parser.add_argument("--policy", default=DOVETAIL, help="dovetail, or a reference policy of the scenario")
    folder = os.environ.get("DOVETAIL_TRACES")
    parser.add_argument("--traces", type=Path, default=Path(folder) if folder else None, metavar="DIR")
    parser.add_argument(
        "--bounds", action="store_true", help="compute bounds and baselines anew, and keep them in bounds.json"
    )
    parser.add_argument("--plot", type=Path, metavar="SVG", help="draw baseline, policy and bound of each scenario")
    parser.add_argument("--weights", type=_weights, default={}, metavar="NAME=VALUE,...", help="of Dovetail, to try")
    parser.add_argument(
        "--perturb", type=float, metavar="FRACTION", help="such as 0.1: also with each weight 10 %% off"
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=os.cpu_count() or 1,
        help="runs at a time; pods_per_second is that of one beside others",
    )
    parser.add_argument("--share", type=_share, default=1.0, help="of machines and jobs, for a quick look")
    chosen = parser.parse_args(arguments)
    bars = []
    try:
        options = Options(chosen.traces, chosen.share)
        bounds = Bounds(compute=chosen.bounds)
        asked = scenarios(chosen.scenario or NAMES, options, bounds)
        able = [scenario for scenario in asked if chosen.policy in scenario.policies]
        if not able or (chosen.scenario and able != asked):
            unable = next(scenario for scenario in asked if scenario not in able)
            known = ", ".join(unable.policies)
            print(f"{unable.name}: no policy {chosen.policy}; there are: {known}", file=sys.stderr)
            return 2
        with _Runs(able, chosen) as runs:
            bars += [_measure(scenario, chosen, bounds, runs) for scenario in able]
    except TraceError as error:
        print(error, file=sys.stderr)
        return 2
    except WrongStateError as error:
        print(error, file=sys.stderr)
        return 1
    if chosen.plot is not None:
        chosen.plot.write_text(plot.svg(bars, chosen.policy))
    return 0


class _Runs:
    """All runs of the policy, several at a time: they know nothing of each other."""

    def __init__(self, asked: Sequence[Scenario], chosen: argparse.Namespace) -> None:
        self._chosen = chosen
        _SCENARIOS.clear()
        _SCENARIOS.update((scenario.name, scenario) for scenario in asked)
        self._weights = [chosen.weights, *(perturbed(chosen.weights, chosen.perturb) if chosen.perturb else [])]
        self._found: dict[tuple[str, int, int], Future[Figures]] = {}
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> "_Runs":
        # Forked, so that traces are read once and scenarios need not be sent.
        if self._chosen.jobs > 1:
            self._pool = ProcessPoolExecutor(self._chosen.jobs, get_context("fork"))
            for scenario in _SCENARIOS.values():
                self._start(self._pool, scenario)
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def seeds(self, scenario: Scenario) -> list[int]:
        """Those that it runs with."""
        found: list[int] = self._chosen.seeds[:STREAMS] if scenario.name.endswith("c") else self._chosen.seeds
        return found

    def _start(self, pool: ProcessPoolExecutor, scenario: Scenario) -> None:
        for at, weights in enumerate(self._weights):
            for seed in self.seeds(scenario):
                task = pool.submit(_run, scenario.name, self._chosen.policy, seed, weights)
                self._found[scenario.name, at, seed] = task

    def of(self, scenario: Scenario, at: int, seed: int) -> Figures:
        """What came out; `at` : 0 for the weights as they are, then the perturbed ones."""
        task = self._found.get((scenario.name, at, seed))
        if task is not None:
            return task.result()
        return _run(scenario.name, self._chosen.policy, seed, self._weights[at])

    def perturbed(self, scenario: Scenario) -> list[Figures]:
        """What came out with weights that are a little off."""
        return [self.of(scenario, at, seed) for at in range(1, len(self._weights)) for seed in self.seeds(scenario)]


_SCENARIOS: dict[str, Scenario] = {}


def _run(name: str, policy: str, seed: int, weights: Mapping[str, float]) -> Figures:
    return rounded(_SCENARIOS[name].run(policy, seed, weights))


def _measure(scenario: Scenario, chosen: argparse.Namespace, bounds: Bounds, found: _Runs) -> plot.Bars:
    policy = chosen.policy
    seeds = found.seeds(scenario)
    what = f"{scenario.name} {scenario.baseline} {scenario.on}"
    runs, baselines, limits = [], [], []
    for seed in seeds:
        limits.append(scenario.bound(seed))
        baselines.append(rounded(bounds.baseline(what, seed, partial(scenario.run, scenario.baseline, seed, SHIPPED))))
        runs.append(found.of(scenario, 0, seed))
        line = {"bench": "quality", "scenario": scenario.name, "policy": policy, "seed": seed, **runs[-1]}
        beside = {"baseline": {"policy": scenario.baseline, **baselines[-1]}, "bound": limits[-1]}
        print(json.dumps({**line, **beside}), flush=True)
    whole = {"bench": "quality", "scenario": scenario.name, "policy": policy, "seeds": list(seeds)}
    print(json.dumps({**whole, **summary(runs, baselines, limits)}), flush=True)
    if chosen.perturb:
        near = found.perturbed(scenario)
        print(json.dumps({**whole, "perturb": chosen.perturb, **summary(near, (), ())}), flush=True)
    scale = 1.0 if scenario.figure in {"alloc_at_100", "utilisation"} else 100.0
    values = [
        [scale * value for run in side if (value := run.get(scenario.figure)) is not None]
        for side in (baselines, runs, limits)
    ]
    return plot.Bars(
        f"{scenario.name} {scenario.figure}", *(statistics.fmean(each) if each else None for each in values)
    )


if __name__ == "__main__":
    sys.exit(main())
