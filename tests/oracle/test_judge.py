"""A wrong answer of ours is found, whichever part of it is wrong; what is random or spelled freely is not."""

import copy
from fractions import Fraction
from typing import Any

import pytest

from e2e.oracle import judge, mutants
from e2e.oracle.generator import DEFAULTS, Json
from e2e.oracle.judge import Allowed, Difference, amount, askable, checked, choices, narrowed, outcomes
from e2e.oracle.ours import Answer

GPU = "gpu.example.com"


def claim(name: str, *requests: Json, **more: Any) -> Json:
    metadata = {"name": name, "namespace": "default", "uid": name, "resourceVersion": "1"}
    return {"metadata": metadata, "spec": {"devices": {"requests": list(requests), **more}}}


def wanted(name: str = "r", device_class: str = "gpu", **more: Any) -> Json:
    exactly = {"deviceClassName": device_class, "allocationMode": "ExactCount", "count": 1, **more}
    return {"name": name, "exactly": exactly}


def case(*claims: Json, devices: int = 3) -> Json:
    listed = [{"name": f"d{i}", "attributes": {"numa": {"int": 0}}} for i in range(devices)]
    pool = {"name": "n1", "generation": 1, "resourceSliceCount": 1}
    spec = {"driver": GPU, "pool": pool, "nodeName": "n1", "devices": listed}
    classes = [{"metadata": {"name": name}, "spec": {}} for name in ("gpu", "any")]
    node = {"metadata": {"name": "n1", "uid": "n1"}, "status": {"allocatable": {"pods": "110"}}}
    return {
        "id": "0/0", "families": [], "node": node, "others": [], "claims": list(claims), "classes": classes,
        "slices": [{"metadata": {"name": "s", "uid": "s"}, "spec": spec}], "taintRules": [], "allocatedClaims": [],
    }  # fmt: skip


def result(device: str, request: str = "r", **more: Any) -> Json:
    return {"request": request, "driver": GPU, "pool": "n1", "device": device, **more}


def allocation(*results: Json, **more: Any) -> Json:
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}
    return {"devices": {"results": list(results), **more}, "nodeSelector": {"nodeSelectorTerms": [term]}}


def ok(*allocations: Json) -> Json:
    return {"outcome": "ok", "results": list(allocations)}


def ours(*allocations: Json) -> Answer:
    return Answer("ok", list(allocations), "", 0.0)


@pytest.mark.parametrize("theirs", ["ok", "nofit", "node-error", "fatal"])
@pytest.mark.parametrize("mine", ["ok", "nofit", "node-error", "fatal", "timeout"])
def test_outcomes_must_be_equal(theirs: str, mine: str):
    said = outcomes({"outcome": theirs}, Answer(mine, [], "", 0.0))

    assert isinstance(said, Difference) == (theirs != mine)


def test_ours_may_answer_where_upstream_gives_up():
    assert outcomes({"outcome": "timeout"}, ours()) == Allowed("upstream: timeout, ours: ok")
    assert outcomes({"outcome": "timeout"}, Answer("timeout", [], "", 0.0)) == Allowed(
        "upstream: timeout, ours: timeout"
    )


def test_an_exception_of_ours_is_a_difference_also_where_upstream_gives_up():
    raised = Difference("we raise KeyError", "")

    assert outcomes({"outcome": "timeout"}, raised) == raised


def found(theirs: Json, mine: Json) -> list[str]:
    of = case(claim("c", wanted()))
    return [each.kind for each in choices(of, ok(theirs), ours(mine), ok(theirs))]


def test_equal_allocations_are_no_difference():
    assert found(allocation(result("d0")), allocation(result("d0"))) == []


def test_share_ids_are_random_but_must_look_like_some():
    one = result("d0", shareID="1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed", consumedCapacity={"memory": "1Gi"})
    other = result("d0", shareID="c0ffee00-0000-4000-8000-000000000000", consumedCapacity={"memory": "1024Mi"})
    of = case(claim("c", wanted()))

    def kinds(mine: Json) -> set[str]:
        return {each.kind for each in choices(of, {"outcome": "timeout"}, ours(allocation(mine)), ok(allocation(one)))}

    assert kinds(other) == set()
    assert kinds({**other, "shareID": "nonsense"}) == {"written shareID"}
    assert kinds(result("d0", consumedCapacity={"memory": "1Gi"})) == {"written shareID"}
    assert kinds({**other, "consumedCapacity": {"memory": "1G"}}) == {"written consumedCapacity"}


@pytest.mark.parametrize(
    ("theirs", "mine", "kind"),
    [
        (allocation(result("d0")), {"devices": {"results": [result("d0")]}}, "written nodeSelector"),
        (allocation(result("d0"), config=[{"source": "FromClass"}]), allocation(result("d0")), "written config"),
        (allocation(result("d0", tolerations=[{"key": "k"}])), allocation(result("d0")), "written tolerations"),
        (allocation(result("d0", bindingConditions=["b"])), allocation(result("d0")), "written bindingConditions"),
        (allocation(result("d0", skipNodeOperations=["*"])), allocation(result("d0")), "written skipNodeOperations"),
        (allocation(result("d0", adminAccess=True)), allocation(result("d0")), "written adminAccess"),
    ],
)
def test_each_wrong_part_is_found(theirs: Json, mine: Json, kind: str):
    assert set(found(theirs, mine)) == {kind}


def test_devices_that_upstream_cannot_take_are_found():
    of = case(claim("c", wanted()))
    refusing = {"outcome": "nofit"}

    kinds = [each.kind for each in choices(of, ok(allocation(result("d0"))), ours(allocation(result("d1"))), refusing)]

    assert kinds == ["upstream refuses our choice"]


def test_a_worse_alternative_is_found():
    part = {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1}
    of = case(claim("c", {"name": "r", "firstAvailable": [{"name": "a", **part}, {"name": "b", **part}]}))
    better, worse = allocation(result("d0", "r/a")), allocation(result("d1", "r/b"))

    assert [each.kind for each in choices(of, ok(better), ours(worse), ok(worse))] == ["worse alternative"]
    assert [each.kind for each in choices(of, ok(worse), ours(better), ok(better))] == []


def test_a_choice_of_upstream_that_our_checker_refuses_is_found():
    of = case(claim("c", wanted()))
    unknown = allocation(result("d9"))

    found = [each.kind for each in checked(of, ok(unknown))]

    assert found == ["our checker refuses upstream's choice: device"]
    assert list(checked(of, ok(allocation(result("d1"))))) == []
    assert list(checked(of, {"outcome": "nofit"})) == []


# ---------------------------------------------------------------- narrowing


def expressions(part: Json) -> list[str]:
    return [each["cel"]["expression"] for each in part.get("selectors", [])]


def test_requests_are_narrowed_to_what_was_chosen_before_anything_else_is_asked():
    of = case(claim("c", wanted("a", selectors=[{"cel": {"expression": "picky"}}]), wanted("b", "any")))

    narrow = narrowed(of, [allocation(result("d2", "a"), result("d0", "b"))])

    first, second = (each["exactly"] for each in narrow["claims"][0]["spec"]["devices"]["requests"])
    assert expressions(first) == [f'device.attributes["{judge.CHECK}"].number in [2]', "picky"]
    assert expressions(second) == [f'device.attributes["{judge.CHECK}"].number in [0]']
    listed = narrow["slices"][0]["spec"]["devices"]
    assert [each["attributes"][f"{judge.CHECK}/number"]["int"] for each in listed] == [0, 1, 2]
    assert [each["attributes"][f"{judge.CHECK}/taken"]["bool"] for each in listed] == [True, False, True]
    assert [expressions(each["spec"]) for each in narrow["classes"]] == [
        [f'device.attributes["{judge.CHECK}"].taken']
    ] * 2


def test_requests_for_all_devices_and_their_classes_stay_open():
    everything = {"name": "a", "exactly": {"deviceClassName": "gpu", "allocationMode": "All"}}
    of = case(claim("c", everything, wanted("b", "any")))

    narrow = narrowed(of, [allocation(result("d0", "a"), result("d1", "a"), result("d2", "b"))])

    assert narrow["claims"][0]["spec"]["devices"]["requests"][0] == everything
    assert [bool(expressions(each["spec"])) for each in narrow["classes"]] == [False, True]


def test_alternatives_that_were_not_chosen_are_closed():
    part = {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1}
    of = case(claim("c", {"name": "r", "firstAvailable": [{"name": "a", **part}, {"name": "b", **part}]}))

    narrow = narrowed(of, [allocation(result("d1", "r/b"))])

    first, second = narrow["claims"][0]["spec"]["devices"]["requests"][0]["firstAvailable"]
    assert expressions(first) == ["false"]
    assert expressions(second) == [f'device.attributes["{judge.CHECK}"].number in [1]']


def test_narrowing_leaves_the_case_alone_and_keeps_its_features():
    of = {**case(claim("c", wanted())), "features": DEFAULTS}
    before = copy.deepcopy(of)

    narrow = narrowed(of, [allocation(result("d1"))])

    assert of == before
    assert narrow["features"] == DEFAULTS


def test_a_device_with_an_attribute_of_no_known_type_cannot_be_asked_about():
    of = case(claim("c", wanted()))
    of["slices"][0]["spec"]["devices"][0]["attributes"]["future"] = {}

    assert not askable(of, [allocation(result("d0"))])
    assert askable(of, [allocation(result("d1"))])


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), ("1500m", Fraction(3, 2)), ("2Gi", 2**31), ("1e3", 1000), ("1E", 10**18), ("2.5", Fraction(5, 2)),
     ("3n", Fraction(3, 10**9)), ("-1k", -1000), ("9223372036854775807", 2**63 - 1)],
)  # fmt: skip
def test_quantities_are_compared_by_value(text: str, value: Fraction | int):
    assert amount(text) == value


# ---------------------------------------------------------------- wrong choices


def test_a_checker_that_accepts_what_upstream_refuses_is_found():
    of = case(claim("c", wanted()))
    fine = [allocation(result("d1"))]

    assert [each.kind for each in mutants.differences(of, fine, {"outcome": "nofit"})] == [
        "our checker accepts what upstream refuses"
    ]
    assert list(mutants.differences(of, fine, ok(*fine))) == []


def test_a_checker_that_refuses_what_upstream_accepts_is_found():
    of = case(claim("c", wanted()))
    wrong = [allocation(result("d9"))]

    assert [each.kind for each in mutants.differences(of, wrong, ok(*wrong))] == [
        "our checker refuses what upstream accepts: device"
    ]
    assert list(mutants.differences(of, wrong, {"outcome": "nofit"})) == []
    assert list(mutants.differences(of, wrong, ok(allocation(result("d0"))))) == []


def test_a_mutant_is_another_choice_and_the_same_each_time():
    of = case(claim("c", wanted("a"), wanted("b")), devices=9)
    chosen = [allocation(result("d0", "a"), result("d1", "b"))]

    made = [mutants.mutant({**of, "id": f"1/{number}"}, chosen) for number in range(20)]

    assert made == [mutants.mutant({**of, "id": f"1/{number}"}, chosen) for number in range(20)]
    assert chosen == [allocation(result("d0", "a"), result("d1", "b"))]
    assert sum(each != chosen for each in made) > 10
    assert mutants.mutant(of, [allocation()]) is None
