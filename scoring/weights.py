"""How much each opinion counts."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scoring.placement import A_SCORE
from scoring.scorers import SCORERS
from scoring.scorers.base import Scorer

# On fleets that mix NVSwitch and bridged boxes these weights make pods of two GPUs take a linked pair even where an
# unlinked remainder would fit better, pods of four stay in one NUMA node of a bridged box rather than fill up two
# halves, and pods of one take orphans before they break a pair, however full the other node is. The third bounds
# packing: islands / packing must stay above about 9. tests/scorers/test_preferences.py.
# Crossing a socket costs a quarter of alignment, which must outweigh what islands and sockets gain where a remainder
# elsewhere fits (S8); a linked pair across sockets must outweigh one without links in one socket, which takes as much
# bandwidth as alignment. Fitted on S7 and S8, seeds 100 to 104: with islands at 10 jobs wait longer.
DEFAULTS: Final[Mapping[str, float]] = MappingProxyType(
    {
        "bandwidth": 80.0,
        "locality": 10.0,
        "alignment": 80.0,
        "islands": 15.0,
        "sockets": 15.0,
        "health": 60.0,
        "packing": 0.0,
        "spreading": 0.0,
        "stability": 0.0,
        "least": 0.0,
        "most": 0.0,
        "balanced": 0.0,
        # What a pod states itself outweighs what it leaves to others, up to some 40 devices, and yields to links. Among
        # each other in the proportions of kube-scheduler; images and storage count as little as a device: the first
        # only save time, and the second would rather waste a large volume than a share of a GPU.
        "affinity": 40.0,
        "welcome": 60.0,
        "images": 1.0,
        "company": 40.0,
        "evenness": 40.0,
        "storage": 1.0,
        # 64 is 1 milli for every milli saved. Fitted on seeds from 100 on and flat around: each may be a tenth larger
        # or smaller (e2e/bench/quality.py).
        "fragmentation": 64.0,
        "holes": 51.2,
        "untouched": 12.8,
        "scarcity": 96.0,
        "stranding": 64.0,
        "depth": 51.2,
        # In steps of scoring/placement.py a part of a card is little: finer by six than what is said of whole devices.
        "partitions": 384.0,
        "preference": 0.0,
    }
)


@dataclass(frozen=True, slots=True)
class Weights:
    """Scorer name -> weight, finite and >= 0. What is not given has its default; 0 silences a scorer.

    Raises ValueError for an unknown name or an unusable weight, naming both.
    """

    values: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = [scorer.name for scorer in SCORERS]
        for name, weight in self.values.items():
            if name not in known:
                raise ValueError(f"weight {name}: {weight!r}: no scorer has this name; {nearest(str(name), known)}")
            if isinstance(weight, bool) or not isinstance(weight, int | float) or not _usable(weight):
                raise ValueError(f"weight {name}: {weight!r} is not a finite number >= 0")
        merged = {name: float(self.values.get(name, DEFAULTS[name])) for name in known}
        object.__setattr__(self, "values", MappingProxyType(merged))

    def __hash__(self) -> int:
        return hash(tuple(self.values.values()))  # always in the order of SCORERS

    def scaled(self) -> "Weights":
        """The same opinions with the largest weight in [0.5, 1): ratios are exactly as they were, sums stay finite."""
        return Weights({name: weight * self.scale for name, weight in self.values.items()})

    @property
    def scale(self) -> float:
        """What `scaled` multiplies weights by: a power of two."""
        _, exponent = math.frexp(max(self.values.values()))
        return math.ldexp(1.0, -exponent)

    @property
    def unit(self) -> float:
        """Milli (scoring/placement.py) that a score of 1 comes to at weight 1 of `scaled`; bounded, as ranks are."""
        _, exponent = math.frexp(max(self.values.values()))
        return A_SCORE * math.ldexp(1.0, min(exponent, 12))

    def vector(self, scorers: Sequence[Scorer]) -> NDArray[np.float64]:
        """The weights of these scorers, float64 (S,)."""
        return np.array([self.values[scorer.name] for scorer in scorers], np.float64)


def nearest(name: str, known: Iterable[str]) -> str:
    """What to say to somebody who wrote a name that nothing has."""
    names = list(known)
    near = get_close_matches(name, names, 1)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(names)}"


def _usable(weight: float) -> bool:
    try:
        return math.isfinite(weight) and weight >= 0
    except OverflowError:  # an integer beyond every float
        return False
