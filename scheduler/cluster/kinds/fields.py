"""Parts of any object, and what is wrong with one of its fields."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from scheduler.cluster.wire.parts import Amount, Metadata, Part
from scheduler.core import names
from scheduler.core.errors import QuantityError
from scheduler.core.model import Uid
from scheduler.core.quantity import Quantity, parse_quantity

Read = TypeVar("Read")
Kinds = Mapping[str, tuple[type[Part], Callable[[Any], Read]]]
"""By kind its shape, and what makes an object of the model of it or raises FieldError."""


class FieldError(Exception):
    """What is wrong with one field."""

    def __init__(self, path: str, problem: str, remedy: str = "") -> None:
        self.path = path
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{path}: {problem}")


def metadata_of(metadata: Metadata | None, *, uid: bool = False, namespaced: bool = False) -> Metadata:
    """Metadata with a name and, where they are asked for, a namespace and a uid. Raises FieldError."""
    if metadata is None or not metadata.name:
        raise FieldError("metadata.name", "is missing")
    if namespaced and not metadata.namespace:
        raise FieldError("metadata.namespace", "is missing")
    if uid and not metadata.uid:
        raise FieldError("metadata.uid", "is missing")
    return metadata


def required(text: str, path: str) -> str:
    """The text, which may not be empty. Raises FieldError."""
    if not text:
        raise FieldError(path, "is missing")
    return text


def quantity_of(amount: Amount, path: str) -> Quantity:
    """An amount. Raises FieldError."""
    try:
        return parse_quantity(amount if isinstance(amount, str) else repr(amount))
    except QuantityError as error:
        raise FieldError(path, str(error)) from error


def size_of(amount: Amount, path: str) -> Quantity:
    """An amount of something, which is not less than none. Raises FieldError."""
    found = quantity_of(amount, path)
    if found.nanos < 0:
        raise FieldError(path, f"{amount} is negative")
    return found


def owner_of(metadata: Metadata) -> Uid:
    """UID of the controller, empty for none."""
    for reference in metadata.owner_references or ():
        if reference.controller:
            return Uid(reference.uid)
    return Uid("")


def ours_of(metadata: Metadata, *prefixes: str) -> Mapping[str, str]:
    """Annotations that are ours, or that begin with one of the prefixes."""
    if not metadata.annotations:
        return {}
    return {key: value for key, value in metadata.annotations.items() if key.startswith((names.PREFIX, *prefixes))}
