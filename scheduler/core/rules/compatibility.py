"""Compatibility groups (KEP-5963): devices that draw from one counter set together must share a group.

The state of a counter set is a value: None before the first device, then the groups that all devices so far have in
common. The empty set stands for devices that have no groups, which go with their like only.
"""

from typing import Final

Groups = frozenset[str]
CLASH: Final[Groups] = frozenset({""})
"""Devices that are allocated already and have nothing in common: a name that no group has, so nothing joins them."""


def admitted(held: Groups | None, groups: Groups) -> Groups | None:
    """The state with one more device, None if it must be refused."""
    if held is None:
        return groups
    if not held and not groups:
        return held
    return (held & groups) or None


def together(held: Groups | None, groups: Groups) -> Groups:
    """The state with a device that is allocated already, whether or not it goes with the others."""
    if held is None:
        return groups
    return (held & groups) or CLASH if held and groups else held
