"""The shipped recording rules, as Prometheus reads them."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from ruamel.yaml import YAML

from e2e.api import Raw

FASTER: Mapping[str, str] = {"15s": "1s", "2m": "6s", "1m": "6s"}
"""What intervals and windows are where a test is bounded in time. Nothing else of the rules is changed."""


def rules_file(items: Sequence[Raw], path: Path, times: Mapping[str, str] = FASTER) -> Path:
    """Write the rules of the PrometheusRule among some objects."""
    [spec] = [item["spec"] for item in items if item["kind"] == "PrometheusRule"]
    for group in spec["groups"]:
        group["interval"] = times.get(group["interval"], group["interval"])
        for rule in group["rules"]:
            rule["expr"] = re.sub(r"\[(\w+)\]", lambda found: f"[{times.get(found[1], found[1])}]", rule["expr"])
    with path.open("w") as file:
        YAML(typ="safe", pure=True).dump(spec, file)
    return path
