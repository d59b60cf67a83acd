"""How long device selectors take: `python -m e2e.bench.cel [--devices N] [--repeats N]`.

Twelve selectors over one fleet. Each line gives microseconds a device by the vectorised evaluator (median of the
repeats, tables filled) and by the reference (median over a sample of devices, same run), and how long the first
evaluation took, which fills the tables. Verdicts are compared on the sample.
"""

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable

from scheduler.core.cel import compile_selector, evaluate_scalar
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


def measure(name: str, expression: str, table: DeviceTable, repeats: int, sample: list[int]) -> dict[str, object]:
    compiling = seconds(lambda: compile_selector(expression))
    selector = compile_selector(expression)
    rows = slice(0, table.size)
    first = seconds(lambda: selector.evaluate(table, rows))
    vectorised = statistics.median(seconds(lambda: selector.evaluate(table, rows)) for _ in range(repeats)) / table.size
    verdicts = selector.evaluate(table, rows)
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
    reference = statistics.median(scalar)
    return {
        "selector": name,
        "us_per_device": round(vectorised * 1e6, 5),
        "reference_us_per_device": round(reference * 1e6, 1),
        "ratio": round(reference / vectorised),
        "first_ms": round(first * 1e3, 2),
        "compile_ms": round(compiling * 1e3, 2),
        "matches": int(verdicts.match.sum()),
        "errors": int(verdicts.error.sum()),
        "differences": differences,
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
    options = parser.parse_args()
    table = fleet(options.devices)
    compile_selector("true")  # builds the parser
    sample = random.Random(1).sample(range(table.size), options.sample)
    lines = [measure(name, text, table, options.repeats, sample) for name, text in SELECTORS.items()]
    for line in lines:
        print(json.dumps(line))
    vectorised = [float(str(line["us_per_device"])) for line in lines]
    reference = [float(str(line["reference_us_per_device"])) for line in lines]
    summary = {
        "devices": table.size, "selectors": len(lines), "repeats": options.repeats, "sample": options.sample,
        "median_us_per_device": round(statistics.median(vectorised), 5), "worst_us_per_device": max(vectorised),
        "ratio": round(sum(reference) / sum(vectorised)),
        "differences": sum(int(str(line["differences"])) for line in lines),
    }  # fmt: skip
    print(json.dumps({"summary": summary}))


if __name__ == "__main__":
    main()
