"""The answer: what a cluster has, what it lacks for the blueprint, and what to do next, in this order."""

from dataclasses import dataclass

from scheduler.readiness import changes as changing
from scheduler.readiness.blueprint import LINKS, MISSING, RIGHTS, Judged, Step, judged, right
from scheduler.readiness.changes import Change
from scheduler.readiness.facts import Facts, Running
from scheduler.readiness.gates import NEWEST, Known, overrides
from scheduler.readiness.record import Record

KINDS = ("DeviceTaintRule", "ResourcePoolStatusRequest", "PodGroup", "Workload")
"""Kinds that are not in every cluster that has DRA."""
REMOVED = {"v1beta1": 38, "v1beta2": 39}
"""The minor versions of Kubernetes that no longer have a version of resource.k8s.io."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """All that is to say. versions : of resource.k8s.io and scheduling.k8s.io, served with which kinds.

    kinds : those of KINDS with the versions that serve them; none where it is not known what is served.
    steps : what to do, with the families that it serves; the first comes first.
    """

    record: Record
    versions: tuple[tuple[str, tuple[str, ...]], ...]
    kinds: tuple[tuple[str, tuple[str, ...]], ...]
    gates: tuple[Known, ...]
    drivers: tuple[Running, ...]
    families: tuple[Judged, ...]
    changes: tuple[Change, ...]
    steps: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def ready(self) -> bool:
        """Whether every family is."""
        return all(each.verdict == "ready" for each in self.families)


def assess(record: Record, only: tuple[str, ...] = ()) -> Assessment:
    """Judge a cluster. only : families by name, all if it is empty."""
    facts = Facts(record)
    families = judged(facts, only)
    apis = record.apis or {}
    return Assessment(
        record,
        tuple((version, tuple(sorted(kinds))) for version, kinds in sorted(apis.items())),
        tuple(
            (kind, tuple(version for version, kinds in sorted(apis.items()) if kind in kinds))
            for kind in (KINDS if record.apis is not None else ())
        ),
        facts.gates,
        facts.drivers,
        families,
        changing.changes(facts),
        _steps(facts, families),
    )


def differences(running: Running) -> tuple[str, ...]:
    """What a driver publishes and its release does not or the other way round, and what newer releases add."""
    found = running.published.traits
    release = running.installed.release
    said: list[str] = []
    if release is not None:
        silent = [trait for trait in release.publishes if trait not in found]
        if silent:
            said.append(f"{release.release} can publish {', '.join(silent)}, and no device has it")
        said += [
            f"its gate {name} is on, and no device shows {', '.join(traits)}"
            for name, traits in release.options.items()
            if running.installed.gates.get(name) and not set(traits) & set(found)
        ]
    newest = running.driver.newest if running.driver is not None else None
    if newest is not None and newest is not release:
        more = [trait for trait in newest.publishes if trait not in found]
        options = [(name, traits) for name, traits in newest.options.items() if not set(traits) & set(found)]
        more += [f"{', '.join(traits)} ({name})" for name, traits in options]
        adds = f", which can also publish {', '.join(more)}" if more else ""
        said.append(f"the newest release in the table is {newest.release} ({newest.date}){adds}")
    return tuple(said)


def _steps(facts: Facts, families: tuple[Judged, ...]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    serves: dict[Step, list[str]] = {}
    for each in families:
        for need in each.needs:
            if need.step is not None:
                serves.setdefault(need.step, []).append(each.family.name)
    for step in _own(facts):
        serves.setdefault(step, [])
    # What is missing before what is not known, at the same height.
    missing = {need.step for each in families for need in each.needs if need.verdict == MISSING}
    order = sorted(serves, key=lambda step: (step.order, step not in missing))
    return tuple((step.text, tuple(dict.fromkeys(serves[step]))) for step in order)


def _own(facts: Facts) -> list[Step]:
    """What no family asks for."""
    found = []
    told = overrides(facts.record, facts.gates)
    if told:
        pairs = ", ".join(f"{name}: {str(on).lower()}" for name, on in sorted(told.items()))
        found.append(Step(LINKS, f"tell Dovetail what differs from the version's defaults: featureGates: {{{pairs}}}"))
    for version in facts.record.apis or {}:
        name = version.rpartition("/")[2]
        if version.startswith("resource.k8s.io/") and name in REMOVED:
            text = f"move what still uses resource.k8s.io/{name}, which Kubernetes 1.{REMOVED[name]} does not have"
            found.append(Step(LINKS, f"{text}; `dovetail audit` finds it in manifests"))
    found += [right(facts, what) for what, _ in facts.record.unread]
    minor = facts.record.minor
    if minor is not None and minor > NEWEST:
        found.append(Step(RIGHTS, f"look at Kubernetes 1.{minor} yourself: this table ends with 1.{NEWEST}"))
    return found
