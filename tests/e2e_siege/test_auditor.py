"""The auditor of a siege, told what watches would show."""

import pytest

from e2e.siege import auditor as module
from e2e.siege.auditor import Auditor


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

    monkeypatch.setattr(module.time, "monotonic", lambda: Clock.now)
    return Clock


class Told:
    """Feeds one auditor."""

    def __init__(self, clock, *, contested):
        self.clock = clock
        self.version = 0
        self.auditor = Auditor(None, "siege", contested=contested)

    def _metadata(self, name):
        self.version += 1
        return {"name": name, "uid": f"uid-{name}", "resourceVersion": str(self.version)}

    def claim(self, name, *devices, pods=(), event="MODIFIED", share=False, owner=""):
        more = {"shareID": f"share-{name}"} if share else {}
        results = [{"driver": "d", "pool": "p", "device": each, **more} for each in devices]
        status = {"allocation": {"devices": {"results": results}}} if devices else {}
        status["reservedFor"] = [{"uid": f"uid-{each}"} for each in pods]
        metadata = self._metadata(name)
        owners = {"ownerReferences": [{"uid": f"uid-{owner}"}]} if owner else {}
        self.auditor._claim(event, {"metadata": metadata | owners, "status": status})

    def pod(self, name, *claims, node="", scheduler="dovetail"):
        metadata = self._metadata(name)
        entries = [{"name": each, "resourceClaimName": each} for each in claims]
        spec = {"schedulerName": scheduler, "resourceClaims": entries} | ({"nodeName": node} if node else {})
        self.auditor._pod("MODIFIED", {"metadata": metadata, "spec": spec, "status": {}})

    def delete(self, name):
        self.auditor._pod("DELETED", {"metadata": self._metadata(name)})

    def reported(self, pod):
        self.auditor._event("ADDED", {"reason": "DeviceClash", "involvedObject": {"uid": f"uid-{pod}"}})

    def look(self):
        for (_, first, second), clash in self.auditor._open.items():
            self.auditor._look(clash, first, second)

    def outcomes(self):
        self.look()
        verdict = self.auditor.finish()
        return [verdict.count(each) for each in verdict.clashes]


def test_a_device_in_two_claims_is_a_fault_where_schedulers_are_kept_apart(clock):
    told = Told(clock, contested=False)
    told.claim("a", "gpu-0", "gpu-1")
    told.claim("b", "gpu-1")

    assert told.auditor.finish().faults == ["device d/p/gpu-1 is in claims a and b at once"]


def test_a_device_that_goes_from_one_claim_to_another_is_none(clock):
    told = Told(clock, contested=False)
    told.claim("a", "gpu-0")
    told.claim("a")
    told.claim("b", "gpu-0")
    told.claim("b", "gpu-0", event="DELETED")
    told.claim("c", "gpu-0")
    told.claim("d", "gpu-9", share=True)
    told.claim("e", "gpu-9", share=True)

    assert told.auditor.finish().faults == []


@pytest.mark.parametrize("contested", [False, True])
@pytest.mark.parametrize(("scheduler", "theirs"), [("default-scheduler", True), ("dovetail", False)])
def test_what_another_scheduler_gives_twice_by_itself_is_no_fault_of_ours(clock, scheduler, theirs, contested):
    told = Told(clock, contested=contested)
    told.claim("a", "gpu-0", owner="one")
    told.claim("b", "gpu-0", owner="another")
    told.pod("one", "a", scheduler="default-scheduler")
    told.pod("another", "b", scheduler=scheduler)
    clock.now += 60

    assert told.outcomes() == (["theirs"] if theirs else ["unreported"])
    assert told.auditor.verdict.faults == (
        [] if theirs or contested else ["device d/p/gpu-0 is in claims a and b at once"]
    )


@pytest.mark.parametrize(("before", "faults"), [(True, 0), (False, 1)])
def test_a_pod_must_be_bound_after_its_claim_was_reserved_for_it(clock, before, faults):
    told = Told(clock, contested=False)
    told.claim("a")
    if before:
        told.claim("a", "gpu-0", pods=["p"])
    told.pod("p", "a", node="n")
    told.claim("a", "gpu-0", pods=["p"])

    assert len(told.auditor.finish().faults) == faults


def clash(clock, *, bound):
    told = Told(clock, contested=True)
    told.pod("ours", "a", node="n" if bound else "")
    told.claim("a", "gpu-0", pods=["ours"])
    told.pod("theirs", "b", scheduler="default-scheduler")
    told.claim("b", "gpu-0", pods=["theirs"])
    told.look()
    return told


def test_a_clash_that_ends_before_our_pod_is_bound_is_yielded(clock):
    told = clash(clock, bound=False)
    clock.now += 4
    told.claim("a")

    assert told.outcomes() == ["yielded"]


@pytest.mark.parametrize(("after", "outcome"), [(4, "reported"), (6, "unreported")])
def test_a_clash_of_a_bound_pod_is_reported_in_time_or_it_is_not(clock, after, outcome):
    told = clash(clock, bound=True)
    clock.now += after
    told.reported("ours")

    assert told.outcomes() == [outcome]


def test_a_clash_that_nobody_tells_of_is_unreported_unless_it_is_over_soon(clock):
    lasting, over = clash(clock, bound=True), clash(clock, bound=True)
    clock.now += 3
    over.claim("b", "gpu-0", event="DELETED")
    clock.now += 3

    assert lasting.outcomes() == ["unreported"]
    assert over.outcomes() == ["gone"]


def test_the_time_in_which_nobody_leads_does_not_count(clock):
    told = clash(clock, bound=True)
    told.auditor.verdict.pauses.append((clock.now + 1, clock.now + 9))
    clock.now += 12
    told.reported("ours")

    assert told.outcomes() == ["reported"]


def test_what_was_reported_of_an_earlier_clash_says_nothing_of_a_later_one(clock):
    told = clash(clock, bound=True)
    told.reported("ours")
    told.claim("b", "gpu-0", event="DELETED")
    clock.now += 60
    told.claim("c", "gpu-0", pods=["theirs"])
    told.look()
    clock.now += 6

    assert told.outcomes() == ["gone", "unreported"]


@pytest.mark.parametrize(("after", "outcome"), [(4, "gone"), (6, "unreported")])
def test_a_clash_is_over_for_us_with_our_last_pod_in_it(clock, after, outcome):
    told = clash(clock, bound=True)
    clock.now += after
    told.delete("ours")
    told.look()
    clock.now += 60

    assert told.outcomes() == [outcome]


def test_what_a_pod_left_behind_clashes_with_nobody_of_ours(clock):
    told = Told(clock, contested=True)
    told.pod("ours", "a", node="n")
    told.claim("a", "gpu-0", pods=["ours"], owner="ours")
    told.delete("ours")
    told.pod("theirs", "b", scheduler="default-scheduler")
    told.claim("b", "gpu-0", pods=["theirs"])
    told.look()
    clock.now += 60

    assert told.outcomes() == ["gone"]
