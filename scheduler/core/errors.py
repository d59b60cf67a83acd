"""What can go wrong, in three fates.

    DovetailError
    ├── InputError            an object or file is wrong: tell its owner, go on with the rest
    │   ├── DecodeError       not the shape that its API says
    │   ├── QuantityError     not a resource.Quantity
    │   ├── SelectorError     a CEL selector that does not compile, or fails on a device
    │   ├── TopologyError     link or level description that contradicts itself or the devices
    │   └── ConfigError       scheduler configuration
    ├── NotNowError           try again later: an outage, a lost lease, a spent budget
    └── FaultError            our own mistake: stop the cycle and keep the evidence

Inside the core, "does not fit" is a value, never an exception.
"""

from typing import Final

LONGEST: Final = 2_000
"""Characters of a text that people are told, before it is cut; the API takes 1,024 in an event."""


def printable(text: str) -> str:
    """With what no terminal, log or page should be given escaped: control, line and direction characters. Cut if long.

    Others wrote parts of what people are told.
    """
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]} … ({len(text) - LONGEST} more characters) … {text[-LONGEST // 2 :]}"
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


class DovetailError(Exception):
    """Root of the tree."""


class InputError(DovetailError):
    """Something that somebody else wrote is wrong.

    The text reads: which object, what is wrong there, what would fix it.
    """

    def __init__(self, where: str, problem: str, remedy: str = "") -> None:
        self.where = where
        self.problem = problem
        self.remedy = remedy
        super().__init__(printable(f"{where}: {problem}" + (f"; {remedy}" if remedy else "")))


class DecodeError(InputError):
    """An object is not of the shape that its API describes."""


class QuantityError(InputError):
    """A text is not a Kubernetes quantity."""


class SelectorError(InputError):
    """A CEL selector does not compile, or cannot be evaluated on a device."""


class TopologyError(InputError):
    """A description of links or levels contradicts itself or the devices it names."""


class ConfigError(InputError):
    """The scheduler's configuration cannot be used."""


class NotNowError(DovetailError):
    """The same attempt may succeed later."""


class FaultError(DovetailError):
    """A broken promise inside Dovetail."""
