"""The service over a real connection on loopback."""

import asyncio
import logging

import grpc
import grpc.aio
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from scoring.extender import judged, limits, server
from scoring.extender.client import RemoteError
from scoring.extender.codec import unpack
from scoring.extender.server import GENERATION, Scoring
from scoring.extender.v1 import scoring_pb2 as pb
from scoring.profiles import DEFAULT, profiles
from tests.extender.served import client, layout, node, node_state, pod, registration, requests, serving, stub


async def refused(call):
    """Status, words and trailing metadata of a call that fails."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    error = raised.value
    return error.code(), error.details(), dict(error.trailing_metadata())


async def test_totals_come_for_every_row_and_the_best_with_a_breakdown():
    async with serving() as port, client(port) as scorer:
        [totals] = await scorer.totals([pod(6)])
        [best] = await scorer.best([pod(6)], top=2)

    assert totals.fitting == 3
    assert totals.totals[3] == -1
    assert ((totals.totals[:3] > 0) & (totals.totals[:3] <= 1)).all()
    assert [each.total for each in best] == [totals.totals[each.row] for each in best]
    assert [len(each.devices) for each in best] == [6, 6]
    assert best[0].rank >= best[1].rank
    assert set(best[0].scores) >= {"bandwidth", "alignment", "untouched", "partitions"}


async def test_what_changed_counts_from_the_answer_on():
    async with serving() as port, client(port) as scorer:
        await scorer.totals([pod(8)])
        await scorer.update([pb.Change(row=0, state=node_state([0] * 8)), pb.Change(row=1, node=node("new"))])
        await scorer.update([pb.Change(row=4, node=node("more")), pb.Change(row=2, removed=True)])

        [totals] = await scorer.totals([pod(8)])
        [small] = await scorer.totals([pod(1)])

    assert (totals.totals >= 0).tolist() == [False, True, False, False, True]
    assert (small.totals >= 0).tolist() == [False, True, False, True, True]


async def test_only_the_rows_that_a_pod_allows_are_scored():
    async with serving() as port, client(port, lambda: registration(10)) as scorer:
        mask = bytes([0b10, 0b1])
        [totals] = await scorer.totals([pod(1, rows=mask)])
        [best] = await scorer.best([pod(1, rows=mask)], top=9)

    assert np.flatnonzero(totals.totals >= 0).tolist() == [1, 8]
    assert totals.fitting == 2
    assert sorted(each.row for each in best) == [1, 8]


async def test_a_profile_is_chosen_by_name_and_an_unknown_one_is_refused():
    async with serving() as port, client(port, lambda: registration(2)) as scorer:
        [shipped] = await scorer.totals([pod(1)])
        [packed] = await scorer.totals([pod(1)], profile="spread")
        with pytest.raises(RemoteError, match="profile = 'spred': no profile has this name; did you mean spread"):
            await scorer.totals([pod(1)], profile="spred")

    assert shipped.totals.tolist() != packed.totals.tolist()


async def test_a_stale_generation_is_told_the_current_one():
    async with serving() as port, stub(port) as calls:
        first = await calls.Register(requests(registration()))
        second = await calls.Register(requests(registration()))

        stale = await refused(calls.Score(pb.ScoreRequest(table="t", generation=first.generation, pods=[pod()])))
        unknown = await refused(calls.Score(pb.ScoreRequest(table="other", generation=7, pods=[pod()])))
        update = calls.Update(iter([pb.UpdateRequest(table="t", generation=first.generation)]))
        late = await refused(update.read())

    assert second.generation > first.generation
    assert stale[0] is unknown[0] is late[0] is grpc.StatusCode.FAILED_PRECONDITION
    assert stale[2][GENERATION] == late[2][GENERATION] == str(second.generation)
    assert unknown[2][GENERATION] == "0"


async def test_the_client_registers_again_when_the_server_forgot_and_when_it_comes_back():
    async with serving() as port, client(port) as scorer:
        await scorer.totals([pod()])
        first = scorer.generation
        async with stub(port) as calls:  # somebody else takes the name
            await calls.Register(requests(registration(2), table="default"))
        [mine] = await scorer.totals([pod()])
        second = scorer.generation

    assert len(mine.totals) == 4
    assert second > first


async def test_a_client_outlives_a_restart_of_the_server():
    told = [registration(3)]
    async with serving() as port:
        pass
    async with client(port, lambda: told[0]) as scorer:
        async with serving(port=port):
            await scorer.totals([pod()])
            await scorer.update([pb.Change(row=0, state=node_state())])
        told[0] = registration(5)
        async with serving(port=port):
            await scorer.update([pb.Change(row=0, state=node_state())])
            [totals] = await scorer.totals([pod()])
        with pytest.raises(RemoteError, match=r"DEADLINE_EXCEEDED|UNAVAILABLE"):
            await scorer.totals([pod()])

    assert len(totals.totals) == 5


async def test_a_client_of_a_server_that_is_not_there_hears_so_within_its_deadline():
    async with serving() as port:
        pass
    async with client(port, register_timeout_s=0.2) as scorer:
        with pytest.raises(RemoteError, match="DEADLINE_EXCEEDED"):
            await scorer.totals([pod()])


async def test_a_call_past_its_deadline_stops_working_and_the_next_goes_on_where_it_was(monkeypatch):
    monkeypatch.setattr(judged, "_PIECE", 1)
    pieces, real = [], judged.Judged._compute

    def slow(self, table, rows):
        pieces.append(len(rows))
        import time

        time.sleep(0.02)  # work, of which a deadline allows a part
        return real(self, table, rows)

    monkeypatch.setattr(judged.Judged, "_compute", slow)
    async with serving() as port, stub(port) as calls:
        told = await calls.Register(requests(registration(60)))
        request = pb.ScoreRequest(table="t", generation=told.generation, pods=[pod()])

        code, _, _ = await refused(calls.Score(request, timeout=0.1))
        await asyncio.sleep(0.2)
        done = len(pieces)
        answer = await calls.Score(request, timeout=20)

    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert 1 <= done < 30
    assert len(pieces) <= 62
    assert answer.pods[0].fitting > 0


async def test_health_is_answered_while_scores_are_worked_out(monkeypatch):
    monkeypatch.setattr(judged, "_PIECE", 8)
    async with serving() as port, stub(port) as calls, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        told = await calls.Register(requests(registration(3_000)))
        health = health_pb2_grpc.HealthStub(channel)
        await health.Check(health_pb2.HealthCheckRequest())
        request = pb.ScoreRequest(table="t", generation=told.generation, pods=[pod(each) for each in range(1, 9)])
        scores = asyncio.ensure_future(calls.Score(request, timeout=60))

        answers = 0
        while not scores.done():
            answer = await health.Check(health_pb2.HealthCheckRequest(service=server.SERVICE), timeout=5)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
            answers += 1

    assert answers > 1
    assert len(scores.result().pods) == 8


class Context:
    """Of a call that comes without a connection, and so without the turns that one gives."""

    def time_remaining(self):
        return None

    async def abort(self, code, words):
        raise AssertionError(code, words)


async def sent(*messages):
    for message in messages:
        yield message


async def turns(work):
    """What a call comes to, and how many turns others had meanwhile."""
    found = asyncio.ensure_future(work)
    number = 0
    while not found.done():
        await asyncio.sleep(0)
        number += 1
    return found.result(), number


async def test_others_have_their_turn_after_each_message_of_changes():
    scoring = Scoring(profiles(), DEFAULT)
    told = await scoring.Register(sent(*requests(registration())), Context())
    change = pb.UpdateRequest(table="t", generation=told.generation, changes=[pb.Change(row=0, state=node_state())])

    async def updated():
        return [answer.version async for answer in scoring.Update(sent(*[change] * 50), Context())]

    versions, number = await turns(updated())

    assert len(versions) == 50
    assert number >= 50


async def test_others_have_their_turn_between_layouts(monkeypatch):
    monkeypatch.setattr(server, "_SLICE_S", 0.0)
    scoring = Scoring(profiles(), DEFAULT)

    told, number = await turns(scoring.Register(sent(*requests(registration(0, layouts=[layout()] * 200))), Context()))

    assert told.generation
    assert number >= 200


async def test_the_client_tells_many_changes_in_several_messages():
    rows = limits.MAX_CHANGES + 50
    async with serving() as port, client(port, lambda: registration(1)) as scorer:
        await scorer.totals([pod()])
        before = scorer.generation
        await scorer.update([pb.Change(row=row, node=node(f"more{row}")) for row in range(1, rows + 1)])
        [told] = await scorer.totals([pod()])

        assert len(told.totals) == rows + 1
        assert scorer.generation == before


@pytest.mark.parametrize("name", [DEFAULT, "renamed"])
async def test_a_call_is_scored_by_the_weights_that_it_began_with(monkeypatch, name):
    other = next(each for known, each in profiles().items() if known != DEFAULT)
    scoring = Scoring(profiles(), DEFAULT)
    told = await scoring.Register(sent(*requests(registration())), Context())
    request = pb.ScoreRequest(table="t", generation=told.generation, pods=[pod(1), pod(2)])
    expected = await scoring.Score(request, Context())
    scoring._held["t"].judged.clear()
    real = judged.Judged.refresh

    def reconfigured(self, table):
        scoring.weigh({name: other}, name)
        return real(self, table)

    monkeypatch.setattr(judged.Judged, "refresh", reconfigured)

    assert await scoring.Score(request, Context()) == expected


async def test_reflection_is_there_only_when_it_is_asked_for():
    async def services(port):
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            calls = reflection_pb2_grpc.ServerReflectionStub(channel)
            asked = calls.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
            answer = await asked.read()
            return [each.name for each in answer.list_services_response.service]

    async with serving(reflect=True) as port:
        assert server.SERVICE in await services(port)
    async with serving() as port:
        code, _, _ = await refused(services(port))
    assert code is grpc.StatusCode.UNIMPLEMENTED


async def test_a_message_beyond_the_limit_is_refused():
    async with serving() as port, stub(port) as calls:
        huge = pb.RegisterRequest(header=pb.Header(table="t", products=["x" * limits.MAX_MESSAGE]))

        code, _, _ = await refused(calls.Register(iter([huge])))

    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_there_is_room_for_so_many_tables_and_one_that_nobody_uses_makes_room():
    now = [0.0]
    scoring = Scoring(profiles(), DEFAULT, clock=lambda: now[0])
    async with serving(scoring) as port, stub(port) as calls:
        for number in range(limits.MAX_TABLES):
            await calls.Register(requests(registration(1), table=f"t{number}"))
        code, words, _ = await refused(calls.Register(requests(registration(1), table="more")))
        await calls.Register(requests(registration(1), table="t3"))
        now[0] = 601.0
        await calls.Register(requests(registration(1), table="more"))
        gone = await refused(calls.Score(pb.ScoreRequest(table="t0", generation=1, pods=[pod()])))

    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "'more'" in words
    assert gone[2][GENERATION] == "0"


async def test_a_mix_of_demand_changes_what_nodes_are_worth():
    kinds = [pb.Kind(ask=pb.Ask(count=4, products=["h100"]), cpu_milli=8_000, amount=3.0)]
    told = registration(5, mix=pb.Mix(kinds=kinds, growth=1.0))
    async with serving() as port, client(port, lambda: told) as knows, client(port, lambda: registration(5)) as other:
        other._table = "other"
        [with_mix] = await knows.best([pod(1)], top=5)
        [without] = await other.best([pod(1)], top=5)

    assert {each.scores["fragmentation"] for each in without} == {0.5}
    assert len({each.scores["fragmentation"] for each in with_mix}) > 1


async def test_an_error_that_nobody_foresaw_is_logged_and_not_told(monkeypatch, caplog):
    def broken(*_):
        raise RuntimeError("secret of the server")

    monkeypatch.setattr(judged.Judged, "refresh", broken)
    async with serving() as port, stub(port) as calls:
        told = await calls.Register(requests(registration()))
        with caplog.at_level(logging.ERROR):
            code, words, _ = await refused(
                calls.Score(pb.ScoreRequest(table="t", generation=told.generation, pods=[pod()]))
            )

    assert code is grpc.StatusCode.INTERNAL
    assert "secret" not in words
    assert any("a call failed" in record.message for record in caplog.records)


async def test_totals_are_little_endian_float32():
    async with serving() as port, stub(port) as calls:
        told = await calls.Register(requests(registration()))
        answer = await calls.Score(pb.ScoreRequest(table="t", generation=told.generation, pods=[pod(8)]))

    totals = unpack(answer.pods[0].totals)
    assert totals.tobytes() == answer.pods[0].totals
    assert totals[1:].tolist() == [-1, -1, -1]
