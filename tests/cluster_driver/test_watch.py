import asyncio
import gc
import json

import msgspec
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from scheduler.cluster.watch import Reflector, Timing, Watched, split_lines
from scheduler.core.errors import FaultError
from scheduler.core.messages import Gone, Rejected, Seen

NODES = "/api/v1/nodes"
FAST = Timing(watch_s=1, grace_s=0.05, progress_s=1, first_backoff_s=0.001, last_backoff_s=0.01)


def node(name, version, uid=None, **spec):
    metadata = {"name": name, "uid": uid or f"uid-{name}", "resourceVersion": str(version)}
    return {"metadata": metadata, "spec": spec, "status": {"allocatable": {"cpu": "1"}}}


def added(item):
    return {"type": "ADDED", "object": item}


def modified(item):
    return {"type": "MODIFIED", "object": item}


def deleted(item):
    return {"type": "DELETED", "object": item}


def bookmark(version, *, initial_end=False):
    annotations = {"annotations": {"k8s.io/initial-events-end": "true"}} if initial_end else {}
    return {
        "type": "BOOKMARK",
        "object": {"kind": "Node", "metadata": {"resourceVersion": str(version), **annotations}},
    }


def expired():
    return {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}


def json_of(item):
    return msgspec.Raw(json.dumps(item).encode())


def page(version, *items, next_page=""):
    return {"metadata": {"resourceVersion": str(version), "continue": next_page}, "items": list(items)}


@pytest.fixture
async def reflect(api, client):
    """Start a reflector of nodes; returns it and the list that its events go to."""
    running = []

    def start(timing=FAST, watched=Watched("Node", NODES)):  # noqa: B008
        events = []
        reflector = Reflector(client, watched, lambda event: (events.append(event), api.changed.set()), timing, seed=1)
        running.append(asyncio.ensure_future(reflector.run()))
        return reflector, events

    yield start
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


def told(events):
    """Events in brief: +name for Seen, -name/uid for Gone, !name for Rejected."""
    brief = {
        Seen: lambda event: f"+{event.item.name}",
        Gone: lambda event: f"-{event.key}/{event.uid}",
        Rejected: lambda event: f"!{event.key}",
    }
    return [brief[type(event)](event) for event in events]


def watches(api):
    return [request["query"] for request in api.sent("GET") if "watch" in request["query"]]


# ---------------------------------------------------------------- lists


async def test_a_streamed_list_is_followed_by_its_own_watch(api, reflect, steps):
    listing = [added(node("a", 5)), added(node("b", 7)), bookmark(9, initial_end=True), added(node("c", 10))]
    api.script("GET", NODES, steps.stream(*listing, then="hang"))

    reflector, events = reflect()
    await api.until(lambda: len(events) == 3)

    assert told(events) == ["+a", "+b", "+c"]
    assert reflector.listed.is_set()
    (query,) = watches(api)
    assert query["sendInitialEvents"] == "true"
    assert query["resourceVersionMatch"] == "NotOlderThan"
    assert query["allowWatchBookmarks"] == "true"


async def test_a_server_that_cannot_stream_lists_is_listed_in_pages(api, reflect, steps):
    api.script(
        "GET",
        NODES,
        steps.refuse(422, "Invalid"),
        steps.answer(page(20, node("a", 5), next_page="x/y=")),
        steps.answer(page(20, node("b", 6))),
        steps.stream(added(node("c", 21)), then="hang"),
    )

    _, events = reflect()
    await api.until(lambda: len(events) == 3)

    assert told(events) == ["+a", "+b", "+c"]
    pages = [request["query"] for request in api.sent("GET") if "watch" not in request["query"]]
    assert pages == [{"limit": "500"}, {"limit": "500", "continue": "x/y="}]
    assert watches(api)[-1]["resourceVersion"] == "20"


async def test_a_page_token_that_expired_is_answered_by_listing_all_at_once(api, reflect, steps):
    api.script(
        "GET",
        NODES,
        steps.refuse(422),
        steps.answer(page(20, node("a", 5), next_page="t")),
        steps.refuse(410, "Expired"),
        steps.answer(page(22, node("a", 5), node("b", 21))),
        steps.stream(then="hang"),
    )

    reflector, events = reflect()
    await reflector.listed.wait()

    assert told(events) == ["+a", "+b"]
    assert api.sent("GET")[3]["query"] == {}


async def test_a_list_that_breaks_off_is_not_taken_for_complete(api, reflect, steps):
    whole = [added(node("a", 5)), added(node("b", 6)), bookmark(9, initial_end=True)]
    api.script("GET", NODES, steps.stream(*whole[:1], then="break"), steps.stream(*whole, then="hang"))

    reflector, events = reflect()
    await reflector.listed.wait()

    assert told(events) == ["+a", "+b"]


async def test_a_list_that_goes_silent_is_begun_again(api, reflect, steps):
    whole = [added(node("a", 5)), bookmark(9, initial_end=True)]
    api.script("GET", NODES, steps.stream(*whole[:1], then="hang"), steps.stream(*whole, then="hang"))

    reflector, events = reflect(Timing(progress_s=0.05, first_backoff_s=0.001))
    await reflector.listed.wait()

    assert told(events) == ["+a"]


async def test_the_selector_goes_with_lists_and_watches(api, reflect, steps):
    api.script("GET", NODES, steps.refuse(422), steps.answer(page(20)), steps.stream(then="hang"))

    reflect(watched=Watched("Node", NODES, "status.phase!=Succeeded,status.phase!=Failed"))
    await api.until(lambda: len(api.requests) == 3)

    assert {request["query"]["fieldSelector"] for request in api.requests} == {
        "status.phase!=Succeeded,status.phase!=Failed"
    }


async def test_garbage_collection_is_on_again_after_a_list(api, reflect, steps):
    api.script("GET", NODES, steps.stream(added(node("a", 5)), bookmark(9, initial_end=True), then="hang"))

    reflector, _ = reflect()
    await reflector.listed.wait()
    gc.unfreeze()

    assert gc.isenabled()


# ---------------------------------------------------------------- resuming


LISTED = [added(node("a", 5)), added(node("b", 6)), bookmark(9, initial_end=True)]


async def test_a_closed_watch_is_resumed_where_it_ended(api, reflect, steps):
    api.script(
        "GET",
        NODES,
        steps.stream(*LISTED, modified(node("a", 12))),
        steps.stream(modified(node("b", 13)), then="break"),
        steps.stream(modified(node("a", 14)), then="hang"),
    )

    _, events = reflect()
    await api.until(lambda: len(events) == 5)

    assert told(events) == ["+a", "+b", "+a", "+b", "+a"]
    assert [query.get("resourceVersion") for query in watches(api)] == [None, "12", "13"]


@pytest.mark.parametrize("listed", ["as a stream", "in pages"])
async def test_what_follows_is_left_to_gather_for_as_long_as_is_said(api, client, steps, listed):
    gathering = asyncio.Event()
    loop = asyncio.get_running_loop()
    asked, seen = [], {}

    def gather_s():
        gathering.set()
        asked.append(loop.time())
        return 0.3 if len(asked) == 1 else 0.0

    async def watch(fake, request):
        response = web.StreamResponse()
        await response.prepare(request)
        first = (
            [added(node("a", 5)), bookmark(9, initial_end=True)] if listed == "as a stream" else [added(node("a", 21))]
        )
        await response.write(b"".join(json.dumps(each).encode() + b"\n" for each in first))
        await gathering.wait()
        await response.write(json.dumps(added(node("b", 22))).encode() + b"\n")
        await asyncio.sleep(60)

    def post(event):
        seen[event.item.name] = loop.time()
        api.changed.set()

    before = () if listed == "as a stream" else (steps.refuse(422, "Invalid"), steps.answer(page(20)))
    api.script("GET", NODES, *before, watch)
    reflector = Reflector(client, Watched("Node", NODES), post, Timing(), gather_s=gather_s)
    running = asyncio.ensure_future(reflector.run())
    await api.until(lambda: "b" in seen)
    running.cancel()

    assert seen["a"] <= asked[0]
    assert seen["b"] >= asked[0] + 0.3


async def test_a_bookmark_moves_the_place_to_resume_from(api, reflect, steps):
    api.script("GET", NODES, steps.stream(*LISTED, bookmark(50)), steps.stream(then="hang"))

    reflect()
    await api.until(lambda: len(watches(api)) == 2)

    assert watches(api)[1]["resourceVersion"] == "50"


async def test_replayed_events_say_nothing_new(api, reflect, steps):
    api.script(
        "GET",
        NODES,
        steps.stream(*LISTED, modified(node("a", 12)), deleted(node("b", 13))),
        steps.stream(
            modified(node("a", 12)), added(node("b", 6)), modified(node("a", 11)), added(node("c", 20)), then="hang"
        ),
    )

    _, events = reflect()
    await api.until(lambda: "+c" in told(events))

    assert told(events) == ["+a", "+b", "+a", "-b/uid-b", "+c"]


@pytest.mark.parametrize("how", ["status", "event"])
async def test_when_the_place_is_too_old_all_is_listed_anew_and_what_vanished_is_gone(api, reflect, steps, how):
    too_old = steps.refuse(410, "Expired") if how == "status" else steps.stream(expired())
    again = [added(node("b", 30)), added(node("c", 31)), bookmark(40, initial_end=True)]
    api.script("GET", NODES, steps.stream(*LISTED), too_old, steps.stream(*again, then="hang"))

    _, events = reflect()
    await api.until(lambda: len(events) == 5)

    assert told(events) == ["+a", "+b", "+b", "+c", "-a/uid-a"]


async def test_a_list_says_nothing_of_what_did_not_change(api, reflect, steps):
    again = [added(node("a", 5)), added(node("b", 6)), bookmark(40, initial_end=True)]
    api.script("GET", NODES, steps.stream(*LISTED), steps.stream(expired()), steps.stream(*again, then="hang"))

    _, events = reflect()
    await api.until(lambda: len(watches(api)) == 3)
    await asyncio.sleep(0.02)

    assert told(events) == ["+a", "+b"]


async def test_a_list_from_the_past_is_refused(api, reflect, steps):
    stale = [added(node("b", 6)), added(node("old", 4)), bookmark(8, initial_end=True)]
    fresh = [added(node("a", 12)), added(node("b", 6)), bookmark(40, initial_end=True)]
    api.script(
        "GET",
        NODES,
        steps.stream(*LISTED, modified(node("a", 12))),
        steps.stream(expired()),
        steps.stream(*stale),
        steps.stream(*fresh, added(node("c", 41)), then="hang"),
    )

    _, events = reflect()
    await api.until(lambda: "+c" in told(events))

    assert told(events) == ["+a", "+b", "+a", "+c"]


async def test_a_store_that_stays_in_the_past_ends_the_reflector(api, client, steps):
    stale = steps.stream(bookmark(3, initial_end=True))
    api.script("GET", NODES, steps.stream(*LISTED), steps.stream(expired()), *[stale] * 20)
    reflector = Reflector(client, Watched("Node", NODES), lambda event: None, FAST)

    with pytest.raises(FaultError, match="restored"):
        async with asyncio.timeout(60):
            await reflector.run()


async def test_an_object_replaced_under_its_name_is_gone_and_then_seen(api, reflect, steps):
    api.script("GET", NODES, steps.stream(*LISTED, modified(node("a", 12, uid="second")), then="hang"))

    _, events = reflect()
    await api.until(lambda: len(events) == 4)

    assert told(events) == ["+a", "+b", "-a/uid-a", "+a"]


async def test_the_late_end_of_a_predecessor_does_not_end_its_successor(api, reflect, steps):
    late = [deleted(node("a", 11)), added(node("c", 13))]
    api.script("GET", NODES, steps.stream(*LISTED, modified(node("a", 12, uid="second")), *late, then="hang"))

    _, events = reflect()
    await api.until(lambda: "+c" in told(events))

    assert told(events) == ["+a", "+b", "-a/uid-a", "+a", "+c"]


async def test_relist_repeats_the_list_and_says_when_it_was_begun(api, reflect, steps):
    again = [added(node("a", 5)), bookmark(40, initial_end=True)]
    api.script("GET", NODES, steps.stream(*LISTED, then="hang"), steps.stream(*again, then="hang"))
    reflector, events = reflect()
    await reflector.listed.wait()
    first = reflector.listed_from

    reflector.relist()
    await api.until(lambda: len(events) == 3)

    assert told(events) == ["+a", "+b", "-b/uid-b"]
    assert reflector.listed_from > first


# ---------------------------------------------------------------- audits


def script_audit(api, steps, listed, again, then=None):
    """The first list is LISTED; an audit finds `listed`, and if all is listed anew that is `again`."""
    watch = steps.stream(*LISTED, *(then or ()), then="hang")
    api.script("GET", NODES, watch, steps.answer(listed), steps.answer(again), steps.stream(then="hang"))


async def test_an_audit_finds_nothing_where_all_is_known_as_it_is(api, reflect, steps):
    script_audit(api, steps, page(20, node("a", 5), node("b", 6)), page(20))
    reflector, events = reflect()
    await reflector.listed.wait()
    reflector._highest = 20  # the watch came that far

    assert await reflector.audit() == 0
    assert told(events) == ["+a", "+b"]
    [asked] = [each for each in api.sent("GET", NODES) if "watch" not in each["query"]]
    assert "PartialObjectMetadataList" in asked["headers"]["Accept"]


@pytest.mark.parametrize(
    ("unknown", "repaired"),
    [
        pytest.param({"b": None}, ["+b"], id="missing"),
        pytest.param({"b": ("uid-b", 2)}, ["+b"], id="outdated"),
        pytest.param({"b": ("uid-old", 2)}, ["-b/uid-old", "+b"], id="replaced"),
        pytest.param({"ghost": ("uid-ghost", 3)}, ["-ghost/uid-ghost"], id="gone"),
    ],
)
async def test_an_audit_finds_what_is_known_otherwise_and_repairs_it(api, reflect, steps, unknown, repaired):
    whole = page(20, node("a", 5), node("b", 6))
    script_audit(api, steps, whole, whole)
    reflector, events = reflect()
    await reflector.listed.wait()
    reflector._highest = 20
    for key, known in unknown.items():
        reflector._known.pop(key, None)
        if known is not None:
            reflector._known[key] = known

    assert await reflector.audit() == 1
    await api.until(lambda: len(events) == 2 + len(repaired))

    assert told(events)[2:] == repaired
    assert reflector._known == {"a": ("uid-a", 5), "b": ("uid-b", 6)}


async def test_an_audit_waits_for_the_watch_and_takes_what_it_tells_for_newer(api, reflect, steps):
    later = [modified(node("b", 21, unschedulable=True)), deleted(node("a", 22))]
    script_audit(api, steps, page(20, node("a", 5), node("b", 6)), page(20), then=later)
    reflector, events = reflect()
    await api.until(lambda: len(events) == 4)
    reflector._known["a"], reflector._highest = ("uid-a", 5), 10  # as if the end of it came during the audit
    audit = asyncio.ensure_future(reflector.audit())
    await api.until(lambda: len(api.sent("GET", NODES)) == 2)
    reflector._lost(json_of(node("a", 22)), resume=True)

    assert await audit == 0


async def test_an_audit_that_the_watch_does_not_catch_up_with_says_nothing(api, reflect, steps):
    script_audit(api, steps, page(10**6, node("a", 5)), page(20))
    reflector, _ = reflect(Timing(watch_s=0.2, grace_s=60, progress_s=1))
    await reflector.listed.wait()

    assert await reflector.audit() is None


async def test_before_the_first_list_there_is_nothing_to_audit(api, reflect, steps):
    api.script("GET", NODES, steps.hang)
    reflector, _ = reflect()

    assert await reflector.audit() is None


# ---------------------------------------------------------------- trouble


async def test_a_stream_whose_other_end_is_gone_is_left_and_resumed(api, reflect, steps):
    api.script(
        "GET",
        NODES,
        steps.stream(*LISTED),
        steps.stream(modified(node("a", 12)), then="hang"),
        steps.stream(modified(node("b", 13)), then="hang"),
    )

    _, events = reflect(Timing(watch_s=0.1, grace_s=-0.9, first_backoff_s=0.001))  # a watch lasts a second at least
    await api.until(lambda: len(events) == 4)

    assert told(events) == ["+a", "+b", "+a", "+b"]
    assert watches(api)[2]["resourceVersion"] == "12"


async def test_outages_are_waited_out(api, reflect, steps):
    api.script("GET", NODES, steps.refuse(503), steps.drop, steps.refuse(403), steps.stream(*LISTED, then="hang"))

    reflector, events = reflect()
    await reflector.listed.wait()

    assert told(events) == ["+a", "+b"]


async def test_the_wait_between_tries_grows(api, client, steps, monkeypatch):
    waits = []
    sleep = asyncio.sleep

    async def note(seconds):
        waits.append(seconds)
        await sleep(0 if len(waits) <= 12 else seconds)

    monkeypatch.setattr("scheduler.cluster.watch.asyncio.sleep", note)
    api.script("GET", NODES, *[steps.refuse(503)] * 12, steps.stream(*LISTED, then="hang"))
    reflector = Reflector(client, Watched("Node", NODES), lambda event: None, Timing(first_backoff_s=0.1), seed=1)
    task = asyncio.ensure_future(reflector.run())
    await reflector.listed.wait()
    task.cancel()

    assert all(0.05 <= wait <= 10 for wait in waits[:12])
    assert waits[11] > 4
    assert len(set(waits[:12])) == 12


async def test_an_object_that_cannot_be_read_is_rejected_and_the_rest_goes_on(api, reflect, steps):
    broken = node("broken", 7)
    broken["status"]["allocatable"] = {"cpu": "lots"}
    api.script("GET", NODES, steps.stream(added(broken), *LISTED, deleted({**broken, "metadata": {
        **broken["metadata"], "resourceVersion": "10"}}), then="hang"))  # fmt: skip

    _, events = reflect()
    await api.until(lambda: len(events) == 4)

    assert told(events) == ["!broken", "+a", "+b", "-broken/uid-broken"]
    assert "lots" in events[0].problem


async def test_a_line_that_is_no_json_begins_the_stream_anew(api, reflect, steps):
    api.script(
        "GET", NODES, steps.stream(*LISTED, raw=[b'{"type": "MODI\n']), steps.stream(added(node("c", 12)), then="hang")
    )

    _, events = reflect()
    await api.until(lambda: len(events) == 3)

    assert told(events) == ["+a", "+b", "+c"]


@given(st.lists(st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"")), max_size=8), st.data())
def test_lines_are_the_same_however_the_stream_is_cut(lines, data):
    text = b"".join(line + b"\n" for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=10)))
    chunks = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    rest = []

    found = [line for chunk in chunks if chunk for line in split_lines(rest, chunk)]

    assert found == lines
    assert rest == []


async def test_an_optional_kind_that_may_not_be_read_counts_as_listed_until_it_may(api, reflect, steps):
    path = "/api/v1/namespaces/dovetail-system/configmaps"
    forbidden = steps.refuse(403, "Forbidden")
    api.script("GET", path, forbidden, forbidden)
    item = {
        "metadata": {"name": "dovetail-topology", "namespace": "dovetail-system", "uid": "u", "resourceVersion": "5"}
    }
    api.lists[path] = [item]

    reflector, events = reflect(watched=Watched("ConfigMap", path, "metadata.name=dovetail-topology", optional=True))
    async with asyncio.timeout(30):
        await reflector.listed.wait()
    at_first = list(events)
    await api.until(lambda: events)

    assert at_first == []
    assert told(events) == ["+dovetail-topology"]
    assert watches(api)[0]["fieldSelector"] == "metadata.name=dovetail-topology"


async def test_a_needed_kind_that_may_not_be_read_is_not_listed(api, reflect, steps):
    api.script("GET", NODES, *[steps.refuse(403, "Forbidden")] * 3)
    api.lists[NODES] = [node("n1", 5)]

    reflector, _ = reflect()
    await api.until(lambda: len(watches(api)) == 3)

    assert not reflector.listed.is_set()
