"""The device search beside upstream's, in one run: `python -m e2e.bench.search [--timeout S] [--repeats N]`.

Cases of one node and one pod on which depth-first search explodes, some without a solution and some with. One JSON line
each: outcomes, milliseconds (medians) and how many times faster ours is; where upstream gave up, its time-out stands
for its time and the ratio is a lower bound. Ours is a whole engine: it is told of all objects, decides, and answers its
own slow work in place.
"""

import argparse
import json
import statistics
from collections.abc import Iterator

from e2e.oracle import ours
from e2e.oracle.generator import Json, question
from e2e.oracle.upstream import Oracle, program

DRIVER = "gpu.example.com"
NODE = "n1"


def case(name: str, devices: list[Json], requests: list[Json], **more: list[Json]) -> Json:
    """One pool on one node, one claim."""
    slices = [
        _slice("devices", {"devices": devices}),
        *[_slice(f"c{i}", each) for i, each in enumerate(more.pop("extra", []))],
    ]
    for item in slices:
        item["spec"]["pool"]["resourceSliceCount"] = len(slices)
    spec: Json = {"requests": requests, **more}
    metadata = {"name": "c", "namespace": "default", "uid": "c", "resourceVersion": "1"}
    labels = {"kubernetes.io/hostname": NODE}
    return {
        "id": name,
        "node": {"metadata": {"name": NODE, "uid": NODE, "labels": labels}, "status": {"allocatable": {"pods": "110"}}},
        "claims": [{"metadata": metadata, "spec": {"devices": spec}}],
        "classes": [{"metadata": {"name": "gpu", "uid": "gpu"}, "spec": {}}],
        "slices": slices,
        "allocatedClaims": [],
    }


def _slice(name: str, content: Json) -> Json:
    pool = {"name": NODE, "generation": 1, "resourceSliceCount": 1}
    spec = {"driver": DRIVER, "pool": pool, "nodeName": NODE, **content}
    return {"metadata": {"name": name, "uid": name}, "spec": spec}


def devices(count: int, **more: object) -> list[Json]:
    return [{"name": f"d{i:02}", "attributes": {"index": {"int": i}}, **more} for i in range(count)]


def request(name: str, count: int = 1, expression: str = "", **more: object) -> Json:
    exactly: Json = {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": count, **more}
    if expression:
        exactly["selectors"] = [{"cel": {"expression": expression}}]
    return {"name": name, "exactly": exactly}


def requests(count: int, **more: object) -> list[Json]:
    return [request(f"r{i:02}", **more) for i in range(count)]  # type: ignore[arg-type]


def cases() -> Iterator[Json]:
    """All that is measured."""
    for n in range(8, 21):
        yield case(f"{n} equal requests, {n - 1} devices", devices(n - 1), requests(n))
    first = f'device.attributes["{DRIVER}"].index == 0'
    for n in range(8, 21):
        yield case(f"{n} requests, the last needs the first device", devices(n),
                   [*requests(n - 1), request("last", expression=first)])  # fmt: skip
    grouped = [{**each, "attributes": {"group": {"int": i % 2}}} for i, each in enumerate(devices(23))]
    together = [{"matchAttribute": f"{DRIVER}/group"}]
    yield case("13 alike of 23 in two groups", grouped, [request("r", 13)], constraints=together)
    yield case("16 of 31 devices for each of two requests", devices(31), [request("a", 16), request("b", 16)])
    distinct = [{**each, "attributes": {"slot": {"int": i % 7}}} for i, each in enumerate(devices(14))]
    yield case("8 requests, 14 devices of 7 distinct slots", distinct, requests(8),
               constraints=[{"distinctAttribute": f"{DRIVER}/slot"}])  # fmt: skip
    yield _partitions("9 halves of 4 cards", cards=4, wanted=9)
    yield _partitions("4 halves and 3 whole of 4 cards", cards=4, wanted=4, whole=3)
    yield _shares("9 requests of 3Gi on 4 devices of 8Gi", count=4, wanted=9)
    yield _shares("8 requests of 3Gi on 4 devices of 8Gi", count=4, wanted=8)
    yield case("12 prioritized requests, 7 devices", devices(7), [
        {"name": f"r{i:02}", "firstAvailable": [{"name": name, **request("", count)["exactly"]}
                                                for name, count in (("two", 2), ("one", 1))]} for i in range(12)
    ])  # fmt: skip


def _partitions(name: str, cards: int, wanted: int, whole: int = 0) -> Json:
    """Cards that are used whole or in halves, which their driver says by counters."""
    listed: list[Json] = []
    sets: list[Json] = []
    for card in range(cards):
        sets.append({"name": f"card{card}", "counters": {"slots": {"value": "2"}}})
        for part, size in (("whole", 2), ("half0", 1), ("half1", 1)):
            consumed = [{"counterSet": f"card{card}", "counters": {"slots": {"value": str(size)}}}]
            attributes = {"size": {"int": size}}
            listed.append({"name": f"card{card}-{part}", "attributes": attributes, "consumesCounters": consumed})
    size = f'device.attributes["{DRIVER}"].size'
    asked = [request(f"h{i:02}", expression=f"{size} == 1") for i in range(wanted)]
    asked += [request(f"w{i}", expression=f"{size} == 2") for i in range(whole)]
    return case(name, listed, asked, extra=[{"sharedCounters": sets}])


def _shares(name: str, count: int, wanted: int) -> Json:
    """Devices that several requests share as long as their memory lasts."""
    capacity = {"memory": {"value": "8Gi"}}
    shared = devices(count, allowMultipleAllocations=True, capacity=capacity)
    return case(name, shared, requests(wanted, capacity={"requests": {"memory": "3Gi"}}))


def measured(oracle: Oracle, asked: Json, timeout: float, repeats: int) -> Json:
    """One line."""
    mine = [ours.answer(asked) for _ in range(repeats)]
    theirs = [oracle.ask(question(asked, timeout))]
    while len(theirs) < repeats and theirs[0]["milliseconds"] < 1000:
        theirs.append(oracle.ask(question(asked, timeout)))
    our_ms = statistics.median(each.milliseconds for each in mine)
    their_ms = statistics.median(each["milliseconds"] for each in theirs)
    return {
        "case": asked["id"],
        "ours": mine[0].outcome,
        "upstream": theirs[0]["outcome"],
        "ours_ms": round(our_ms, 2),
        "worst_ms": round(max(each.milliseconds for each in mine), 2),
        "upstream_ms": round(their_ms, 2),
        "ratio": round(their_ms / our_ms, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--timeout", type=float, default=10.0, help="upstream's, in seconds; kube-scheduler has ten")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    with Oracle(program()) as oracle:
        ours.answer(case("warm", devices(2), [request("r", 2, "true")]))  # loads what is loaded once
        for each in cases():
            print(json.dumps(measured(oracle, each, arguments.timeout, arguments.repeats)), flush=True)


if __name__ == "__main__":
    main()
