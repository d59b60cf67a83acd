"""Every scorer, in the order of explanations. To add one: a file beside these, and a line here and in DEFAULTS."""

from typing import Final

from scoring.scorers.balance import Balance
from scoring.scorers.bandwidth import Bandwidth
from scoring.scorers.base import NodeScorer, Scorer, SetScorer
from scoring.scorers.islands import Islands
from scoring.scorers.locality import Locality
from scoring.scorers.packing import Packing

SET_SCORERS: Final[tuple[SetScorer, ...]] = (
    Bandwidth(),
    Locality(),
    Islands(),
)

NODE_SCORERS: Final[tuple[NodeScorer, ...]] = (
    Packing(),
    Balance(),
)

SCORERS: Final[tuple[Scorer, ...]] = (*SET_SCORERS, *NODE_SCORERS)
