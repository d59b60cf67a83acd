"""Drawn cases are legal objects, the same each time, and of every family."""

from collections import Counter

import msgspec

from e2e.oracle.generator import FAMILIES, Json, make, merged, question
from e2e.oracle.judge import amount
from scheduler.cluster.decode import decode

SAMPLE = [make(7, number) for number in range(600)]


def test_a_case_depends_on_its_seed_and_number_alone():
    assert [make(7, number) for number in (5, 3, 5)] == [SAMPLE[5], SAMPLE[3], SAMPLE[5]]
    assert make(8, 3) != SAMPLE[3]


def test_every_family_is_drawn():
    seen = Counter(family for case in SAMPLE for family in case["families"])

    assert set(seen) == set(FAMILIES)
    assert min(seen.values()) >= 8


def devices(case: Json) -> list[Json]:
    return [device for item in case["slices"] for device in item["spec"].get("devices", [])]


def parts(case: Json) -> list[Json]:
    requests = [each for claim in case["claims"] for each in claim["spec"]["devices"].get("requests", [])]
    return [part for request in requests for part in request.get("firstAvailable") or [request["exactly"]]]


def test_every_feature_is_used():
    found = {key for case in SAMPLE for device in devices(case) for key in device}
    found |= {key for case in SAMPLE for part in parts(case) for key in part}
    found |= {key for case in SAMPLE for item in case["slices"] for key in item["spec"]}

    assert found >= {
        "adminAccess", "allNodes", "allowMultipleAllocations", "bindingConditions", "bindsToNode", "capacity",
        "consumesCounters", "derivedAttributes", "nodeName", "nodeSelector", "perDeviceNodeSelection", "selectors",
        "sharedCounters", "skipNodeOperations", "taints", "tolerations",
    }  # fmt: skip


def test_every_object_can_be_read():
    for case in SAMPLE:
        for kind, key in (("ResourceSlice", "slices"), ("DeviceClass", "classes"), ("DeviceTaintRule", "taintRules")):
            for item in case[key]:
                decode(kind, item)  # type: ignore[call-overload]
        for item in (*case["claims"], *case["allocatedClaims"]):
            decode("ResourceClaim", item)


def test_policies_are_what_the_api_server_would_accept():
    seen = 0
    for case in SAMPLE:
        for device in devices(case):
            for capacity in device.get("capacity", {}).values():
                policy = capacity.get("requestPolicy")
                if policy is None:
                    continue
                seen += 1
                assert device["allowMultipleAllocations"]
                default, most = amount(policy["default"]), amount(capacity["value"])
                assert default <= most
                assert "validValues" not in policy or default in [amount(each) for each in policy["validValues"]]
                if "validRange" in policy:
                    given = {key: amount(value) for key, value in policy["validRange"].items()}
                    assert given["min"] <= default <= given.get("max", most) <= most
                    step = given.get("step")
                    assert step is None or (default - given["min"]) % step == 0
                    assert step is None or "max" not in given or (given["max"] - given["min"]) % step == 0
    assert seen > 20


def test_slices_of_one_generation_agree_on_their_number():
    for case in SAMPLE:
        stated: dict[tuple[str, str, int], set[int]] = {}
        for item in case["slices"]:
            spec, pool = item["spec"], item["spec"]["pool"]
            stated.setdefault((spec["driver"], pool["name"], pool["generation"]), set()).add(pool["resourceSliceCount"])
        assert all(len(counts) == 1 for counts in stated.values())


def test_taint_rules_reach_the_oracle_as_taints_and_leave_the_case_alone():
    case = next(case for case in SAMPLE if any("deviceSelector" in rule["spec"] for rule in case["taintRules"]))
    before = msgspec.json.encode(case)
    rule = {"spec": {"deviceSelector": {}, "taint": {"key": "k", "effect": "NoExecute"}}}

    asked = question({**case, "taintRules": [rule]}, 1.0)

    given = [device for item in asked["slices"] for device in item["spec"].get("devices", [])]
    assert all(device["taints"][-1] == rule["spec"]["taint"] for device in given)
    assert "taintRules" not in asked
    assert merged(case["slices"], []) is case["slices"]
    assert msgspec.json.encode(case) == before
