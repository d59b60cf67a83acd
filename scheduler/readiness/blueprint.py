"""What each family of examples (`manifests/examples`) needs, and whether a cluster has it.

A need is met, missing or open; open means that what could be read does not tell. Each says why, and what would be done
about it. A family is ready when all of its needs are met; a gate that is on only by presumption meets a need, and one
that is off only by presumption leaves it open.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from scheduler.readiness import gates
from scheduler.readiness.facts import FITTING, Facts, Running
from scheduler.readiness.published import TRAITS, Placed
from scheduler.readiness.releases import table

Verdict = Literal["met", "missing", "open"]
MET: Final = "met"
MISSING: Final = "missing"
OPEN: Final = "open"
RESOURCE: Final = "resource.k8s.io/v1"
SUPPORTED: Final = 35
"""The oldest minor version that Dovetail supports."""


@dataclass(frozen=True, slots=True)
class Step:
    """What to do. order : the lower comes first."""

    order: int
    text: str


UPGRADE, GATES, PLUGINS, DRIVERS, OPTIONS, CLASSES, LINKS, ADDONS, RIGHTS = range(9)
"""Orders of steps: what others stand on comes first."""


@dataclass(frozen=True, slots=True)
class Need:
    """One thing that a family needs. step : what would meet it, None where it is met."""

    what: str
    verdict: Verdict
    why: str
    step: Step | None = None


Rule = Callable[[Facts], Need]


@dataclass(frozen=True, slots=True)
class Family:
    """A folder of manifests/examples: what it shows, and what it needs."""

    name: str
    about: str
    needs: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """A family in a cluster."""

    family: Family
    needs: tuple[Need, ...]

    @property
    def verdict(self) -> Literal["ready", "gap", "open"]:
        """gap : something is missing. open : nothing is known to be missing, and not everything is known."""
        verdicts = {each.verdict for each in self.needs}
        return "gap" if MISSING in verdicts else "open" if OPEN in verdicts else "ready"


def judged(facts: Facts, only: Sequence[str] = ()) -> tuple[Judged, ...]:
    """Every family, or those of these names."""
    families = [each for each in FAMILIES if not only or each.name in only]
    return tuple(Judged(family, tuple(rule(facts) for rule in family.needs)) for family in families)


def _count(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")


def _some(names: Sequence[str], most: int = 3) -> str:
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


_RIGHTS: Final = {
    "metrics": "let the account of --live get /metrics: without it the gates of the API server are guesses",
    "Node": "let the account of --live list nodes",
    "ResourceSlice": "let the account of --live list ResourceSlices",
    "DeviceClass": "let the account of --live list DeviceClasses",
    "DaemonSet": "let the account of --live list DaemonSets: releases of drivers stand in their images",
}


def right(facts: Facts, what: str) -> Step:
    """The permission that would tell what is not known, or a record where nobody asked a cluster."""
    if facts.record.plain or not facts.record.missing(what):
        return Step(RIGHTS, "record the cluster with `dovetail readiness --live --record FILE`")
    return Step(RIGHTS, _RIGHTS.get(what, f"let the account of --live read {what}"))


# ---------------------------------------------------------------- Kubernetes


def api(facts: Facts) -> Need:
    """resource.k8s.io/v1, without which there is nothing."""
    what = f"Kubernetes 1.{SUPPORTED} or newer with {RESOURCE}"
    step = Step(UPGRADE, f"upgrade to Kubernetes 1.{SUPPORTED} or newer, which Dovetail supports")
    record = facts.record
    if record.apis is None:
        return Need(what, OPEN, "which APIs are served is not known", right(facts, "APIs"))
    if RESOURCE not in record.apis:
        return Need(what, MISSING, f"served are {_some(sorted(record.apis)) or 'none of its versions'}", step)
    if record.minor is not None and record.minor < SUPPORTED:
        return Need(what, MISSING, f"it is served, but Dovetail does not support Kubernetes 1.{record.minor}", step)
    return Need(what, MET, "it is served")


def gate(name: str) -> Rule:
    """A feature gate of the API server, which must store the fields behind it."""

    def rule(facts: Facts) -> Need:
        found = facts.gate(name)
        what = f"feature gate {name}"
        text = f"turn on feature gate {name} in all components of the control plane and in the kubelets"
        later = gates.on_by_default(name)
        if later is not None and facts.record.minor is not None and facts.record.minor < later:
            text += f", or upgrade to Kubernetes 1.{later}, where it is on by default"
        step = Step(GATES, text)
        if found.usable:
            return Need(what, MET, f"{found.state}: {found.why}")
        if found.state == "off":
            if found.basis in {"version", "fields"}:
                step = Step(UPGRADE, f"upgrade to a Kubernetes that has {name}: {found.why}")
            return Need(what, MISSING, f"off: {found.why}", step)
        return Need(what, OPEN, f"{found.state}: {found.why}", right(facts, "metrics"))

    return rule


# ---------------------------------------------------------------- devices


def gpus(facts: Facts) -> Need:
    """Whole GPUs in ResourceSlices."""
    what = "GPUs in ResourceSlices"
    if facts.gpus:
        nodes = {each.node for each in facts.gpus}
        return Need(what, MET, f"{_count(len(facts.gpus), 'GPU')} on {_count(len(nodes), 'node')}")
    unread = facts.record.missing("ResourceSlice")
    if unread:
        return Need(what, OPEN, "ResourceSlices could not be read", right(facts, "ResourceSlice"))
    unknown = [each.published.driver for each in facts.drivers if each.devices == "unknown"]
    if unknown:
        return Need(what, OPEN, f"what {_some(unknown)} publishes is not in the table of drivers")
    why = "only parts of GPUs are published" if facts.of("gpu") else "no driver that is known to publish GPUs does"
    return Need(what, MISSING, why, Step(DRIVERS, "install the DRA driver of the GPUs' vendor"))


def memory(facts: Facts) -> Need:
    """The amount of memory that a GPU is chosen by."""
    what = "memory of GPUs as a capacity"
    if not facts.gpus:
        return Need(what, OPEN, "no GPUs are published")
    counted = Counter(each.driver for each in facts.gpus if TRAITS["memory"](each))
    lacking = Counter(each.driver for each in facts.gpus) - counted
    if not counted:
        step = Step(DRIVERS, "upgrade the driver, or look why it cannot read the memory of its GPUs")
        return Need(what, MISSING, f"{_some(sorted(lacking))} says nothing of it, or 0", step)
    why = f"{_count(sum(counted.values()), 'GPU')} of {_some(sorted(counted))}"
    return Need(what, MET, why + (f"; {_count(sum(lacking.values()), 'other')} without" if lacking else ""))


_SHIPPED: Final = {"GPUs": "gpu.nvidia.com", "parts of GPUs": "mig.nvidia.com", "NICs": "dra.net"}
"""The classes that the examples name."""


def gpu_class(facts: Facts) -> Need:
    """A class that takes GPUs and nothing else."""
    return _class(facts, facts.gpus, "GPUs")


def part_class(facts: Facts) -> Need:
    """A class that takes parts of GPUs."""
    return _class(facts, facts.parts, "parts of GPUs")


def nic_class(facts: Facts) -> Need:
    """A class that takes NICs and nothing else."""
    return _class(facts, facts.nics, "NICs")


def _class(facts: Facts, devices: Sequence[Placed], sort: str) -> Need:
    what = f"a DeviceClass for {sort}"
    found = facts.classes_of(devices) if devices else []
    if found:
        names = [each.name for each in found]
        other = (
            "" if _SHIPPED[sort] in names else f"; the examples name {_SHIPPED[sort]}, which is to be replaced in them"
        )
        return Need(what, MET, _some(names) + other)
    if facts.record.missing("DeviceClass"):
        return Need(what, OPEN, "DeviceClasses could not be read", right(facts, "DeviceClass"))
    if not devices:
        return Need(what, OPEN, f"no {sort} are published")
    driver = devices[0].driver
    shipped = table()[driver].classes if driver in table() else ()
    words = f"the DeviceClasses of {driver} ({', '.join(shipped)}), as its chart does" if shipped else ""
    own = f"a DeviceClass with the selector device.driver == '{driver}'"
    others = f" (there are {_some([each.name for each in facts.record.classes])})" if facts.record.classes else ""
    return Need(what, MISSING, f"none selects them{others}", Step(CLASSES, f"create {words or own}"))


# ---------------------------------------------------------------- topology


def links(facts: Facts) -> Need:
    """Two GPUs with a direct link, known to Dovetail."""
    what = "direct links between GPUs that are known"
    if not facts.gpus:
        return Need(what, OPEN, "no GPUs are published")
    if not facts.links:
        return Need(what, MISSING, "no node has two whole GPUs")
    linked = [each for each in facts.links if each.linked]
    blind = [each for each in facts.links if not each.known and not each.linked]
    if linked:
        sources = _some(sorted({each.source for each in linked}))
        rest = f"; of {_count(len(blind), 'node')} they are not known" if blind else ""
        most = max(each.linked for each in linked)
        return Need(
            what, MET, f"{len(linked)} of {_count(len(facts.links), 'node')}, up to {most} GPUs, from: {sources}{rest}"
        )
    if blind:
        text = "annotate nodes with dovetail.scheduler/links, or write ConfigMap dovetail-topology (README, links)"
        if "fabric partitions" in _optional(facts):
            text += "; the driver can also publish Fabric Manager partitions (gate FabricManagerPartitioning)"
        why = f"no source tells them on {_some([each.node for each in blind])}: {blind[0].source}"
        if all(each.node not in facts.nodes for each in blind):
            return Need(what, OPEN, why, right(facts, "Node"))
        return Need(what, OPEN, why, Step(LINKS, text))
    sources = _some(sorted({each.source for each in facts.links}))
    return Need(what, MISSING, f"no two GPUs of a node have one, from: {sources}")


def _optional(facts: Facts) -> set[str]:
    """Traits that the releases which run, or the newest ones, can publish behind gates of their own."""
    found = set()
    for each in facts.drivers:
        release = each.installed.release or (each.driver.newest if each.driver is not None else None)
        found |= {trait for traits in (release.options.values() if release else ()) for trait in traits}
    return found


def aligned(facts: Facts) -> Need:
    """GPU and NIC of one node with one value of an attribute that both drivers publish."""
    what = "GPU and NIC that one attribute keeps together"
    if not facts.gpus:
        return Need(what, OPEN, "no GPUs are published")
    if not facts.nics:
        step = Step(DRIVERS, "install a DRA driver for NICs, such as dranet")
        return Need(what, MISSING, "no driver publishes NICs" if not facts.of("nic") else "no NIC does RDMA", step)
    for attribute in FITTING:
        nodes = facts.alike(attribute)
        if nodes:
            return Need(what, MET, f"{attribute} on {_some(nodes)}")
    reasons = []
    for attribute in FITTING:
        counts = [
            f"{facts.telling(devices, attribute)} of {_count(len(devices), sort)}"
            for devices, sort in ((facts.gpus, "GPU"), (facts.nics, "NIC"))
        ]
        both = all(facts.telling(devices, attribute) for devices in (facts.gpus, facts.nics))
        reasons.append(f"{attribute}: {' and '.join(counts)} have it" + (", never the same on a node" if both else ""))
    upgrades = [text for each in facts.drivers if each.devices in {"gpu", "nic"} for text in _newer(each, "numaNode")]
    if upgrades:
        return Need(what, MISSING, "; ".join(reasons), Step(DRIVERS, "; ".join(upgrades)))
    text = "name numa, switches or rails in ConfigMap dovetail-topology: Dovetail's scores use them, claims cannot"
    return Need(what, MISSING, "; ".join(reasons), Step(LINKS, text))


def _newer(running: Running, trait: str) -> Iterator[str]:
    """An upgrade that would publish a trait."""
    newest = running.driver.newest if running.driver is not None else None
    if newest is None or newest is running.installed.release or trait in running.published.traits:
        return
    if trait in newest.publishes:
        yield f"upgrade {running.published.driver} to {newest.release} ({newest.date}), which publishes {trait}"


# ---------------------------------------------------------------- sharing


def shares(facts: Facts) -> Need:
    """GPUs that several claims may share."""
    what = "GPUs that several claims can share"
    if not facts.of("gpu"):
        return Need(what, OPEN, "no GPUs are published")
    found = [each for each in facts.of("gpu") if each.device.shareable]
    if found:
        capacities = sorted({name for each in found for name in each.device.capacity})
        return Need(what, MET, f"{_count(len(found), 'device')} with {_some(capacities, 5) or 'no capacity'}")
    return Need(what, MISSING, "none allows multiple allocations", _option(facts, "consumable capacity"))


def compute(facts: Facts) -> Need:
    """Shared GPUs whose compute is handed out as well."""
    what = "shared GPUs with compute as a capacity"
    if not facts.of("gpu"):
        return Need(what, OPEN, "no GPUs are published")
    shared = [each for each in facts.of("gpu") if each.device.shareable]
    found = [each for each in shared if {"cores", f"{each.driver}/cores"} & each.device.capacity.keys()]
    if found:
        drivers = _some(sorted({each.driver for each in found}))
        return Need(what, MET, f"{_count(len(found), 'device')} of {drivers} with capacity cores")
    why = "those that several claims can share have no capacity cores" if shared else "none allows multiple allocations"
    text = "run HAMi's DRA driver in place of gpu.nvidia.com on nodes whose GPUs are to be shared by compute"
    able = any(each.driver == "gpu.nvidia.com" for each in facts.of("gpu"))
    return Need(what, MISSING, why, Step(OPTIONS, text) if able else None)


def parts(facts: Facts) -> Need:
    """Parts of GPUs as devices of their own."""
    what = "parts of GPUs (MIG or compute partitions)"
    if not facts.of("gpu"):
        whole = gpus(facts)
        return Need(what, whole.verdict, whole.why, whole.step)
    if facts.parts:
        return Need(what, MET, f"{_count(len(facts.parts), 'part')} in ResourceSlices")
    return Need(what, MISSING, "all GPUs are published whole", _cutting(facts, "cut GPUs on their nodes"))


def mixed_parts(facts: Facts) -> Need:
    """Parts of several sizes."""
    what = "parts of at least two sizes"
    if not facts.parts:
        return Need(what, OPEN, "no parts are published")
    sizes = sorted({_size(each) for each in facts.parts})
    if len(sizes) > 1:
        return Need(what, MET, _some(sizes, 8))
    return Need(what, MISSING, f"all are {sizes[0]}", _cutting(facts, "cut GPUs into several sizes"))


def _size(each: Placed) -> str:
    """A part's profile, or its memory where it has none."""
    return each.model[3] or (each.memory.text if each.memory is not None else "of unknown size")


def _cutting(facts: Facts, text: str) -> Step:
    """By hand, or by a driver that can."""
    option = _option(facts, "shared counters")
    return Step(OPTIONS, f"{text} (the driver publishes the parts)" + (f", or {option.text}" if option else ""))


def counters(facts: Facts) -> Need:
    """The gate that stores counters, where parts draw on them."""
    if any(each.device.consumes for each in facts.parts):
        return gate("DRAPartitionableDevices")(facts)
    return Need("feature gate DRAPartitionableDevices", MET, "not needed: no part draws on counters")


def _option(facts: Facts, trait: str) -> Step | None:
    """How drivers that are there would publish a trait: by a gate of theirs, by an upgrade, or not at all."""
    for each in facts.drivers:
        if each.devices != "gpu" or each.driver is None or each.driver.newest is None:
            continue
        name, newest = each.published.driver, each.driver.newest
        for known in (each.installed.release or newest, newest):
            for option, traits in known.options.items():
                if trait not in traits:
                    continue
                if each.installed.gates.get(option):
                    return Step(OPTIONS, f"look into the log of {name}: its gate {option} is on, and nothing shows it")
                older = each.installed.version and known is not each.installed.release
                first = f"upgrade {name} to {newest.release} and " if older else ""
                return Step(OPTIONS, f"{first}turn on {name}'s own gate {option} (off by default)")
    return None


def sharing(option: str, what: str) -> Rule:
    """A gate of the driver's own for sharing the device of one claim, which no API shows."""
    return lambda facts: _sharing(facts, option, what)


def _sharing(facts: Facts, option: str, what: str) -> Need:
    if not facts.of("gpu"):
        return Need(what, OPEN, "no GPUs are published")
    able = []
    for each in facts.drivers:
        release = each.installed.release or (each.driver.newest if each.driver is not None else None)
        if each.devices != "gpu" or release is None or option not in release.sharing:
            continue
        able.append(each.published.driver)
        on = each.installed.gates.get(option)
        if on:
            return Need(what, MET, f"the containers of {each.published.driver} are given {option}=true")
        if on is False or (on is None and each.installed.version and each.installed.gates):
            step = Step(OPTIONS, f"turn on {each.published.driver}'s own gate {option} (off by default)")
            return Need(what, MISSING, f"its containers are not given {option}=true", step)
    if able:
        step = Step(OPTIONS, f"look whether {_some(able)} runs with its own gate {option} (off by default)")
        return Need(what, OPEN, "no API shows the gates of a driver, and its containers name none", step)
    return Need(what, MISSING, "no driver that is there is known to have any")


# ---------------------------------------------------------------- extended resources, plugins, add-ons


def extended_class(facts: Facts) -> Need:
    """A class behind the name of a device plugin's resource."""
    what = "a DeviceClass with extendedResourceName"
    found = [each for each in facts.record.classes if each.extended_resource]
    if found:
        return Need(what, MET, _some([f"{each.name} serves {each.extended_resource}" for each in found]))
    unread = facts.record.missing("DeviceClass")
    if unread:
        return Need(what, OPEN, "DeviceClasses could not be read", right(facts, "DeviceClass"))
    on = facts.gate("DRAExtendedResource").usable
    dropped = "" if on else "; the API server drops the field while DRAExtendedResource is off"
    step = Step(CLASSES, "set spec.extendedResourceName in the DeviceClass of the GPUs, such as nvidia.com/gpu")
    return Need(what, MISSING, f"none has one{dropped}", step)


def no_plugin(facts: Facts) -> Need:
    """Nodes whose GPUs only the driver hands out."""
    what = "no device plugin beside the driver"
    if facts.record.missing("Node") or not facts.record.nodes:
        return Need(what, OPEN, "nodes could not be read", right(facts, "Node"))
    if facts.doubly_served:
        node, resources = next(iter(facts.doubly_served.items()))
        more = f" and {_count(len(facts.doubly_served) - 1, 'other node')}" if len(facts.doubly_served) > 1 else ""
        why = f"{node}{more}: a plugin offers {_some(resources)} while a driver publishes the same devices"
        nodes = _some(list(facts.doubly_served))
        step = Step(PLUGINS, f"take the device plugin off {nodes} once `dovetail doublebook` shows no user of it")
        return Need(what, MISSING, why, step)
    return Need(what, MET, "no node offers resources of a plugin for devices that a driver publishes")


def served(*groups: str, what: str, step: str) -> Rule:
    """One of these API groups."""

    def rule(facts: Facts) -> Need:
        if facts.record.groups is None:
            return Need(what, OPEN, "which APIs are served is not known", right(facts, "APIs"))
        found = [group for group in groups if group in facts.record.groups]
        if found:
            return Need(what, MET, f"{_some(found)} is served")
        none = f"none of {', '.join(groups)}" if len(groups) > 1 else groups[0]
        return Need(what, MISSING, f"{none} is {'' if len(groups) > 1 else 'not '}served", Step(ADDONS, step))

    return rule


_GPU: Final = (api, gpus, gpu_class)
_METRICS: Final = served(
    "external.metrics.k8s.io", "custom.metrics.k8s.io", "keda.sh",
    what="a source of metrics for autoscaling", step="install prometheus-adapter or KEDA",
)  # fmt: skip
_MONITORS: Final = served(
    "monitoring.coreos.com", what="PodMonitor and ServiceMonitor", step="install the Prometheus operator's CRDs"
)
FAMILIES: Final = (
    Family("one-gpu", "a model on one GPU, chosen by memory", (*_GPU, memory)),
    Family("tensor-parallel", "2, 4 or 8 GPUs in one NVLink domain", (*_GPU, links)),
    Family("prefill-decode", "GPU and NIC side by side, for prefill and decode", (*_GPU, nic_class, aligned)),
    Family(
        "heterogeneous", "the first of several kinds of GPUs that is free", (*_GPU, memory, gate("DRAPrioritizedList"))
    ),
    Family(
        "extended-resource",
        "pods that ask for nvidia.com/gpu, served by DRA",
        (*_GPU, gate("DRAExtendedResource"), extended_class, no_plugin),
    ),
    Family("shared-claim", "several pods of one namespace on the GPU of one claim", _GPU),
    Family(
        "consumable-capacity",
        "many small models on shares of a GPU",
        (*_GPU, gate("DRAConsumableCapacity"), shares),
    ),
    Family(
        "consumable-compute",
        "small models on shares of a GPU's memory and compute",
        (*_GPU, gate("DRAConsumableCapacity"), compute),
    ),
    Family("mig", "models on parts of GPUs", (api, parts, part_class, counters)),
    Family("mig-mix", "parts of several sizes of one GPU", (api, parts, part_class, counters, mixed_parts)),
    Family(
        "time-slicing",
        "pods that take turns on a GPU",
        (*_GPU, sharing("TimeSlicingSettings", "time-slicing settings of the driver")),
    ),
    Family(
        "mps", "models on a GPU at the same time, by NVIDIA's MPS", (*_GPU, sharing("MPSSupport", "MPS by the driver"))
    ),
    Family("admin-monitoring", "a monitor that sees GPUs in use", (*_GPU, gate("DRAAdminAccess"))),
    Family("autoscaling", "replicas that follow load and free devices", (*_GPU, memory, _METRICS, _MONITORS)),
)
