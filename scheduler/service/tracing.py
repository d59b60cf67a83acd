"""Spans of decisions and writes for OpenTelemetry: off unless `tracing.endpoint` names a collector.

The libraries come with the extra `otel` and are not imported without such an endpoint. One trace a pod, sampled:

    schedule            from when it was first seen until it is bound, or its placement is given up
      decide            the cycle that decided it
      write claim       each write of a claim, until it is answered
      bind
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from scheduler.core.errors import ConfigError, printable
from scheduler.service.journeys import Journey
from scheduler.service.settings import TracingSettings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

NAME: Final = "dovetail"
_MILLION: Final = 1_000_000
_FLUSH_MS: Final = 2_000


class Tracing:
    """Makes spans of journeys that ended.

    clock : that of the journeys, in seconds. wall : nanoseconds since 1970.
    """

    def __init__(
        self,
        provider: "TracerProvider",
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], int] = time.time_ns,
    ) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer(NAME)
        self._clock = clock
        self._wall = wall

    def bound(self, journey: Journey) -> None:
        """A pod is bound."""
        self._trace(journey, "")

    def given_up(self, journey: Journey, reason: str) -> None:
        """A placement was given up."""
        self._trace(journey, reason)

    def close(self) -> None:
        """Send what is left, for as long as that is worth waiting for. Blocks."""
        self._provider.force_flush(_FLUSH_MS)
        self._provider.shutdown()

    def _trace(self, journey: Journey, failure: str) -> None:
        from opentelemetry.trace import Status, StatusCode, set_span_in_context  # noqa: PLC0415

        ahead = self._wall() - round(self._clock() * 1e9)

        def at(seconds: float) -> int:
            return ahead + round(seconds * 1e9)

        root = self._tracer.start_span("schedule", start_time=at(journey.seen), attributes=_told(journey))
        if root.is_recording():
            context = set_span_in_context(root)

            def child(name: str, since: float, until: float) -> "Span":
                span = self._tracer.start_span(name, context, start_time=at(since))
                span.end(at(until))
                return span

            child("decide", journey.cycle, journey.decided)
            for since, until in journey.writes.values():
                child("write claim", since, until or journey.ended)
            if journey.binding:
                child("bind", journey.binding, journey.ended)
            if failure:
                root.set_status(Status(StatusCode.ERROR, failure))
        root.end(at(journey.ended))


def _told(journey: Journey) -> dict[str, Any]:
    """Attributes of a pod's trace, without what could steer whatever shows them."""
    namespace, _, name = journey.pod.partition("/")
    found: dict[str, Any] = {
        "k8s.namespace.name": printable(namespace),
        "k8s.pod.name": printable(name),
        "dovetail.scheduler": printable(journey.scheduler),
    }
    decision = journey.decision
    if decision is not None:
        found |= {
            "k8s.node.name": printable(decision.winner.node),
            "dovetail.profile": printable(decision.profile),
            "dovetail.score": decision.winner.total,
            "dovetail.devices": len(decision.winner.devices),
            "dovetail.nodes.feasible": decision.feasible_nodes,
            "dovetail.nodes.all": decision.nodes,
        }
    return found


def tracing(settings: TracingSettings) -> Tracing | None:
    """What sends spans to the collector of the settings, None where none is named. Raises ConfigError."""
    if not settings.endpoint:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        from opentelemetry.sdk.trace.sampling import TraceIdRatioBased  # noqa: PLC0415
    except ImportError as error:
        remedy = "pip install 'dovetail-scheduler[otel]', or leave the endpoint out"
        raise ConfigError(
            "tracing.endpoint", f"needs OpenTelemetry, which is not installed ({error})", remedy
        ) from error
    ratio = settings.sampling_ratio_per_million / _MILLION
    provider = TracerProvider(sampler=TraceIdRatioBased(ratio), resource=Resource.create({"service.name": NAME}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=settings.endpoint)))
    return Tracing(provider)
