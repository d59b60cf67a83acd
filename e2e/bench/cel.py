"""How long device selectors take: `python -m e2e.bench.cel [--devices N] [--repeats N] [--oracle PATH]`.

Twelve selectors over one fleet. Each line gives microseconds a device by the vectorised evaluator (median of the
repeats, tables filled) and by the scalar one (median over a sample of devices, same run), how long the first
evaluation took, which fills the tables, and how long one changed slice of eight devices takes. Verdicts are compared
on the sample.

With `--oracle`, Kubernetes' own evaluator answers in the same run, on the same devices. Its time is what a question
takes longer than one that does not compile (so reading the devices is left out), less what `true` takes longer on as
many devices without attributes (so writing the answers is left out too).
"""

import argparse
import json
import random
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from scheduler.core.cel import Selector, compile_selector, evaluate_scalar
from scheduler.core.columns import DeviceTable
from scheduler.core.errors import SelectorError
from scheduler.core.model import AttributeValue, Device, Version
from scheduler.core.quantity import Quantity, parse_quantity

GPU = 'device.attributes["gpu.nvidia.com"]'
MEMORY = 'device.capacity["gpu.nvidia.com"].memory'
MODELS = {
    "NVIDIA A10": "24Gi", "NVIDIA A30": "24Gi", "NVIDIA A100-SXM4-40GB": "40Gi", "NVIDIA A100-SXM4-80GB": "80Gi",
    "NVIDIA H100 80GB HBM3": "80Gi", "NVIDIA H100 NVL": "94Gi", "NVIDIA H200": "141Gi", "NVIDIA L4": "24Gi",
    "NVIDIA L40S": "48Gi", "NVIDIA B200": "180Gi",
}  # fmt: skip
SELECTORS = {
    "driver": 'device.driver == "gpu.nvidia.com"',
    "model": f'{GPU}.productName == "NVIDIA H100 80GB HBM3"',
    "pattern": f'{GPU}.productName.lowerAscii().matches("^.*(h100|h200|b200).*$")',
    "memory": f'{MEMORY}.compareTo(quantity("40Gi")) >= 0',
    "version": f'{GPU}.driverVersion.isGreaterThan(semver("550.54.0"))',
    "class": f'device.driver == "gpu.nvidia.com" && {GPU}.type == "gpu"',
    "index": f'"index" in {GPU} && {GPU}.index < 4',
    "list": f'{GPU}.productName in ["NVIDIA A100-SXM4-80GB", "NVIDIA H100 80GB HBM3", "NVIDIA H200"]',
    "exists": f'["A100", "H100", "H200"].exists(name, {GPU}.productName.contains(name))',
    "guarded": f"has({GPU}.mig) && {GPU}.mig == false || {GPU}.?healthy.orValue(true)",
    "several": f'device.driver == "gpu.nvidia.com" && {GPU}.architecture == "Hopper" && '
    f'{MEMORY}.isGreaterThan(quantity("70Gi")) && {GPU}.cudaComputeCapability.isGreaterThan(semver("8.9.0"))',
    "two columns": f"{GPU}.index + 1 <= {GPU}.minor * 2",
}


def fleet(count: int) -> DeviceTable:
    """A tenth of the devices are network cards, which have none of the attributes."""
    rng = random.Random(7)
    table = DeviceTable(count)
    for node in range(count // 8):
        model = rng.choice(list(MODELS))
        driver = "nic.example.com" if node % 10 == 9 else "gpu.nvidia.com"
        devices = []
        for i in range(8):
            attributes: dict[str, AttributeValue] = {"rdma": True}
            capacity: dict[str, Quantity] = {}
            if driver == "gpu.nvidia.com":
                attributes = {
                    "type": "gpu", "productName": model, "index": i, "minor": i, "uuid": f"GPU-{node:05d}-{i}",
                    "architecture": "Hopper" if " H" in model else "Ampere", "driverVersion": Version(rng.choice(
                        ["535.104.5", "550.54.15", "570.86.10"])), "cudaComputeCapability": Version(
                        "9.0.0" if " H" in model else "8.0.0"), "brand": "Nvidia",
                }  # fmt: skip
                if rng.random() < 0.5:
                    attributes["mig"] = rng.random() < 0.2
                if rng.random() < 0.3:
                    attributes["healthy"] = rng.random() < 0.9
                capacity = {"memory": parse_quantity(MODELS[model])}
            devices.append(Device(f"d{i}", attributes, capacity))
        table.add(driver, devices)
    return table


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def measure(
    name: str, expression: str, table: DeviceTable, other: DeviceTable, repeats: int, sample: list[int]
) -> dict[str, object]:
    compiling = seconds(lambda: compile_selector(expression))
    selector = compile_selector(expression)
    rows = slice(0, table.size)
    first = seconds(lambda: selector.evaluate(table, rows))
    vectorised = statistics.median(seconds(lambda: selector.evaluate(table, rows)) for _ in range(repeats)) / table.size
    verdicts = selector.evaluate(table, rows)
    selector.evaluate(other, slice(0, other.size))
    changed = statistics.median(_changed_slice(selector, other, i) for i in range(9))
    scalar, differences = [], 0
    for row in sample:
        device = contents(table, row)
        start = time.perf_counter()
        try:
            found = (evaluate_scalar(expression, *device), False)
        except SelectorError:
            found = (False, True)
        scalar.append(time.perf_counter() - start)
        differences += found != (bool(verdicts.match[row]), bool(verdicts.error[row]))
    return {
        "selector": name,
        "us_per_device": round(vectorised * 1e6, 5),
        "scalar_us_per_device": round(statistics.median(scalar) * 1e6, 1),
        "changed_slice_ms": round(changed * 1e3, 3),
        "first_ms": round(first * 1e3, 2),
        "compile_ms": round(compiling * 1e3, 2),
        "matches": int(verdicts.match.sum()),
        "errors": int(verdicts.error.sum()),
        "differences": differences,
    }


def _changed_slice(selector: Selector, table: DeviceTable, number: int) -> float:
    """Seconds for a slice whose eight devices are replaced by others with values never met."""
    span = table.add("gpu.nvidia.com", [_changed(number, i) for i in range(8)])
    taken = seconds(lambda: selector.evaluate(table, span.rows))
    table.remove(span)
    return taken


def _changed(number: int, i: int) -> Device:
    fresh = time.perf_counter_ns()
    attributes: dict[str, AttributeValue] = {
        "type": "gpu", "productName": f"NVIDIA H100 {fresh}-{i}", "index": fresh, "minor": fresh,
        "architecture": f"Hopper {fresh}", "driverVersion": Version(f"570.{number}.{fresh}"), "healthy": True,
        "cudaComputeCapability": Version("9.0.0"),
    }  # fmt: skip
    return Device(f"d{i}", attributes, {"memory": parse_quantity(f"{fresh}")})


class Oracle:
    """Kubernetes' evaluator in a process of its own, asked one question at a time."""

    def __init__(self, path: Path, table: DeviceTable) -> None:
        self._process = subprocess.Popen([str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._devices = json.dumps([_published(table, row) for row in np.flatnonzero(table.live).tolist()])
        self._count = int(table.live.sum())
        empty = json.dumps([{"name": "d"}] * self._count)
        self._reading = self._seconds("unknown", self._devices)
        self._writing = self._seconds("true", empty) - self._seconds("unknown", empty)

    def us_per_device(self, expression: str) -> float:
        """What an evaluation takes, without reading and writing."""
        return (self._seconds(expression, self._devices) - self._reading - self._writing) / self._count * 1e6

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _seconds(self, expression: str, devices: str) -> float:
        text = json.dumps(expression)
        question = f'{{"kind":"cel","driver":"gpu.nvidia.com","expression":{text},"devices":{devices}}}\n'.encode()
        return statistics.median(seconds(lambda: self._ask(question)) for _ in range(5))

    def _ask(self, question: bytes) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(question)
        self._process.stdin.flush()
        self._process.stdout.readline()


def _published(table: DeviceTable, row: int) -> dict[str, object]:
    """A device in the form of the API, under full names."""
    _, attributes, capacity = contents(table, row)
    kinds: dict[type, str] = {bool: "bool", int: "int", str: "string", Version: "version"}
    return {
        "name": f"d{row}",
        "attributes": {
            name: {kinds[type(value)]: value.text if isinstance(value, Version) else value}
            for name, value in attributes.items()
        },
        "capacity": {name: {"value": value.text} for name, value in capacity.items()},
    }


def contents(table: DeviceTable, row: int) -> tuple[str, dict[str, AttributeValue], dict[str, Quantity]]:
    attributes, capacity = (
        {name: column.values[column.codes[row]] for name, column in columns.items() if column.codes[row] >= 0}
        for columns in (table.attributes, table.capacity)
    )
    return table.drivers.values[table.drivers.codes[row]], attributes, capacity  # type: ignore[return-value]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=51)
    parser.add_argument("--sample", type=int, default=40)
    parser.add_argument("--oracle", type=Path)
    options = parser.parse_args()
    table, other = fleet(options.devices), fleet(options.devices)  # slices change in the other one
    compile_selector("true")  # builds the parser
    sample = random.Random(1).sample(range(table.size), options.sample)
    lines = [measure(name, text, table, other, options.repeats, sample) for name, text in SELECTORS.items()]
    if options.oracle is not None:
        oracle = Oracle(options.oracle, table)
        for line, text in zip(lines, SELECTORS.values(), strict=True):
            line["oracle_us_per_device"] = round(oracle.us_per_device(text), 3)
            line["ratio"] = round(float(str(line["oracle_us_per_device"])) / float(str(line["us_per_device"])))
        oracle.close()
    for line in lines:
        print(json.dumps(line))
    vectorised = [float(str(line["us_per_device"])) for line in lines]
    theirs = [float(str(line["oracle_us_per_device"])) for line in lines if "oracle_us_per_device" in line]
    summary: dict[str, object] = {
        "devices": table.size, "selectors": len(lines), "repeats": options.repeats, "sample": options.sample,
        "median_us_per_device": round(statistics.median(vectorised), 5), "worst_us_per_device": max(vectorised),
        "worst_changed_slice_ms": max(float(str(line["changed_slice_ms"])) for line in lines),
        "differences": sum(int(str(line["differences"])) for line in lines),
    }  # fmt: skip
    if theirs:
        summary["oracle_median_us_per_device"] = statistics.median(theirs)
        summary["ratio"] = round(sum(theirs) / sum(vectorised))
    print(json.dumps({"summary": summary}))


if __name__ == "__main__":
    main()
