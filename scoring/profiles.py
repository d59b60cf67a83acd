"""Named weights for the usual purposes, each a few changes of the one shipped vector."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from scoring.weights import Weights, nearest

DEFAULT: Final = "default"
NONE: Final[Mapping[str, float]] = MappingProxyType({})

# Measured on the trace of openb at half its load (e2e/bench) and on random jobs over DGX-1 boxes (S7); `spread` with
# the shipped islands and sockets, which it has gone without since.
PROFILES: Final[Mapping[str, Mapping[str, float]]] = MappingProxyType(
    {
        DEFAULT: NONE,
        # Opening a node costs a device's worth: a seventh fewer nodes in use. Not `packing`: it counts shares of a
        # node, so small nodes are opened before large ones are filled, and a third more of them are in use.
        "binpack": {"untouched": 64.0},
        # Replicas share no fate. It has its price: large pods find fewer nodes with room. Islands and sockets would
        # rather break into a group that is broken already: with them, four pods of one GPU stay on one node.
        "spread": {"spreading": 5.0, "untouched": 0.0, "islands": 0.0, "sockets": 0.0},
        # Links before what a placement leaves to others: ten times as much as shipped, so that nothing outweighs them.
        "topology-first": {"bandwidth": 800.0, "locality": 100.0, "alignment": 800.0},
        # Many small pods on shares of devices: what is left of a device must fit the next, links matter little.
        "inference-shared": {"bandwidth": 20.0, "locality": 2.5, "alignment": 20.0, "holes": 204.8},
        # A long job runs at the pace of its slowest link, and the next one needs a whole node.
        "training": {"bandwidth": 240.0, "locality": 30.0, "alignment": 240.0, "untouched": 64.0},
    }
)


def profiles(
    own: Mapping[str, Mapping[str, float]] = MappingProxyType({}),
    chosen: str = DEFAULT,
    weights: Mapping[str, float] = NONE,
) -> Mapping[str, Weights]:
    """All profiles by name: what is shipped, changed and extended by what an admin states.

    own : name -> weights, merged over the shipped profile of that name, or over the shipped vector if there is none.
    weights : merged over the profile that is chosen for all pods that choose none themselves.
    Raises ValueError for an unknown name, an unusable weight, and where weights leave nothing of the chosen profile.
    """
    known = dict.fromkeys([*PROFILES, *own])
    if chosen not in known:
        raise ValueError(f"profile = {chosen!r}: no profile has this name; {nearest(chosen, known)}")
    changes = {name: {**PROFILES.get(name, NONE), **own.get(name, NONE)} for name in known}
    if changes[chosen] and changes[chosen].keys() <= weights.keys():
        stated = ", ".join(changes[chosen])
        raise ValueError(f"profile = {chosen!r}: weights states all that it changes; leave out of weights {stated}")
    changes[chosen].update(weights)
    found: dict[str, Weights] = {}
    for name, values in changes.items():
        try:
            found[name] = Weights(values)
        except ValueError as error:
            raise ValueError(f"profile {name}: {error}") from None
    return MappingProxyType(found)
