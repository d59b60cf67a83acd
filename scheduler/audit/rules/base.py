"""What rules say, and what they may know beside the object before them."""

from dataclasses import dataclass, field
from typing import NamedTuple

from scheduler.audit.tree import Node


class Hit(NamedTuple):
    """One finding: its id, where it stands, what it is about, and what else to advise."""

    id: str
    node: Node
    what: str
    advice: str = ""


@dataclass(slots=True)
class Context:
    """Of all objects of an audit: the DeviceClasses that each template and claim asks for, by kind, namespace, name."""

    classes: dict[tuple[str, str, str], frozenset[str]] = field(default_factory=dict)

    def classes_of(self, kind: str, namespace: str, name: str) -> frozenset[str] | None:
        """What a template or claim asks for; None where the audit does not have it."""
        return self.classes.get((kind, namespace, name))

    def elsewhere(self, kind: str, namespace: str, name: str) -> list[str]:
        """The other namespaces in which there is one of this name, if there is none in this namespace."""
        if (kind, namespace, name) in self.classes or not namespace:
            return []
        found = (space for each, space, called in self.classes if (each, called) == (kind, name) and space)
        return [] if (kind, "", name) in self.classes else sorted(found)
