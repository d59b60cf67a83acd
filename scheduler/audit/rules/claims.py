"""Objects of resource.k8s.io, and pods that use them: what the API server would refuse, and what a scheduler cannot."""

import re
from collections.abc import Iterator
from typing import Final

from scheduler.audit.rules.base import Context, Hit
from scheduler.audit.shapes import REQUEST_FIELDS, misfits
from scheduler.audit.subjects import Group, Subject, pods
from scheduler.audit.tree import Fields, Scalar
from scheduler.core.errors import SelectorError

_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_CAPACITIES: Final = frozenset({"memory", "vram", "cores", "computeUnits", "multiprocessors", "millicores", "size"})
_READ_AS_ATTRIBUTE: Final = re.compile(r"device\.attributes(\[[^\]]*\]|\.\??[A-Za-z_]\w*)+")
_STEP: Final = re.compile(r"""["']([^"']*)["']|\.\??(\w+)""")
_OUTSIDE: Final = re.compile(r"\.requests\[\d+\]\.\w+ is not a field")
_GUARD: Final = re.compile(r"\bhas\(|\.\?|\[\?|orValue|\bin\s+device\.")
_ALWAYS: Final = {
    "gpu.nvidia.com": frozenset(
        {"type", "uuid", "productName", "brand", "architecture", "cudaComputeCapability", "driverVersion",
         "cudaDriverVersion", "memory"}
    ),
    "gpu.amd.com": frozenset({"type", "productName", "deviceID", "driverVersion", "memory", "computeUnits"}),
    "gpu.intel.com": frozenset({"model", "family", "memory", "millicores"}),
    "dra.net": frozenset(),
}  # fmt: skip
"""What every device of a driver publishes; of drivers that are not here nothing is known, and nothing is said."""
_OF_MIG: Final = _ALWAYS["gpu.nvidia.com"] | {"profile", "parentUUID"}
_WORDS: Final = {
    word.lower(): word
    for word in ("resourceClaims", "resourceClaimName", "resourceClaimTemplateName", "apiVersion", "deviceClassName",
                 "firstAvailable", "matchAttribute", "distinctAttribute", "allocationMode", "adminAccess", "exactly",
                 "extendedResourceName", "initContainers", "nodeSelector")
}  # fmt: skip


def specs(subject: Subject) -> Iterator[Fields]:
    """The ClaimSpecs of an object: of a claim, of a template."""
    if subject.kind == "ResourceClaim":
        yield subject.fields.fields("spec")
    elif subject.kind == "ResourceClaimTemplate":
        yield subject.fields.fields("spec", "spec")


def asked_devices(request: Fields) -> list[Fields]:
    """The mappings that say what a request wants: itself in old versions, what is under `exactly`, alternatives."""
    return [part for part in (request, request.fields("exactly"), *request.list_of("firstAvailable")) if part.entries]


def requests(subject: Subject) -> Iterator[Fields]:
    """The requests of a claim or template."""
    for spec in specs(subject):
        yield from spec.fields("devices").list_of("requests")


def flat(subject: Subject, _context: Context) -> Iterator[Hit]:
    """API010."""
    if not subject.dra:
        return
    for request in requests(subject):
        found = [key for key in request.entries if key in REQUEST_FIELDS]
        if found:
            yield Hit("API010", request.key(found[0]), f"request {request.text('name')} has {', '.join(found)}")


def classes(subject: Subject, _context: Context) -> Iterator[Hit]:
    """API011."""
    if not subject.dra:
        return
    for request in requests(subject):
        for part in asked_devices(request):
            name = part.get("deviceClassName")
            if isinstance(name, Scalar) and not (_SUBDOMAIN.fullmatch(name.text) and len(name.text) <= 253):
                yield Hit("API011", name, f"deviceClassName {name.text!r}")
    if subject.kind == "DeviceClass" and subject.name and not _SUBDOMAIN.fullmatch(subject.name):
        yield Hit("API011", subject.fields.fields("metadata").key("name"), f"name {subject.name!r}")


def expressions(subject: Subject) -> Iterator[tuple[Scalar, str]]:
    """(expression, class that is asked for) of each selector."""
    holders = [(part, part.text("deviceClassName")) for request in requests(subject) for part in asked_devices(request)]
    if subject.kind == "DeviceClass":
        holders.append((subject.fields.fields("spec"), subject.name))
    for holder, device_class in holders:
        for selector in holder.list_of("selectors"):
            expression = selector.fields("cel").get("expression")
            if isinstance(expression, Scalar):
                yield expression, device_class


def selectors(subject: Subject, _context: Context) -> Iterator[Hit]:
    """API012, API013, API017."""
    if not subject.dra:
        return
    for node, device_class in expressions(subject):
        problem, reads = _compiled(node.text)
        capacity = _capacity_as_attribute(node.text)
        if capacity:
            yield Hit("API012", node, f"{capacity} in {node.text!r}" + (f" ({problem})" if problem else ""))
        elif problem:
            yield Hit("API017", node, f"{node.text!r}: {problem}")
        else:
            lacking = [] if _GUARD.search(node.text) else [name for name in reads if _optional(name, device_class)]
            if lacking:
                yield Hit("API013", node, f"{', '.join(sorted(lacking))} in {node.text!r}")


def _compiled(text: str) -> tuple[str, frozenset[str]]:
    from scheduler.core.cel import compile_selector  # noqa: PLC0415 (takes a second to load; few manifests need it)

    try:
        selector = compile_selector(text)
    except SelectorError as error:
        return error.problem, frozenset()
    return "", selector.reads.attributes | selector.reads.capacity


def _capacity_as_attribute(text: str) -> str:
    if "quantity(" not in text:
        return ""
    for found in _READ_AS_ATTRIBUTE.finditer(text):
        steps = {(quoted or name).rpartition("/")[2] for quoted, name in _STEP.findall(found[0])}
        if steps & _CAPACITIES:
            return found[0]
    return ""


def _optional(name: str, device_class: str) -> bool:
    domain, _, identifier = name.rpartition("/")
    if domain not in _ALWAYS or identifier == "*":
        return False
    return identifier not in (_OF_MIG if device_class.startswith("mig") else _ALWAYS[domain])


def shape(subject: Subject, _context: Context) -> Iterator[Hit]:
    """API018, of objects of v1; what other rules name better is left to them."""
    if subject.api_version != "resource.k8s.io/v1":
        return
    for node, problem in misfits(subject.kind, subject.fields):
        field = problem.rpartition(" is not a field")[0].rpartition(".")[2]
        if field and (_misspelled(field) or (field in REQUEST_FIELDS and _OUTSIDE.search(problem))):
            continue
        yield Hit("API018", node, problem)
    for spec in specs(subject):
        yield from _contradictions(spec.fields("devices"))


def _contradictions(devices: Fields) -> Iterator[Hit]:
    names: set[str] = set()
    for request in devices.list_of("requests"):
        name = request.text("name")
        if name and not (_LABEL.fullmatch(name) and len(name) <= 63):
            yield Hit("API018", request.key("name"), f"request name {name!r} is not a DNS label")
        if name in names:
            yield Hit("API018", request.key("name"), f"request {name} is there twice")
        names.add(name)
        names |= {f"{name}/{each.text('name')}" for each in request.list_of("firstAvailable")}
        forms = [key for key in ("exactly", "firstAvailable") if request.get(key) is not None]
        if len(forms) != 1 and not REQUEST_FIELDS & set(request.entries):
            yield Hit(
                "API018", request, f"request {name} has {' and '.join(forms) or 'neither exactly nor firstAvailable'}"
            )
        for part in asked_devices(request):
            yield from _counted(part, name)
    for constraint in devices.list_of("constraints"):
        attributes = [key for key in ("matchAttribute", "distinctAttribute") if constraint.get(key) is not None]
        if len(attributes) != 1:
            yield Hit("API018", constraint, "a constraint has not exactly one of matchAttribute, distinctAttribute")
        for key in attributes:
            if "/" not in constraint.text(key):
                yield Hit("API018", constraint.key(key), f"{key} {constraint.text(key)!r} has no domain")
        for named in constraint.texts("requests"):
            if named.text not in names:
                yield Hit("API018", named, f"a constraint names request {named.text!r}, which is not there")


def _counted(part: Fields, name: str) -> Iterator[Hit]:
    mode, count = part.text("allocationMode"), part.text("count")
    if mode and mode not in {"ExactCount", "All"}:
        yield Hit("API018", part.key("allocationMode"), f"request {name}: allocationMode {mode!r} does not exist")
    if mode == "All" and count not in {"", "0"}:
        yield Hit("API018", part.key("count"), f"request {name} has a count though its mode is All")
    elif re.fullmatch(r"-?[0-9]{1,19}", count, re.ASCII) and mode != "All" and not 1 <= int(count) <= 32:
        yield Hit("API018", part.key("count"), f"request {name}: count {count} is not from 1 to 32")


def _misspelled(field: str) -> str:
    """The right spelling of a field that differs from it in case only; empty if it is right or nothing known."""
    right = _WORDS.get(field.lower(), "")
    return "" if right == field else right


def spelling(subject: Subject, _context: Context) -> Iterator[Hit]:
    """API014."""
    # Of other groups nobody here knows the fields: scorecards of operators do have an `apiversion`.
    version = subject.fields.text("apiversion").rpartition("/")[0]
    places: list[Fields] = [subject.fields] if "." not in version or version.endswith("k8s.io") else []
    if subject.dra:
        for spec in specs(subject):
            places.append(spec)
        for request in requests(subject):
            places.extend([request, request.fields("exactly"), *request.list_of("firstAvailable")])
        for spec in specs(subject):
            places.extend(spec.fields("devices").list_of("constraints"))
        places.append(subject.fields.fields("spec"))
    for group in pods(subject):
        places.extend([group.spec, *group.claims])
    seen: set[int] = set()
    for place in places:
        for key, (name, _) in place.entries.items():
            right = _misspelled(key)
            if right and id(name) not in seen:
                seen.add(id(name))
                yield Hit("API014", name, f"{key} instead of {right}")


def consumed(subject: Subject, _context: Context) -> Iterator[Hit]:
    """API015 and API019: entries of a pod, and what its containers name."""
    for group in pods(subject):
        named = {claim.text("name"): claim for claim in _named(group)}
        entries = {entry.text("name") for entry in group.claims}
        if any(name.lower() == "resourceclaims" and name != "resourceClaims" for name in group.spec.entries):
            continue  # misspelled, which API014 says
        complete = subject.kind in {"Pod", "Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "ReplicaSet"}
        if not _whole(group):
            continue  # a patch need not repeat what it leaves alone
        for entry in group.claims:
            if entry.text("name") not in named:
                yield Hit("API015", entry, f"entry {entry.text('name')}")
        for name, claim in named.items():
            if name not in entries and complete:
                yield Hit("API019", claim, f"claim {name}")


def _named(group: Group) -> Iterator[Fields]:
    for container in group.containers:
        yield from container.node.fields("resources").list_of("claims")


def _whole(group: Group) -> bool:
    """Whether it is a pod of its own and not a patch of one: its containers have images."""
    return all(container.node.get("image") is not None for container in group.containers)


def classes_asked(subject: Subject) -> frozenset[str]:
    """The DeviceClasses of a claim or template."""
    return frozenset(
        part.text("deviceClassName") for request in requests(subject) for part in asked_devices(request)
    ) - {""}


def administered(subject: Subject, _context: Context) -> Iterator[Hit]:
    """ADM001."""
    if not subject.dra:
        return
    for request in requests(subject):
        for part in asked_devices(request):
            value = part.get("adminAccess")
            if isinstance(value, Scalar) and value.text == "true":
                yield Hit("ADM001", part.key("adminAccess"), f"request {request.text('name')}")


RULES: Final = (flat, classes, selectors, shape, spelling, consumed, administered)
