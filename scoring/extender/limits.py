"""How large anything may be that a client sends."""

from typing import Final

MAX_MESSAGE: Final = 4 * 2**20  # bytes
MAX_CALLS: Final = 64  # at once
MAX_TABLES: Final = 8
MAX_NODES: Final = 50_000
MAX_DEVICES: Final = 64  # of a node
MAX_LAYOUTS: Final = 1_000
MAX_PRODUCTS: Final = 256
MAX_NAME: Final = 253  # characters
MAX_KINDS: Final = 64  # of a mix
MAX_CHANGES: Final = 250  # of one message, which is taken in at a stretch: some 25 ms
MAX_PODS: Final = 256  # of one call
MAX_ASKS: Final = 4  # of a pod
MAX_TOTALS: Final = 2**21  # bytes of all totals of a call
MAX_TOP: Final = 64
MAX_AMOUNT: Final = 2**53  # bytes, thousandths of a core
MAX_GBPS: Final = 1e6
MAX_CANDIDATES: Final = 64  # that a scorer of somebody else is asked about
