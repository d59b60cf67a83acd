"""What a pod asks about other pods: spread constraints, affinity and anti-affinity."""

from typing import Final

from e2e.oracle.plain.generator.dice import HOST, NAMESPACES, RACK, ZONE, Dice, Json

APPS: Final = ("web", "web", "db", "cache")
_KEYS: Final = (HOST, HOST, ZONE, ZONE, RACK, "example.com/nowhere")
_LABELS: Final[dict[str, tuple[str, ...]]] = {"app": APPS, "hash": ("1", "2"), "tier": ("front", "back")}


def draw_labels(dice: Dice) -> Json:
    """Labels of a pod."""
    found = {"app": dice.of(*APPS)}
    if dice.chance(0.5):
        found["hash"] = dice.of("1", "2")
    if dice.chance(0.3):
        found["tier"] = dice.of("front", "back")
    return found


def draw_namespaces(dice: Dice) -> list[Json]:
    """Those that pods are in; now and then one of them has gone."""
    found = []
    for name in ("default", "team-a", "team-b"):
        labels = {"kubernetes.io/metadata.name": name}
        if dice.chance(0.7):
            labels["env"] = dice.of("prod", "prod", "test")
        found.append({"metadata": {"name": name, "uid": f"uid-{name}", "labels": labels}})
    if dice.chance(0.05):
        found.pop()
    return found


def _selector(dice: Dice, mine: Json) -> Json | None:
    """Mostly one that selects some pods; of the pod's own labels as often as not."""
    kind = dice.of(*["own"] * 4, *["app"] * 4, "expressions", "expressions", "all", "none")
    if kind == "none":
        return None
    if kind == "all":
        return {}
    if kind == "own":
        return {"matchLabels": {"app": mine["app"]}}
    if kind == "app":
        return {"matchLabels": {"app": dice.of(*APPS), **({"tier": "front"} if dice.chance(0.15) else {})}}
    return {"matchExpressions": [_expression(dice) for _ in range(dice.of(1, 1, 2))]}


def _expression(dice: Dice) -> Json:
    key = dice.of(*_LABELS)
    operator = dice.of("In", "In", "NotIn", "Exists", "DoesNotExist")
    values = {"values": sorted({dice.of(*_LABELS[key]) for _ in range(2)})} if operator.endswith("In") else {}
    return {"key": key, "operator": operator, **values}


def draw_spread(dice: Dice, mine: Json) -> list[Json]:
    """Constraints of a pod with these labels, no two of one key and kind."""
    found: dict[tuple[str, str], Json] = {}
    for _ in range(dice.of(1, 1, 1, 2, 3)):
        each: Json = {
            "maxSkew": dice.of(1, 1, 1, 2, 3),
            "topologyKey": dice.of(*_KEYS[:-1], *_KEYS[:-1], *_KEYS[:-1], _KEYS[-1]),
            "whenUnsatisfiable": dice.of("DoNotSchedule", "DoNotSchedule", "DoNotSchedule", "ScheduleAnyway"),
        }
        selector = _selector(dice, mine)
        if selector is not None:
            each["labelSelector"] = selector
            if dice.chance(0.3):
                each["matchLabelKeys"] = _free_keys(dice, selector)
        if each["whenUnsatisfiable"] == "DoNotSchedule" and dice.chance(0.3):
            each["minDomains"] = dice.of(1, 2, 3, 4, 5)
        if dice.chance(0.3):
            each["nodeAffinityPolicy"] = dice.of("Honor", "Ignore", "Ignore")
        if dice.chance(0.3):
            each["nodeTaintsPolicy"] = dice.of("Honor", "Honor", "Ignore")
        found[each["topologyKey"], each["whenUnsatisfiable"]] = each
    return list(found.values())


def _free_keys(dice: Dice, selector: Json) -> list[str]:
    """Label keys that the selector does not use, which the API server insists on."""
    used = {*selector.get("matchLabels", {}), *(each["key"] for each in selector.get("matchExpressions", []))}
    return [key for key in (*dice.some(_LABELS), *(["absent"] if dice.chance(0.2) else [])) if key not in used]


def draw_term(dice: Dice, mine: Json) -> Json:
    """A required term of affinity or anti-affinity of a pod with these labels."""
    selector = _selector(dice, mine)
    found: Json = {"topologyKey": dice.of(*_KEYS, *_KEYS[:-1])}
    if selector is not None:
        found["labelSelector"] = selector
        if dice.chance(0.25):
            keys = _free_keys(dice, selector)
            matched = [key for key in keys if dice.chance(0.6)]
            found["matchLabelKeys"] = matched
            found["mismatchLabelKeys"] = [key for key in keys if key not in matched]
    if dice.chance(0.25):
        found["namespaces"] = sorted({dice.of(*NAMESPACES, "gone") for _ in range(2)})
    if dice.chance(0.25):
        wanted: tuple[Json, ...] = (
            {}, {"matchLabels": {"env": "prod"}}, {"matchExpressions": [{"key": "env", "operator": "Exists"}]},
            {"matchExpressions": [{"key": "env", "operator": "NotIn", "values": ["prod"]}]},
        )  # fmt: skip
        found["namespaceSelector"] = dice.of(*wanted)
    return found


def draw_pod_affinity(dice: Dice, mine: Json) -> Json:
    """`podAffinity`, `podAntiAffinity` or both."""
    found: Json = {}
    kind = dice.of("podAffinity", "podAntiAffinity", "podAntiAffinity", "both")
    for name in ("podAffinity", "podAntiAffinity"):
        if kind in {name, "both"}:
            terms = [draw_term(dice, mine) for _ in range(dice.of(1, 1, 1, 2))]
            found[name] = {"requiredDuringSchedulingIgnoredDuringExecution": terms}
    return found
