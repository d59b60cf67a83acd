"""matchAttribute and distinctAttribute (KEP-4381, KEP-5491), one claim's devices at a time.

A label stands for what a device has under the constraint's attribute. While list attributes are on it is a frozenset of
value numbers, else one value number, or LIST. ABSENT refuses the device, also as the only one.

The state of a constraint is a value: None before the first device, then what all devices so far leave. Nothing is ever
undone: whoever goes back keeps the state from before.
"""

from typing import Final

ABSENT: Final = -1
LIST: Final = -2
"""A list where list attributes are off: fine for the first device of a constraint, refused beside others."""

Label = int | frozenset[int]
Held = int | frozenset[int] | None


def matched(held: Held, label: Label) -> Held:
    """All devices share a value: the state with one more device, None if it must be refused."""
    if isinstance(label, int):
        if label == ABSENT or (held is not None and (held != label or label == LIST)):
            return None
        return label
    if not label:
        return None
    if not isinstance(held, frozenset):
        return label
    # The running intersection: devices that overlap in pairs may still have nothing in common.
    return (held & label) or None


def distinguished(held: Held, label: Label) -> Held:
    """All devices differ: the state with one more device, None if it must be refused.

    Values of different types are different numbers, and so are distinct.
    """
    before: frozenset[int] = held if isinstance(held, frozenset) else frozenset()
    if isinstance(label, int):
        if label == ABSENT or label in before or (label == LIST and before):
            return None
        # Two lists never stand side by side, so LIST needs no number of its own.
        return before | {label}
    if not label or before & label:
        return None
    return before | label
