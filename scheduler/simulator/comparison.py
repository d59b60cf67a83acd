"""Two sets of manifests on one cluster: how many pods find a place before and after a migration."""

from collections.abc import Mapping
from pathlib import Path

from scheduler.core.errors import InputError
from scheduler.core.names import SCHEDULER_NAME
from scheduler.simulator.objects import Found, Objects, parse, read
from scheduler.simulator.run import SIMULATED, check, simulate
from scheduler.simulator.workloads import expand


def compare(snapshot: Path, before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """Lines that say what becomes of the pods of manifests, by file name, on a cluster. Raises InputError.

    Every pod counts as one of ours, whichever scheduler it names. What the cluster has too is the cluster's.
    """
    cluster = read([snapshot])
    return "\n".join(f"{name}: {_outcome(cluster, texts)}" for name, texts in (("before", before), ("after", after)))


def _outcome(cluster: Objects, texts: Mapping[str, str]) -> str:
    manifests = Objects()
    try:
        for name, text in texts.items():
            one = parse(name, text)
            manifests.found += one.found
            manifests.skipped.update(one.skipped)
        known = {(each.kind, each.key) for each in expand(cluster.found)}
        added = [each for each in manifests.found if (each.kind, each.key) not in known]
        check([*cluster.found, *added])
        found = [each if (each.kind, each.key) in known else _ours(each) for each in expand([*cluster.found, *added])]
        outcome = simulate(Objects(found), SIMULATED)
    except InputError as error:
        return f"cannot be simulated ({error})"
    placed, pending = len(outcome.decisions), len(outcome.pending)
    first = next(iter(sorted(outcome.pending.items())), None)
    left_out = ", ".join(f"{count} {kind}" for kind, count in sorted(manifests.skipped.items()))
    return (
        f"{placed} of {placed + pending} pods placed"
        + (f"; {first[0]}: {first[1]}" if first is not None else "")
        + (f"; not simulated: {left_out}" if left_out else "")
    )


def _ours(found: Found) -> Found:
    """A pod for our scheduler; any other object as it is."""
    spec = found.raw.get("spec")
    if found.kind != "Pod" or not isinstance(spec, dict):
        return found
    return Found({**found.raw, "spec": {**spec, "schedulerName": SCHEDULER_NAME}}, found.where)
