"""A server of scores on loopback, and messages for it."""

from contextlib import asynccontextmanager

import grpc.aio

from scoring.extender.client import Registration, ScoringClient
from scoring.extender.server import Scoring, serve
from scoring.extender.v1 import scoring_pb2 as pb
from scoring.extender.v1 import scoring_pb2_grpc
from scoring.profiles import DEFAULT, profiles

NUMA = [0, 0, 0, 0, 1, 1, 1, 1]


def layout(**fields):
    return pb.Layout(**{"devices": 8, "islands": [0] * 8, "island_gbps": 450.0, "numa": NUMA, **fields})


def node_state(left=(1000,) * 8, **fields):
    return pb.NodeState(left=left, **{"cpu_left_milli": 64_000, "memory_left_bytes": 2**39, **fields})


def node(name, left=(1000,) * 8, **fields):
    default = {"products": [0] * 8, "cpu_milli": 96_000, "memory_bytes": 2**40, "state": node_state(left)}
    return pb.Node(name=name, **{**default, **fields})


def registration(count=4, **fields):
    nodes = [node(f"n{number}", [1000] * (8 - number % 8) + [0] * (number % 8)) for number in range(count)]
    return Registration(**{"layouts": [layout()], "products": ["h100", "a100"], "nodes": nodes, **fields})


def pod(count=2, products=("h100",), **fields):
    return pb.Pod(**{"asks": [pb.Ask(count=count, products=products)], "cpu_milli": 4_000, **fields})


def requests(told, table="t"):
    yield pb.RegisterRequest(header=pb.Header(table=table, layouts=told.layouts, products=told.products, mix=told.mix))
    yield pb.RegisterRequest(nodes=pb.Nodes(nodes=told.nodes))


@asynccontextmanager
async def serving(scoring=None, port=0, credentials=None, **options):
    served = await serve(scoring or Scoring(profiles(), DEFAULT), "127.0.0.1", port, credentials, **options)
    try:
        yield served.port
    finally:
        await served.stop(0.1)


@asynccontextmanager
async def stub(port):
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield scoring_pb2_grpc.ScoringStub(channel)


@asynccontextmanager
async def client(port, source=registration, **options):
    found = ScoringClient(f"127.0.0.1:{port}", source, **{"timeout_s": 5.0, **options})
    try:
        yield found
    finally:
        await found.close()
