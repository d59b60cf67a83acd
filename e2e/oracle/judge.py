"""Holds what Dovetail answers to a case against what Kubernetes' allocator answers.

The outcome must be equal. Where both place, each side's choice must be good enough for the other: ours for the
allocator, when only our devices are left to choose from, and the allocator's for our checker. What is written beside
the devices must be equal where the devices are.
"""

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, Final, NamedTuple

from e2e.oracle import ours
from e2e.oracle.generator import Json, stable
from e2e.oracle.ours import Answer

TIMEOUT_S: Final = 0.5
"""Of the oracle; kube-scheduler's is ten seconds."""

CHECK: Final = "check.example.com"
_SUFFIXES: Final = {
    "n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 10**3), "": Fraction(1), "k": Fraction(10**3),
    **{name: Fraction(1000**power) for power, name in enumerate("MGTPE", 2)},
    **{f"{name}i": Fraction(1024**power) for power, name in enumerate("KMGTPE", 1)},
}  # fmt: skip
_QUANTITY: Final = re.compile(r"([+-]?[0-9.]+)(?:[eE]([+-]?[0-9]+)|([A-Za-z]*))")


class Difference(NamedTuple):
    """`kind` stays the same while a case is made smaller; `text` tells."""

    kind: str
    text: str


class Allowed(NamedTuple):
    """A difference that is meant: its name, as the summary counts it."""

    name: str


def answered(case: Json, choice: str, verify: bool) -> Answer | Difference:
    """Our answer; an exception is a difference of its own."""
    try:
        return ours.answer(case, choice, verify=verify)
    except Exception as error:  # whatever it is, it is what we look for
        where = error.__traceback__
        while where is not None and where.tb_next is not None:
            where = where.tb_next
        place = f"{where.tb_frame.f_code.co_filename}:{where.tb_lineno}" if where is not None else ""
        return Difference(f"we raise {type(error).__name__}", f"{error!r} at {place}")


def outcomes(upstream: Json, mine: Answer | Difference) -> Difference | Allowed | None:
    """What there is to say before any choice is looked at; None: both place, or both refuse in the same way."""
    theirs = upstream["outcome"]
    if theirs == "panic":
        return Difference("upstream panics", upstream["error"])
    if isinstance(mine, Difference):
        return mine
    if theirs == "timeout":
        return Allowed(f"upstream: timeout, ours: {mine.outcome}")
    if theirs != mine.outcome:
        text = f"upstream {theirs} {upstream.get('error', '')}\n    ours {mine.outcome} {mine.error}"
        return Difference(f"upstream {theirs}, ours {mine.outcome}", text)
    return None


def choices(case: Json, upstream: Json, mine: Answer, again: Json | None) -> Iterator[Difference]:
    """Differences between two allocations. again : the oracle's answer to `narrowed`; None where it was not asked."""
    ordered = not stable(case.get("features"))  # upstream's stable copy walks pools in random order
    if again is not None and again["outcome"] != "timeout":
        if again["outcome"] != "ok":
            found = f"upstream {again['outcome']} {again.get('error', '')}\n    for {devices_of(mine.results)}"
            yield Difference("upstream refuses our choice", found)
        else:
            yield from _written(again.get("results", []), mine.results, "our choice", ordered)
    if upstream["outcome"] != "ok":
        return
    theirs = upstream.get("results", [])
    if devices_of(theirs) == devices_of(mine.results):
        yield from _written(theirs, mine.results, "the same choice", ordered)
    if _ranks(case, theirs) < _ranks(case, mine.results):
        yield Difference(
            "worse alternative", f"upstream takes {devices_of(theirs)}\n    ours {devices_of(mine.results)}"
        )


def checked(case: Json, upstream: Json) -> Iterator[Difference]:
    """What our checker has against upstream's choice."""
    if upstream["outcome"] == "ok":
        problems = ours.refused(case, upstream.get("results", []))
        if problems:
            yield Difference(f"our checker refuses upstream's choice: {rules_of(problems)}", "\n    ".join(problems))


# ---------------------------------------------------------------- our choice, put to the allocator


def narrowed(case: Json, results: Sequence[Json]) -> Json:
    """The case with each request for a number of devices narrowed to those that were chosen for it.

    Every device gets a number as an attribute; selectors that go first admit the chosen ones alone, so that no other
    selector fails on a device that our choice does not touch. Requests for all devices stay as they are, and so do the
    classes that they name.
    """
    identities = sorted({identity for item in case["slices"] for identity in _listed(item)})
    numbers = {identity: number for number, identity in enumerate(identities)}
    chosen: dict[tuple[int, str], list[int]] = {}
    for i, allocation in enumerate(results):
        for each in _results(allocation):
            number = numbers.get((each["driver"], each["pool"], each["device"]), -1)
            chosen.setdefault((i, each["request"]), []).append(number)
    taken = {number for group in chosen.values() for number in group}
    open_classes: set[str] = set()
    claims = [_narrowed_claim(i, claim, chosen, open_classes) for i, claim in enumerate(case["claims"])]
    only_taken = {"cel": {"expression": f'device.attributes["{CHECK}"].taken'}}
    classes = []
    for each in case["classes"]:
        if each["metadata"]["name"] in open_classes:
            classes.append(each)
        else:
            spec = each.get("spec", {})
            classes.append({**each, "spec": {**spec, "selectors": [only_taken, *spec.get("selectors", [])]}})
    slices = [_numbered(item, numbers, taken) for item in case["slices"]]
    return {**case, "claims": claims, "classes": classes, "slices": slices}


def _narrowed_claim(number: int, claim: Json, chosen: dict[tuple[int, str], list[int]], open_classes: set[str]) -> Json:
    devices = claim["spec"].get("devices", {})
    requests = []
    for request in devices.get("requests", []):
        name = request["name"]
        if "firstAvailable" not in request:
            exactly = _narrowed_part(request["exactly"], chosen.get((number, name), []), open_classes)
            requests.append({**request, "exactly": exactly})
            continue
        alternatives = []
        for part in request["firstAvailable"]:
            found = chosen.get((number, f"{name}/{part['name']}"))
            if found is None:  # not the alternative that was chosen
                if part.get("allocationMode") == "All":
                    open_classes.add(part["deviceClassName"])
                selectors = [{"cel": {"expression": "false"}}, *part.get("selectors", [])]
                alternatives.append({**part, "selectors": selectors})
            else:
                alternatives.append(_narrowed_part(part, found, open_classes))
        requests.append({**request, "firstAvailable": alternatives})
    return {**claim, "spec": {**claim["spec"], "devices": {**devices, "requests": requests}}}


def _narrowed_part(part: Json, chosen: list[int], open_classes: set[str]) -> Json:
    if part.get("allocationMode") == "All":
        open_classes.add(part["deviceClassName"])
        return part
    expression = f'device.attributes["{CHECK}"].number in {sorted(set(chosen)) or [-1]}'
    return {**part, "selectors": [{"cel": {"expression": expression}}, *part.get("selectors", [])]}


def _listed(item: Json) -> list[tuple[str, str, str]]:
    spec = item["spec"]
    return [(spec["driver"], spec["pool"]["name"], device["name"]) for device in spec.get("devices", [])]


def askable(case: Json, results: Sequence[Json]) -> bool:
    """Whether `narrowed` means what the case means: a selector fails on a device with an attribute of no known type."""
    chosen = {(each["driver"], each["pool"], each["device"]) for one in results for each in _results(one)}
    return not any(
        identity in chosen and not all(device.get("attributes", {}).values())
        for item in case["slices"]
        for identity, device in zip(_listed(item), item["spec"].get("devices", []), strict=True)
    )


def _numbered(item: Json, numbers: dict[tuple[str, str, str], int], taken: set[int]) -> Json:
    spec = item["spec"]
    if not spec.get("devices"):
        return item
    devices = []
    for device, identity in zip(spec["devices"], _listed(item), strict=True):
        number = numbers[identity]
        more = {f"{CHECK}/number": {"int": number}, f"{CHECK}/taken": {"bool": number in taken}}
        plain = {name: value for name, value in device.get("attributes", {}).items() if value}
        devices.append({**device, "attributes": {**plain, **more}})
    return {**item, "spec": {**spec, "devices": devices}}


# ---------------------------------------------------------------- what is written


def _written(theirs: Sequence[Json], mine: Sequence[Json], what: str, ordered: bool) -> Iterator[Difference]:
    """Differences in what two allocations of the same devices say, by field."""
    if not ordered:
        theirs, mine = ([_in_order(each) for each in allocations] for allocations in (theirs, mine))
    if devices_of(theirs) != devices_of(mine):
        text = f"for {what} upstream has {devices_of(theirs)}\n    ours {devices_of(mine)}"
        kind = "order" if _sorted(theirs) == _sorted(mine) else "devices"
        yield Difference(f"{kind} of {what}", text)
        return
    for number, (one, other) in enumerate(zip(theirs, mine, strict=True)):
        for field in ("nodeSelector", "config", "results"):
            wanted, given = (_field(each, field) for each in (one, other))
            if wanted != given:
                differing = [field] if field != "results" else _differing(wanted, given)
                text = f"claim {number}, {', '.join(differing)}: upstream writes {wanted}\n    ours {given}"
                yield Difference(f"written {', '.join(differing)}", text)


def _in_order(allocation: Json) -> Json:
    results = sorted(
        _results(allocation), key=lambda each: (each["request"], each["driver"], each["pool"], each["device"])
    )
    return {**allocation, "devices": {**allocation.get("devices", {}), "results": results}}


def _field(allocation: Json, field: str) -> Any:
    if field == "nodeSelector":
        return allocation.get("nodeSelector")
    if field == "config":
        return allocation.get("devices", {}).get("config") or []
    return [_comparable(each) for each in _results(allocation)]


def _comparable(result: Json) -> Json:
    """A result without what is random, or spelled in several ways."""
    found = {key: value for key, value in result.items() if value not in (None, [], {})}
    if "shareID" in found:
        found["shareID"] = bool(re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", found["shareID"]))
    if "consumedCapacity" in found:
        found["consumedCapacity"] = {key: amount(value) for key, value in found["consumedCapacity"].items()}
    if "skipNodeOperations" in found:
        found["skipNodeOperations"] = sorted(found["skipNodeOperations"])
    return found


def _differing(wanted: list[Json], given: list[Json]) -> list[str]:
    keys = {key for one, other in zip(wanted, given, strict=True) for key in {**one, **other}}
    pairs = list(zip(wanted, given, strict=True))
    return sorted(key for key in keys if any(one.get(key) != other.get(key) for one, other in pairs))


def amount(text: str) -> Fraction:
    """A quantity's value."""
    found = _QUANTITY.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no quantity")
    number, power, suffix = found.groups()
    return Fraction(number) * (Fraction(10) ** int(power) if power else _SUFFIXES[suffix])


def _ranks(case: Json, results: Sequence[Json]) -> list[int]:
    """Which alternative each prioritized request got, in the order of claims and requests."""
    found = []
    for claim, allocation in zip(case["claims"], results, strict=True):
        named = {each["request"] for each in _results(allocation)}
        for request in claim["spec"].get("devices", {}).get("requests", []):
            names = [f"{request['name']}/{part['name']}" for part in request.get("firstAvailable", [])]
            found += [rank for rank, name in enumerate(names) if name in named]
    return found


def rules_of(problems: Sequence[str]) -> str:
    """The rules that the checker names."""
    return ", ".join(sorted({problem.rpartition("(")[2].rstrip(")") for problem in problems}))


def devices_of(results: Sequence[Json]) -> list[list[str]]:
    """Request and device of every result, by claim."""
    return [
        [f"{each['request']}={each['driver']}/{each['pool']}/{each['device']}" for each in _results(allocation)]
        for allocation in results
    ]


def _sorted(results: Sequence[Json]) -> list[list[str]]:
    return [sorted(group) for group in devices_of(results)]


def _results(allocation: Json) -> list[Any]:
    return allocation.get("devices", {}).get("results") or []
