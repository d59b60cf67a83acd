"""Small random problems, and their optimum by a plain assignment program that shares nothing with the planner.

Every replica is assigned to a device by a variable of its own; GPUs, claims of tenants and counters are written out.
"""

import random

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from scheduler.sharing.wishes import COMPUTE, Model
from scheduler.simulator.fleet import fleet

GI = 2**30
BOXES = ("a100-one-bridge", "l40s-pcie", "dgx-a100-dynamic-mig", "a100-mig", "l4-pcie")
SIZES = (2, 3, 4, 5, 6, 8, 10, 12, 18, 20, 25, 30, 44)


def raws(seed: int) -> list[dict]:
    """A fleet of one or two nodes with one to three GPUs each; some of them can be shared."""
    dice = random.Random(seed)
    found: list[dict] = []
    for number in range(dice.randint(1, 2)):
        box = dice.choice(BOXES)
        objects = fleet({box: 1}, seed=number)
        keep = dice.randint(1, 3)
        for each in objects:
            name = f"n{number}"
            if each["kind"] == "Node":
                each["metadata"]["name"] = name
                each["metadata"]["labels"]["kubernetes.io/hostname"] = name
                continue
            spec = each["spec"]
            each["metadata"]["name"] = each["metadata"]["name"].replace(f"{box}-0", name)
            spec["nodeName"] = spec["pool"]["name"] = name
            shareable = dice.random() < 0.5
            if "devices" in spec:
                spec["devices"] = [each for each in spec["devices"] if int(each["name"].split("-")[1]) < keep]
                plain = not any("consumesCounters" in each or "-mig-" in each["name"] for each in spec["devices"])
                for device in spec["devices"] if plain and shareable else ():
                    share(device, dice.choice(("1Mi", "1Gi", "5Gi")))
        slices = [e for e in objects if e["kind"] == "ResourceSlice" and e["spec"].get("devices", True)]
        for each in slices:
            each["spec"]["pool"]["resourceSliceCount"] = len(slices)
        found += [each for each in objects if each["kind"] == "Node"] + slices
    return found


def share(device: dict, step: str) -> None:
    """Let several claims have a part of a device's memory."""
    device["allowMultipleAllocations"] = True
    value = device["capacity"]["memory"]["value"]
    policy = {"default": value, "validRange": {"min": step, "step": step}}
    if step == "1Mi":
        device["capacity"]["memory"] = {"value": value, "requestPolicy": policy}
    else:  # a range has to end with what the device has
        device["capacity"]["memory"] = {"value": "40Gi", "requestPolicy": {**policy, "default": "40Gi"}}


def models(seed: int) -> tuple[Model, ...]:
    """Two to six models with up to nine replicas in all."""
    dice = random.Random(seed + 10_000)
    found = []
    for number in range(dice.randint(2, 6)):
        spread = dice.choice(("none", "gpu", "gpu", "node"))
        found.append(
            Model(
                dice.choice(("red", "blue")),
                f"m{number}",
                dice.choice((1, 1, 1, 2, 3)),
                dice.choice(SIZES) * GI,
                dice.choice((350, 700, 1000, 1400, 2000, 3500, 5000)),
                dice.choice(("none", "none", "none", "memory", "full")),
                dice.choice(((), (), (), ("*A100*",), ("*L4*", "*a100*"))),
                spread,
            )
        )
    return tuple(found)


# ---------------------------------------------------------------- the independent program


def amount(text: str) -> int:
    units = {"Gi": 2**30, "Mi": 2**20}
    return int(text[:-2]) * units[text[-2:]] if text[-2:] in units else int(text)


def best(objects: list[dict], wanted: tuple[Model, ...]) -> tuple[int, int]:
    """The fewest replicas without a place, and the fewest GPUs with as many."""
    program = Program()
    gpus: dict[tuple[str, str], list[dict]] = {}
    counters: dict[tuple[str, str], dict[str, int]] = {}
    for each in objects:
        if each["kind"] != "ResourceSlice":
            continue
        node = each["spec"]["nodeName"]
        for device in each["spec"].get("devices", ()):
            number = device["name"].split("-")[1]
            gpus.setdefault((node, number), []).append(device)
        for found in each["spec"].get("sharedCounters", ()):
            number = found["name"].split("-")[1]
            counters[node, number] = {name: amount(c["value"]) for name, c in found["counters"].items()}
    replicas = [(row, model) for row, model in enumerate(wanted) for _ in range(model.replicas)]
    missing = [program.column(1000.0) for _ in replicas]
    given: list[list[int]] = [[] for _ in replicas]
    on_gpu: dict[tuple[int, tuple[str, str]], list[int]] = {}
    for key, devices in gpus.items():
        used = program.column(1.0)
        whole = program.column(0.0)  # all of it is somebody's
        tenant = {name: program.column(0.0) for name in ("red", "blue")}  # a claim of this tenant has all of it
        program.row([(whole, 1), *((each, 1) for each in tenant.values()), (used, -1)], -np.inf, 0)
        draws: dict[str, list[tuple[int, float]]] = {}
        for device in devices:
            name = device["attributes"]["productName"]["string"].lower()
            size = amount(device["capacity"]["memory"]["value"])
            part = device["attributes"]["type"]["string"] == "mig"
            inside: list[tuple[int, Model, int]] = []
            for i, (row, model) in enumerate(replicas):
                if model.products and not any(text.strip("*").lower() in name for text in model.products):
                    continue
                if part:
                    share_of = int(device["attributes"]["profile"]["string"][0]) * 1000
                    if model.isolation == "full" or model.memory > size or model.compute > share_of:
                        continue
                elif model.memory > size:
                    continue
                x = program.column(0.0)
                inside.append((x, model, i))
                given[i].append(x)
                on_gpu.setdefault((row, key), []).append(x)
                program.row([(x, 1), (used, -1)], -np.inf, 0)
            drawn = {
                c: amount(v["value"]) for use in device.get("consumesCounters", ()) for c, v in use["counters"].items()
            }
            if part:
                program.row([(x, 1) for x, _, _ in inside], -np.inf, 1)
                for counter, value in drawn.items():
                    draws.setdefault(counter, []).extend((x, value) for x, _, _ in inside)
                continue
            for counter, value in drawn.items():
                draws.setdefault(counter, []).extend((c, value) for c in (whole, *tenant.values()))
            if device.get("allowMultipleAllocations"):
                step = amount(device["capacity"]["memory"]["requestPolicy"]["validRange"]["step"])
                lone = []
                memory, compute = [], []
                for x, model, _ in inside:
                    rounded = -(-model.memory // step) * step
                    if model.isolation != "none" or rounded > size:
                        lone.append(x)
                    else:
                        memory.append((x, rounded))
                        compute.append((x, model.compute))
                program.row([*((x, 1) for x in lone), (whole, -1)], -np.inf, 0)
                program.row([*memory, (whole, size)], -np.inf, size)
                program.row([*compute, (whole, COMPUTE)], -np.inf, COMPUTE)
                continue
            program.row([*((x, 1) for x, m, _ in inside if m.isolation != "none"), (whole, -1)], -np.inf, 0)
            for name_, own in tenant.items():
                mine = [(x, m) for x, m, _ in inside if m.isolation == "none" and m.namespace == name_]
                program.row([*((x, m.memory) for x, m in mine), (own, -size)], -np.inf, 0)
                program.row([*((x, m.compute) for x, m in mine), (own, -COMPUTE)], -np.inf, 0)
        for counter, terms in draws.items():
            program.row(terms, -np.inf, counters[key][counter])
    for i, each in enumerate(given):
        program.row([*((x, 1) for x in each), (missing[i], 1)], 1, 1)
    for row, model in enumerate(wanted):
        if model.spread != "none":
            groups: dict[object, list[int]] = {}
            for (other, key), columns in on_gpu.items():
                if other == row:
                    groups.setdefault(key[0] if model.spread == "node" else key, []).extend(columns)
            for columns in groups.values():
                program.row([(x, 1) for x in columns], -np.inf, 1)
    cost = program.solve()
    return divmod(cost, 1000)


class Program:
    def __init__(self) -> None:
        self.cost: list[float] = []
        self.rows: list[tuple[list[tuple[int, float]], float, float]] = []

    def column(self, cost: float) -> int:
        self.cost.append(cost)
        return len(self.cost) - 1

    def row(self, terms: list[tuple[int, float]], low: float, high: float) -> None:
        if terms:
            scale = max(abs(value) for _, value in terms) or 1
            self.rows.append(([(column, value / scale) for column, value in terms], low / scale, high / scale))

    def solve(self) -> int:
        matrix = np.zeros((len(self.rows), len(self.cost)))
        for number, (terms, _, _) in enumerate(self.rows):
            for column, value in terms:
                matrix[number, column] += value
        low, high = (np.array([row[side] for row in self.rows]) for side in (1, 2))
        found = milp(
            self.cost, constraints=LinearConstraint(matrix, low, high), bounds=Bounds(0, 1),
            integrality=np.ones(len(self.cost)), options={"mip_rel_gap": 0.0},
        )  # fmt: skip
        assert found.status == 0
        return round(found.fun)
