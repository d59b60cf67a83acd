"""One object as the rules see it: its pods and whatever else asks for devices, wherever in it they stand.

A pod is any mapping with a list of `containers`, so that workloads of all kinds, custom resources, patches and values
of charts are read alike. What asks for devices outside of a pod (`resources` of a predictor, values, a JSON patch) is
a loose group. Objects of resource.k8s.io inside another object, and YAML in its texts, are subjects of their own.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from scheduler.audit.devices import Device, device_of
from scheduler.audit.labels import Requirement, sort_of
from scheduler.audit.tree import Fields, Items, Node, Scalar, TreeError, at_line, chunks, parse

CONTAINERS: Final = ("initContainers", "containers", "ephemeralContainers")
SECTIONS: Final = frozenset({"limits", "requests"})
_UNREAD: Final = frozenset({"status", "managedFields", "labels", "matchLabels"})
_SELECTORS: Final = frozenset({"nodeSelector", "nodeLabels"})
"""Mappings of node labels: of pods, and of Kueue's flavors."""
_COUNTED_ELSEWHERE: Final = frozenset(
    {"ResourceQuota", "LimitRange", "ClusterQueue", "Cohort", "Queue", "ResourceFlavor", "Node", "ResourceSlice",
     "NodePool", "ProvisioningRequest", "CustomResourceDefinition", "DeviceClass"}
)  # fmt: skip
"""Kinds that name resources without asking for devices; rules of their own read them."""
_AMOUNT: Final = re.compile(r"[0-9.]+[a-zA-Z]{0,2}|")
_WORTH_READING: Final = re.compile(
    r"^[ -]*(containers|limits|requests|nodeSelector|tolerations|resourceClaims|apiVersion|migStrategy|timeSlicing|mps"
    r"|mig-configs|patch|op|[\w.-]+\.(com|ai|io)/[\w.-]+) *:",
    re.MULTILINE,
)


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
    texts: list[Scalar] = field(default_factory=list)  # of several lines, which may be YAML themselves
    within: str = ""  # the title of the object in whose text this stands

    @property
    def fields(self) -> Fields:
        """The object itself; empty for a patch that is a list."""
        return self.root if isinstance(self.root, Fields) else Fields()

    @property
    def title(self) -> str:
        """How people call it: `Kind namespace/name`."""
        if not self.kind:
            return self.within or ("patch" if isinstance(self.root, Items) else "values")
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
    yield from (_subject(file, each) for each in _inner(root))


def _inner(root: Fields | Items) -> Iterator[Fields]:
    """Objects of resource.k8s.io that another object holds, as values of charts and compositions do."""
    stack: list[Node] = [root]
    while stack:
        node = stack.pop()
        if isinstance(node, Items):
            stack.extend(reversed(node.children))
        elif isinstance(node, Fields):
            stack.extend(value for _, value in reversed(node.entries.values()))
            group = node.text("apiVersion").partition("/")[0]
            if node is not root and group == "resource.k8s.io" and isinstance(node.get("spec"), Fields):
                yield node


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
                self._subject.texts += (child for child in node.children if isinstance(child, Scalar) and _long(child))
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
        target = self._operation(node, group)
        self._requirements(node, place)
        self._quantified(node, group)
        children: list[tuple[Node, _Place]] = []
        for written, (name, value) in node.entries.items():
            key = target if target and written == "value" else written
            if isinstance(value, Scalar):
                self._scalar(node, key, name, value, _Place(place.key, place.above, group, container, place.owner))
            elif key == "annotations" and isinstance(value, Fields):
                self._subject.annotations.append(value)
            elif key == "tolerations":
                self._subject.tolerations += node.list_of(written) or [node.fields(written)]
            elif key in _SELECTORS and isinstance(value, Fields) and _flat(value):
                for label, (inner, said) in value.entries.items():
                    self._subject.asked.append(Asked(Requirement(label, "In", (_text(said),)), inner))
            elif key not in _UNREAD:
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
        if _long(value):
            self._subject.texts.append(value)
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

    def _operation(self, node: Fields, group: Group | None) -> str:
        """The field that an operation of a JSON patch sets; empty for any other mapping.

        Its path may end in a resource, `~1` standing for a slash, or in an item of the list that is meant.
        """
        path = node.get("path")
        if not isinstance(path, Scalar) or node.text("op") not in {"add", "replace", "test"}:
            return ""
        steps = [step.replace("~1", "/").replace("~0", "~") for step in path.text.split("/")]
        device = device_of(steps[-1])
        value = node.get("value")
        section = steps[-2] if len(steps) > 1 and steps[-2] in SECTIONS else ""
        if device is not None and section and self._uses and isinstance(value, Scalar | None):
            (group or self._loosely(node)).uses.append(Use(steps[-1], device, value, path, section, None))
        if len(steps) > 1 and steps[-2] == "nodeSelector" and isinstance(value, Scalar):
            self._subject.asked.append(Asked(Requirement(steps[-1], "In", (value.text,)), path))
        return next((step for step in reversed(steps) if step != "-" and not step.isdecimal()), "")

    def _quantified(self, node: Fields, group: Group | None) -> None:
        """A resource and its number under keys of their own, as Spark's `gpu: {name, quantity}`."""
        name, amount = node.get("name"), node.get("quantity")
        if isinstance(name, Scalar) and isinstance(amount, Scalar) and self._uses:
            device = device_of(name.text)
            if device is not None:
                (group or self._loosely(node)).uses.append(Use(name.text, device, amount, name, "", None))

    def _requirements(self, node: Fields, place: _Place) -> None:
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


def _text(node: Node) -> str:
    return node.text if isinstance(node, Scalar) else ""


def _long(text: Scalar) -> bool:
    return "\n" in text.text and _WORTH_READING.search(text.text) is not None


def pods(subject: Subject) -> Iterator[Group]:
    """Its pods."""
    return (group for group in subject.groups if group.pod)


def embedded(text: Scalar) -> Iterator[Node]:
    """The trees of the YAML that stands in a text, their lines those of the file. Raises TreeError where it is none."""
    for start, end, line in chunks(text.text):
        root = parse(text.text, start, end, line + text.line if text.block else text.line).root
        if root is None:
            continue
        if not text.block:  # of a text in quotes, where lines are not those of the file
            at_line(root, text.line)
        yield root
