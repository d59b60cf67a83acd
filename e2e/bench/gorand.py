"""The generator of Go's math/rand, bit for bit, for replaying experiments that were drawn with it.

An additive lagged Fibonacci generator, x[n] = x[n-607] + x[n-273] modulo 2^64 (Mitchell and Reeds). Go seeds it by
mixing a small generator's numbers with the state that a fixed start has after 7.8e12 steps. That state is computed here
and not carried along: a step is linear, so 7.8e12 of them are one polynomial, found by 43 squarings.
"""

from collections.abc import MutableSequence
from functools import cache
from typing import Any

import numpy as np

Words = np.ndarray[tuple[int], np.dtype[np.uint64]]

_LENGTH = 607
_TAP = 273
_STEPS = 7_800_000_000_000
_MASK = 2**64 - 1
_PRIME = 2**31 - 1


class GoRand:
    """`rand.New(rand.NewSource(seed))`; the methods carry the names that they have in Go."""

    def __init__(self, seed: int) -> None:
        self._state = [word ^ mixed for word, mixed in zip(_spread(seed, 40, 20), _mixed(), strict=True)]
        self._tap = 0
        self._feed = _LENGTH - _TAP

    def uint64(self) -> int:
        """64 bits."""
        self._tap = (self._tap - 1) % _LENGTH
        self._feed = (self._feed - 1) % _LENGTH
        word = (self._state[self._feed] + self._state[self._tap]) & _MASK
        self._state[self._feed] = word
        return word

    def int63(self) -> int:
        """63 bits; on 64-bit machines Go's `Int` is the same."""
        return self.uint64() & (2**63 - 1)

    def int31(self) -> int:
        """31 bits."""
        return self.int63() >> 32

    def intn(self, n: int) -> int:
        """In [0, n) for n < 2^31; values that would favour small numbers are drawn again."""
        if n & (n - 1) == 0:
            return self.int31() & (n - 1)
        limit = 2**31 - 1 - 2**31 % n
        while (value := self.int31()) > limit:
            pass
        return value % n

    def perm(self, n: int) -> list[int]:
        """A permutation of range(n), drawn from the inside out."""
        found: list[int] = []
        for i in range(n):
            j = self.intn(i + 1)
            found.append(i)
            found[i], found[j] = found[j], i
        return found

    def shuffle(self, items: MutableSequence[Any]) -> None:
        """In place, from the end. It draws by multiplication (Lemire), unlike `perm`."""
        for i in range(len(items) - 1, 0, -1):
            j = self._below(i + 1)
            items[i], items[j] = items[j], items[i]

    def _below(self, n: int) -> int:
        product = (self.int63() >> 31) * n
        if product % 2**32 < n:
            least = (2**32 - n) % n
            while product % 2**32 < least:
                product = (self.int63() >> 31) * n
        return product >> 32


def _spread(seed: int, high: int, low: int) -> list[int]:
    """The 607 words that a seed is spread to, by the generator of Park and Miller."""
    # Go's remainder has the sign of the dividend.
    value = abs(seed) % _PRIME
    value = _PRIME - value if seed < 0 and value else value
    value = value or 89482311
    found = []
    for position in range(-20, _LENGTH):
        value = value * 48271 % _PRIME
        if position >= 0:
            word = value << high
            value = value * 48271 % _PRIME
            word ^= value << low
            value = value * 48271 % _PRIME
            found.append((word ^ value) & _MASK)
    return found


@cache
def _mixed() -> tuple[int, ...]:
    """The state after 7.8e12 steps from the fixed start (math/rand/gen_cooked.go says which)."""
    start = _spread(1, 20, 10)
    # Step n reads and writes place 334 - n; s[i] is the value of step i - 606, those before step 1 being the start.
    sequence = np.zeros(2 * _LENGTH, np.uint64)
    for step in range(1, _LENGTH + 1):
        sequence[step - 1] = start[(_LENGTH - _TAP - step) % _LENGTH]
    for i in range(_LENGTH, 2 * _LENGTH):
        sequence[i] = sequence[i - _LENGTH] + sequence[i - _TAP]
    ahead = _power(_STEPS)
    last = [int((ahead * sequence[i : i + _LENGTH]).sum(dtype=np.uint64)) for i in range(_LENGTH)]
    state = [0] * _LENGTH
    for i, word in enumerate(last):
        state[(_LENGTH - _TAP - (_STEPS - _LENGTH + 1 + i)) % _LENGTH] = word
    return tuple(state)


def _power(exponent: int) -> Words:
    """t^exponent modulo t^607 - t^334 - 1, coefficients modulo 2^64."""
    found = np.zeros(_LENGTH, np.uint64)
    found[0] = 1
    for bit in f"{exponent:b}":
        found = _reduced(np.convolve(found, found))
        if bit == "1":
            found = _reduced(np.concatenate([np.zeros(1, np.uint64), found]))
    return found


def _reduced(polynomial: Words) -> Words:
    whole = np.concatenate([polynomial, np.zeros(2 * _LENGTH - len(polynomial), np.uint64)])
    for top in range(2 * _LENGTH, _LENGTH, -_TAP):  # so few at a time that none adds to another of the same pass
        bottom = max(_LENGTH, top - _TAP)
        part = whole[bottom:top].copy()
        whole[bottom - _TAP : top - _TAP] += part
        whole[bottom - _LENGTH : top - _LENGTH] += part
    return whole[:_LENGTH].copy()
