"""A hostile cluster in memory: the scheduler's own process on virtual time, with one seed for everything.

world.py is time, chance and the trace; loop.py the event loop of one replica, which a crash simply never runs again.
store.py is what an API server keeps and refuses, server.py how badly it is reached (faults.py), session.py the socket
that the real client thinks it has. replica.py starts, stalls and kills the real process; actors/ are all the others.
invariants.py and plain_invariants.py judge every change by itself; oracle.py, volumes.py and plain.py say what fits,
liveness.py what must be true at rest.
Nothing but replica.py imports the scheduler.
"""
