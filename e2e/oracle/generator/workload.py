"""Device classes and the claims of the pod."""

from typing import Final

from e2e.oracle.generator.dice import GPU, NIC, VENDOR, Dice, Json

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
    f'"root" in device.attributes["{VENDOR}"]',
    f'"root" in device.attributes["{VENDOR}"] && device.attributes["{VENDOR}"].root == "r0"',
    f'"{VENDOR}" in device.attributes',
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
    f'device.attributes["{VENDOR}"].root == "r0"',
    f'{_ATTRIBUTES}.model.startsWith("a")',  # a model may be a number
    f"{_ATTRIBUTES}.model",  # compiles as any, and is no bool
)
_NO_DEVICE: Final = f'"philosophers stone" in {_ATTRIBUTES}'
_SHARED: Final = (
    "device.allowMultipleAllocations", "!device.allowMultipleAllocations", "device.allowMultipleAllocations == true",
    "device.allowMultipleAllocations",
)  # fmt: skip
_LISTS: Final = (
    f"has({_ATTRIBUTES}.links) && {_ATTRIBUTES}.links.includes(1)",
    f'has({_ATTRIBUTES}.tags) && {_ATTRIBUTES}.tags.includes("b")',
    f"has({_ATTRIBUTES}.links) && 1 in {_ATTRIBUTES}.links",
)
_DERIVED: Final = (
    f"{_ATTRIBUTES}.numa", f"{_ATTRIBUTES}.numa + 1", f"{_ATTRIBUTES}.numa * 0", f"{_ATTRIBUTES}.model",
    f'has({_ATTRIBUTES}.model) ? string({_ATTRIBUTES}.model) : "none"', "device.driver", f"{_ATTRIBUTES}.firmware",
    f"{_ATTRIBUTES}.?healthy.orValue(false)", f"[{_ATTRIBUTES}.numa, 7]", "[]", "true",
    f'{_ATTRIBUTES}.numa == 0 ? ["x"] : ["x", "y"]',
    f"has({_ATTRIBUTES}.firmware) ? {_ATTRIBUTES}.firmware.major() : 0",
    f"{_CAPACITY}.memory.asInteger()", f"has({_ATTRIBUTES}.numa) ? [{_ATTRIBUTES}.numa] : [5]", "1.5", "{1: 2}",
)  # fmt: skip
_DERIVED_NAMES: Final = ("derived/bank", "derived/bank", "derived/side", f"{GPU}/numa")


def draw_classes(dice: Dice) -> list[Json]:
    """The device classes of the cluster."""
    found = [_class(dice, "gpu", [f'device.driver == "{GPU}"']), _class(dice, "any", [])]
    if dice.has("selectors", "selector errors"):
        found.append(_class(dice, "picky", _expressions(dice, 1, 2)))
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
    parameters: Json = dice.of(
        {"kind": "Share", "n": 1}, {"kind": "Mode", "z": 1, "a": [1, 2.5, {"b": None}]}, {"text": "é<&>\u2028"}, {}
    )
    return {"opaque": {"driver": dice.of(GPU, NIC), "parameters": parameters}}


def _expressions(dice: Dice, least: int, most: int) -> list[str]:
    choices: tuple[str, ...] = ()
    if dice.has("selectors"):
        choices += SELECTORS
        if dice.has("list attributes"):
            choices += _LISTS * 2
    if dice.has("selector errors"):
        choices += UNGUARDED
    return [dice.of(*choices) for _ in range(dice.number(least, most))]


def draw_claims(dice: Dice) -> list[Json]:
    """The claims of the pod, in its order."""
    count = dice.of(1, 2, 2, 3) if dice.has("claims") else 2 if dice.trouble("shares", 0.3) else 1
    claims = [_claim(dice, name, count) for name in dice.shuffled(["c0", "c1", "c2"])[:count]]
    if dice.hopeless:
        for request in dice.of(*claims)["spec"]["devices"].get("requests", [])[-1:]:
            for part in request.get("firstAvailable") or [request["exactly"]]:
                part["selectors"] = [{"cel": {"expression": _NO_DEVICE}}, *part.get("selectors", [])]
    return claims


def _claim(dice: Dice, name: str, claims: int) -> Json:
    several = dice.has("match", "distinct", "config", "first available", "shares", "admin access", "huge counts")
    most = 3 if dice.has("requests") and claims < 3 else 2 if several or dice.has("limit") else 1
    count = dice.number(1, most)
    if dice.trouble("claims", 0.08):
        count = 0
    names = dice.shuffled(["r0", "r1", "r2"])[:count]
    requests = [_request(dice, each, count) for each in names]
    devices: Json = {"requests": requests} if requests else {}
    spelled = [each for request in requests for each in _names(request)]
    if count and (dice.has("match", "distinct") or dice.chance(0.04)):
        devices["constraints"] = [_constraint(dice, spelled) for _ in range(dice.of(1, 1, 2))]
    derived = [entry["name"] for request in requests for entry in _derived_of(request)]
    for attribute in dict.fromkeys(derived):  # one that no constraint uses is refused by the API
        kind = dice.of("matchAttribute", "matchAttribute", "distinctAttribute")
        devices.setdefault("constraints", []).append({kind: attribute})
    if dice.trouble("skew", 0.06) and requests:
        devices.setdefault("constraints", []).append({"requests": [names[0]]})
    if dice.has("config"):
        entries = []
        for _ in range(dice.of(0, 1, 2, 3)):
            chosen = dice.shuffled(dice.some(spelled)) if dice.chance(0.8) else []
            entries.append({**({"requests": chosen} if chosen else {}), **_entry(dice)})
        if entries:
            devices["config"] = entries
    return claim_object(name, devices)


def _names(request: Json) -> list[str]:
    """All names by which constraints and configs may mean a request."""
    subs = [f"{request['name']}/{sub['name']}" for sub in request.get("firstAvailable", [])]
    return [str(request["name"]), *subs]


def _derived_of(request: Json) -> list[Json]:
    parts = request.get("firstAvailable") or [request["exactly"]]
    return [entry for part in parts for entry in part.get("derivedAttributes", [])]


def _constraint(dice: Dice, names: list[str]) -> Json:
    distinct = dice.has("distinct") and (not dice.has("match") or dice.chance(0.5))
    attributes = [f"{GPU}/numa", f"{GPU}/model", f"{VENDOR}/numa", "resource.kubernetes.io/pcieRoot"]
    if distinct:
        attributes = [f"{GPU}/slot", f"{GPU}/slot", f"{GPU}/numa", "resource.kubernetes.io/pcieRoot"]
    if dice.has("mixed types"):
        attributes = [f"{GPU}/tag"] if dice.chance(0.7) else attributes
    if dice.has("list attributes"):
        attributes = [f"{GPU}/links", f"{GPU}/links", f"{GPU}/tags"] if dice.chance(0.8) else attributes
    if dice.has("skew"):
        attributes = [*attributes, f"{GPU}/future"]
    chosen = dice.some(names) if dice.chance(0.6) else []
    kind = "distinctAttribute" if distinct else "matchAttribute"
    return {**({"requests": chosen} if chosen else {}), kind: dice.of(*attributes)}


def _request(dice: Dice, name: str, count: int) -> Json:
    if not dice.trouble("first available", 0.75):
        return request_object(name, _wanted(dice, count, False))
    alternatives = []
    for i in range(dice.of(1, 2, 2, 3, 4)):
        alternatives.append({"name": f"s{i}", **_wanted(dice, count, True)})
    return {"name": name, "firstAvailable": alternatives}


def _wanted(dice: Dice, requests: int, alternative: bool) -> Json:
    wanted: Json = {"deviceClassName": dice.of("gpu", "gpu", "any", "nic" if dice.chance(0.3) else "gpu")}
    if dice.has("selectors", "selector errors") and dice.chance(0.35):
        wanted["deviceClassName"] = "picky"
    if dice.trouble("skew", 0.05):
        wanted["deviceClassName"] = "missing"
    wanted |= {"allocationMode": "ExactCount", "count": _count(dice, requests, alternative)}
    if _all(dice):
        del wanted["count"]
        wanted["allocationMode"] = "All"
        if dice.chance(0.3):
            wanted["deviceClassName"] = dice.of("gpu", "any", "nic")
    if dice.trouble("skew", 0.03):
        wanted["allocationMode"] = "Some"
    selectors: list[Json] = [{"cel": {"expression": text}} for text in _selectors(dice)]
    if dice.trouble("skew", 0.03):
        selectors.append({})
    if selectors:
        wanted["selectors"] = selectors
    if dice.trouble("admin access", 0.7) and not alternative:
        wanted["adminAccess"] = True
    if dice.has("taints") and dice.chance(0.6):
        wanted["tolerations"] = [_toleration(dice) for _ in range(dice.of(1, 1, 2))]
    if (dice.has("shares", "policies", "odd quantities") and dice.chance(0.6)) or dice.trouble("selectors", 0.05):
        wanted["capacity"] = {"requests": _capacity(dice)}
    if dice.trouble("derived attributes", 0.75):
        names = dict.fromkeys(dice.of(*_DERIVED_NAMES) for _ in range(dice.of(1, 1, 2)))
        wanted["derivedAttributes"] = [{"name": name, "expression": dice.of(*_DERIVED)} for name in names]
    return wanted


def _all(dice: Dice) -> bool:
    if dice.hopeless:
        return False  # a request for all devices ends the attempt where a pool is invalid
    if dice.trouble("all", 0.6) or dice.trouble("limit", 0.3) or dice.trouble("skew", 0.1):
        return True
    return dice.has("match", "distinct", "first available", "torn pools", "duplicates") and dice.chance(0.12)


def _count(dice: Dice, requests: int, alternative: bool) -> int:
    if dice.trouble("huge counts", 0.25 if alternative else 0.15):
        return dice.of(33, 2**31, 2**62, 2**62 + 1, 2**63 - 1)
    if dice.has("limit"):
        # Counts that the devices cannot give make upstream walk through all of their subsets.
        return dice.of(1, 1, 30, 31, 33) if requests == 1 else dice.of(1, 1, 15, 16, 17)
    if dice.has("counts"):
        return dice.of(1, 2, 3, 4, 5, 9)
    if dice.has("first available"):
        return dice.of(1, 1, 2, 3)
    if dice.has("match", "distinct", "counters", "mixed types"):
        return dice.of(1, 1, 2, 2, 3)
    return dice.of(1, 1, 2)


def _selectors(dice: Dice) -> list[str]:
    if dice.has("selectors", "selector errors"):
        return _expressions(dice, 0, 2)
    if dice.has("shares") and dice.chance(0.2):
        return [dice.of(*_SHARED)]
    plain = ("all", "requests", "claims", "match", "first available", "admin access")
    if dice.has(*plain) and not dice.has("limit") and dice.chance(0.4):
        numa, model = f"{_ATTRIBUTES}.numa", f"{_ATTRIBUTES}.model"
        return [dice.of(f"has({numa}) && {numa} == {dice.of(0, 1)}", f'has({model}) && {model} == "{dice.of(*"ab")}"')]
    return []


def _capacity(dice: Dice) -> Json:
    amounts: tuple[str, ...] = (
        "1Gi",
        "2Gi",
        "2500Mi",
        "3Gi",
        "4Gi",
        "0",
        "8Gi",
        "1",
        "5",
        "512Mi",
        "1536Mi",
        "4294967296",
    )
    if dice.has("odd quantities"):
        amounts += (
            "100m", "250m", "0.3", "1500m", "100n", "10Pi", "8191Ti", "1e18", "9223372036854775807", "1e19", "5e19",
            "1e20", "9Pi", "8500P", "1.5Gi", "1e6", "2500000",
        )  # fmt: skip
    if dice.trouble("skew", 0.1):
        amounts = ("-5", "-1Gi")
    wanted = {"memory": dice.of(*amounts)}
    if dice.chance(0.2):
        wanted[dice.of("bandwidth", "bandwidth", f"{GPU}/memory")] = dice.of(*amounts)
    return wanted


def _toleration(dice: Dice) -> Json:
    found: Json = {"operator": "Exists"}
    if dice.chance(0.85):
        found = dice.of({"key": "worn", "operator": "Exists"}, {"key": "hot", "operator": "Exists"},
                        {"key": "worn", "operator": "Equal", "value": "x"}, {"key": "hot", "operator": "Equal"},
                        {"key": "worn", "operator": "Equal", "value": "y"}, {"key": "worn", "value": "x"},
            {"key": "hot"})  # fmt: skip
    found = dict(found)
    if dice.chance(0.35):
        found["effect"] = dice.of("NoSchedule", "NoExecute", "None")
    if dice.chance(0.15):
        found |= {"effect": "NoExecute", "tolerationSeconds": 30}
    return found


def request_object(name: str, exactly: Json) -> Json:
    return {"name": name, "exactly": exactly}


def claim_object(name: str, devices: Json) -> Json:
    metadata = {"name": name, "namespace": "default", "uid": f"claim-{name}", "resourceVersion": "1"}
    return {"metadata": metadata, "spec": {"devices": devices}}
