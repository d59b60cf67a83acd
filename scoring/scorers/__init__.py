"""Every scorer, in the order of explanations. To add one: a file beside these, a line here and a weight."""

from typing import Final

from scoring.scorers.affinity import Affinity
from scoring.scorers.alignment import Alignment
from scoring.scorers.balanced import Balanced
from scoring.scorers.bandwidth import Bandwidth
from scoring.scorers.base import CardScorer, NodeScorer, RankScorer, Scorer, SetScorer, StateScorer, WishScorer
from scoring.scorers.company import Company
from scoring.scorers.depth import Depth
from scoring.scorers.evenness import Evenness
from scoring.scorers.fragmentation import Fragmentation
from scoring.scorers.health import Health
from scoring.scorers.holes import Holes
from scoring.scorers.images import Images
from scoring.scorers.islands import Islands
from scoring.scorers.least import Least
from scoring.scorers.locality import Locality
from scoring.scorers.most import Most
from scoring.scorers.packing import Packing
from scoring.scorers.partitions import Partitions
from scoring.scorers.preference import Preference
from scoring.scorers.scarcity import Scarcity
from scoring.scorers.sockets import Sockets
from scoring.scorers.spreading import Spreading
from scoring.scorers.stability import Stability
from scoring.scorers.storage import Storage
from scoring.scorers.stranding import Stranding
from scoring.scorers.untouched import Untouched
from scoring.scorers.welcome import Welcome

SET_SCORERS: Final[tuple[SetScorer, ...]] = (
    Bandwidth(),
    Locality(),
    Alignment(),
    Islands(),
    Sockets(),
    Health(),
)

NODE_SCORERS: Final[tuple[NodeScorer, ...]] = (
    Packing(),
    Spreading(),
    Stability(),
    Least(),
    Most(),
    Balanced(),
)

# Asked where the pod states something, in the order in which core/wishes.py measures.
WISH_SCORERS: Final[tuple[WishScorer, ...]] = (
    Affinity(),
    Welcome(),
    Images(),
    Company(),
    Evenness(),
    Storage(),
)

# Summed in milli by scoring/placement.py.
STATE_SCORERS: Final[tuple[StateScorer, ...]] = (
    Fragmentation(),
    Holes(),
    Untouched(),
    Scarcity(),
    Stranding(),
    Depth(),
)

# The one that tells what is left of cards; the core keeps a number for each of their states.
CARD_SCORER: Final[CardScorer] = Partitions()

PREFERENCE: Final[RankScorer] = Preference()

SCORERS: Final[tuple[Scorer, ...]] = (
    *SET_SCORERS, *NODE_SCORERS, *WISH_SCORERS, *STATE_SCORERS, CARD_SCORER, PREFERENCE
)  # fmt: skip
