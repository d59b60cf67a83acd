"""Two sets of manifests on one cluster: how many pods find a place before and after a migration."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from scheduler.core.errors import InputError
from scheduler.core.names import SCHEDULER_NAME
from scheduler.simulator.objects import Found, Objects, parse, read
from scheduler.simulator.run import SIMULATED, simulate

_TEMPLATED: Final = frozenset({"Deployment", "ReplicaSet", "StatefulSet", "Job"})


def compare(snapshot: Path, before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """Lines that say what becomes of the pods of manifests, by file name, on a cluster. Raises InputError.

    Every pod counts as one of ours, whichever scheduler it names. What the cluster has too is the cluster's.
    """
    cluster = read([snapshot])
    return "\n".join(f"{name}: {_outcome(cluster, texts)}" for name, texts in (("before", before), ("after", after)))


def _outcome(cluster: Objects, texts: Mapping[str, str]) -> str:
    known = {(each.kind, each.key) for each in cluster.found}
    found = list(cluster.found)
    try:
        for name, text in texts.items():
            found += [_ours(each) for each in parse(name, text).found if (each.kind, each.key) not in known]
        outcome = simulate(Objects(found), SIMULATED)
    except InputError as error:
        return f"cannot be simulated ({error})"
    placed, pending = len(outcome.decisions), len(outcome.pending)
    first = next(iter(sorted(outcome.pending.items())), None)
    return f"{placed} of {placed + pending} pods placed" + (f"; {first[0]}: {first[1]}" if first is not None else "")


def _ours(found: Found) -> Found:
    """The same object, its pods for our scheduler."""
    spec = found.raw.get("spec")
    if not isinstance(spec, dict):
        return found
    if found.kind == "Pod":
        return Found({**found.raw, "spec": {**spec, "schedulerName": SCHEDULER_NAME}}, found.where)
    template: Any = spec.get("template")
    if found.kind not in _TEMPLATED or not isinstance(template, dict) or not isinstance(template.get("spec"), dict):
        return found
    pod = {**template["spec"], "schedulerName": SCHEDULER_NAME}
    return Found({**found.raw, "spec": {**spec, "template": {**template, "spec": pod}}}, found.where)
