"""A case becomes as small as what it shows allows, and stays a case."""

from e2e.oracle.generator import Json, make
from e2e.oracle.minimise import minimised


def size(value: object) -> int:
    if isinstance(value, dict):
        return 1 + sum(map(size, value.values()))
    return 1 + sum(map(size, value)) if isinstance(value, list) else 1


def tainted(case: Json) -> bool:
    return any("taints" in device for item in case["slices"] for device in item["spec"].get("devices", []))


def test_what_is_not_needed_goes():
    case = next(case for case in (make(3, number) for number in range(500)) if tainted(case))

    small = minimised(case, tainted)

    assert tainted(small)
    assert [len(item["spec"]["devices"]) for item in small["slices"]] == [1]
    device = small["slices"][0]["spec"]["devices"][0]
    assert set(device) == {"name", "taints"}
    assert small["classes"] == []
    assert small["claims"] == []
    assert "features" not in small
    assert size(small) < size(case) / 3


def test_a_slice_that_goes_is_no_longer_announced():
    case = next(case for case in (make(3, number) for number in range(500)) if len(case["slices"]) > 2)
    torn = {item["spec"]["pool"]["resourceSliceCount"] - _listed(case, item) for item in case["slices"]}

    small = minimised(case, lambda smaller: len(smaller["slices"]) >= 2)

    for item in small["slices"]:
        assert item["spec"]["pool"]["resourceSliceCount"] - _listed(small, item) in torn


def _pool(item: Json) -> tuple[str, str, int]:
    return item["spec"]["driver"], item["spec"]["pool"]["name"], item["spec"]["pool"]["generation"]


def _listed(case: Json, item: Json) -> int:
    return sum(_pool(other) == _pool(item) for other in case["slices"])


def test_what_is_left_is_still_of_the_apis_shape():
    case = next(case for case in (make(3, number) for number in range(900)) if "list attributes" in case["families"])

    small = minimised(case, lambda smaller: "links" in str(smaller["slices"]))

    (found,) = [device for item in small["slices"] for device in item["spec"]["devices"]]
    assert len(found["attributes"]["links"]) == 1


def test_the_case_itself_is_left_alone():
    case = make(3, 1)

    minimised(case, lambda smaller: True)

    assert case == make(3, 1)
