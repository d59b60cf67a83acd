"""What is told in numbers, and that it stays few numbers."""

import re
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from scheduler.core.config import RemoteScorer
from scheduler.core.messages import (
    BindPod,
    BindRefused,
    ClaimRefused,
    Gone,
    PodBound,
    PodRef,
    RecordDecision,
    Rejected,
    ReportIgnored,
    Seen,
    Solved,
    WarnOfTopology,
    WindowSolved,
    WriteAllocation,
)
from scheduler.core.model import Uid
from scheduler.core.remote import SPARE_S
from scheduler.core.solvers.search import NodeAnswer
from scheduler.service.journeys import Journeys
from scheduler.service.metrics import OTHER, Metrics, Own, call_of, label
from tests import build
from tests.build import allocated, claim, device, device_class, gpus, node, pod, request, result, slice_of
from tests.driving import Hands


class Instrumented(Hands):
    """An engine whose events and instructions are shown to journeys and metrics, as a process does it.

    Every event takes `step` seconds of a clock of its own.
    """

    def __init__(self, *objects, deciding=True, names=("dovetail",), **config):
        self.clock, self.step, self.cycle = 1000.0, 0.0, 0.0
        self.deciding = deciding
        self.circuits = {}
        self.metrics = Metrics("dovetail", self.own, clock=lambda: self.clock)
        self.journeys = Journeys(frozenset(names), [self.metrics])
        super().__init__(*objects, **config)
        self.metrics.watch(self.engine)

    def own(self):
        kinds = {"Pod": (1.5, True), "Node": (0, False)}
        assumed = self.journeys.assumed(self.clock)
        changes = {"accepted": 2, "refused": 1, "current": False}
        return Own(
            self.deciding, "abc", "default", kinds, inbox=3, writing=2, writes_limit=16, dropped=1, failed=4,
            assumed=assumed, circuits=self.circuits, **changes,
        )  # fmt: skip

    def tell(self, event):
        self.clock += self.step
        self.journeys.event(event, self.clock)
        self.metrics.event(event)
        out = super().tell(event)
        for each in out:
            self.journeys.instruction(each, self.cycle, self.clock)
            self.metrics.instruction(each)
        return out

    def decide(self, now=None):
        self.cycle = self.clock
        return super().decide(now)

    async def told(self):
        """Every sample, by name and labels."""
        self.clock += 10.0
        text = (await self.metrics.scrape()).decode()
        return {
            (sample.name, *(f"{key}={value}" for key, value in sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


def boxes(count=8, **options):
    return node("n1", **options), build.gpus("n1", count)


async def test_attempts_are_counted_by_result_and_reason():
    hands = Instrumented(*boxes(2), claim("c", count=2), pod("p", claims=["c"])).settle()
    hands.see(claim("d", count=1), pod("q", claims=["d"]))
    hands.settle()

    told = await hands.told()

    assert told["dovetail_attempts_total", "reason=", "result=scheduled"] == 1
    assert told["dovetail_attempts_total", "reason=NoFit", "result=unschedulable"] == 1
    assert told["scheduler_schedule_attempts_total", "profile=dovetail", "result=scheduled"] == 1
    assert told["scheduler_schedule_attempts_total", "profile=dovetail", "result=unschedulable"] == 1


async def test_attempts_under_another_name_are_counted_as_its():
    hands = Instrumented(
        *boxes(1), claim("c"), pod("p", claims=["c"], scheduler="batch"), names=("dovetail", "batch"),
        scheduler_profiles={"batch": "training"},
    ).settle()  # fmt: skip
    hands.see(claim("d"), pod("q", claims=["d"], scheduler="batch"))
    hands.settle()

    told = await hands.told()

    assert told["scheduler_schedule_attempts_total", "profile=batch", "result=scheduled"] == 1
    assert told["scheduler_schedule_attempts_total", "profile=batch", "result=unschedulable"] == 1


async def test_answers_of_scorers_of_others_are_counted_and_open_circuits_told():
    hands = Instrumented(*boxes(2), claim("c"), pod("p", claims=["c"]), remote=(RemoteScorer("thermal", 1.0, 0.05),))
    hands.circuits = {"thermal": "open", "cost": "closed"}
    hands.decide(now=0.0)
    hands.decide(now=0.05 + SPARE_S)

    told = await hands.told()

    assert told["dovetail_remote_answers_total", "outcome=absent", "scorer=thermal"] == 1
    assert told["dovetail_remote_answers_total", "outcome=used", "scorer=thermal"] == 0
    assert told["dovetail_remote_circuit_open", "scorer=thermal"] == 1
    assert told["dovetail_remote_circuit_open", "scorer=cost"] == 0


async def test_a_placement_that_was_given_up_is_an_error_with_its_cause():
    hands = Instrumented(*boxes(2), claim("c"), pod("p", claims=["c"]))
    (write,) = [each for each in hands.decide() if isinstance(each, WriteAllocation)]

    hands.tell(ClaimRefused(write.pod.uid, write.claim.uid, "conflict", "changed"))

    told = await hands.told()
    assert told["dovetail_attempts_total", "reason=conflict", "result=error"] == 1
    assert told["dovetail_writes_refused_total", "cause=conflict", "write=claim"] == 1
    assert told["scheduler_schedule_attempts_total", "profile=dovetail", "result=error"] == 1
    assert told[("dovetail_assumed_pods",)] == 0


async def test_a_claim_that_vanishes_on_the_way_is_an_error_too():
    hands = Instrumented(*boxes(2), claim("c"), pod("p", claims=["c"]))
    (write,) = [each for each in hands.decide() if isinstance(each, WriteAllocation)]

    hands.tell(ClaimRefused(write.pod.uid, write.claim.uid, "gone", "deleted"))
    hands.pass_time(hands.now + 5)

    assert (await hands.told())["dovetail_attempts_total", "reason=gone", "result=error"] == 1


async def test_stages_of_a_pod_add_up_to_the_whole():
    hands = Instrumented(*boxes(2), claim("c"))
    hands.step = 1.0  # each event is a second after the one before
    hands.see(pod("p", claims=["c"]))
    hands.clock += 4.0  # until the cycle begins
    (decision, write) = [
        each for each in hands.decide() if type(each).__name__ in {"RecordDecision", "WriteAllocation"}
    ]
    assert isinstance(decision, RecordDecision)
    hands.obey_all([write])

    told = await hands.told()

    def stage(name):
        return told["dovetail_pod_stage_duration_seconds_sum", f"stage={name}"]

    assert {name: stage(name) for name in ("queue", "decide", "write", "see_back", "bind")} == {
        "queue": 4.0, "decide": 1.0, "write": 1.0, "see_back": 1.0, "bind": 1.0,
    }  # fmt: skip
    assert stage("total") == 8.0


async def test_pods_without_claims_are_bound_without_writes():
    hands = Instrumented(*boxes(2), pod("p")).settle()

    told = await hands.told()

    assert told["dovetail_pod_stage_duration_seconds_count", "stage=total"] == 1
    assert told["dovetail_pod_stage_duration_seconds_count", "stage=write"] == 0


async def test_extended_resources_are_written_too():
    backed = device_class(extended_resource="example.com/gpu")
    hands = Instrumented(*boxes(2), backed, pod("p", extended={"example.com/gpu": 1})).settle()

    told = await hands.told()

    assert told["dovetail_attempts_total", "reason=", "result=scheduled"] == 1
    assert told["dovetail_pod_stage_duration_seconds_count", "stage=write"] == 1


async def test_a_pod_on_its_way_is_assumed_and_ages():
    hands = Instrumented(*boxes(2), claim("c"), pod("p", claims=["c"]))
    hands.decide()

    told = await hands.told()

    assert told[("dovetail_assumed_pods",)] == 1
    assert told[("dovetail_assumed_oldest_seconds",)] == 10.0


@pytest.mark.parametrize("seen_first", [True, False])
async def test_a_pod_that_another_scheduler_bound_meanwhile_is_assumed_no_longer(seen_first):
    hands = Instrumented(*boxes(2), claim("c"), pod("p", claims=["c"]))
    (write,) = [each for each in hands.decide() if isinstance(each, WriteAllocation)]
    (bind,) = [each for each in hands.obey(write) if isinstance(each, BindPod)]
    taken = Seen(replace(hands.pod(bind.pod.uid), node_name="elsewhere"))
    refused = BindRefused(bind.pod.uid, "conflict", "is assigned to another node")

    for event in (taken, refused) if seen_first else (refused, taken):
        hands.tell(event)

    assert (await hands.told())[("dovetail_assumed_pods",)] == 0
    assert len(hands.journeys) == 0


async def test_pods_that_leave_are_not_remembered():
    hands = Instrumented(*boxes(2), pod("p", claims=["none"]), pod("g", gates=["wait"]))
    hands.see(pod("other", scheduler="another"), pod("bound", node="n1"))
    waiting = len(hands.journeys)

    hands.tell(Gone("Pod", "default/p", Uid("")))

    assert (waiting, len(hands.journeys)) == (1, 0)


async def test_a_pod_that_somebody_else_binds_is_not_remembered():
    hands = Instrumented(*boxes(2), pod("p", claims=["none"]))

    hands.see(pod("p", claims=["none"], node="n1"))

    assert len(hands.journeys) == 0


async def test_a_pod_that_comes_again_under_its_name_is_another():
    hands = Instrumented(*boxes(2), pod("p", claims=["none"]))

    hands.see(replace(pod("p", claims=["none"]), uid=Uid("second")))

    assert list(hands.journeys._of) == ["second"]
    assert hands.journeys._uids == {"default/p": "second"}


async def test_a_binding_that_is_seen_before_it_is_answered_counts():
    hands = Instrumented(*boxes(2), pod("p"))
    (bind,) = [each for each in hands.decide() if isinstance(each, BindPod)]

    hands.see(replace(hands.pod(bind.pod.uid), node_name="n1"))
    hands.tell(PodBound(bind.pod.uid, bind.node))

    assert (await hands.told())["dovetail_pod_stage_duration_seconds_count", "stage=total"] == 1


async def test_links_between_the_devices_of_a_pod_are_told_in_bytes():
    links = {"dovetail.scheduler/links": '{"pairs": [["gpu-0", "gpu-1", 300]], "default": 0}'}
    hands = Instrumented(*boxes(2, annotations=links), claim("c", count=2), pod("p", claims=["c"])).settle()

    told = await hands.told()

    assert told[("dovetail_placement_link_bytes_per_second_sum",)] == 300e9
    assert told["dovetail_placement_link_bytes_per_second_bucket", "le=2e+11"] == 0
    assert told["dovetail_placement_link_bytes_per_second_bucket", "le=3e+11"] == 1


async def test_the_cluster_is_told_by_the_process_that_decides():
    hands = Instrumented(*boxes(5), claim("c", count=2), pod("p", claims=["c"]), pod("w", claims=["none"])).settle()

    told = await hands.told()
    hands.deciding = False
    standby = await hands.told()

    assert told["dovetail_devices", f"driver={build.DRIVER}", "product=gpu", "state=free"] == 3
    assert told["dovetail_devices", f"driver={build.DRIVER}", "product=gpu", "state=allocated"] == 2
    assert told["dovetail_headroom_pods", "device_class=gpu", "shape=2"] == 1
    assert told["dovetail_fragmentation_ratio", "device_class=gpu", "shape=2"] == 0
    assert told["dovetail_claims", "state=reserved"] == 1
    assert told["dovetail_pending_pods", "reason=Misconfigured"] == 1
    assert told["scheduler_pending_pods", "queue=unschedulable"] == 1
    assert told[("dovetail_leader",)] == 1
    assert standby[("dovetail_leader",)] == 0
    assert not [key for key in standby if key[0] in {"dovetail_devices", "dovetail_claims", "scheduler_pending_pods"}]


async def test_a_count_is_told_again_for_some_seconds():
    hands = Instrumented(*boxes(5))
    await hands.told()
    hands.see(claim("c"))

    hands.clock -= 8.0  # two seconds after the first
    soon = await hands.told()
    later = await hands.told()

    assert soon["dovetail_claims", "state=pending"] == 0
    assert later["dovetail_claims", "state=pending"] == 1


async def test_what_a_process_knows_of_itself_is_told():
    told = await Instrumented(*boxes()).told()

    assert told["dovetail_config_info", "hash=abc", "profile=default"] == 1
    assert told["dovetail_config_reloads_total", "result=accepted"] == 2
    assert told["dovetail_config_reloads_total", "result=refused"] == 1
    assert told[("dovetail_config_last_reload_successful",)] == 0
    assert told["dovetail_watch_silence_seconds", "kind=Pod"] == 1.5
    assert ("dovetail_watch_silence_seconds", "kind=Node") not in told  # it never heard anything
    assert told["dovetail_watch_listed", "kind=Node"] == 0
    assert told[("dovetail_inbox_events",)] == 3
    assert told[("dovetail_writes_in_flight",)] == 2
    assert told[("dovetail_writes_limit",)] == 16
    assert told["dovetail_pod_events_lost_total", "why=refused"] == 4
    assert told[("process_resident_memory_bytes",)] > 0


async def test_claims_that_clash_are_counted_while_they_do_and_ever():
    mine = allocated(claim("mine"), result("gpu-0"), reserved_for=["p"])
    theirs = allocated(claim("theirs", namespace="others"), result("gpu-0"), reserved_for=["q"])
    hands = Instrumented(node("n1"), gpus("n1", 1), mine, pod("p", claims=[mine], node="n1"))
    hands.settle()
    assert (await hands.told())[("dovetail_device_clashes_standing",)] == 0

    hands.see(theirs)
    hands.settle()
    told = await hands.told()
    assert told[("dovetail_device_clashes_standing",)] == told[("dovetail_device_clashes_total",)] == 1

    hands.tell(Gone("ResourceClaim", theirs.key, theirs.uid))
    told = await hands.told()
    assert (told[("dovetail_device_clashes_standing",)], told[("dovetail_device_clashes_total",)]) == (0, 1)


async def test_what_solvers_and_sources_say_is_counted():
    hands = Instrumented(*boxes())
    metrics = hands.metrics
    metrics.event(WindowSolved(1, "joint", (), 0.02))
    metrics.event(WindowSolved(2, "regret", (), 0.0))
    metrics.event(Solved(None, 1, NodeAnswer(None, {}, exhausted=True)))
    metrics.event(BindRefused(Uid("u"), "conflict", "no"))
    metrics.event(Rejected("Pod", "ns/p", Uid("u"), "odd"))
    metrics.instruction(WarnOfTopology(("a", "b")))
    metrics.instruction(ReportIgnored(PodRef("ns", "p", Uid("u")), "text"))
    metrics.cycle(0.004)

    told = await hands.told()

    assert told["dovetail_windows_total", "solver=joint"] == 1
    assert told["dovetail_windows_total", "solver=regret"] == 1
    assert told[("dovetail_window_gap_ratio_count",)] == 1
    assert told[("dovetail_searches_exhausted_total",)] == 1
    assert told["dovetail_writes_refused_total", "cause=conflict", "write=binding"] == 1
    assert told["dovetail_objects_rejected_total", "kind=Pod"] == 1
    assert told[("dovetail_topology_warnings_told_total",)] == 2
    assert told[("dovetail_annotations_ignored_total",)] == 1
    assert told["dovetail_cycle_duration_seconds_bucket", "le=0.005"] == 1


async def test_placements_among_a_sample_of_sets_are_counted():
    hands = Instrumented(*boxes())
    decision = build.decision()

    hands.metrics.instruction(RecordDecision(replace(decision, winner=replace(decision.winner, truncated=True))))

    assert (await hands.told())[("dovetail_searches_truncated_total",)] == 1


DRA = "/apis/resource.k8s.io/v1"


@pytest.mark.parametrize(
    ("method", "path", "verb", "resource"),
    [
        ("GET", "/api/v1/pods?watch=true&x=y", "watch", "pods"),
        ("GET", "/api/v1/pods?limit=500", "list", "pods"),
        ("GET", f"{DRA}/namespaces/ns/resourceclaims/c", "get", "resourceclaims"),
        ("GET", f"{DRA}/namespaces/ns/resourceclaims", "list", "resourceclaims"),
        ("PATCH", f"{DRA}/namespaces/ns/resourceclaims/c/status?timeout=3s", "patch", "resourceclaims/status"),
        ("POST", "/api/v1/namespaces/ns/pods/p/binding?timeout=3s", "create", "pods/binding"),
        ("POST", "/api/v1/namespaces/ns/events", "create", "events"),
        ("PUT", "/apis/coordination.k8s.io/v1/namespaces/a/leases/dovetail", "update", "leases"),
        ("POST", "/apis/authentication.k8s.io/v1/tokenreviews", "create", "tokenreviews"),
        ("DELETE", f"{DRA}/namespaces/ns/resourceclaims/c", "delete", "resourceclaims"),
        ("GET", "/version", "get", OTHER),
        ("GET", "/apis/resource.k8s.io/v1", "get", OTHER),
        ("GET", "/api/v1/namespaces/ns", "get", OTHER),
        ("GET", "/api/v1/namespaces/ns/secrets/hidden", "get", OTHER),
        ("BREW", "/", OTHER, OTHER),
    ],
)
def test_requests_are_of_a_verb_and_a_resource(method, path, verb, resource):
    assert call_of(method, path) == (verb, resource)


async def test_requests_are_counted_by_answer_and_timed_unless_they_are_watches():
    hands = Instrumented(*boxes())
    hands.metrics.request("GET", "/api/v1/pods?watch=true", 200, -1.0)
    hands.metrics.request("GET", "/api/v1/namespaces/ns/pods/p", 409, 0.2)
    hands.metrics.request("GET", "/api/v1/namespaces/ns/pods/p", 0, 3.0)

    told = await hands.told()

    assert told["dovetail_api_requests_total", "code=200", "resource=pods", "verb=watch"] == 1
    assert told["dovetail_api_requests_total", "code=409", "resource=pods", "verb=get"] == 1
    assert told["dovetail_api_requests_total", "code=<error>", "resource=pods", "verb=get"] == 1
    assert told["dovetail_api_request_duration_seconds_sum", "resource=pods", "verb=get"] == pytest.approx(3.2)
    assert ("dovetail_api_request_duration_seconds_sum", "resource=pods", "verb=watch") not in told


async def test_questions_of_other_schedulers_are_counted_and_timed():
    hands = Instrumented(*boxes())
    hands.metrics.question("filter", "answered", 0.004)
    hands.metrics.question("filter", "unavailable", 2.0)

    told = await hands.told()

    assert told["dovetail_extender_requests_total", "result=answered", "verb=filter"] == 1
    assert told["dovetail_extender_requests_total", "result=unavailable", "verb=filter"] == 1
    assert told["dovetail_extender_request_duration_seconds_sum", "verb=filter"] == pytest.approx(2.004)


def test_labels_are_short_and_plain():
    assert label("a" * 300) == "a" * 63 + "…"
    assert label("\x1b[31m\u202e\n\ud800") == "\\x1b[31m\\u202e\\n\\ud800"


async def test_series_are_few_however_many_names_there_are():
    objects = []
    for number in range(120):
        made = device("gpu-0", {"model": f"model-{number}"})
        objects += [node(f"n{number}"), slice_of([made], node=f"n{number}", driver=f"d{number}.example.com")]
        asked = request("r", number % 4 + 1, device_class=f"class-{number}")
        objects += [device_class(f"class-{number}", driver=f"d{number}.example.com"), claim(f"c{number}", asked)]
        objects += [pod(f"p{number}", claims=[f"c{number}"], namespace="default")]
    hands = Instrumented(*objects).go_on()
    for number in range(3000):
        hands.metrics.request(f"VERB{number}", f"/api/v1/namespaces/n{number}/things/{number}", 100 + number % 500, 0.1)
        hands.metrics.request("PATCH", f"/api/v1/namespaces/n{number}/pods/p{number}/status", 200, 0.1)

    told = await hands.told()

    text = " ".join(part for key in told for part in key)
    assert len(told) < 2_000
    assert not re.search(r"\bp\d+\b|\bc\d+\b|\bn\d+\b", text)
    assert sum(value for key, value in told.items() if key[0] == "dovetail_devices") == 120
    assert ("dovetail_headroom_pods", f"device_class={OTHER}", f"shape={OTHER}") in told
    products = {key[2] for key in told if key[0] == "dovetail_devices"}
    assert len(products) == 33


async def test_every_metric_has_a_unit_a_prefix_and_words():
    hands = Instrumented(*boxes(2), claim("c"), pod("p", claims=["c"])).settle()
    hands.clock += 10
    text = (await hands.metrics.scrape()).decode()

    for family in text_string_to_metric_families(text):
        assert family.documentation, family.name
        assert re.match(r"(dovetail|scheduler|process)_[a-z0-9_]+$", family.name), family.name
        assert not re.search(r"milli|micro|minutes|_ms$|_gb", family.name), family.name
