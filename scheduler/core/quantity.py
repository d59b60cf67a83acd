"""Kubernetes quantities, exact.

Grammar and rounding follow k8s.io/apimachinery/pkg/api/resource: a signed decimal with a binary (Ki), decimal (k)
or exponent (e3) suffix; finer than one nano is rounded up, away from zero, and with a binary suffix nothing is more
than 2^63 - 1.
"""

import re
from functools import lru_cache, total_ordering

from scheduler.core.errors import QuantityError

NANO = 10**9
_PATTERN = re.compile(
    r"(?P<sign>[+-]?)(?P<whole>[0-9]*)(?:\.(?P<fraction>[0-9]*))?"
    r"(?:(?P<suffix>Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E)|[eE](?P<exponent>[+-]?[0-9]{1,3}))?",
    re.ASCII,
)
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
BINARY = "binary"
DECIMAL = "decimal"
EXPONENT = "exponent"
_MAX_BINARY = (2**63 - 1) * NANO
_MAX_DIGITS = 60  # far beyond any value the API server can hold; keeps a hostile text cheap


@total_ordering
class Quantity:
    """An exact amount, held as an integer number of nano-units; `text` keeps the writer's spelling."""

    __slots__ = ("nanos", "text")

    def __init__(self, nanos: int, text: str) -> None:
        self.nanos = nanos
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.nanos == other.nanos

    def __lt__(self, other: "Quantity") -> bool:
        return self.nanos < other.nanos

    def __hash__(self) -> int:
        return hash((Quantity, self.nanos))

    def __repr__(self) -> str:
        return f"Quantity({self.text!r})"

    def __reduce__(self) -> tuple[type["Quantity"], tuple[int, str]]:
        return Quantity, (self.nanos, self.text)

    @property
    def format(self) -> str:
        """How it is spelled: `binary` (Ki), `exponent` (e3) or `decimal`."""
        found = _PATTERN.fullmatch(self.text)
        if found is not None and (found["suffix"] or "") in _BINARY:
            return BINARY
        return EXPONENT if found is not None and found["exponent"] else DECIMAL

    def canonical(self) -> str:
        """As the API server writes it back (`CanonicalizeBytes`): the largest suffix that keeps a whole number."""
        return canonical(self.nanos, self.format)

    def milli(self) -> int:
        """Thousandths, rounded up, as `MilliValue` does."""
        return -(-self.nanos // 10**6)

    def value(self) -> int:
        """Whole units, rounded up, as `Value` does."""
        return -(-self.nanos // NANO)


@lru_cache(maxsize=65536)
def parse_quantity(text: str) -> Quantity:
    """Read a quantity such as `500m`, `80Gi` or `1e3`.

    Raises QuantityError, which quotes the text.
    """
    found = _PATTERN.fullmatch(text) if len(text) <= _MAX_DIGITS else None
    if found is None or not (found["whole"] or found["fraction"]):
        shown = text if len(text) <= _MAX_DIGITS else text[:_MAX_DIGITS] + "…"
        raise QuantityError(f"quantity {shown!r}", "is not a number with an optional suffix such as m, k, Mi or Gi")
    fraction = found["fraction"] or ""
    digits = int((found["whole"] or "") + fraction)
    suffix = found["suffix"] or ""
    if suffix in _BINARY:
        numerator, power = digits << _BINARY[suffix], -len(fraction)
    else:
        exponent = int(found["exponent"]) if found["exponent"] else _DECIMAL[suffix]
        numerator, power = digits, exponent - len(fraction)
    power += 9
    nanos = numerator * 10**power if power >= 0 else -(-numerator // 10**-power)
    if suffix in _BINARY:
        nanos = min(nanos, _MAX_BINARY)
    return Quantity(-nanos if found["sign"] == "-" else nanos, text)


def canonical(nanos: int, spelled: str) -> str:
    """The canonical text of an amount in one of the three formats.

    Amounts under 1024 and those that are no whole number are never written with a binary suffix. Of 1000E and more in
    the decimal format Kubernetes drops the suffix, a mistake that is not repeated here.
    """
    if not nanos:
        return "0"
    if spelled == BINARY and abs(nanos) >= 1024 * NANO and nanos % NANO == 0:
        mantissa, power = nanos // NANO, 0
        while mantissa % 1024 == 0 and power < 60:
            mantissa, power = mantissa // 1024, power + 10
        suffix = next((name for name, bits in _BINARY.items() if bits == power), "")
        return f"{mantissa}{suffix}"
    mantissa, power = nanos, -9
    while mantissa % 1000 == 0 and (power < 18 or spelled == EXPONENT):
        mantissa, power = mantissa // 1000, power + 3
    if spelled == EXPONENT:
        return f"{mantissa}e{power}" if power else f"{mantissa}"
    suffix = next(name for name, exponent in _DECIMAL.items() if exponent == power)
    return f"{mantissa}{suffix}"
