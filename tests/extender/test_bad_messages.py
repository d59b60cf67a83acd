"""Whatever is sent, the answer is a status that says what is wrong; never a traceback, and never half a change."""

import random

import grpc
import grpc.aio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scoring.extender import limits
from scoring.extender.server import Scoring
from scoring.extender.v1 import scoring_pb2 as pb
from scoring.profiles import DEFAULT, profiles
from tests.extender.served import layout, node, node_state, pod, registration, requests, serving, stub

NAN, INF = float("nan"), float("inf")
INVALID = grpc.StatusCode.INVALID_ARGUMENT


def square(at, value):
    """Links of 8 devices, all alike but for one of them."""
    speeds = [0.0 if i // 8 == i % 8 else 100.0 for i in range(64)]
    speeds[at] = value
    return speeds


def links(at, value):
    return layout(islands=[], bandwidth=square(at, value))


HEADERS = {
    "header.table = ''": {"table": ""},
    f"header.table = '{'x' * 59}": {"table": "x" * 254},
    "products[1] = 'a': is that of products[0]": {"products": ["a", "a"]},
    "products[0] = ''": {"products": [""]},
    "len(products) = 257": {"products": [str(i) for i in range(257)]},
    "layouts[0].devices = 65": {"layouts": [pb.Layout(devices=65)]},
    "layouts[0].devices = 4294967295": {"layouts": [pb.Layout(devices=2**32 - 1)]},
    "len(layouts[0].numa) = 1": {"layouts": [layout(numa=[0])]},
    "layouts[0].numa[2] = -2": {"layouts": [layout(numa=[0, 0, -2, 0, 0, 0, 0, 0])]},
    "len(layouts[0].linkable) = 2": {"layouts": [layout(linkable=[True, False])]},
    "layouts[0].island_gbps = nan": {"layouts": [layout(island_gbps=NAN)]},
    "layouts[0].island_gbps = -1.0": {"layouts": [layout(island_gbps=-1.0)]},
    "len(layouts[0].islands) = 3": {"layouts": [layout(islands=[0, 0, 0])]},
    "layouts[0].islands = [0, 0": {"layouts": [layout(bandwidth=[0.0] * 64)]},
    "layouts[0].bandwidth[1] = nan": {"layouts": [links(1, NAN)]},
    "layouts[0].bandwidth[1] = inf": {"layouts": [links(1, INF)]},
    "layouts[0].bandwidth[1] = -2.0": {"layouts": [links(1, -2.0)]},
    "layouts[0].bandwidth[9] = 5.0": {"layouts": [links(9, 5.0)]},
    "layouts[0].bandwidth[1] = 7.0: differs": {"layouts": [links(1, 7.0)]},
    "len(layouts[0].bandwidth) = 63": {"layouts": [layout(islands=[], bandwidth=[0.0] * 63)]},
    "mix.growth = nan": {"mix": pb.Mix(growth=NAN)},
    "mix.growth = 1.5": {"mix": pb.Mix(growth=1.5)},
    "mix.kinds[0].amount = 0.0": {"mix": pb.Mix(kinds=[pb.Kind()])},
    "mix.kinds[0].amount = inf": {"mix": pb.Mix(kinds=[pb.Kind(amount=INF)])},
    "mix.kinds[0].cpu_milli = -1": {"mix": pb.Mix(kinds=[pb.Kind(amount=1.0, cpu_milli=-1)])},
    "mix.kinds[0].ask.count = 0": {"mix": pb.Mix(kinds=[pb.Kind(amount=1.0, ask=pb.Ask())])},
    "len(mix.kinds) = 65": {"mix": pb.Mix(kinds=[pb.Kind(amount=1.0)] * 65)},
}
NODES = {
    "nodes[0].name = ''": node(""),
    "nodes[0].layout = 1: there are 1 layouts": node("n", layout=1),
    "len(nodes[0].products) = 7": node("n", products=[0] * 7),
    "nodes[0].products[7] = 2: there are 2 products": node("n", products=[0] * 7 + [2]),
    "len(nodes[0].shared) = 1": node("n", shared=[True]),
    "nodes[0].cpu_milli = -1": node("n", cpu_milli=-1),
    "nodes[0].memory_bytes = 9223372036854775807": node("n", memory_bytes=2**63 - 1),
    "nodes[0].state = None": pb.Node(name="n", products=[0] * 8),
    "len(nodes[0].state.left) = 9": node("n", [1000] * 9),
    "nodes[0].state.left[0] = 1001": node("n", [1001] + [0] * 7, shared=[True] * 8),
    "nodes[0].state.left[3] = 500: is neither 0 nor 1000": node("n", [0, 0, 0, 500, 0, 0, 0, 0]),
    "len(nodes[0].state.flaws) = 1": node("n", state=node_state(flaws=[1])),
    "nodes[0].state.flaws[0] = 5": node("n", state=node_state(flaws=[5] + [0] * 7)),
    "nodes[0].state.flaws[0] = -1": node("n", state=node_state(flaws=[-1] + [0] * 7)),
    "nodes[0].state.cpu_left_milli = -9223372036854775808": node("n", state=node_state(cpu_left_milli=-(2**63))),
    "nodes[0].state.memory_left_bytes = 9007199254740993": node("n", state=node_state(memory_left_bytes=2**53 + 1)),
}
CHANGES = {
    "changes[0].row = 4: there are 4 rows": [pb.Change(row=4, state=node_state())],
    "changes[0].row = 5: there are 4 rows": [pb.Change(row=5, node=node("x"))],
    "changes[0].row = 4294967295": [pb.Change(row=2**32 - 1, removed=True)],
    "changes[0] = None": [pb.Change(row=0)],
    "changes[0] = 'removed'": [pb.Change(row=0, removed=False)],
    "changes[0].node.name = 'n1': is that of row 1": [pb.Change(row=0, node=node("n1"))],
    "changes[1].node.name = 'x': is that of row 4": [
        pb.Change(row=4, node=node("x")),
        pb.Change(row=5, node=node("x")),
    ],
    "changes[1].row = 0: the node was removed": [pb.Change(row=0, removed=True), pb.Change(row=0, state=node_state())],
    "changes[1].state.left[0] = 7": [
        pb.Change(row=1, state=node_state([0] * 8)),
        pb.Change(row=2, state=node_state([7] + [0] * 7)),
    ],
    "len(changes) = 251": [pb.Change(row=0, removed=True)] * 251,
}
SCORES = {
    "len(pods) = 0": {"pods": []},
    "len(pods) = 257": {"pods": [pod()] * 257},
    "top = 65": {"top": 65},
    "profile = 'none'": {"profile": "none"},
    "pods[0].asks[0].count = 0": {"pods": [pod(0)]},
    "pods[0].asks[0].count = 65": {"pods": [pod(65)]},
    "len(pods[0].asks[0].products) = 0": {"pods": [pod(products=())]},
    "pods[0].asks[0].products[0] = ''": {"pods": [pod(products=("",))]},
    "pods[0].asks[0].products[1] = 'a'": {"pods": [pod(products=("a", "a"))]},
    "pods[0].asks[0].share = 1001": {"pods": [pb.Pod(asks=[pb.Ask(count=1, share=1001, products=["a"])])]},
    "pods[0].asks[1].share = 5": {
        "pods": [pb.Pod(asks=[pb.Ask(count=1, products=["a"]), pb.Ask(count=1, share=5, products=["b"])])]
    },
    "pods[0].asks[1].products = ['a', 'b']: asks[0] names 'a' too": {
        "pods": [pb.Pod(asks=[pb.Ask(count=1, products=["a"]), pb.Ask(count=1, products=["a", "b"])])]
    },
    "pods[0].asks = 66": {"pods": [pb.Pod(asks=[pb.Ask(count=33, products=["a"])] * 2)]},
    "len(pods[0].asks) = 5": {"pods": [pb.Pod(asks=[pb.Ask(count=1, products=["a"])] * 5)]},
    "pods[1].cpu_milli = -1": {"pods": [pod(), pod(cpu_milli=-1)]},
    "pods[0].memory_bytes = -5": {"pods": [pod(memory_bytes=-5)]},
    "len(pods[0].rows) = 2": {"pods": [pod(rows=b"ab")]},
}


async def refused(call):
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value.code(), raised.value.details()


@pytest.fixture(scope="module")
def told():
    return registration()


@pytest.mark.parametrize("said", HEADERS)
async def test_a_bad_header_is_refused_by_field_and_value(said):
    header = pb.Header(**{"table": "t", "layouts": [layout()], "products": ["a"], **HEADERS[said]})
    async with serving() as port, stub(port) as calls:
        code, words = await refused(calls.Register(iter([pb.RegisterRequest(header=header)])))

    assert code is INVALID
    assert words.startswith(said)


@pytest.mark.parametrize("said", NODES)
async def test_a_bad_node_is_refused_by_field_and_value(told, said):
    header = pb.Header(table="t", layouts=told.layouts, products=told.products)
    parts = [pb.RegisterRequest(header=header), pb.RegisterRequest(nodes=pb.Nodes(nodes=[NODES[said]]))]
    async with serving() as port, stub(port) as calls:
        code, words = await refused(calls.Register(iter(parts)))

    assert code is INVALID
    assert words.startswith(said)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([], "header = None: the first message holds the header"),
        ([pb.RegisterRequest(nodes=pb.Nodes())], "header = None: the first message holds the header"),
        ([pb.RegisterRequest(header=pb.Header(table="t"))] * 2, "header = '...': comes once"),
        (
            [
                pb.RegisterRequest(header=pb.Header(table="t", layouts=[layout()], products=["a"])),
                pb.RegisterRequest(nodes=pb.Nodes(nodes=[node("n"), node("n")])),
            ],
            "nodes[1].name = 'n': is that of nodes[0] as well",
        ),
    ],
)
async def test_messages_in_the_wrong_order_are_refused(parts, said):
    async with serving() as port, stub(port) as calls:
        code, words = await refused(calls.Register(iter(parts)))

    assert code is INVALID
    assert words.startswith(said)


@pytest.mark.parametrize("said", CHANGES)
async def test_a_bad_change_is_refused_and_nothing_of_its_message_counts(told, said):
    async with serving() as port, stub(port) as calls:
        generation = (await calls.Register(requests(told))).generation
        score = pb.ScoreRequest(table="t", generation=generation, pods=[pod(1)])
        before = await calls.Score(score)
        update = calls.Update(iter([pb.UpdateRequest(table="t", generation=generation, changes=CHANGES[said])]))
        code, words = await refused(update.read())
        after = await calls.Score(score)

    assert code is INVALID
    assert words.startswith(said)
    assert after == before


@pytest.mark.parametrize("said", SCORES)
async def test_a_bad_call_is_refused_by_field_and_value(told, said):
    async with serving() as port, stub(port) as calls:
        generation = (await calls.Register(requests(told))).generation
        code, words = await refused(
            calls.Score(pb.ScoreRequest(**{"table": "t", "generation": generation, "pods": [pod()], **SCORES[said]}))
        )

    assert code is INVALID
    assert words.startswith(said)


async def test_names_are_told_in_ascii():
    hostile = "\x1b[31m\u202e\n<script>\x00"
    async with serving() as port, stub(port) as calls:
        header = pb.Header(table="t", products=[hostile, hostile])
        _, words = await refused(calls.Register(iter([pb.RegisterRequest(header=header)])))

    assert words.isascii()
    assert words.isprintable()


ALLOWED = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}
numbers = st.integers(-(2**63), 2**63 - 1) | st.integers(-2, 70)
small = st.integers(0, 2**32 - 1) | st.integers(0, 70)
floats = st.floats(width=32)
words = st.text(max_size=8) | st.just("h100")


def repeated(each):
    return st.lists(each, max_size=9)


asks = st.builds(pb.Ask, count=small, share=small, products=repeated(words))
states = st.builds(
    pb.NodeState,
    left=repeated(st.sampled_from([0, 1000]) | small),
    cpu_left_milli=numbers,
    memory_left_bytes=numbers,
    used=st.booleans(),
    flaws=repeated(st.integers(-(2**31), 2**31 - 1)),
    changes=small,
)
nodes = st.builds(
    pb.Node,
    name=words, layout=small, products=repeated(small), shared=repeated(st.booleans()), cpu_milli=numbers,
    memory_bytes=numbers, state=st.none() | states,
)  # fmt: skip
sint = st.integers(-(2**31), 2**31 - 1) | st.integers(-2, 9)
layouts = st.builds(
    pb.Layout,
    devices=st.integers(0, 9) | small, bandwidth=repeated(floats), islands=repeated(sint), island_gbps=floats,
    numa=repeated(sint), pcie_root=repeated(sint), pcie_switch=repeated(sint), rail=repeated(sint),
    linkable=repeated(st.booleans()),
)  # fmt: skip
mixes = st.builds(
    pb.Mix,
    kinds=repeated(st.builds(pb.Kind, ask=st.none() | asks, cpu_milli=numbers, amount=st.floats())),
    growth=st.floats(),
)
registers = st.builds(
    pb.RegisterRequest,
    header=st.builds(
        pb.Header, table=words, layouts=repeated(layouts), products=repeated(words), mix=st.none() | mixes
    ),
) | st.builds(pb.RegisterRequest, nodes=st.builds(pb.Nodes, nodes=repeated(nodes)))
changes = st.one_of(
    st.builds(pb.Change, row=small, state=states),
    st.builds(pb.Change, row=small, node=nodes),
    st.builds(pb.Change, row=small, removed=st.booleans()),
    st.builds(pb.Change, row=st.integers(0, 5)),
)
pods = st.builds(pb.Pod, asks=repeated(asks), cpu_milli=numbers, memory_bytes=numbers, rows=st.binary(max_size=3))
scores = st.builds(pb.ScoreRequest, pods=repeated(pods), top=small, profile=words | st.just(""))


class Ended(grpc.aio.AbortError):
    """A call that the server ended."""

    def __init__(self, code, words):
        self.code, self.words = code, words


class Context:
    """Of a call without a connection."""

    def time_remaining(self):
        return 30.0

    def set_trailing_metadata(self, pairs):
        assert all(value.isdecimal() for _, value in pairs)

    async def abort(self, code, words):
        raise Ended(code, words)


async def each_of(items):
    for item in items:
        yield item


async def ended(call):
    """The status of a call."""
    try:
        await call
    except Ended as ending:
        return ending.code, ending.words
    return grpc.StatusCode.OK, ""


@given(st.lists(registers, max_size=4), repeated(changes), st.lists(scores, max_size=3))
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
async def test_no_message_causes_anything_but_a_status(parts, changed, asked):
    scoring = Scoring(profiles(), DEFAULT)
    generation = (await scoring.Register(each_of(requests(registration(2))), Context())).generation
    found = [await ended(scoring.Register(each_of(parts), Context()))]
    update = pb.UpdateRequest(table="t", generation=generation, changes=changed)
    found.append(await ended(anext(scoring.Update(each_of([update]), Context()))))
    for request in asked:
        request.table, request.generation = "t", generation
        found.append(await ended(scoring.Score(request, Context())))

    again = await scoring.Score(pb.ScoreRequest(table="t", generation=generation, pods=[pod(1)]), Context())

    assert {code for code, _ in found} <= ALLOWED
    assert all(words.isprintable() and words.isascii() for _, words in found)
    assert len(again.pods) == 1


@pytest.mark.parametrize("method", ["Register", "Update", "Score"])
async def test_bytes_that_are_no_message_are_refused(method, caplog):
    chance = random.Random(1)
    async with serving() as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary(f"/dovetail.scoring.v1.Scoring/{method}")
        codes = {await status(call(chance.randbytes(chance.randrange(1, 60)))) for _ in range(50)}
        said = await refused(call(b"\xff"))

    assert codes <= {INVALID, grpc.StatusCode.FAILED_PRECONDITION}
    assert said == (INVALID, "message = '...': cannot be read; see scoring.proto")
    assert not caplog.records


async def status(call):
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code() if "Traceback" not in error.details() else None
    return grpc.StatusCode.OK


def test_limits_are_consistent():
    assert limits.MAX_TOTALS >= 4 * limits.MAX_NODES
    assert limits.MAX_TOTALS < limits.MAX_MESSAGE
