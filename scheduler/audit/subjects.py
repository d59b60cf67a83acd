"""One object as the rules see it: its pods and whatever else asks for devices, wherever in it they stand.

A pod is any mapping with a list of `containers`, so that workloads of all kinds, custom resources, patches and values
of charts are read alike. What asks for devices outside of a pod (`resources` of a predictor, values, a JSON patch) is
a loose group.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from scheduler.audit.devices import Device, device_of
from scheduler.audit.labels import Requirement, sort_of
from scheduler.audit.tree import Fields, Items, Node, Scalar, TreeError, parse

CONTAINERS: Final = ("initContainers", "containers", "ephemeralContainers")
SECTIONS: Final = frozenset({"limits", "requests"})
_UNREAD: Final = frozenset({"status", "managedFields", "labels", "matchLabels", "nodeLabels"})
_COUNTED_ELSEWHERE: Final = frozenset(
    {"ResourceQuota", "LimitRange", "ClusterQueue", "Cohort", "Queue", "ResourceFlavor", "Node", "ResourceSlice",
     "NodePool", "ProvisioningRequest", "CustomResourceDefinition", "DeviceClass"}
)  # fmt: skip
"""Kinds that name resources without asking for devices; rules of their own read them."""
_AMOUNT: Final = re.compile(r"[0-9.]+[a-zA-Z]{0,2}|")


@dataclass(slots=True, eq=False)
class Use:
    """A resource of a device plugin, asked for. section: limits, requests, or empty where that is not said."""

    resource: str
    device: Device
    amount: Scalar | None
    key: Node
    section: str
    container: "Container | None"


@dataclass(slots=True, eq=False)
class Container:
    """Of a pod. role: the list it stands in."""

    name: str
    role: str
    node: Fields


@dataclass(slots=True, eq=False)
class Group:
    """A pod, or a loose mapping that asks for devices. spec: the PodSpec, or that mapping."""

    spec: Fields
    pod: bool
    containers: list[Container] = field(default_factory=list)
    uses: list[Use] = field(default_factory=list)

    @property
    def claims(self) -> list[Fields]:
        """Its entries of resourceClaims."""
        return self.spec.list_of("resourceClaims")

    def sorts(self) -> set[str]:
        """Which sorts of devices it asks device plugins for."""
        return {use.device.sort for use in self.uses}


@dataclass(slots=True, eq=False)
class Asked:
    """A requirement of nodes, and where it stands."""

    requirement: Requirement
    node: Node


@dataclass(slots=True, eq=False)
class Subject:
    """One object, patch or file of values."""

    file: str
    root: Node
    api_version: str = ""
    kind: str = ""
    namespace: str = ""
    name: str = ""
    groups: list[Group] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    tolerations: list[Fields] = field(default_factory=list)
    annotations: list[Fields] = field(default_factory=list)
    mentions: list[tuple[str, Scalar]] = field(default_factory=list)  # device resources as values, by key

    @property
    def fields(self) -> Fields:
        """The object itself; empty for a patch that is a list."""
        return self.root if isinstance(self.root, Fields) else Fields()

    @property
    def title(self) -> str:
        """How people call it: `Kind namespace/name`."""
        if not self.kind:
            return "patch" if isinstance(self.root, Items) else "values"
        name = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {name}" if name else self.kind

    @property
    def dra(self) -> bool:
        """Whether it is an object of resource.k8s.io."""
        return self.api_version.partition("/")[0] == "resource.k8s.io"


def subjects(file: str, root: Node | None) -> Iterator[Subject]:
    """The objects of a document: one, or those of a list."""
    if root is None or (isinstance(root, Scalar) and root.null):
        return
    if isinstance(root, Scalar):
        raise TreeError(root.line, "is a text or number, not a Kubernetes object: begin with apiVersion and kind")
    if isinstance(root, Fields) and isinstance(root.get("items"), Items) and root.text("kind").endswith("List"):
        kind = root.text("kind").removesuffix("List")
        items = root.get("items")
        for item in items.children if isinstance(items, Items) else ():
            if not isinstance(item, Fields):
                raise TreeError(item.line, "items: holds something that is no object")
            for each in subjects(file, item):
                each.kind = each.kind or kind
                each.api_version = each.api_version or root.text("apiVersion")
                yield each
        return
    yield _subject(file, root)


def _subject(file: str, root: Fields | Items) -> Subject:
    subject = Subject(file, root)
    if isinstance(root, Fields):
        for key in ("apiVersion", "kind"):
            value = root.get(key)
            if value is not None and not isinstance(value, Scalar):
                raise TreeError(value.line, f"{key}: is not a text")
        metadata = root.get("metadata")
        subject.api_version, subject.kind = root.text("apiVersion"), root.text("kind")
        if subject.kind and metadata is not None and not isinstance(metadata, Fields):
            raise TreeError(metadata.line, "metadata: is not a mapping")
        subject.name = root.fields("metadata").text("name") or root.fields("metadata").text("generateName")
        subject.namespace = root.fields("metadata").text("namespace")
    elif not _is_patch(root):
        first = root.children[0] if root.children else root
        raise TreeError(first.line, "is a list, but no JSON patch: begin an object with apiVersion and kind")
    _Walk(subject).run()
    return subject


def _is_patch(root: Items) -> bool:
    return all(isinstance(item, Fields) and item.text("op") and item.text("path") for item in root.children)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the walk is: the group and container around a node, the keys above it."""

    key: str = ""
    above: str = ""
    group: Group | None = None
    container: Container | None = None
    owner: Fields | None = None  # the mapping around, for a loose group


class _Walk:
    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._loose: dict[int, Group] = {}
        self._uses = subject.kind not in _COUNTED_ELSEWHERE

    def run(self) -> None:
        stack: list[tuple[Node, _Place]] = [(self._subject.root, _Place())]
        while stack:
            node, place = stack.pop()
            if isinstance(node, Items):
                stack.extend((child, place) for child in reversed(node.children) if not isinstance(child, Scalar))
            elif isinstance(node, Fields):
                stack.extend(reversed(self._fields(node, place)))

    def _fields(self, node: Fields, place: _Place) -> list[tuple[Node, _Place]]:
        group, container = place.group, place.container
        listed = node.get("containers")
        if isinstance(listed, Items) and any(isinstance(item, Fields) for item in listed.children):
            group, container = self._pod(node), None
        elif place.key in CONTAINERS and group is not None:
            container = next((each for each in group.containers if each.node is node), container)
        if "op" in node.entries and "path" in node.entries:
            self._operation(node, group)
        self._requirements(node, place)
        children: list[tuple[Node, _Place]] = []
        for key, (name, value) in node.entries.items():
            if isinstance(value, Scalar):
                self._scalar(node, key, name, value, _Place(place.key, place.above, group, container, place.owner))
            elif key == "annotations" and isinstance(value, Fields):
                self._subject.annotations.append(value)
            elif key == "tolerations" and isinstance(value, Items):
                self._subject.tolerations.extend(item for item in value.children if isinstance(item, Fields))
            elif key not in _UNREAD and not (key == "nodeSelector" and isinstance(value, Fields) and _flat(value)):
                owner = node if key == "resources" or place.key != "resources" else place.owner
                children.append((value, _Place(key, place.key, group, container, owner)))
        return children

    def _pod(self, spec: Fields) -> Group:
        group = Group(spec, pod=True)
        for role in CONTAINERS:
            group.containers.extend(Container(item.text("name"), role, item) for item in spec.list_of(role))
        self._subject.groups.append(group)
        return group

    def _scalar(self, node: Fields, key: str, name: Scalar, value: Scalar, place: _Place) -> None:
        if not self._uses:
            return
        device = device_of(key) if "/" in key else None
        if device is None:
            if "/" in value.text and "://" not in value.text and place.key not in {"annotations", "args", "command"}:
                self._mention(key, value)
            return
        if place.above == "resourceClaims" or place.key in {"capacity", "allocatable", "hard"}:
            return
        section = place.key if place.key in SECTIONS else ""
        if not section and (sort_of(key) is not None or not _AMOUNT.fullmatch(value.text)):
            return  # a label of a node, under a name of somebody's own
        group = place.group or self._loosely(place.owner if section and place.owner is not None else node)
        group.uses.append(Use(key, device, None if value.null else value, name, section, place.container))

    def _mention(self, key: str, value: Scalar) -> None:
        """A resource that is named by a value, as `requestGPUType: nvidia.com/gpu` of charts does."""
        if re.search(r"gpu|accelerator|device|resource", key, re.IGNORECASE) and key != "resourceName":
            device = device_of(value.text)
            if device is not None and not self._subject.kind:
                self._subject.mentions.append((key, value))

    def _loosely(self, owner: Fields) -> Group:
        group = self._loose.get(id(owner))
        if group is None:
            group = self._loose[id(owner)] = Group(owner, pod=False)
            self._subject.groups.append(group)
        return group

    def _operation(self, node: Fields, group: Group | None) -> None:
        """One of a JSON patch: its path may end in a resource, `~1` standing for a slash."""
        path = node.get("path")
        if not isinstance(path, Scalar) or node.text("op") not in {"add", "replace", "test"}:
            return
        steps = [step.replace("~1", "/").replace("~0", "~") for step in path.text.split("/")]
        device = device_of(steps[-1])
        value = node.get("value")
        section = steps[-2] if len(steps) > 1 and steps[-2] in SECTIONS else ""
        if device is not None and section and self._uses and isinstance(value, Scalar | None):
            (group or self._loosely(node)).uses.append(Use(steps[-1], device, value, path, section, None))
        if len(steps) > 1 and steps[-2] == "nodeSelector" and isinstance(value, Scalar):
            self._subject.asked.append(Asked(Requirement(steps[-1], "In", (value.text,)), path))

    def _requirements(self, node: Fields, place: _Place) -> None:
        selector = node.get("nodeSelector")
        if isinstance(selector, Fields) and _flat(selector):
            for key, (name, value) in selector.entries.items():
                if isinstance(value, Scalar):
                    self._subject.asked.append(Asked(Requirement(key, "In", (value.text,)), name))
        if place.key in {"nodeSelectorTerms", "preference", "nodeAffinity", "nodeSelectorTerm"}:
            for expression in node.list_of("matchExpressions"):
                values = tuple(scalar.text for scalar in expression.texts("values"))
                preferred = place.key == "preference"
                requirement = Requirement(
                    expression.text("key"), expression.text("operator") or "In", values, preferred
                )
                self._subject.asked.append(Asked(requirement, expression))


def _flat(node: Fields) -> bool:
    """Whether a nodeSelector is the map of labels of a pod, not the terms of a slice or volume."""
    return all(isinstance(value, Scalar) for _, value in node.entries.values())


def pods(subject: Subject) -> Iterator[Group]:
    """Its pods."""
    return (group for group in subject.groups if group.pod)


def embedded(text: Scalar) -> Node | None:
    """The tree of YAML that stands in a literal block, its lines those of the file; None where it is none.

    Raises TreeError where it looks like YAML and is not.
    """
    inner = text.text
    if ":" not in inner or "\n" not in inner.strip():
        return None
    found = parse(inner, 0, None, text.line + 1 if text.block else text.line).root
    return found if isinstance(found, Fields | Items) else None
