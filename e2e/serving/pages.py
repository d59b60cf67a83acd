"""The recorded page /metrics of vLLM, and live pages with its names, types, labels and buckets."""

from collections.abc import Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from e2e.serving.queue import Replica

VERSION = "0.33.0"
RECORDED = Path(__file__).with_name(f"vllm-{VERSION}.prom")
FIRST_TOKEN = "vllm:time_to_first_token_seconds"
BETWEEN_TOKENS = "vllm:inter_token_latency_seconds"


def families() -> list[Metric]:
    """Those of the recorded page."""
    return list(text_string_to_metric_families(RECORDED.read_text()))


def names() -> set[str]:
    """Of all samples on it."""
    return {sample.name for family in families() for sample in family.samples}


class Growing:
    """The recorded page over and over: counters and histograms grow by what is on it, gauges stay."""

    def __init__(self) -> None:
        self._families = families()
        self._times = 0

    def text(self) -> bytes:
        """What a further scrape sees."""
        self._times += 1
        return _text(_scaled(family, 1 if family.type == "gauge" else self._times) for family in self._families)


class Live:
    """The page of one simulated replica: what autoscaling reads is its own, all else is as recorded."""

    def __init__(self) -> None:
        self._families = {family.name: family for family in families()}
        self._seen = {name: [0.0] * len(self._bounds(name)) for name in (FIRST_TOKEN, BETWEEN_TOKENS)}
        self._sums = dict.fromkeys(self._seen, 0.0)

    def text(self, replica: Replica) -> bytes:
        """What a scrape sees now; takes from the replica what it has seen since."""
        for name, values in ((FIRST_TOKEN, replica.first_tokens), (BETWEEN_TOKENS, replica.between_tokens)):
            for value in values:
                self._seen[name] = [
                    seen + (value <= bound) for seen, bound in zip(self._seen[name], self._bounds(name), strict=True)
                ]
                self._sums[name] += value
            values.clear()
        gauges = {
            "vllm:num_requests_running": float(replica.running),
            "vllm:num_requests_waiting": float(replica.waiting),
            "vllm:kv_cache_usage_perc": min(1.0, replica.running / 20),
        }
        return _text(self._live(family, gauges) for family in self._families.values())

    def _bounds(self, name: str) -> list[float]:
        samples = self._families[name].samples
        return [float(each.labels["le"]) for each in samples if each.name.endswith("_bucket")]

    def _live(self, family: Metric, gauges: dict[str, float]) -> Metric:
        if family.name in gauges:
            return _with(family, [gauges[family.name]] * len(family.samples))
        if family.name not in self._seen:
            return family
        seen = self._seen[family.name]
        ends = {"_sum": self._sums[family.name], "_count": seen[-1]}
        buckets = iter(seen)
        values = [
            next(buckets) if each.name.endswith("_bucket") else ends[each.name.removeprefix(family.name)]
            for each in family.samples
        ]
        return _with(family, values)


def _scaled(family: Metric, factor: int) -> Metric:
    return _with(family, [sample.value * factor for sample in family.samples])


def _with(family: Metric, values: list[float]) -> Metric:
    made = Metric(family.name, family.documentation, family.type)
    made.samples = [
        Sample(sample.name, sample.labels, value) for sample, value in zip(family.samples, values, strict=True)
    ]
    return made


def _text(metrics: Iterable[Metric]) -> bytes:
    registry = CollectorRegistry()
    collected = list(metrics)

    class Collector:
        def collect(self) -> Iterable[Metric]:
            return collected

    registry.register(Collector())
    return generate_latest(registry)
