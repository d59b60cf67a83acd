"""`dovetail demo`: a bundled fleet and bundled inference workloads, placed twice by the same engine.

Once each pod gets the best-scored device set of its node, once the first devices that fit, in name order. Everything
else is the same, so the difference in the figures is what choosing devices is worth here. Nothing is recorded: every
number is measured on the objects that the two runs leave behind.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from scheduler.core.config import EngineConfig
from scheduler.simulator import report
from scheduler.simulator.fleet import device_classes, fleet
from scheduler.simulator.maps import NodeMap, node_maps
from scheduler.simulator.objects import Found, parse
from scheduler.simulator.run import SIMULATED, Outcome, Simulation
from scheduler.simulator.workloads import expand

FLEET: Final[Mapping[str, int]] = {
    "dgx-h100": 2,
    "dgx1-v100": 2,
    "a100-pcie-bridged": 3,
    "a100-mig": 1,
    "nvl72": 1,
}
_WORKLOAD_KINDS: Final = frozenset({"Deployment", "Job"})
_NOTHING: Final = "–"


@dataclass(frozen=True, slots=True)
class Figures:
    """What a run is worth.

    together : bound pods that hold two or more devices which links could join; linked : those in which every pair has
    a direct link; worst_gbps : the mean over `together` of the slowest pair's GB/s, where no link counts 0; near :
    those inside one NUMA node. islands : sets of linked devices inside a node; whole : those that are all free.
    """

    bound: int
    pending: int
    together: int
    linked: int
    worst_gbps: float
    near: int
    islands: int
    whole: int


def measure(outcome: Outcome, maps: Sequence[NodeMap], box: str = "") -> Figures:
    """Figures of an outcome, or of the part of it on nodes whose name begins with `box`."""
    chosen = [each for each in maps if each.node.startswith(box)]
    worst: list[float] = []
    near = 0
    pods: set[str] = set()
    for each in chosen:
        held: dict[str, list[int]] = {}
        for row, seat in enumerate(each.seats):
            for holder in seat.holders:
                held.setdefault(holder, []).append(row)
        pods |= held.keys()
        for rows in held.values():
            slowest = each.worst_link(each.seats[row].identity for row in rows)
            if slowest is not None:
                worst.append(slowest)
                near += len({int(each.layout.numa[row]) for row in rows}) == 1
    islands = [(each, island) for each in chosen for island in each.islands]
    return Figures(
        bound=len(pods.intersection(outcome.bound)) if box else len(outcome.bound),
        pending=0 if box else len(outcome.pending),
        together=len(worst),
        linked=sum(speed > 0 for speed in worst),
        worst_gbps=sum(worst) / len(worst) if worst else 0.0,
        near=near,
        islands=len(islands),
        whole=sum(not any(each.seats[row].holders for row in island) for each, island in islands),
    )


def waves() -> list[tuple[list[Found], list[str]]]:
    """What comes, wave by wave, and keys of the pods that leave before it comes."""
    text = (files("scheduler.simulator") / "demo.yaml").read_text(encoding="utf-8")
    found = parse("demo.yaml", text).found
    arriving: dict[int, list[Found]] = {1: [each for each in found if each.kind not in _WORKLOAD_KINDS]}
    leaving: dict[int, list[str]] = {}
    for each in found:
        if each.kind in _WORKLOAD_KINDS:
            labels = each.raw["metadata"]["labels"]
            made = expand([each])
            arriving.setdefault(int(labels["wave"]), []).extend(made)
            if "leaves" in labels:
                leaving.setdefault(int(labels["leaves"]), []).extend(pod.key for pod in made if pod.kind == "Pod")
    return [(arriving[number], leaving.get(number, [])) for number in sorted(arriving)]


def play(config: EngineConfig, progress: Callable[[int, int], None] = lambda bound, ours: None) -> Outcome:
    """One run through all waves. `progress` hears how many pods are bound and how many there are."""
    hardware = fleet(FLEET) + device_classes()
    simulation = Simulation(hardware, config, lambda state: progress(state.bound, state.ours))
    for arriving, leaving in waves():
        for key in leaving:
            simulation.api.delete("Pod", key)
        for each in sorted(arriving, key=lambda each: (each.kind == "Pod", each.kind, each.key)):
            simulation.api.create(each.raw)
        simulation.settle()
    return simulation.outcome()


def demo() -> int:
    """Run it and show it. Exit code 0."""
    out = report.console()
    scored, first_fit = _runs(out)
    maps, other_maps = node_maps(scored.objects), node_maps(first_fit.objects)
    out.print(Text("\nPlaced by score", style="bold underline"))
    for part in report.device_map(maps):
        out.print(part)
    for each in scored.pending.values():
        out.print(Text.assemble(("pending  ", "bold red"), each), soft_wrap=True)
    out.print(boxes(scored, maps, first_fit, other_maps))
    out.print()
    for line in difference(measure(scored, maps), measure(first_fit, other_maps)):
        out.print(Text(line), soft_wrap=True)
    return 0


def _runs(out: Console) -> tuple[Outcome, Outcome]:
    nodes = sum(raw["kind"] == "Node" for raw in fleet(FLEET))
    devices = sum(len(raw["spec"]["devices"]) for raw in fleet(FLEET) if raw["kind"] == "ResourceSlice")
    pods = sum(each.kind == "Pod" for arriving, _ in waves() for each in arriving)
    kinds = ", ".join(f"{count} {box}" for box, count in FLEET.items())
    out.print(Text(f"{nodes} nodes with {devices} devices: {kinds}"))
    out.print(Text(f"{pods} inference pods arrive in {len(waves())} waves; some leave in between"))
    columns = (
        TextColumn("{task.description:<22}"), BarColumn(), MofNCompleteColumn(), TextColumn("pods bound"),
        TimeElapsedColumn(),
    )  # fmt: skip
    outcomes = []
    with Progress(*columns, console=out) as bars:
        for words, config in (("devices by score", SIMULATED), ("devices by first fit", first_fit_config())):
            task = bars.add_task(words, total=pods)
            outcomes.append(play(config, lambda bound, ours, task=task: bars.update(task, completed=bound, total=ours)))  # type: ignore[misc]
    return outcomes[0], outcomes[1]


def first_fit_config() -> EngineConfig:
    """As SIMULATED, but with the first devices that fit."""
    return replace(SIMULATED, device_choice="first-fit")


def boxes(scored: Outcome, maps: Sequence[NodeMap], first_fit: Outcome, other_maps: Sequence[NodeMap]) -> Table:
    """The figures by kind of box, both runs side by side."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", title_justify="left")
    table.add_column("BOX")
    for words in (
        "MULTI-GPU PODS",
        "ALL PAIRS LINKED",
        "WORST PAIR GB/s, MEAN",
        "IN ONE NUMA NODE",
        "ISLANDS LEFT WHOLE",
    ):
        table.add_column(words, justify="right")
    for box in (*FLEET, ""):
        a, b = measure(scored, maps, box), measure(first_fit, other_maps, box)
        table.add_row(
            box or "all",
            _both(a.together, b.together),
            _both(f"{a.linked}" if a.together else _NOTHING, f"{b.linked}" if b.together else _NOTHING),
            _both(_speed(a), _speed(b)),
            _both(f"{a.near}" if a.together else _NOTHING, f"{b.near}" if b.together else _NOTHING),
            _both(f"{a.whole}/{a.islands}", f"{b.whole}/{b.islands}") if a.islands else _NOTHING,
            style="" if box else "bold",
        )
    table.caption = "left by score, right by first fit"
    table.caption_justify = "left"
    return table


def _both(a: object, b: object) -> str:
    return f"{a} | {b}"


def _speed(figures: Figures) -> str:
    return f"{figures.worst_gbps:.0f}" if figures.together else _NOTHING


def difference(scored: Figures, first_fit: Figures) -> list[str]:
    """What differs, in words and figures."""
    return [
        _say(
            "multi-GPU pods with a direct link between all of their devices",
            f"{scored.linked} of {scored.together}",
            f"{first_fit.linked} of {first_fit.together}",
        ),
        _say("slowest pair of a pod, on average", f"{scored.worst_gbps:.0f} GB/s", f"{first_fit.worst_gbps:.0f} GB/s"),
        _say(
            "multi-GPU pods inside one NUMA node",
            f"{scored.near} of {scored.together}",
            f"{first_fit.near} of {first_fit.together}",
        ),
        _say(
            "sets of linked devices left whole for what comes next",
            f"{scored.whole} of {scored.islands}",
            f"{first_fit.whole} of {first_fit.islands}",
        ),
        _say("pods pending", f"{scored.pending}", f"{first_fit.pending}"),
    ]


def _say(what: str, by_score: str, by_first_fit: str) -> str:
    if by_score == by_first_fit:
        return f"{what}: {by_score} either way"
    return f"{what}: {by_score} by score, {by_first_fit} by first fit"
