"""The driver of the tests: what it publishes, and what it keeps of claims."""

import json
from pathlib import Path

import pytest

from e2e.api import Raw
from e2e.inventory import DRIVER, devices, slice_on
from e2e.node.driver import Prepared, Publisher


class Shelf:
    """A server that holds ResourceSlices of one driver and node."""

    def __init__(self) -> None:
        self.slices: dict[str, Raw] = {}

    def list(self, kind: str, **query: str) -> list[Raw]:
        assert (kind, query) == ("ResourceSlice", {"fieldSelector": f"spec.driver={DRIVER},spec.nodeName=n1"})
        return list(self.slices.values())

    def create(self, item: Raw) -> None:
        self._keep(item)

    def call(self, method: str, path: str, body: Raw) -> None:
        assert method == "PUT"
        assert body["metadata"].pop("resourceVersion") == "1"
        self._keep(body)

    def delete(self, kind: str, name: str) -> None:
        del self.slices[name]

    def _keep(self, item: Raw) -> None:
        self.slices[item["metadata"]["name"]] = {**item, "metadata": {**item["metadata"], "resourceVersion": "1"}}

    def generations(self) -> dict[str, int]:
        return {name: each["spec"]["pool"]["generation"] for name, each in self.slices.items()}


def publish(shelf: Shelf, *slices: Raw) -> dict[str, int]:
    Publisher(shelf, DRIVER, "n1", list(slices)).publish()
    return shelf.generations()


def test_a_pool_gets_a_new_generation_when_it_changes_and_only_then():
    shelf = Shelf()

    first = publish(shelf, slice_on("n1", devices(2)))
    again = publish(shelf, slice_on("n1", devices(2)))
    changed = publish(shelf, slice_on("n1", devices(1), "a", 2), slice_on("n1", devices(2), "b", 2))

    assert first == again == {f"n1-{DRIVER}": 1}
    assert changed == {f"n1-{DRIVER}-a": 2, f"n1-{DRIVER}-b": 2}


def claim(name: str, *taken: str) -> Raw:
    results = [{"request": "gpu", "driver": DRIVER, "pool": "n1", "device": each} for each in taken]
    other = {"request": "nic", "driver": "net.example.com", "pool": "n1", "device": "d0"}
    allocation = {"devices": {"results": [*results, other]}}
    return {"metadata": {"namespace": "ns", "name": name}, "status": {"allocation": allocation}}


def test_each_device_of_the_driver_gets_a_variable_that_tells_of_it(tmp_path: Path):
    answered = Prepared(tmp_path, DRIVER, [slice_on("n1", devices(2))]).add("u-1", claim("c", "d0", "d1"))

    [file] = tmp_path.iterdir()
    spec = json.loads(file.read_text())
    told = [each["containerEdits"]["env"][0].partition("=")[2] for each in spec["devices"]]
    assert [json.loads(each)["device"] for each in told] == ["d0", "d1"]
    assert json.loads(told[0])["claim"] == "ns/c"
    assert [list(each.cdi_device_ids) for each in answered] == [[f"{DRIVER}/claim=u-1-0"], [f"{DRIVER}/claim=u-1-1"]]


def test_a_driver_that_starts_anew_refuses_what_it_prepared_for_others(tmp_path: Path):
    published = [slice_on("n1", devices(2))]
    Prepared(tmp_path, DRIVER, published).add("u-1", claim("a", "d0"))

    fresh = Prepared(tmp_path, DRIVER, published)

    with pytest.raises(ValueError, match="device d0: of ns/a and ns/b"):
        fresh.add("u-2", claim("b", "d0"))
    fresh.add("u-1", claim("a", "d0"))
    fresh.remove("u-1")
    fresh.remove("u-1")
    fresh.add("u-2", claim("b", "d0"))
