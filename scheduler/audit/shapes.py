"""The fields of resource.k8s.io/v1, as strict decoding knows them; nothing else may stand in an object.

A shape is a dict of field to shape (`!` behind a name: required), a list of the one shape that its items have, `Each`
for a mapping of any keys, or the name of a scalar type.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from scheduler.audit.tree import Fields, Items, Node, Scalar
from scheduler.core.errors import QuantityError
from scheduler.core.quantity import parse_quantity

TEXT: Final = "text"
WHOLE: Final = "whole number"
TRUTH: Final = "true or false"
QUANTITY: Final = "quantity"
ANY: Final = "anything"


class Each(dict[str, Any]):
    """A mapping of any keys to one shape, under the key `of`."""


_TOLERATION: Final = {"key": TEXT, "operator": TEXT, "value": TEXT, "effect": TEXT, "tolerationSeconds": WHOLE}
_SELECTOR: Final = {"cel!": {"expression!": TEXT}}
_EXACT: Final = {
    "deviceClassName!": TEXT,
    "selectors": [_SELECTOR],
    "allocationMode": TEXT,
    "count": WHOLE,
    "adminAccess": TRUTH,
    "tolerations": [_TOLERATION],
    "capacity": {"requests": Each(of=QUANTITY)},
    "derivedAttributes": [{"name!": TEXT, "expression!": TEXT}],
}
_ALTERNATIVE: Final = {"name!": TEXT, **{key: value for key, value in _EXACT.items() if key != "adminAccess"}}
_CONFIG: Final = {"opaque!": {"driver!": TEXT, "parameters!": ANY}}
_CLAIM: Final = {
    "devices": {
        "requests": [{"name!": TEXT, "exactly": _EXACT, "firstAvailable": [_ALTERNATIVE]}],
        "constraints": [{"requests": [TEXT], "matchAttribute": TEXT, "distinctAttribute": TEXT}],
        "config": [{"requests": [TEXT], **_CONFIG}],
    }
}
_OBJECT: Final = {"apiVersion!": TEXT, "kind!": TEXT, "metadata": ANY}
SHAPES: Final[Mapping[str, dict[str, Any]]] = {
    "ResourceClaim": {**_OBJECT, "spec!": _CLAIM, "status": ANY},
    "ResourceClaimTemplate": {**_OBJECT, "spec!": {"metadata": ANY, "spec!": _CLAIM}},
    "DeviceClass": {
        **_OBJECT,
        "spec!": {"selectors": [_SELECTOR], "config": [_CONFIG], "extendedResourceName": TEXT},
    },
    "DeviceTaintRule": {**_OBJECT, "spec!": {"deviceSelector": ANY, "taint!": ANY}, "status": ANY},
    "ResourceSlice": {**_OBJECT, "spec!": ANY},
}
REQUEST_FIELDS: Final = frozenset(key.rstrip("!") for key in _EXACT)
"""What stood in a request itself before v1beta2, and stands under `exactly` since."""
LIMITS: Final[Mapping[str, int]] = {
    "requests": 32, "constraints": 32, "config": 32, "selectors": 32, "firstAvailable": 8, "tolerations": 16,
    "derivedAttributes": 32,
}  # fmt: skip
_WHOLE: Final = re.compile(r"-?(0|[1-9][0-9]*)", re.ASCII)


def misfits(kind: str, root: Fields) -> Iterator[tuple[Node, str]]:
    """(where, what is wrong) of everything in an object of this kind that v1 does not know or lacks."""
    if kind in SHAPES:
        yield from _check(root, SHAPES[kind], "")


def _check(node: Node, shape: Any, path: str) -> Iterator[tuple[Node, str]]:
    if shape == ANY:
        return
    if isinstance(shape, list):
        yield from _check_list(node, shape[0], path)
    elif isinstance(shape, Each):
        if not isinstance(node, Fields):
            yield node, f"{path} is not a mapping"
            return
        for key, (_, value) in node.entries.items():
            yield from _check(value, shape["of"], f"{path}[{key}]")
    elif isinstance(shape, dict):
        yield from _check_fields(node, shape, path)
    elif not isinstance(node, Scalar) or not _fits(node, shape):
        yield node, f"{path} is not a {shape}"


def _check_fields(node: Node, shape: dict[str, Any], path: str) -> Iterator[tuple[Node, str]]:
    if not isinstance(node, Fields):
        yield node, f"{path} is not a mapping"
        return
    known = {key.rstrip("!"): inner for key, inner in shape.items()}
    for key, (name, value) in node.entries.items():
        at = f"{path}.{key}" if path else key
        if key not in known:
            yield name, f"{at} is not a field of v1"
        elif not (isinstance(value, Scalar) and value.null):
            yield from _check(value, known[key], at)
    for key in shape:
        if key.endswith("!") and node.get(key[:-1]) is None:
            yield node, f"{path}.{key[:-1]} is missing".lstrip(".")


def _check_list(node: Node, shape: Any, path: str) -> Iterator[tuple[Node, str]]:
    if not isinstance(node, Items):
        yield node, f"{path} is not a list"
        return
    most = LIMITS.get(path.rpartition(".")[2])
    if most is not None and len(node.children) > most:
        yield node, f"{path} has {len(node.children)} entries, at most {most} are allowed"
    for index, item in enumerate(node.children):
        yield from _check(item, shape, f"{path}[{index}]")


def _fits(node: Scalar, shape: str) -> bool:
    if shape == TEXT:
        return not node.plain or not (_WHOLE.fullmatch(node.text) or node.text in {"true", "false"})
    if shape == WHOLE:
        return node.plain and _WHOLE.fullmatch(node.text) is not None and abs(int(node.text[:20])) < 2**63
    if shape == TRUTH:
        return node.plain and node.text in {"true", "false"}
    try:
        parse_quantity(node.text)
    except QuantityError:
        return False
    return True
