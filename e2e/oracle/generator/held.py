"""Claims of others that are allocated already."""

from typing import Final

from e2e.oracle.generator.dice import Dice, Json
from e2e.oracle.generator.workload import claim_object, request_object

_CONSUMED: Final = ("1Gi", "1Gi", "2Gi", "3Gi", "512Mi", "0", "8Gi", "100m", "1", "1e18")


def draw_held(dice: Dice, slices: list[Json]) -> list[Json]:
    """Allocated claims, of this namespace and another, in no, one or several results for a device."""
    likely = dice.has("held", "admin access", "counters", "shares", "compatibility groups")
    if not (likely and dice.chance(0.7)) and not dice.chance(0.1):
        return []
    share = dice.of(0.15, 0.3, 0.6) if likely else dice.of(0.2, 0.4, 0.7)
    results: list[Json] = []
    seen = set()
    for item in slices:
        spec = item["spec"]
        for device in spec.get("devices", []):
            identity = (spec["driver"], spec["pool"]["name"], device["name"])
            if identity in seen or not dice.chance(share):
                continue
            seen.add(identity)
            results += _of_device(dice, *identity, device, len(results))
    # In real clusters a claim has at most 32 results.
    parts = [results[0::2], results[1::2]] if len(results) < 64 else [results[:32], results[32:64]]
    return [_claim(dice, f"held-{i}", part) for i, part in enumerate(parts) if part]


def _of_device(dice: Dice, driver: str, pool: str, name: str, device: Json, number: int) -> list[Json]:
    """What is held of one device."""
    if dice.chance(0.08):
        name = "gone"
    result: Json = {"request": "r", "driver": driver, "pool": pool, "device": name}
    if dice.chance(0.15) or dice.trouble("admin access", 0.2):
        result["adminAccess"] = True
    shared = device.get("allowMultipleAllocations", False)
    if dice.chance(0.05) and dice.has("shares"):
        shared = not shared  # the slice has changed since
    if not shared:
        return [result]
    found = []
    for i in range(dice.of(1, 1, 2)):
        share = {**result, "shareID": f"00000000-0000-4000-8000-{number + i:012d}"}
        consumed = {key: dice.of(*_CONSUMED) for key in device.get("capacity", {})}
        if consumed and not dice.chance(0.05):
            share["consumedCapacity"] = consumed
        found.append(share)
    return found


def _claim(dice: Dice, name: str, results: list[Json]) -> Json:
    wanted = {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": len(results)}
    if dice.chance(0.5) and any(result.get("adminAccess") for result in results):
        wanted["adminAccess"] = True
    claim = claim_object(name, {"requests": [request_object("r", wanted)]})
    claim["metadata"]["namespace"] = dice.of("default", "other")
    return {**claim, "status": {"allocation": {"devices": {"results": results}}}}
