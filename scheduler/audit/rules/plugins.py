"""Devices that are asked of device plugins."""

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Final

from scheduler.audit.devices import device_of
from scheduler.audit.rules.base import Context, Hit
from scheduler.audit.subjects import Group, Subject, Use
from scheduler.audit.tree import Items, Scalar
from scheduler.core.errors import QuantityError
from scheduler.core.quantity import parse_quantity

_PARALLEL: Final = re.compile(r"--?(tensor-parallel-size|tp-size|tp|tensor_parallel_size)(?:[= ]+(\d{1,4}))?$")
_FRACTIONS: Final = re.compile(
    r"gpu-fraction|gpu-memory|gpu-fraction-num-devices|runai/gpu-.+|kai\.scheduler/gpu-.+"
    r"|nvidia\.com/(use|nouse)-gpu(uuid|type)|hami\.io/.+|(volcano\.sh|tencent\.com|aliyun\.com)/v?gpu.*"
)
_VARIABLES: Final = frozenset({"TP_SIZE", "TENSOR_PARALLEL_SIZE"})
_IDS: Final = {
    "gpu": "DP001", "shared": "DP003", "mig": "DP004", "fraction": "DP006", "unknown": "DP008", "nic": "DP009",
}  # fmt: skip
_WHOLE: Final = 10**9  # Quantity counts in billionths


def first(uses: Iterable[Use]) -> Iterator[Use]:
    """One use of each resource in each container: a limit and its request say the same."""
    seen: set[tuple[str, int]] = set()
    for use in uses:
        key = (use.resource, id(use.container))
        if key not in seen:
            seen.add(key)
            yield use


def _shown(use: Use) -> str:
    amount = f" {use.amount.text}" if use.amount is not None else ""
    where = f" in container {use.container.name}" if use.container is not None and use.container.name else ""
    return f"{use.resource}{amount}{where}"


def asked(subject: Subject, _context: Context) -> Iterator[Hit]:
    """DP001, DP003, DP004, DP006, DP007, DP008: a resource, by its sort."""
    for group in subject.groups:
        for use in first(group.uses):
            sort, device = use.device.sort, use.device
            if sort == "other":
                yield Hit("DP007", use.key, f"{device.vendor}: {_shown(use)}", f"The class is {device.device_class}.")
            elif sort in _IDS and sort != "nic":
                yield Hit(_IDS[sort], use.key, _shown(use))
    for key, value in subject.mentions:
        named = device_of(value.text)
        if named is not None:
            yield Hit(_IDS.get(named.sort, "DP007"), value, f"{key}: {value.text}")


def several(subject: Subject, _context: Context) -> Iterator[Hit]:
    """DP002: more than one GPU in a container, with its tensor parallelism if the arguments tell."""
    for group in subject.groups:
        for use in first(group.uses):
            if use.device.sort not in {"gpu", "other"} or not use.device.counted or count_of(use.amount) < 2:
                continue
            parallel = tensor_parallel(group, use)
            told = f", tensor parallel size {parallel}" if parallel else ""
            yield Hit("DP002", use.key, _shown(use) + told)


def network(subject: Subject, _context: Context) -> Iterator[Hit]:
    """DP005, DP009: network devices, with and without GPUs beside them."""
    for group in subject.groups:
        nics = [use for use in first(group.uses) if use.device.sort == "nic"]
        if not nics:
            continue
        beside = group.sorts() & {"gpu", "mig", "other", "shared"}
        if beside:
            gpus = next(use for use in group.uses if use.device.sort in beside)
            yield Hit("DP005", nics[0].key, f"{gpus.resource} and {nics[0].resource}")
        else:
            yield Hit("DP009", nics[0].key, _shown(nics[0]))


def fractions(subject: Subject, _context: Context) -> Iterator[Hit]:
    """DP006: annotations that ask another scheduler for a part of a GPU, or for a certain one."""
    for name, key, value in fraction_annotations(subject):
        yield Hit("DP006", name, f"annotation {key}: {value}")


def fraction_annotations(subject: Subject) -> Iterator[tuple[Scalar, str, str]]:
    """(where, key, value) of those annotations."""
    for annotations in subject.annotations:
        for key, (name, value) in annotations.entries.items():
            if _FRACTIONS.fullmatch(key) and isinstance(value, Scalar):
                yield name, key, value.text


def amounts(subject: Subject, _context: Context) -> Iterator[Hit]:
    """DP010: fractions, and limits that differ from requests."""
    for group in subject.groups:
        for use in group.uses:
            nanos = _nanos(use.amount) if use.amount is not None else None
            if nanos is not None and (nanos % _WHOLE or nanos < 0):
                yield Hit("DP010", use.key, f"{_shown(use)} is not a whole number")
        for use, what in amounts_differ(group):
            yield Hit("DP010", use.key, what)


def amounts_differ(group: Group) -> Iterator[tuple[Use, str]]:
    """Resources whose limit is not their request, and how to say so."""
    known: dict[tuple[str, int], Use] = {}
    for use in group.uses:
        if use.amount is None or not use.section or use.container is None:
            continue
        other = known.setdefault((use.resource, id(use.container)), use)
        if other is not use and other.amount is not None and _nanos(other.amount) != _nanos(use.amount):
            yield use, f"{use.resource}: {use.section} differ from {other.section}"


def count_of(amount: Scalar | None) -> int:
    """How many devices an amount means; 0 where it means none or cannot be read."""
    nanos = _nanos(amount) if amount is not None else None
    return nanos // _WHOLE if nanos is not None and nanos > 0 else 0


def _nanos(amount: Scalar) -> int | None:
    try:
        return parse_quantity(amount.text).nanos
    except QuantityError:
        return None


def tensor_parallel(group: Group, use: Use) -> int:
    """The tensor-parallel size that a container's arguments or environment tell; 0 where they do not."""
    for container in group.containers:
        if use.container is not None and container is not use.container:
            continue
        words: list[str] = []
        for key in ("command", "args"):
            listed = container.node.get(key)
            if isinstance(listed, Items):
                words.extend(part for scalar in container.node.texts(key) for part in scalar.text.split())
            elif isinstance(listed, Scalar):
                words.extend(listed.text.split())
        told = [
            found[2] or following for word, following in pairwise([*words, ""]) if (found := _PARALLEL.fullmatch(word))
        ]
        told += [each.text("value") for each in container.node.list_of("env") if each.text("name") in _VARIABLES]
        for size in told:  # an argument may name a variable instead
            if re.fullmatch(r"[0-9]{1,4}", size, re.ASCII):
                return int(size)
    return 0


RULES: Final = (asked, several, network, fractions, amounts)
