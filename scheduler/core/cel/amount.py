"""Quantities with the inner form in which Kubernetes holds them, which some functions of its CEL library show.

Exponents have at most four digits here; Kubernetes tries more, and does not come back.

A quantity is either a pair (value, power of ten) that fits into 64 bits or a big decimal. Whether it counts as an
integer depends on the form and not on the amount: `1000m` and `1.0` do not. Comparing with a big decimal turns the
other into one for good. Sources: k8s.io/apimachinery/pkg/api/resource, quantity.go and amount.go.
"""

import re
from functools import lru_cache
from typing import Final

_INT_MAX: Final = 2**63 - 1
_BINARY: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_PATTERN: Final = re.compile(
    r"([+-]?)([0-9]*)(?:\.([0-9]*))?(?:(Ki|Mi|Gi|Ti|Pi|Ei)|([numkMGTPE])|[eE]([+-]?[0-9]{1,4}))?", re.ASCII
)


class Amount:
    """A quantity: `value` times ten to the `scale`; `big` if it is a big decimal, `computed` if arithmetic made it."""

    __slots__ = ("big", "computed", "scale", "value")

    def __init__(self, value: int, scale: int, *, big: bool, computed: bool = False) -> None:
        self.value, self.scale, self.big, self.computed = value, scale, big, computed

    def copy(self) -> "Amount":
        """One of its own."""
        return Amount(self.value, self.scale, big=self.big, computed=self.computed)

    def sign(self) -> int:
        """-1, 0 or 1."""
        return (self.value > 0) - (self.value < 0)

    def integer(self) -> int | None:
        """The amount as an integer, None where its form does not allow that."""
        if self.big or self.scale < 0:
            return None
        number = self.value * 10**self.scale if self.scale <= 20 or self.value == 0 else _INT_MAX + 1
        return number if -_INT_MAX - 1 <= number <= _INT_MAX else None

    def approximate(self) -> float:
        """The amount as a double."""
        base = float(self.value)
        return base if self.scale == 0 else base * (10.0**self.scale if self.scale > -324 else 0.0)

    def compare(self, other: "Amount") -> int:
        """-1, 0 or 1."""
        if self.big or other.big:
            self.big = other.big = True
        scale = min(self.scale, other.scale)
        left, right = self.value * 10 ** (self.scale - scale), other.value * 10 ** (other.scale - scale)
        return int(left > right) - int(left < right)

    def plus(self, other: "Amount") -> "Amount":
        """The sum."""
        if not self.big and not other.big:
            found = self._small_sum(other)
            if found is not None:
                return found
        other.big = True
        scale = min(self.scale, other.scale)
        total = self.value * 10 ** (self.scale - scale) + other.value * 10 ** (other.scale - scale)
        return Amount(total, scale, big=True, computed=True)

    def minus(self, other: "Amount") -> "Amount":
        """The difference."""
        if not self.big and not other.big:
            found = self._small_sum(Amount(_wrapped(-other.value), other.scale, big=False))
            if found is not None:
                return found
        other.big = True
        scale = min(self.scale, other.scale)
        total = self.value * 10 ** (self.scale - scale) - other.value * 10 ** (other.scale - scale)
        return Amount(total, scale, big=True, computed=True)

    def _small_sum(self, other: "Amount") -> "Amount | None":
        if other.value == 0:
            return Amount(self.value, self.scale, big=False, computed=True)
        if self.value == 0:
            return Amount(other.value, other.scale, big=False, computed=True)
        scale = min(self.scale, other.scale)
        parts = [each.value * 10 ** (each.scale - scale) for each in (self, other)]
        if not all(-_INT_MAX - 1 <= part <= _INT_MAX for part in (*parts, sum(parts))):
            return None
        return Amount(sum(parts), scale, big=False, computed=True)


def _wrapped(value: int) -> int:
    return value if value <= _INT_MAX else value - 2**64


def whole(value: int) -> Amount:
    """An integer as an amount."""
    return Amount(value, 0, big=False)


def parse_amount(text: str) -> Amount | None:
    """A fresh amount, None where the text is not a quantity."""
    found = _parsed(text)
    return None if found is None else found.copy()


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Amount | None:
    found = _PATTERN.fullmatch(text)
    if found is None or (text in {"", "+", "-"} and not found[2]):
        return Amount(0, 0, big=False) if text in {"+", "-"} else None
    sign, digits, fraction, binary, decimal, exponent_text = found.groups()
    whole_part = digits.lstrip("0")
    if not whole_part and fraction is None and not (binary or decimal or exponent_text):
        return Amount(0, 0, big=False)  # nothing but zeroes
    whole_part = whole_part or "0"
    fraction = fraction or ""
    exponent = _DECIMAL[decimal or ""] if exponent_text is None else int(exponent_text)
    small = _small(whole_part, fraction, binary, exponent)
    if small is not None:
        return Amount(-small[0] if sign == "-" else small[0], small[1], big=False)
    return _large(sign, digits, fraction, binary, exponent)


def _small(whole_part: str, fraction: str, binary: str | None, exponent: int) -> tuple[int, int] | None:
    if binary:
        power = _BINARY[binary]
        if fraction or 15 - len(whole_part) - int(power * 3 / 10 + 1e-9) - 1 < 0:
            return None
        scale, factor = 0, 1 << power
    else:
        if 18 - len(whole_part) - len(fraction) < 0:
            return None
        scale, factor = exponent - len(fraction), 1
    if scale < -9:
        return None
    value = int(whole_part + fraction) * factor
    return (value, scale) if value <= _INT_MAX else None


def _large(sign: str, digits: str, fraction: str, binary: str | None, exponent: int) -> Amount | None:
    if not digits and not fraction:
        return None
    number = int((digits or "0") + fraction)
    if binary:
        number, scale = number << _BINARY[binary], -len(fraction)
    else:
        scale = exponent - len(fraction)
    if number == 0:
        return Amount(0, scale if scale >= -9 else -9, big=True)
    if scale < -9:
        cut = -9 - scale
        number = -(-number // 10**cut) if cut < 4000 else 1
        scale = -9
    if binary and number * 10.0 ** max(scale, -300) > _INT_MAX and number > _INT_MAX * 10**-scale:
        number, scale = _INT_MAX, 0
    return Amount(-number if sign == "-" else number, scale, big=True)
