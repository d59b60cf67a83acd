"""Spans of decisions and writes."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode

from scheduler.core.errors import ConfigError
from scheduler.core.messages import BindPod, BindRefused, ClaimRefused, WriteAllocation
from scheduler.service.journeys import Journeys
from scheduler.service.settings import TracingSettings, load
from scheduler.service.tracing import Tracing, tracing
from tests import build
from tests.build import claim, node, pod
from tests.driving import Hands

WALL = 1_700_000_000_000_000_000


class Traced(Hands):
    """An engine whose journeys are traced; each event takes a second."""

    def __init__(self, *objects, **options):
        self.clock = 1000.0
        self.cycle = 0.0
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(**options)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracing = Tracing(provider, clock=lambda: self.clock, wall=lambda: WALL)
        self.journeys = Journeys(frozenset({"dovetail"}), [self.tracing])
        super().__init__(*objects)

    def tell(self, event):
        self.clock += 1.0
        self.journeys.event(event, self.clock)
        out = super().tell(event)
        for each in out:
            self.journeys.instruction(each, self.cycle, self.clock)
        return out

    def decide(self, now=None):
        self.cycle = self.clock
        return super().decide(now)

    def spans(self):
        return self.exporter.get_finished_spans()


def cluster(**options):
    hands = Traced(node("n1"), build.gpus("n1", 4), **options)
    hands.see(claim("a", count=2), claim("b"), pod("p", claims=["a", "b"]))
    return hands


def test_a_pod_that_is_bound_is_a_trace_of_its_decision_and_its_writes():
    hands = cluster().settle()

    spans = hands.spans()

    (root,) = [span for span in spans if span.name == "schedule"]
    assert sorted(span.name for span in spans) == ["bind", "decide", "schedule", "write claim", "write claim"]
    assert all(span.parent.span_id == root.context.span_id for span in spans if span is not root)
    assert root.attributes["k8s.pod.name"] == "p"
    assert root.attributes["k8s.namespace.name"] == "default"
    assert root.attributes["k8s.node.name"] == "n1"
    assert root.attributes["dovetail.devices"] == 3
    assert root.status.status_code is StatusCode.UNSET


def test_spans_stand_at_the_times_of_what_they_tell():
    hands = cluster().settle()

    spans = {span.name: span for span in hands.spans()}
    (root, decide, bind) = (spans[name] for name in ("schedule", "decide", "bind"))

    assert (decide.end_time - decide.start_time) / 1e9 == 1.0
    assert root.start_time <= decide.start_time < decide.end_time < bind.start_time < bind.end_time == root.end_time
    assert abs(root.end_time - WALL) < 60e9


def test_a_placement_that_was_given_up_is_an_error():
    hands = cluster()
    writes = [each for each in hands.decide() if isinstance(each, WriteAllocation)]

    for write in writes:
        hands.tell(ClaimRefused(write.pod.uid, write.claim.uid, "conflict", "no"))

    (root,) = [span for span in hands.spans() if span.name == "schedule"]
    assert (root.status.status_code, root.status.description) == (StatusCode.ERROR, "conflict")
    assert "bind" not in {span.name for span in hands.spans()}


def test_a_binding_that_was_refused_is_in_the_trace():
    hands = Traced(node("n1"), pod("p"))
    (bind,) = [each for each in hands.decide() if isinstance(each, BindPod)]

    hands.tell(BindRefused(bind.pod.uid, "conflict", "no"))

    (root,) = [span for span in hands.spans() if span.name == "schedule"]
    assert (root.status.status_code, root.status.description) == (StatusCode.ERROR, "conflict")
    assert sorted(span.name for span in hands.spans()) == ["bind", "decide", "schedule"]


def test_what_is_not_sampled_makes_no_spans():
    hands = cluster(sampler=ALWAYS_OFF).settle()

    assert hands.spans() == ()
    assert hands.node_of("p") == "n1"


def test_names_are_escaped():
    hands = Traced(node("n1"))
    hands.see(replace(pod("p"), name="\x1b[31mp\n", namespace="n\u202es"))
    hands.settle()

    (root,) = [span for span in hands.spans() if span.name == "schedule"]
    assert root.attributes["k8s.pod.name"] == "\\x1b[31mp\\n"
    assert root.attributes["k8s.namespace.name"] == "n\\u202es"


def test_nothing_is_traced_unless_configured():
    assert tracing(load(None, {}).tracing) is None


def test_a_collector_is_talked_to_where_one_is_named():
    found = tracing(TracingSettings(endpoint="http://127.0.0.1:9/v1/traces", samplingRatioPerMillion=0))

    assert isinstance(found, Tracing)
    found.close()


def test_without_the_extra_nothing_is_imported_and_the_remedy_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)

    with pytest.raises(ConfigError, match=r"pip install 'dovetail-scheduler\[otel\]'"):
        tracing(TracingSettings(endpoint="http://127.0.0.1:9/v1/traces"))


def test_a_process_does_not_import_what_it_does_not_use():
    probe = "import sys, scheduler.service.run; print([m for m in sys.modules if m.startswith('opentelemetry')])"

    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("endpoint", ["collector:4318", "ftp://x", "http://", "http://a b", "http://x\n"])
def test_an_endpoint_that_is_no_url_is_refused(endpoint):
    with pytest.raises(ConfigError, match=r"tracing\.endpoint"):
        load(None, {"DOVETAIL_TRACING__ENDPOINT": json.dumps(endpoint)})
