"""Scores over gRPC: the wire contract, a server, clients.

v1        scoring.proto is the contract; what is beside it is generated, and a test holds it against a fresh one:
          (python -m grpc_tools.protoc -I. with --python_out=., --pyi_out=. and --grpc_python_out=.)
table     nodes and devices as columns, kept up to date row by row
judged    what pods that ask for the same get on every node, and what it is worth
limits    how large anything may be that a client sends
codec     messages to plain values; whatever cannot be used is refused by field and value
changes   what a message changes in a table, read as a whole before any of it counts
server    the service `Scoring`, with health and, for development, reflection
client    `ScoringClient` for other schedulers, `ScorerClient` to ask scorers of others
breaker   whether a remote is worth asking

Only this package imports grpc, nothing else of `scoring` imports it, and of the scheduler only `service` and `cli` do.
"""
