"""Devices, pools and their slices, whole and torn."""

from typing import Final

from e2e.oracle.generator.dice import GPU, HOST, NIC, NODE, OTHER, VENDOR, Dice, Json

UNITS: Final = ("", "Gi", "00m")
"""Of counters: the amounts are small numbers, so 3 may be 3, 3Gi or 300m."""

_CAPACITIES: Final[dict[str, tuple[Json, ...]]] = {
    "plain": ({"value": "8Gi"}, {"value": "4Gi"}, {"value": "16Gi"}, {"value": "3"}),
    "policies": (
        {"value": "8Gi", "requestPolicy": {"default": "1Gi"}},
        {"value": "8Gi", "requestPolicy": {"default": "0"}},
        {"value": "4Gi", "requestPolicy": {"default": "3Gi"}},
        {"value": "8Gi", "requestPolicy": {"default": "1Gi", "validRange": {"min": "1Gi", "step": "1Gi"}}},
        {"value": "8Gi", "requestPolicy": {"default": "2Gi", "validRange": {"min": "2Gi"}}},
        {"value": "8Gi", "requestPolicy": {"default": "1Gi", "validRange": {"min": "512Mi", "max": "3Gi"}}},
        {
            "value": "8Gi",
            "requestPolicy": {"default": "1Gi", "validRange": {"min": "1Gi", "max": "4Gi", "step": "512Mi"}},
        },
        {"value": "8Gi", "requestPolicy": {"default": "1Gi", "validRange": {"min": "0", "max": "4Gi", "step": "1Gi"}}},
        {"value": "8Gi", "requestPolicy": {"default": "2Gi", "validValues": ["1Gi", "2Gi", "4Gi"]}},
        {"value": "10G", "requestPolicy": {"default": "1G", "validValues": ["1G", "5G"]}},
        {"value": "10", "requestPolicy": {"default": "1", "validRange": {"min": "1", "max": "7", "step": "3"}}},
    ),
    "odd quantities": (
        {"value": "4", "requestPolicy": {"default": "1", "validRange": {"min": "200m", "max": "3", "step": "100m"}}},
        {"value": "4", "requestPolicy": {"default": "500m", "validRange": {"min": "0.25", "step": "250m"}}},
        {"value": "1", "requestPolicy": {"default": "100m", "validValues": ["100m", "250m", "1"]}},
        {"value": "2500m", "requestPolicy": {"default": "1500m"}},
        {"value": "1", "requestPolicy": {"default": "200n", "validRange": {"min": "100n", "step": "100n"}}},
        {"value": "64Pi", "requestPolicy": {"default": "1Gi", "validRange": {"min": "1Gi", "step": "1Gi"}}},
        {"value": "8Ei", "requestPolicy": {"default": "1Pi", "validRange": {"min": "1Pi", "step": "1Pi"}}},
        {"value": "9223372036854775807", "requestPolicy": {"default": "1", "validRange": {"min": "1", "step": "2"}}},
        {"value": "8000P", "requestPolicy": {"default": "1", "validRange": {"min": "1", "step": "1"}}},
        {"value": "1e21"},
        {"value": "1e21", "requestPolicy": {"default": "1e20", "validRange": {"min": "1e19"}}},
        {"value": "1e21", "requestPolicy": {"default": "1e20", "validValues": ["1e19", "1e20"]}},
        {"value": "2e18", "requestPolicy": {"default": "1e18", "validRange": {"min": "0", "step": "1e18"}}},
        {"value": "1.5Gi"},
        {"value": "12e6", "requestPolicy": {"default": "1M", "validRange": {"min": "1M", "step": "1M"}}},
    ),
}
_LISTS: Final[tuple[Json, ...]] = (
    {"ints": [0, 1]}, {"ints": [1, 2]}, {"ints": [2]}, {"ints": [0]}, {"ints": [2, 1, 1, 0]}, {"int": 1}, {"int": 0},
    {"ints": [0, 2]}, {"ints": [3]}, {"int": 2}, {"int": 3},
)  # fmt: skip
_STRING_LISTS: Final[tuple[Json, ...]] = (
    {"strings": ["a", "b"]}, {"strings": ["b"]}, {"string": "a"}, {"strings": ["1"]}, {"bools": [True]},
    {"bools": [True, False]}, {"bool": True}, {"versions": ["1.0.0", "2.0.0"]}, {"version": "1.0.0"}, {"ints": [1]},
)  # fmt: skip
_MIXED: Final[tuple[Json | None, ...]] = (
    *[{"int": 1}] * 6, *[{"bool": True}] * 3, {"int": 0}, {"bool": False}, *[{"string": "1.0.0"}] * 2,
    *[{"version": "1.0.0"}] * 2, {"version": "1.0.0+b1"}, {"string": "1"}, {"string": ""}, None,
)  # fmt: skip


# ---------------------------------------------------------------- devices


def _device(dice: Dice, name: str) -> Json:
    found: Json = {"name": name}
    if not dice.has("limit"):
        found["attributes"] = _attributes(dice)
        capacity = _capacity(dice)
        if capacity:
            found["capacity"] = capacity
    if not dice.has("limit") and dice.trouble("shares", 0.75):
        found["allowMultipleAllocations"] = True
        policies = [each for each in ("plain", "policies", "odd quantities") if each == "plain" or dice.has(each)]
        capacity = {}
        for key in ("memory", "bandwidth"):
            if dice.chance(0.8 if key == "memory" else 0.3):
                capacity[key] = dice.of(*_CAPACITIES[policies[-1] if dice.chance(0.75) else dice.of(*policies)])
        if capacity:
            found["capacity"] = capacity
        else:
            found.pop("capacity", None)
    elif dice.has("odd quantities") and dice.chance(0.5):
        found["capacity"] = {"memory": {"value": dice.of("1e21", "1500m", "8Ei", "0.1", "100n", "12e6")}}
    if dice.trouble("taints"):
        found["taints"] = [draw_taint(dice) for _ in range(dice.of(1, 1, 2))]
    if dice.trouble("binds to node") or dice.trouble("node selection", 0.1):
        found["bindsToNode"] = dice.of(True, True, False)
    if dice.trouble("binding conditions"):
        found["bindingConditions"] = dice.of(["ready"], ["ready", "linked"])
        found["bindingFailureConditions"] = dice.of(["failed"], ["failed", "lost"])
    return found


def _attributes(dice: Dice) -> Json:
    attributes: Json = {"numa": {"int": dice.of(0, 0, 1)}, "model": {"string": dice.of("a", "a", "b")}}
    if dice.has("selectors", "selector errors", "derived attributes"):
        attributes["firmware"] = {"version": dice.of("1.0.0", "1.2.0-rc.1", "1.10.0", "2.0.0+b1")}
        attributes["healthy"] = {"bool": dice.chance(0.7)}
        lost = 0.25 if dice.has("selectors") else 0.15 if dice.has("selector errors") else 0.05
        attributes = {key: value for key, value in attributes.items() if not dice.chance(lost)}
        if dice.chance(0.3):
            attributes[f"{VENDOR}/root"] = {"string": dice.of("r0", "r1")}
        if dice.chance(0.1):
            attributes["model"] = {"int": 7}
        if dice.trouble("selector errors", 0.1):
            attributes["numa"] = dice.of({"bool": False}, {"string": "0"}, {"version": "0.0.0"})
    if dice.has("match", "distinct"):
        for key in ("numa", "model"):
            if dice.chance(0.12):
                value = attributes.pop(key, {"int": 0})
                if dice.chance(0.6):
                    attributes[dice.of(f"{GPU}/{key}", f"{VENDOR}/{key}", f"{NIC}/{key}")] = value
        if dice.chance(0.85):
            attributes["resource.kubernetes.io/pcieRoot"] = {"string": dice.of("pci0", "pci1")}
    if dice.has("distinct"):
        attributes["slot"] = {"int": dice.number(0, 4)}
    if dice.has("mixed types"):
        tag = dice.of(*_MIXED)
        if tag is not None:
            attributes[dice.of("tag", "tag", f"{GPU}/tag")] = tag
        if dice.chance(0.1):
            attributes |= {"tag": {"int": 0}, f"{GPU}/tag": {"int": 1}}  # the name with a domain counts
    if dice.has("list attributes"):
        if dice.chance(0.9):
            attributes["links"] = dice.of(*_LISTS)
        if dice.chance(0.6):
            attributes["tags"] = dice.of(*_STRING_LISTS)
    if dice.trouble("skew", 0.06):
        attributes["future"] = {}
    return attributes


def _capacity(dice: Dice) -> Json:
    if dice.has("selectors", "selector errors") and dice.chance(0.2):
        return {}
    return {"memory": {"value": dice.of("16Gi", "40960Mi", "80Gi", "42949672959")}}


def draw_taint(dice: Dice) -> Json:
    effects = ["NoSchedule", "NoExecute"] * 3
    taint: Json = {"key": dice.of("worn", "hot"), "effect": dice.of(*effects, "None", "Later")}
    value = dice.of("", "x", "y")
    return {**taint, "value": value} if value else taint


def _devices(dice: Dice, least: int, most: int, prefix: str = "d") -> list[Json]:
    devices = [_device(dice, f"{prefix}{i}") for i in range(dice.number(least, most))]
    return dice.shuffled(devices) if dice.chance(0.3) else devices


# ---------------------------------------------------------------- which nodes


def _where(dice: Dice) -> Json:
    if dice.chance(0.3):
        return {"allNodes": True}
    if dice.chance(0.1):
        return {"nodeName": dice.of(NODE, OTHER)}
    return {"nodeSelector": _node_selector(dice)}


def _node_selector(dice: Dice) -> Json:
    if dice.chance(0.1):
        return {"nodeSelectorTerms": [{}]}  # selects nothing
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
    term: Json = {"matchExpressions": labels} if labels else {}
    if dice.chance(0.25) or not labels:
        name = dice.of(NODE, NODE, OTHER)
        term["matchFields"] = [{"key": "metadata.name", "operator": dice.of("In", "In", "NotIn"), "values": [name]}]
    return {"nodeSelectorTerms": [term]}


def _device_nodes(dice: Dice, devices: list[Json]) -> tuple[Json, list[Json]]:
    """A slice whose devices say for themselves where they can be used."""
    placed = []
    for device in devices:
        where = dice.of({"nodeName": NODE}, {"nodeName": NODE}, {"nodeName": OTHER}, {"allNodes": True}, _where(dice))
        placed.append({**device, **where})
    if placed and dice.chance(0.03):  # legal for a device, and of no use
        selector = {"nodeSelectorTerms": [term for _ in range(2) for term in _node_selector(dice)["nodeSelectorTerms"]]}
        where = {"nodeSelector": selector}
        placed[0] = {key: value for key, value in placed[0].items() if key not in {"nodeName", "allNodes"}} | where
    return {"perDeviceNodeSelection": True}, placed


# ---------------------------------------------------------------- counters


def _partitioned(dice: Dice, devices: list[Json], unit: str, sets: list[str]) -> list[Json]:
    """The devices, most of which draw from the counter sets."""
    grouped = dice.has("compatibility groups")
    found = []
    for device in devices:
        if dice.chance(0.15):
            found.append(device)
            continue
        consumed = []
        for name in dice.shuffled(sets)[: dice.of(1, 1, 1, 2)]:
            size = dice.of(1, 1, 2, 2, 4)
            counters = {"slots": {"value": f"{size}{unit}"}}
            if dice.chance(0.4):
                counters["memory"] = {"value": f"{dice.of(0, 1, 2, 3)}{unit}"}
            entry: Json = {"counterSet": name, "counters": counters}
            if grouped and dice.chance(0.75):
                entry["compatibilityGroups"] = dice.of(["mig"], ["mig"], ["vgpu"], ["mig", "vgpu"], ["vgpu", "time"])
            consumed.append(entry)
        if dice.trouble("counter faults", 0.12):
            if dice.chance(0.5):
                consumed[0] = {**consumed[0], "counterSet": "lost"}
            else:
                consumed[0] = {**consumed[0], "counters": {"ghost": {"value": "1"}}}
        found.append({**device, "consumesCounters": consumed})
    return found


def _counter_sets(dice: Dice, unit: str, sets: list[str]) -> list[Json]:
    found = []
    for name in sets:
        total = dice.of(1, 2, 3, 4, 4, 6)
        found.append(
            {
                "name": name,
                "counters": {"slots": {"value": f"{total}{unit}"}, "memory": {"value": f"{dice.of(0, 2, 4, 6)}{unit}"}},
            }
        )
    return found


# ---------------------------------------------------------------- pools


def _slice(name: str, driver: str, pool: str, count: int, content: Json, where: Json, generation: int = 1) -> Json:
    return {
        "metadata": {"name": name, "uid": f"slice-{name}"},
        "spec": {
            "driver": driver,
            "pool": {"name": pool, "generation": generation, "resourceSliceCount": count},
            **where,
            **content,
        },
    }


def draw_slices(dice: Dice) -> list[Json]:
    """All slices of the cluster, in any order."""
    if dice.has("limit"):
        found = _pool(dice, GPU, "n1", _devices(dice, 31, 35), {"nodeName": NODE})
    else:
        most = 5 if dice.has("counters", "shares", "first available", "claims") else 6
        found = _pool(dice, GPU, "n1", _devices(dice, 2, most), {"nodeName": NODE})
    if dice.chance(0.3):
        driver = dice.of(GPU, NIC)
        pool = dice.of("n1", "a", "z") if driver == NIC else "z"
        found += _pool(dice, driver, pool, _devices(dice, 1, 2), {"nodeName": NODE})
    if dice.chance(0.2) or dice.has("node selection", "binds to node"):
        found += _pool(dice, dice.of(GPU, GPU, NIC), "shared", _devices(dice, 1, 3), _where(dice))
    if dice.trouble("node selection"):
        found += _pool(dice, GPU, "fabric", _devices(dice, 1, 2), _where(dice))
    if dice.has("device nodes"):
        where, devices = _device_nodes(dice, _devices(dice, 2, 4, "m"))
        found += _pool(dice, GPU, dice.of("b", "mixed"), devices, where)
    if dice.chance(0.2):
        found += _pool(dice, GPU, OTHER, _devices(dice, 1, 2), {"nodeName": OTHER})
    if dice.trouble("generations", 0.4) or dice.trouble("torn pools", 0.25):
        found += _spanning(dice)
    if dice.chance(0.04):
        found = [item for item in found if item["spec"]["pool"]["name"] != "n1"]
    if dice.trouble("skew", 0.1):
        found.append(_slice("unheard-of", GPU, "unheard", 1, {"devices": [{"name": "u0"}]}, {}))
    if dice.has("node operations"):
        for item in found:
            if dice.chance(0.5):
                operations = dice.of(
                    ["*"], ["NodeUnprepareResources"], ["NodePrepareResources", "NodeUnprepareResources"]
                )
                item["spec"]["skipNodeOperations"] = operations
    return dice.shuffled(_agreed(found))


def _agreed(slices: list[Json]) -> list[Json]:
    """One generation of a pool states one count: where slices disagree, upstream goes by the order of its cache."""
    counts: dict[tuple[str, str, int], int] = {}
    for item in slices:
        pool = item["spec"]["pool"]
        key = (item["spec"]["driver"], pool["name"], pool["generation"])
        pool["resourceSliceCount"] = counts.setdefault(key, pool["resourceSliceCount"])
    return slices


def _pool(dice: Dice, driver: str, pool: str, devices: list[Json], where: Json) -> list[Json]:
    """The slices of a pool on one node, perhaps with counters, perhaps in the middle of an update."""
    name = f"{pool}-{driver[:3]}"
    extra: list[tuple[str, Json, Json]] = []  # name, content, where
    if dice.trouble("counters", 0.8):
        unit, sets = dice.of(*UNITS), dice.of(["s0"], ["s0", "s1"])
        devices = _partitioned(dice, devices, unit, sets)
        places = (where, where, {"allNodes": True}, {"nodeName": OTHER})
        published = _counter_sets(dice, unit, sets)
        halves = [published] if dice.chance(0.7) else [published[:1], published[1:]]
        extra += [(f"{name}-c{i}", {"sharedCounters": half}, dice.of(*places)) for i, half in enumerate(halves) if half]
        if dice.trouble("counter faults", 0.25):
            extra.append((f"{name}-ct", {"sharedCounters": published[:1]}, dice.of(*places)))
        if "perDeviceNodeSelection" not in where and dice.chance(0.4):  # the rest of the pool is elsewhere
            away = _partitioned(dice, _devices(dice, 1, 2, "e"), unit, sets)
            extra.append((f"{name}-e", {"devices": away}, {"nodeName": OTHER}))
    parts = _parts(dice, devices, dice.of(1, 1, 1, 2, 3))
    count = len(parts) + len(extra)
    if dice.trouble("torn pools", 0.25 if dice.hopeless else 0.5):
        count += dice.of(1, 1, -1 if count > 1 else 1)
    generation = 1
    older: list[Json] = []
    if dice.trouble("generations", 0.7):
        generation = 2
        old = [*dice.some(devices, 0.7), {"name": "old"}]
        sound = dice.chance(0.5)
        shape = dice.of("older here", "older elsewhere", "newer here", "newer elsewhere", "newer empty")
        place, age = where, 1 if shape.startswith("older") else 3
        if shape.endswith("elsewhere"):
            place = {"nodeName": OTHER}
            old = [{key: value for key, value in each.items() if not _is_place(key)} for each in old]
        elif "perDeviceNodeSelection" in where:
            old[-1] = {**old[-1], "allNodes": True}
        if shape == "newer empty":
            old = []
        older = [_slice(f"{name}-x", driver, pool, 1 if sound else 2, {"devices": old}, place, age)]
        if dice.chance(0.3):
            count += 1  # what is here is only a part
    if dice.trouble("duplicates", 0.9 if dice.hopeless else 0.7) and devices:
        sure = 1 if dice.hopeless else 0.85
        twin = {"name": dice.of(*devices)["name"]} if dice.chance(sure) else {"name": "single"}
        place = where if dice.chance(sure) else {"nodeName": OTHER}
        age = dice.of(*[generation] * 5, generation + 1, generation - 1)
        if age == generation:
            count += 1
        if "perDeviceNodeSelection" in place:
            twin["nodeName"] = NODE
        older.append(_slice(f"{name}-twin", driver, pool, count, {"devices": [twin]}, place, age))
    labels = dice.shuffled([f"{name}-{i}" for i in range(len(parts))])
    whole = [(label, {"devices": part}, where) for label, part in zip(labels, parts, strict=True)] + extra
    return [_slice(label, driver, pool, count, content, place, generation) for label, content, place in whole] + older


def _is_place(key: str) -> bool:
    return key in {"nodeName", "nodeSelector", "allNodes"}


def _parts(dice: Dice, devices: list[Json], count: int) -> list[list[Json]]:
    cuts = sorted(dice.number(0, len(devices)) for _ in range(count - 1))
    return [devices[start:end] for start, end in zip([0, *cuts], [*cuts, len(devices)], strict=True)]


def _spanning(dice: Dice) -> list[Json]:
    """One pool over two nodes and all nodes, perhaps half rolled over."""
    ages = dice.of((1, 1, 1), (1, 2, 2), (2, 1, 1), (1, 1, 2), (2, 2, 1))
    counts = dice.of(1, 2, 2, 3, 3)
    places = [{"nodeName": NODE}, {"nodeName": OTHER}, _where(dice)][: dice.of(2, 2, 3)]
    return [
        _slice(f"span-{i}", GPU, "span", counts, {"devices": _devices(dice, 1, 2, f"s{i}-")}, place, ages[i])
        for i, place in enumerate(places)
    ]


# ---------------------------------------------------------------- taint rules


def draw_taint_rules(dice: Dice) -> list[Json]:
    """DeviceTaintRules, which the oracle knows only as taints of the devices."""
    rules = []
    for i in range(dice.number(1, 2)):
        spec: Json = {"taint": draw_taint(dice)}
        if not dice.chance(0.1):
            spec["deviceSelector"] = dice.of(
                {}, {"driver": GPU}, {"driver": NIC}, {"pool": "n1"}, {"device": "d0"}, {"device": "d1"},
                {"driver": GPU, "pool": "n1", "device": "d1"}, {"pool": "shared"}, {"driver": NIC, "device": "d0"},
            )  # fmt: skip
        rules.append({"metadata": {"name": f"rule-{i}", "uid": f"rule-{i}"}, "spec": spec})
    return rules
