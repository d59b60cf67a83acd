"""`dovetail simulate` and `dovetail explain --file`: files in, a table or one v1 List out.

Exit codes: 0 all pods of ours are bound, 1 one stays pending, 2 bad input, 3 a fault of ours.
"""

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TextIO

from ruamel.yaml import YAML
from ruamel.yaml.representer import SafeRepresenter

from scheduler.core.config import EngineConfig
from scheduler.core.errors import FaultError, InputError
from scheduler.core.explain import render, to_dict
from scheduler.simulator import fleet as machines
from scheduler.simulator import report
from scheduler.simulator.maps import node_maps, plain
from scheduler.simulator.objects import Raw, read
from scheduler.simulator.run import SIMULATED, Outcome
from scheduler.simulator.run import simulate as run

MAX_NODES: Final = 20_000
OUTPUTS: Final = ("table", "yaml", "json")
# What YAML 1.1, which kubectl reads, takes for something else than text.
_AMBIGUOUS: Final = re.compile(r"y|n|yes|no|on|off|true|false|null|~|=|<<|[-+.]?[0-9].*", re.IGNORECASE)


def simulate(
    files: Sequence[Path], output: str, config: EngineConfig | None = None, *, first_fit: bool, fleet: str = ""
) -> int:
    """Run the scheduler on objects from files, and print what becomes of them. Returns the exit code.

    fleet : made-up machines and their DeviceClasses beside the objects, as `fleet.stated` reads them; empty for none.
    """
    if output not in OUTPUTS:
        return _refuse(f"output {output}: is not one of {', '.join(OUTPUTS)}")
    config = config or SIMULATED
    if first_fit:
        config = replace(config, device_choice="first-fit")
    try:
        outcome = run(read(files, made(fleet) if fleet else ()), config)
    except InputError as error:
        return _refuse(str(error))
    except FaultError as error:
        return _fault(error)
    if output == "table":
        report.show(outcome, node_maps(outcome.objects, config.spellings), report.console())
    else:
        write(outcome.objects, output, sys.stdout)
    return 1 if outcome.pending else 0


def made(words: str) -> list[Raw]:
    """Nodes, slices and DeviceClasses of a fleet in words. Raises InputError."""
    try:
        counts, nics = machines.stated(words)
    except ValueError as error:
        raise InputError("--fleet", str(error)) from error
    if sum(count * machines.box_of(box).nodes for box, count in counts.items()) > MAX_NODES:
        raise InputError("--fleet", f"{words}: is more than {MAX_NODES} nodes")
    return [*machines.device_classes(), *machines.fleet(counts, nics=nics)]


def explain(pod: str, files: Sequence[Path], config: EngineConfig | None = None) -> int:
    """Say why a pod goes where it goes when these files are simulated. Returns the exit code."""
    namespace, slash, name = pod.partition("/")
    if not (namespace and slash and name) or "/" in name:
        return _refuse(f"pod {pod}: is not of the form NAMESPACE/POD")
    try:
        outcome = run(read(files), config or SIMULATED)
    except InputError as error:
        return _refuse(str(error))
    except FaultError as error:
        return _fault(error)
    text, code = why(pod, outcome)
    print(plain_lines(text), file=sys.stdout if code == 0 or pod in outcome.pending else sys.stderr)
    return code


def why(pod: str, outcome: Outcome) -> tuple[str, int]:
    """The explanation of one pod, and the exit code that goes with it."""
    decision = outcome.decisions.get(pod)
    if decision is not None:
        return render(to_dict(decision)), 0
    if pod in outcome.pending:
        return f"{pod} is pending: {outcome.pending[pod]}", 1
    for raw in outcome.objects:
        if raw["kind"] == "Pod" and f"{raw['metadata']['namespace']}/{raw['metadata']['name']}" == pod:
            spec = raw.get("spec") or {}
            if spec.get("nodeName"):
                return f"{pod} was on node {spec['nodeName']} from the beginning", 0
            return f"{pod} is for scheduler {spec.get('schedulerName') or 'default-scheduler'}", 0
    return f"pod {pod}: not found", 1


def write(objects: Sequence[Raw], output: str, stream: TextIO) -> None:
    """One v1 List, for kubectl and for decoding."""
    whole = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    if output == "json":
        json.dump(whole, stream, indent=2)
        stream.write("\n")
        return
    yaml = YAML(typ="safe", pure=True)
    yaml.Representer = _Representer
    yaml.default_flow_style = False
    yaml.width = 4096
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    # Through JSON: what is shared between objects is written out, without anchors.
    yaml.dump(json.loads(json.dumps(whole)), stream)


class _Representer(SafeRepresenter):
    """Quotes what another version of YAML would not read as text."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(representer: SafeRepresenter, data: str) -> Any:
    style = "'" if _AMBIGUOUS.fullmatch(data) else None
    return representer.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Representer.add_representer(str, _text)


def plain_lines(text: str) -> str:
    """Without what could steer a terminal, line breaks kept."""
    return "\n".join(plain(line) for line in text.split("\n"))


def _refuse(words: str) -> int:
    print(plain_lines(words), file=sys.stderr)
    return 2


def _fault(error: FaultError) -> int:
    print(f"a fault in Dovetail itself, please report it: {plain_lines(str(error))}", file=sys.stderr)
    return 3
