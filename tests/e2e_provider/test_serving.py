"""What the end-to-end tests take for vLLM: the simulated queue, and pages of the recorded names and types."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from e2e.serving import pages
from e2e.serving.queue import SLOTS, WAITING, Pool, Replica, Traffic


def read(text):
    return {family.name: family for family in text_string_to_metric_families(text.decode())}


def shapes(families):
    return {(each.name, each.type, tuple(sample.name + str(sample.labels) for sample in each.samples))
            for each in families}  # fmt: skip


def test_pages_have_the_names_types_and_labels_of_the_recorded_one():
    replica = Replica()
    replica.take(0.0, Traffic(rate=1, prompt=0.3, answer=1))
    replica.settle(0.5)

    live = pages.Live().text(replica)

    assert shapes(read(live).values()) == shapes(pages.families())
    assert shapes(read(pages.Growing().text()).values()) == shapes(pages.families())


def test_a_live_page_tells_of_its_own_replica():
    replica, page = Replica(), pages.Live()
    for _ in range(3):
        replica.take(0.0, Traffic(rate=1, prompt=0.3, answer=1))
    replica.settle(0.7)

    samples = {(each.name, each.labels.get("le")): each.value
               for family in read(page.text(replica)).values() for each in family.samples}  # fmt: skip

    assert samples["vllm:num_requests_running", None] == 3
    assert samples["vllm:num_requests_waiting", None] == 0
    assert samples[f"{pages.FIRST_TOKEN}_bucket", "0.25"] == 0
    assert samples[f"{pages.FIRST_TOKEN}_bucket", "0.5"] == 1
    assert samples[f"{pages.FIRST_TOKEN}_count", None] == 2
    assert samples[f"{pages.FIRST_TOKEN}_sum", None] == pytest.approx(0.9)


def test_counters_grow_and_gauges_stay():
    page = pages.Growing()
    first, second = read(page.text()), read(page.text())

    [tokens] = [each.value for each in first["vllm:generation_tokens"].samples]
    assert [each.value for each in second["vllm:generation_tokens"].samples] == [2 * tokens]
    assert first["vllm:kv_cache_usage_perc"].samples == second["vllm:kv_cache_usage_perc"].samples


@given(
    rate=st.floats(0.5, 50), prompt=st.floats(0.01, 2), answer=st.floats(0.1, 5),
    sizes=st.lists(st.integers(0, 4), min_size=1, max_size=12),
)  # fmt: skip
def test_every_request_is_answered_under_way_or_refused(rate, prompt, answer, sizes):
    traffic = Traffic(rate, prompt, answer)
    pool = Pool(0.0, traffic)
    answered = lost = 0
    for now, size in enumerate([*sizes, 4], start=1):
        before = dict(pool.replicas)
        replicas = pool.step(float(now), [f"r{i}" for i in range(size)])
        lost += sum(
            len(each.first_tokens) + each.running + each.waiting
            for name, each in before.items()
            if name not in replicas
        )
        for each in replicas.values():
            assert each.running <= SLOTS
            assert each.waiting <= WAITING
            assert all(after >= prompt - 1e-9 for after in each.first_tokens)

    came = int(len([*sizes, 4]) * rate + 1e-9) + 1
    answered = sum(len(each.first_tokens) for each in pool.replicas.values())
    waiting = sum(each.running + each.waiting for each in pool.replicas.values())
    assert answered <= came - pool.refused
    assert came - pool.refused <= answered + waiting + lost


def test_more_replicas_bring_the_time_to_the_first_token_down():
    def worst(count):
        pool = Pool(0.0, Traffic(rate=4, prompt=0.4, answer=0.1))
        for now in range(1, 11):
            pool.step(float(now), [f"r{i}" for i in range(count)])
        return max(after for each in pool.replicas.values() for after in each.first_tokens)

    assert worst(1) > 3 > worst(2) >= 0.4
