"""Five hundred strings that somebody chose to do harm, through everything that people and programs read: none raw."""

import json
import logging
import random
import unicodedata
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from scheduler.cluster import encode
from scheduler.core import names
from scheduler.core.errors import printable
from scheduler.core.explain import render, to_dict, to_json
from scheduler.core.messages import (
    BindPod,
    PodRef,
    RecordDecision,
    Rejected,
    ReportIgnored,
    ReportScheduled,
    ReportUnschedulable,
    WarnOfTopology,
)
from scheduler.core.model import Uid
from scheduler.core.plan import Option
from scheduler.service.command import _OneLine
from scheduler.service.debug import Debug, _json
from scheduler.service.metrics import Metrics, Own, label
from tests import build
from tests.build import claim, device, device_class, match, node, pod, request, slice_of, taint
from tests.driving import Hands

SEEDS = (
    "\x00", "\x07", "\x08", "\t", "\n", "\r", "\r\n", "\x0b", "\x0c", "\x1b[31mred\x1b[0m", "\x1b]0;title\x07",
    "\x1b[2J", "\x7f", "\x80", "\x85", "\x9b31m", "\xa0", "\xad", "\u061c", "\u200b", "\u200e", "\u200f", "\u2028",
    "\u2029", "\u202a", "\u202b", "\u202d", "\u202e", "\u2060", "\u2066", "\u2067", "\u2069", "\ufeff", "\ufff9",
    "\ufffe", "\U000e0041", "\U0010ffff", "\ue000", "\ud800", "\udfff", "\ud83d", "a\ud800b", "'", '"', "\\", '\\"',
    "`", "''", '""', "\\n", "{}", "{0}", "{0.__class__}", "{pod!r}", "%s", "%d", "%n%n%n", "%(message)s", "%",
    "$(id)", "${HOME}", "`id`", "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "]]>", "&lt;", "{{7*7}}",
    "{% raw %}", "=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "'; DROP TABLE pods; --", "../../etc/passwd", "/",
    "//", "a/b", "..", "file:///etc/passwd", '{"level": "error"}', '"}\n{"level": "error", "message": "forged"}',
    "level=error msg=forged", "# HELP x y", 'x{y="z"} 1', '"} 1\ndovetail_leader 7', "a", "a", "\u202e", "\x1b", "é",
    "日本語", "עברית", "مرحبا", "e\u0301", "Z\u0351\u036b\u0343", "🏴\u200d☠️", "NaN", "null", "true", "", " ", "  a  ",
    "0", "-0",
)  # fmt: skip


def corpus():
    """Those above, and what chance makes of them."""
    chance = random.Random(20261126)
    found = list(dict.fromkeys(SEEDS))
    while len(found) < 500:
        parts = [chance.choice(SEEDS)[:80] for _ in range(chance.randint(2, 4))]
        text = chance.choice(["", "x", " "]).join(parts)
        if text not in found:
            found.append(text)
    return found


CORPUS = corpus()
RAW = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode categories that steer whatever shows them, or mean nothing."""


def is_raw(text):
    return any(unicodedata.category(each) in RAW for each in text)


def chunks(size):
    return [CORPUS[at : at + size] for at in range(0, len(CORPUS), size)]


def plain(strings):
    """Without lone surrogates, which no JSON of an API server can bring (its decoder refuses them)."""
    return [text for text in strings if text and text.encode("utf-8", "ignore").decode() == text]


def test_there_are_five_hundred_and_most_of_them_are_raw():
    assert len(CORPUS) == len(set(CORPUS)) == 500
    assert sum(map(is_raw, CORPUS)) > 250


def test_what_is_escaped_is_not_raw():
    for text in CORPUS:
        assert not is_raw(printable(text)), ascii(text)


# ---------------------------------------------------------------- logs


def logged(message, *arguments, error=None):
    info = (type(error), error, None) if error is not None else None
    record = logging.LogRecord("dovetail", logging.WARNING, "file", 1, message, arguments, info)
    return _OneLine().format(record)


def test_logs_are_one_plain_line_each_that_says_what_was_meant():
    for text in CORPUS:
        for line in (logged("pod %s: %s", text, text), logged(text), logged("failed", error=ValueError(text))):
            assert line.isascii()
            assert not is_raw(line), ascii(text)
            json.loads(line)
        assert json.loads(logged("%s", text))["message"] == text[:4000]


# ---------------------------------------------------------------- events, conditions, annotations


def test_events_and_conditions_carry_nothing_raw():
    for text in CORPUS:
        reference = PodRef("default", "p", Uid("u"))
        for report in (
            ReportUnschedulable(reference, "NoFit", text),
            ReportScheduled(reference, "n1", text),
            ReportIgnored(reference, text),
        ):
            written = json.loads(encode.event(report, "2026-01-01T00:00:00.000000Z"))
            assert not is_raw(written["message"]), ascii(text)
            assert len(written["message"].encode()) <= encode.MAX_NOTE
        patch = encode.unschedulable_condition_patch(
            ReportUnschedulable(reference, "NoFit", text), "2026-01-01T00:00:00.000000Z"
        )
        (condition,) = json.loads(patch)["status"]["conditions"]
        assert not is_raw(condition["message"]), ascii(text)


def hostile_decision(text):
    option = Option(text, ((text, text, text),), 0.5, {}, links=text)
    made = replace(build.decision(), pod=text, winner=option, profile=text, ignored=text, window=text)
    return replace(made, runner_up=option)


def test_explanations_are_plain_as_annotation_and_on_debug_pages():
    for text in CORPUS:
        decision = hostile_decision(text)

        annotation = to_json(decision)

        assert annotation.isascii()
        assert not is_raw(annotation)
        assert json.loads(annotation) == json.loads(json.dumps(to_dict(decision)))
        assert render(json.loads(annotation))
        body = _json(to_dict(decision)).text
        assert body.isascii()
        assert not is_raw(body.rstrip("\n"))
        sent = encode.binding(PodRef("default", "p", Uid("u")), "n1", {names.EXPLAIN: annotation})
        assert json.loads(sent)["metadata"]["annotations"][names.EXPLAIN] == annotation


# ---------------------------------------------------------------- metrics


def test_labels_are_plain_short_and_survive_the_format():
    for text in CORPUS:
        value = label(text)

        assert not is_raw(value), ascii(text)
        assert len(value) <= 64


@pytest.mark.parametrize("strings", chunks(100), ids=lambda strings: f"{len(strings)}")
async def test_metrics_of_a_cluster_of_hostile_names_hold_no_raw_line(strings):
    objects = []
    for number, text in enumerate(plain(strings)):
        made = device("gpu-0", {"model": text, "productName": text})
        objects += [
            node(f"n{number}"),
            slice_of([made], node=f"n{number}", driver=text, name=f"slice-{number}"),
            device_class(text, driver=None),
            claim(f"c{number}", request(device_class=text)),
            pod(f"p{number}", claims=[f"c{number}"]),
        ]
    hands = Hands(*objects, verify_plans=False).go_on()
    own = Own(True, strings[0], strings[-1], {}, 0, 0, 0, 0, 0, (0, 0.0))
    metrics = Metrics("dovetail", lambda: own)
    metrics.watch(hands.engine)
    for text in strings:
        metrics.request(text, text, 200, 0.1)
        metrics.request("GET", f"/api/v1/namespaces/{text}/pods/{text}", 200, 0.1)

    text = (await metrics.scrape()).decode()

    assert not is_raw(text.replace("\n", ""))
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert [sample.value for sample in families["dovetail_leader"].samples] == [1.0]
    assert len(families["dovetail_headroom_pods"].samples) <= 33


# ---------------------------------------------------------------- through the engine


def positions(number, text):
    """Objects of one pod and its surroundings with the text wherever somebody could write it."""
    made = [device("gpu-0", {"type": "gpu", "note": text}, taints=[taint(text, text)]), device(f"{text}-{number}")]
    yield node(
        f"n{number}",
        labels={"zone": text},
        annotations={names.LINKS: text},
        taints=[taint("key", text)] if number % 3 == 0 else [],
    )
    yield slice_of(made, node=f"n{number}", name=f"slice-{number}", driver=f"d{number}.example.com")
    yield device_class(f"class-{text}", text, driver=None)
    wanted = {
        0: [request("r", 1, text)],
        1: [request(text, 9)],
        2: [request("r", 1, device_class=f"class-{text}")],
        3: [request("r", 1, device_class=f"missing-{text}")],
        4: [request("r", 1, f'device.attributes["{text}"].note == "x"')],
    }[number % 5]
    limits = [match(f"d{number}.example.com/{text}")] if number % 2 else []
    yield claim(f"c{number}-{text}", *wanted, constraints=limits)
    yield pod(
        f"p{number}-{text}",
        claims=[f"c{number}-{text}"],
        annotations={names.PROFILE: text, names.WEIGHTS: text},
        selector={"zone": text} if number % 4 == 0 else None,
    )
    yield pod(f"q{number}-{text}", claims=[f"gone-{text}"])
    yield pod(f"bound{number}-{text}")


@pytest.mark.parametrize("strings", chunks(50), ids=lambda strings: f"{len(strings)}")
def test_what_the_engine_says_of_hostile_objects_is_plain(strings, caplog):
    hands = Hands(node("plain"), verify_plans=False)
    for number, text in enumerate(plain(strings)):
        hands.see(*positions(number, text))
        hands.tell(Rejected("Pod", f"default/{text}", Uid(f"odd-{number}"), text, "dovetail"))
    hands.go_on()

    told = 0
    for each in hands.asked:
        if isinstance(each, ReportScheduled | ReportUnschedulable | ReportIgnored):
            message = json.loads(encode.event(each, "2026-01-01T00:00:00.000000Z"))["message"]
            assert not is_raw(message), ascii(message)
            told += 1
        elif isinstance(each, BindPod):
            assert all(value.isascii() and not is_raw(value) for value in each.annotations.values())
        elif isinstance(each, WarnOfTopology):
            for warning in each.warnings:
                line = logged("topology: %s", warning)
                assert line.isascii()
                assert not is_raw(line)
        elif isinstance(each, RecordDecision):
            assert logged("decision %s", each.decision).isascii()
    assert told > len(strings)
    assert hands.of(BindPod)
    assert hands.of(ReportIgnored)
    page = _json({"pods": [hands.engine.why_pending(each.key) for each in hands.engine.state.pods.current.values()]})
    assert page.text.isascii()
    assert Debug(lambda: hands.engine, dict).pages()
