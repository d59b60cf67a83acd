"""Pods that ask device plugins, into pods with a claim."""

import re
from dataclasses import dataclass, field
from typing import Any, Final

from scheduler.audit.labels import Requirement, cel_of, sort_of, unshared
from scheduler.audit.migrating.classes import is_known, part_selector, profile_of
from scheduler.audit.migrating.edits import Edits
from scheduler.audit.migrating.versions import V1
from scheduler.audit.rules.plugins import amounts_differ, count_of, first, fraction_annotations
from scheduler.audit.subjects import SECTIONS, Container, Group, Subject, Use
from scheduler.audit.tree import Fields, Items, Scalar
from scheduler.core.names import SCHEDULER_NAME

CLAIM: Final = "devices"  # the name of the entry in the pod
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_MOVED: Final = frozenset({"gpu", "mig", "other"})
_TRANSLATED: Final = frozenset({"attribute", "memory"})
_WHOLE_GPU: Final = "nvidia.com/gpu"
_OURS: Final = frozenset({"", "default-scheduler", SCHEDULER_NAME})
_SHARING_SCHEDULERS: Final = re.compile(r".*(hami|kai|runai|gpushare).*", re.IGNORECASE)
_MOST: Final = 32  # devices that one claim can have


@dataclass(slots=True)
class Wish:
    """What one pod needs: its containers' devices, and the CEL that its node labels meant."""

    requests: list[dict[str, Any]] = field(default_factory=list)
    containers: list[tuple[Container, list[str]]] = field(default_factory=list)  # and their requests
    classes: set[str] = field(default_factory=set)


def refusal(subject: Subject, group: Group) -> str:
    """Why a human has to migrate a pod; empty where nobody has to, or where there is nothing to do."""
    moved = [use for use in group.uses if use.device.sort in _MOVED]
    fractions = [use for use in group.uses if use.device.sort in {"fraction", "shared"}]
    if fractions:
        return f"asks for {fractions[0].resource}, a share of a GPU: choose a shared claim, consumable capacity or MIG"
    if not moved:
        return ""
    if not group.pod:
        return "says what it needs in its own words, not in a pod: render it, or use extended resources"
    if subject.api_version.startswith("serving.knative.dev/"):
        return "is run by Knative, which passes no claims on to its pods: keep the plugin, or use extended resources"
    if subject.kind.startswith("Ray"):
        return "is run by KubeRay, which counts GPUs by limits: set num-gpus of rayStartParams, then migrate by hand"
    if not all(container.node.get("image") is not None for container in group.containers):
        return "is a patch of a workload: migrate what comes out of kustomize build"
    if annotated := next(fraction_annotations(subject), None):
        return f"is annotated for the scheduler of others ({annotated[1]}): nothing here says what that asks for"
    if group.spec.text("nodeName"):
        return "names its node itself, so that no scheduler allocates its claims: use nodeSelector"
    if _SHARING_SCHEDULERS.fullmatch(group.spec.text("schedulerName")):
        return f"is scheduled by {group.spec.text('schedulerName')}, for which a GPU may be a share of one"
    if group.claims:
        return "has claims already beside a device plugin's resources: merge them by hand"
    early = [use for use in moved if use.container is not None and use.container.role != "containers"]
    if early:
        return "gives devices to an init container: decide whether both share one request"
    for use in moved:
        if use.container is None or use.resource not in use.container.node.fields("resources", use.section).entries:
            return f"asks for {use.resource} outside resources of a container"
        if reason := _unmovable(use):
            return reason
    if differing := next(amounts_differ(group), None):
        return f"asks for {differing[1]}: make them equal"
    if sum(count_of(use.amount) for use in first(moved)) > _MOST:
        return f"asks for more than {_MOST} devices, which no claim can have"
    if any(mixed(asked.requirement) for asked in subject.asked) and any(use.resource == _WHOLE_GPU for use in moved):
        return "runs on nodes that share or split GPUs under one name (single-strategy MIG or time slicing)"
    if not _NAME.fullmatch(base_name(subject)):
        return "has no name that a template could have"
    return ""


def _unmovable(use: Use) -> str:
    if not is_known(use.device.device_class) or not use.device.counted:
        return f"asks for {use.resource}, which no DeviceClass serves one for one"
    if use.device.sort == "mig" and not profile_of(use.resource):
        return f"asks for {use.resource}, which is no known MIG profile"
    if use.device.sort == "gpu" and use.resource != _WHOLE_GPU:
        return f"asks for {use.resource}, a name that this cluster gave: say which devices it means"
    if use.amount is None or not 1 <= count_of(use.amount) <= 32 or not re.fullmatch(r"[0-9]+", use.amount.text):
        return f"asks for {use.resource} in an amount that is not from 1 to 32"
    return ""


def other_scheduler(group: Group) -> str:
    """Whose decision a pod is, where that is neither Kubernetes' nor ours; empty otherwise."""
    name = group.spec.text("schedulerName")
    return "" if name in _OURS else name


def base_name(subject: Subject) -> str:
    """What an object is called, without what a generated name would go on with."""
    return subject.name.rstrip("-.")


def mixed(requirement: Requirement) -> bool:
    """Whether a label chooses nodes whose `nvidia.com/gpu` is not a whole GPU."""
    if requirement.operator == "NotIn":
        return False
    if requirement.key == "nvidia.com/mig.strategy":
        return "single" in requirement.values
    shared = sort_of(requirement.key) == "sharing" and "vgpu" not in requirement.key and not unshared(requirement)
    return shared or any("-SHARED" in value or "-MIG-" in value for value in requirement.values)


def wish(group: Group) -> Wish:
    """What to claim for a pod: one request for each container and resource."""
    made = Wish()
    for container in group.containers:
        named: list[str] = []
        seen: set[str] = set()
        for use in group.uses:
            if use.container is not container or use.device.sort not in _MOVED or use.resource in seen:
                continue
            seen.add(use.resource)
            exactly: dict[str, Any] = {"deviceClassName": use.device.device_class}
            count = count_of(use.amount)
            if count > 1:
                exactly["count"] = count
            if part := part_selector(use.resource):
                exactly["selectors"] = [{"cel": {"expression": part}}]
            request = _request_name(container.name, use.resource, {each["name"] for each in made.requests})
            made.requests.append({"name": request, "exactly": exactly})
            made.classes.add(use.device.device_class)
            named.append(request)
        if named:
            made.containers.append((container, named))
    return made


def _request_name(container: str, resource: str, taken: set[str]) -> str:
    base = re.sub(r"[^a-z0-9-]", "-", container.lower()).strip("-")[:40] or "main"
    if base in taken:
        base = f"{base}-{re.sub(r'[^a-z0-9-]', '-', resource.rpartition('/')[2].lower())}"[:55].strip("-")
    name, number = base, 2
    while name in taken:
        name, number = f"{base}-{number}", number + 1
    return name


def template(subject: Subject, made: Wish, name: str) -> dict[str, Any]:
    """The ResourceClaimTemplate of a pod."""
    metadata = {"name": name} | ({"namespace": subject.namespace} if subject.namespace else {})
    return {
        "apiVersion": V1,
        "kind": "ResourceClaimTemplate",
        "metadata": metadata,
        "spec": {"spec": {"devices": {"requests": made.requests}}},
    }


def claim(subject: Subject, group: Group, made: Wish, name: str, edits: Edits) -> None:
    """Make a pod use a template in place of the device plugin. Raises EditError."""
    for container, named in made.containers:
        resources = container.node.fields("resources")
        several = len(made.requests) > 1
        entries = [{"name": CLAIM, "request": each} if several else {"name": CLAIM} for each in named]
        edits.add(resources, "claims", entries)
        for section in sorted(SECTIONS):
            amounts = resources.fields(section)
            for use in group.uses:
                if use.container is container and use.device.sort in _MOVED and use.resource in amounts.entries:
                    edits.remove(amounts, use.resource)
    edits.add(group.spec, "resourceClaims", [{"name": CLAIM, "resourceClaimTemplateName": name}])
    if not made.classes & {"gpu.nvidia.com", "mig.nvidia.com"}:
        return  # labels of other vendors stay
    selectors = _labels(group.spec, edits)
    for request in made.requests:
        exactly = request["exactly"]
        split = exactly["deviceClassName"] == "mig.nvidia.com"
        # The memory label is that of the whole GPU, of which a MIG device has a part.
        meant = [each for each in selectors if not (split and "device.capacity" in each)]
        if exactly["deviceClassName"] in {"gpu.nvidia.com", "mig.nvidia.com"} and meant:
            exactly["selectors"] = exactly.get("selectors", []) + [{"cel": {"expression": each}} for each in meant]


def _labels(spec: Fields, edits: Edits) -> list[str]:
    """CEL for the node labels of a pod that say what its GPUs are like; those labels go."""
    found: list[str] = []
    selector = spec.fields("nodeSelector")
    for key, (_, value) in selector.entries.items():
        if sort_of(key) in _TRANSLATED and isinstance(value, Scalar):
            cel = cel_of(Requirement(key, "In", (value.text,)))
            if cel:
                found.append(cel)
                edits.remove(selector, key)
    required = spec.fields("affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    terms = required.get("nodeSelectorTerms")
    if not isinstance(terms, Items) or len(terms.children) != 1:
        return found  # terms are alternatives: one of several cannot become a condition of the device
    for term in required.list_of("nodeSelectorTerms"):
        for expression in term.list_of("matchExpressions"):
            values = tuple(scalar.text for scalar in expression.texts("values"))
            requirement = Requirement(expression.text("key"), expression.text("operator"), values)
            cel = cel_of(requirement) if sort_of(requirement.key) in _TRANSLATED else ""
            if cel:
                found.append(cel)
                edits.drop(expression)
    return found
