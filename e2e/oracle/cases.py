"""Seeded cases of one node and one pod, as API objects, limited to what Dovetail supports.

A case has trouble of one to three families, so that what is wrong in one way is mostly right in all others. The draw
of a case depends on its seed and number alone.
"""

import random
from typing import Any, Final

Json = dict[str, Any]

GPU: Final = "gpu.example.com"
NIC: Final = "nic.example.com"
NODE: Final = "n1"
OTHER: Final = "n2"
HOST: Final = "kubernetes.io/hostname"
FAMILIES: Final = (
    "torn pools", "generations", "duplicates", "node selection", "counts", "all", "requests", "claims", "match",
    "mixed match", "taints", "taint rules", "selectors", "selector errors", "held", "limit", "config",
)  # fmt: skip

_ATTRIBUTES: Final = f'device.attributes["{GPU}"]'
_CAPACITY: Final = f'device.capacity["{GPU}"]'
SELECTORS: Final = (
    "true",
    f'device.driver == "{GPU}"',
    f'device.driver != "{NIC}"',
    f'"numa" in {_ATTRIBUTES} && {_ATTRIBUTES}.numa == 0',
    f"has({_ATTRIBUTES}.numa) && {_ATTRIBUTES}.numa < 1",
    f'{_ATTRIBUTES}.?model.orValue("none") == "a"',
    f'has({_ATTRIBUTES}.model) && {_ATTRIBUTES}.model in ["a", "c"]',
    f'has({_ATTRIBUTES}.model) && {_ATTRIBUTES}.model.startsWith("a")',
    f'"memory" in {_CAPACITY} && {_CAPACITY}.memory.compareTo(quantity("40Gi")) >= 0',
    f'has({_CAPACITY}.memory) && {_CAPACITY}.memory.isGreaterThan(quantity("16Gi"))',
    f'has({_ATTRIBUTES}.firmware) && {_ATTRIBUTES}.firmware.isGreaterThan(semver("1.2.0"))',
    f"!has({_ATTRIBUTES}.healthy) || {_ATTRIBUTES}.healthy",
    f"has({_ATTRIBUTES}.healthy) ? {_ATTRIBUTES}.healthy : true",
    '"root" in device.attributes["other.example.com"]',
    '"root" in device.attributes["other.example.com"] && device.attributes["other.example.com"].root == "r0"',
    '"other.example.com" in device.attributes',
    f'[0, 1].exists(n, has({_ATTRIBUTES}.numa) && {_ATTRIBUTES}.numa == n) && !("gone" in {_ATTRIBUTES})',
    f'has({_ATTRIBUTES}.numa) && {_ATTRIBUTES}.numa == "0"',
)
UNGUARDED: Final = (
    f"{_ATTRIBUTES}.numa == 0",
    f'{_ATTRIBUTES}.model == "a"',
    f'{_ATTRIBUTES}.model != "b"',
    f'{_CAPACITY}.memory.compareTo(quantity("40Gi")) >= 0',
    f'{_ATTRIBUTES}.firmware.isLessThan(semver("2.0.0"))',
    f"{_ATTRIBUTES}.healthy",
    f'{_ATTRIBUTES}.numa == 0 || device.driver == "{NIC}"',  # true absorbs an error
    f'{_ATTRIBUTES}.model == "a" && {_ATTRIBUTES}.numa == 0',  # false absorbs an error
    'device.attributes["other.example.com"].root == "r0"',
    f'{_ATTRIBUTES}.model.startsWith("a")',  # a model may be a number
)


class Dice:
    """The draw of one case."""

    def __init__(self, seed: int, number: int) -> None:
        self._random = random.Random(f"{seed}/{number}")
        count = self.of(1, 1, 2, 2, 2, 3)
        self.families = frozenset(self._random.sample(FAMILIES, count))

    def of(self, *values: Any) -> Any:
        return values[int(self._random.random() * len(values))]

    def number(self, least: int, most: int) -> int:
        return least + int(self._random.random() * (most - least + 1))

    def chance(self, probability: float) -> bool:
        return self._random.random() < probability

    def some(self, values: list[Any], probability: float = 0.5) -> list[Any]:
        return [value for value in values if self.chance(probability)]

    def shuffled(self, values: list[Any]) -> list[Any]:
        return sorted(values, key=lambda value: self._random.random())

    def has(self, *families: str) -> bool:
        assert set(families) <= set(FAMILIES)
        return bool(self.families.intersection(families))

    def trouble(self, family: str, probability: float = 0.5) -> bool:
        return self.has(family) and self.chance(probability)


def make(seed: int, number: int) -> Json:
    """One case: node, others (nodes), claims, classes, slices, taintRules, allocatedClaims, and its families."""
    dice = Dice(seed, number)
    classes = _classes(dice)
    slices = _agreed(_slices(dice))
    claims = _claims(dice, classes)
    return {
        "families": sorted(dice.families),
        "node": _node(NODE, {"zone": dice.of("a", "a", "b"), "rank": dice.of("3", "5", "x")}),
        "others": [_node(OTHER, {"zone": "b"})] if dice.chance(0.5) else [],
        "claims": claims,
        "classes": classes,
        "slices": dice.shuffled(slices),
        "taintRules": _taint_rules(dice) if dice.has("taint rules") else [],
        "allocatedClaims": _allocated(dice, slices) if dice.has("held") or dice.chance(0.1) else [],
    }


def _agreed(slices: list[Json]) -> list[Json]:
    """One generation of a pool states one count: where slices disagree, upstream goes by the order of its cache."""
    counts: dict[tuple[str, str, int], int] = {}
    for item in slices:
        pool = item["spec"]["pool"]
        key = (item["spec"]["driver"], pool["name"], pool["generation"])
        pool["resourceSliceCount"] = counts.setdefault(key, pool["resourceSliceCount"])
    return slices


def pod(case: Json) -> Json:
    """The pod of a case, which may run on the case's node only."""
    entries = [{"name": f"e{i}", "resourceClaimName": name} for i, name in enumerate(_names(case["claims"]))]
    containers = [{"name": "main", "resources": {"claims": [{"name": entry["name"]} for entry in entries]}}]
    return {
        "metadata": {"name": "p", "namespace": "default", "uid": "pod-p", "resourceVersion": "1"},
        "spec": {
            "schedulerName": "dovetail",
            "nodeSelector": {HOST: NODE},
            "containers": containers,
            "resourceClaims": entries,
        },
        "status": {"phase": "Pending"},
    }


def question(case: Json, identity: int, timeout: float = 10) -> Json:
    """A case as the oracle wants it: taint rules are applied to the slices, which it takes for granted."""
    return {
        "id": identity,
        "timeoutSeconds": timeout,
        "slices": [_tainted(item, case["taintRules"]) for item in case["slices"]],
        **{key: case[key] for key in ("node", "claims", "classes", "allocatedClaims")},
    }


def _names(objects: list[Json]) -> list[str]:
    return [item["metadata"]["name"] for item in objects]


def _tainted(item: Json, rules: list[Json]) -> Json:
    spec = item["spec"]
    devices = []
    for device in spec["devices"]:
        taints = list(device.get("taints", []))
        for rule in rules:
            selector = rule["spec"].get("deviceSelector")
            facts = {"driver": spec["driver"], "pool": spec["pool"]["name"], "device": device["name"]}
            if selector is not None and all(facts[key] == value for key, value in selector.items()):
                taints.append(rule["spec"]["taint"])
        devices.append({**device, "taints": taints} if taints else device)
    return {**item, "spec": {**spec, "devices": devices}}


# ---------------------------------------------------------------- nodes and devices


def _node(name: str, labels: dict[str, str]) -> Json:
    return {
        "metadata": {"name": name, "uid": f"node-{name}", "labels": {HOST: name, **labels}},
        "status": {"allocatable": {"cpu": "8", "memory": "32Gi", "pods": "110"}},
    }


def _device(dice: Dice, name: str) -> Json:
    attributes: Json = {"numa": {"int": dice.of(0, 0, 1)}, "model": {"string": dice.of("a", "a", "b")}}
    capacity: Json = {"memory": {"value": dice.of("16Gi", "40960Mi", "80Gi", "42949672959")}}
    if dice.has("selectors", "selector errors"):
        attributes["firmware"] = {"version": dice.of("1.0.0", "1.2.0-rc.1", "1.10.0", "2.0.0+b1")}
        attributes["healthy"] = {"bool": dice.chance(0.7)}
        lost = 0.25 if dice.has("selectors") else 0.15
        attributes = {key: value for key, value in attributes.items() if not dice.chance(lost)}
        if dice.chance(0.3):
            attributes["other.example.com/root"] = {"string": dice.of("r0", "r1")}
        if dice.chance(0.1):
            attributes["model"] = {"int": 7}
        if dice.trouble("selector errors", 0.1):
            attributes["numa"] = dice.of({"bool": False}, {"string": "0"}, {"version": "0.0.0"})
        if dice.chance(lost):
            capacity = {}
    if dice.has("match"):
        for key in ("numa", "model"):
            if dice.chance(0.12):
                value = attributes.pop(key, {"int": 0})
                if dice.chance(0.6):
                    attributes[dice.of(f"{GPU}/{key}", f"other.example.com/{key}", f"{NIC}/{key}")] = value
        if dice.chance(0.85):
            attributes["resource.kubernetes.io/pcieRoot"] = {"string": dice.of("pci0", "pci1")}
    if dice.has("mixed match"):
        tag = dice.of(
            *[{"int": 1}] * 6, *[{"bool": True}] * 3, {"int": 0}, {"bool": False}, *[{"string": "1.0.0"}] * 2,
            *[{"version": "1.0.0"}] * 2, {"version": "1.0.0+b1"}, {"string": "1"}, {"string": ""}, None,
        )  # fmt: skip
        if tag is not None:
            attributes[dice.of("tag", "tag", f"{GPU}/tag")] = tag
        if dice.chance(0.1):
            attributes |= {"tag": {"int": 0}, f"{GPU}/tag": {"int": 1}}  # the name with a domain counts
    found: Json = {"name": name}
    if not dice.has("limit"):
        found |= {"attributes": attributes, "capacity": capacity}
    if dice.trouble("taints"):
        found["taints"] = [_taint(dice) for _ in range(dice.of(1, 1, 2))]
    if dice.trouble("node selection", 0.15):
        found["bindsToNode"] = dice.of(True, True, False)
    return found


def _taint(dice: Dice) -> Json:
    taint: Json = {"key": dice.of("worn", "hot"), "effect": dice.of(*["NoSchedule", "NoExecute"] * 3, "None", "Later")}
    value = dice.of("", "x", "y")
    return {**taint, "value": value} if value else taint


def _slice(
    name: str, driver: str, pool: str, count: int, devices: list[Json], where: Json, generation: int = 1
) -> Json:
    return {
        "metadata": {"name": name, "uid": f"slice-{name}"},
        "spec": {
            "driver": driver,
            "pool": {"name": pool, "generation": generation, "resourceSliceCount": count},
            **where,
            "devices": devices,
        },
    }


def _devices(dice: Dice, least: int, most: int, prefix: str = "d") -> list[Json]:
    devices = [_device(dice, f"{prefix}{i}") for i in range(dice.number(least, most))]
    return dice.shuffled(devices) if dice.chance(0.3) else devices


def _slices(dice: Dice) -> list[Json]:
    if dice.has("limit"):
        count = dice.of(31, 32, 33, 34, 36)
        found = _pool(dice, GPU, "n1", _devices(dice, count, count), {"nodeName": NODE})
    else:
        found = _pool(dice, GPU, "n1", _devices(dice, 2, 6), {"nodeName": NODE})
    if dice.chance(0.35):
        driver = dice.of(GPU, NIC)
        found += _pool(dice, driver, dice.of("n1", "a", "z") if driver == NIC else "z", _devices(dice, 1, 2),
                       {"nodeName": NODE})  # fmt: skip
    if dice.chance(0.25) or dice.has("node selection"):
        found += _pool(dice, dice.of(GPU, GPU, NIC), "shared", _devices(dice, 1, 3), _where(dice))
    if dice.trouble("node selection"):
        found += _pool(dice, GPU, "fabric", _devices(dice, 1, 2), _where(dice))
    if dice.chance(0.2):
        found += _pool(dice, GPU, OTHER, _devices(dice, 1, 2), {"nodeName": OTHER})
    if dice.trouble("generations", 0.4) or dice.trouble("torn pools", 0.25):
        found += _spanning(dice)
    if dice.chance(0.04):
        found = [item for item in found if item["spec"]["pool"]["name"] != "n1"]
    return found


def _where(dice: Dice) -> Json:
    if dice.chance(0.3):
        return {"allNodes": True}
    if dice.chance(0.1):
        return {"nodeName": dice.of(NODE, OTHER)}
    if dice.chance(0.1):
        return {"nodeSelector": {"nodeSelectorTerms": [{}]}}  # selects nothing
    labels = dice.some(
        [
            {
                "key": dice.of("zone", "zone", "gone"),
                "operator": dice.of("In", "NotIn", "NotIn"),
                "values": dice.of(["a"], ["b", "c"], ["a", "b"]),
            },
            {"key": dice.of("zone", "gone"), "operator": dice.of("Exists", "DoesNotExist")},
            {"key": "rank", "operator": dice.of("Gt", "Lt"), "values": [dice.of("3", "4", "5")]},
            {"key": HOST, "operator": "In", "values": dice.of([NODE], [OTHER], [NODE, OTHER], [OTHER, NODE])},
        ],
        0.35,
    )
    fields = [{"key": "metadata.name", "operator": dice.of("In", "NotIn"), "values": [dice.of(NODE, OTHER)]}]
    term: Json = {"matchExpressions": labels} if labels else {}
    if dice.chance(0.25) or not labels:
        term["matchFields"] = fields
    return {"nodeSelector": {"nodeSelectorTerms": [term]}}


def _pool(dice: Dice, driver: str, pool: str, devices: list[Json], where: Json) -> list[Json]:
    """The slices of a pool on one node, perhaps in the middle of an update."""
    name = f"{pool}-{driver[:3]}"
    parts = _parts(dice, devices, dice.of(1, 1, 1, 2, 3))
    count = len(parts)
    if dice.trouble("torn pools"):
        count += dice.of(1, 1, -1 if count > 1 else 1)
    generation = 1
    extra: list[Json] = []
    if dice.has("generations") and dice.chance(0.7):
        generation = 2
        old = [*dice.some(devices, 0.7), {"name": "old"}]
        sound = dice.chance(0.5)
        shape = dice.of("older here", "older elsewhere", "newer here", "newer elsewhere", "newer empty")
        place, age = where, 1 if shape.startswith("older") else 3
        if shape.endswith("elsewhere"):
            place = {"nodeName": OTHER}
        if shape == "newer empty":
            old = []
        extra = [_slice(f"{name}-x", driver, pool, 1 if sound else 2, old, place, age)]
        if dice.chance(0.3):
            count += 1  # what is here is only a part
    if dice.has("duplicates") and dice.chance(0.7) and devices:
        twin = {"name": dice.of(*devices)["name"]} if dice.chance(0.8) else {"name": "single"}
        place = where if dice.chance(0.7) else {"nodeName": OTHER}
        age = dice.of(generation, generation, generation, generation + 1, generation - 1)
        if age == generation:
            count += 1
        extra.append(_slice(f"{name}-twin", driver, pool, count, [twin], place, age))
    labels = dice.shuffled([f"{name}-{i}" for i in range(len(parts))])
    return [
        _slice(label, driver, pool, count, part, where, generation) for label, part in zip(labels, parts, strict=True)
    ] + extra


def _parts(dice: Dice, devices: list[Json], count: int) -> list[list[Json]]:
    cuts = sorted(dice.number(0, len(devices)) for _ in range(count - 1))
    return [devices[start:end] for start, end in zip([0, *cuts], [*cuts, len(devices)], strict=True)]


def _spanning(dice: Dice) -> list[Json]:
    """One pool over two nodes and all nodes, perhaps half rolled over."""
    ages = dice.of((1, 1, 1), (1, 2, 2), (2, 1, 1), (1, 1, 2), (2, 2, 1))
    counts = dice.of(1, 2, 2, 3, 3)
    places = [{"nodeName": NODE}, {"nodeName": OTHER}, _where(dice)][: dice.of(2, 2, 3)]
    return [
        _slice(f"span-{i}", GPU, "span", counts, _devices(dice, 1, 2, f"s{i}-"), place, ages[i])
        for i, place in enumerate(places)
    ]


def _taint_rules(dice: Dice) -> list[Json]:
    rules = []
    for i in range(dice.number(1, 2)):
        spec: Json = {"taint": _taint(dice)}
        if not dice.chance(0.1):
            spec["deviceSelector"] = dice.of(
                {}, {"driver": GPU}, {"driver": NIC}, {"pool": "n1"}, {"device": "d0"}, {"device": "d1"},
                {"driver": GPU, "pool": "n1", "device": "d1"}, {"pool": "shared"}, {"driver": NIC, "device": "d0"},
            )  # fmt: skip
        rules.append({"metadata": {"name": f"rule-{i}", "uid": f"rule-{i}"}, "spec": spec})
    return rules


def _allocated(dice: Dice, slices: list[Json]) -> list[Json]:
    held = []
    share = dice.of(0.2, 0.4, 0.7)
    seen = set()
    for item in slices:
        spec = item["spec"]
        for device in spec["devices"]:
            identity = (spec["driver"], spec["pool"]["name"], device["name"])
            if identity in seen or not dice.chance(share):
                continue
            seen.add(identity)
            driver, pool, name = identity
            if dice.chance(0.1):
                name = "gone"
            result = {"request": "r", "driver": driver, "pool": pool, "device": name}
            if dice.chance(0.2):
                result["adminAccess"] = True
            held.append(result)
    claims = []
    for i, results in enumerate([held[0::2], held[1::2]]):
        if results:
            claim = _claim_object(f"held-{i}", {"requests": [_request_object("r", {"deviceClassName": "gpu"})]})
            claim["metadata"]["namespace"] = dice.of("default", "other")
            claims.append({**claim, "status": {"allocation": {"devices": {"results": results}}}})
    return claims


# ---------------------------------------------------------------- classes and claims


def _classes(dice: Dice) -> list[Json]:
    found = [
        _class(dice, "gpu", [f'device.driver == "{GPU}"']),
        _class(dice, "any", []),
    ]
    if dice.has("selectors", "selector errors"):
        found.append(_class(dice, "picky", _expressions(dice, 1, 2)))
    if dice.has("requests", "claims", "config"):
        found.append(_class(dice, "nic", [f'device.driver == "{NIC}"']))
    return found


def _class(dice: Dice, name: str, selectors: list[str]) -> Json:
    spec: Json = {}
    if selectors:
        spec["selectors"] = [{"cel": {"expression": text}} for text in selectors]
    if dice.trouble("config", 0.7):
        spec["config"] = [_entry(dice) for _ in range(dice.of(1, 1, 2))]
    return {"metadata": {"name": name, "uid": f"class-{name}"}, "spec": spec}


def _entry(dice: Dice) -> Json:
    parameters = dice.of(
        {"kind": "Share", "n": 1}, {"kind": "Mode", "z": 1, "a": [1, 2.5, {"b": None}]}, {"text": "\u00e9<&>\u2028"}, {}
    )
    return {"opaque": {"driver": dice.of(GPU, NIC), "parameters": parameters}}


def _expressions(dice: Dice, least: int, most: int) -> list[str]:
    choices: tuple[str, ...] = ()
    if dice.has("selectors"):
        choices += SELECTORS
    if dice.has("selector errors"):
        choices += UNGUARDED
    return [dice.of(*choices) for _ in range(dice.number(least, most))]


def _claims(dice: Dice, classes: list[Json]) -> list[Json]:
    count = dice.of(1, 2, 2, 3) if dice.has("claims") else 1
    return [_claim(dice, name, _names(classes)) for name in dice.shuffled(["c0", "c1", "c2"])[:count]]


def _claim(dice: Dice, name: str, classes: list[str]) -> Json:
    several = dice.has("requests", "match", "mixed match", "config")
    most = 3 if dice.has("requests") else 2 if several or dice.has("limit") else 1
    count = dice.number(1, most)
    if dice.trouble("claims", 0.1):
        count = 0
    names = dice.shuffled(["r0", "r1", "r2"])[:count]
    requests = [_request(dice, each, classes, count) for each in names]
    devices: Json = {"requests": requests} if requests else {}
    if count and (dice.has("match", "mixed match") or dice.chance(0.05)):
        devices["constraints"] = [_constraint(dice, names) for _ in range(dice.of(1, 1, 2))]
    if dice.has("config"):
        entries = []
        for _ in range(dice.of(0, 1, 2, 3)):
            chosen = dice.shuffled(dice.some(names)) if dice.chance(0.8) else []
            entries.append({**({"requests": chosen} if chosen else {}), **_entry(dice)})
        if entries:
            devices["config"] = entries
    return _claim_object(name, devices)


def _constraint(dice: Dice, names: list[str]) -> Json:
    attributes = []
    if dice.has("match") or not dice.has("mixed match"):
        attributes += [f"{GPU}/numa", f"{GPU}/model", "other.example.com/numa", "resource.kubernetes.io/pcieRoot"]
    if dice.has("mixed match"):
        attributes += [f"{GPU}/tag"] * 3
    chosen = dice.some(names) if dice.chance(0.6) else []
    return {**({"requests": chosen} if chosen else {}), "matchAttribute": dice.of(*attributes)}


def _request(dice: Dice, name: str, classes: list[str], count: int) -> Json:
    exactly: Json = {"deviceClassName": dice.of("gpu", "gpu", *classes)}
    if dice.chance(0.01):
        exactly["deviceClassName"] = "missing"
    if dice.has("limit"):
        least, most = (30, 33) if count == 1 else (15, 17)
        exactly["count"] = dice.of(1, 1, dice.number(least, most), dice.number(least, most))
    elif dice.has("counts"):
        exactly["count"] = dice.of(1, 2, 3, 4, 5, 9)
    elif dice.has("match", "mixed match"):
        exactly["count"] = dice.of(1, 1, 2, 2, 3)
    else:
        exactly["count"] = dice.of(1, 1, 2)
    exactly["allocationMode"] = "ExactCount"
    if dice.trouble("all", 0.7) or dice.trouble("limit", 0.3) or dice.trouble("match", 0.2):
        del exactly["count"]
        exactly["allocationMode"] = "All"
        if dice.chance(0.5):
            exactly["deviceClassName"] = dice.of(*classes)
    if dice.has("selectors", "selector errors"):
        texts = _expressions(dice, 0, 2)
    elif dice.has("all", "requests", "claims", "match") and dice.chance(0.5):
        numa, model = f"{_ATTRIBUTES}.numa", f"{_ATTRIBUTES}.model"
        texts = [dice.of(f"has({numa}) && {numa} == {dice.of(0, 1)}", f'has({model}) && {model} == "{dice.of(*"ab")}"')]
    else:
        texts = []
    if texts:
        exactly["selectors"] = [{"cel": {"expression": text}} for text in texts]
    if dice.has("taints", "taint rules") and dice.chance(0.6):
        exactly["tolerations"] = [_toleration(dice) for _ in range(dice.of(1, 1, 2))]
    return _request_object(name, exactly)


def _toleration(dice: Dice) -> Json:
    found: Json = {"operator": "Exists"}
    if dice.chance(0.85):
        found = dice.of({"key": "worn", "operator": "Exists"}, {"key": "hot", "operator": "Exists"},
                        {"key": "worn", "operator": "Equal", "value": "x"}, {"key": "hot", "operator": "Equal"},
                        {"key": "worn", "operator": "Equal", "value": "y"}, {"key": "worn", "value": "x"},
            {"key": "hot"})  # fmt: skip
    if dice.chance(0.35):
        found["effect"] = dice.of("NoSchedule", "NoExecute", "None")
    if dice.chance(0.15):
        found |= {"effect": "NoExecute", "tolerationSeconds": 30}
    return found


def _request_object(name: str, exactly: Json) -> Json:
    return {"name": name, "exactly": exactly}


def _claim_object(name: str, devices: Json) -> Json:
    metadata = {"name": name, "namespace": "default", "uid": f"claim-{name}", "resourceVersion": "1"}
    return {"metadata": metadata, "spec": {"devices": devices}}
