"""Amounts, such as those of capacities and resources: what Kubernetes' grammar takes is taken, and nothing else."""

import itertools
import re
from collections.abc import Iterator
from typing import Final

from e2e.bad.case import ACCEPTED, EITHER, REFUSED, Answer, Case
from e2e.bad.junk import HOSTILE
from scheduler.core.errors import QuantityError
from scheduler.core.quantity import parse_quantity

SURFACE: Final = "quantities"
SIGNS: Final = ("", "+", "-", "--", "+-", " ")
DIGITS: Final = ("", "0", "1", "1.", ".5", "1.5", "1.2.3", "007", "1,5", "1_0", "0x10", "٣", "９", "1e", "∞", "NaN")
SUFFIXES: Final = (
    "", "m", "k", "K", "Ki", "ki", "Mi", "M", "Gi", "GB", "GiB", "E", "Ei", "e3", "E3", "e-3", "e+3", "e1.5", "e",
    "e1000000", "n", "u", "µ", " Gi", "Gi ", "%", "i",
)  # fmt: skip
# <quantity> ::= <signedNumber><suffix>, as the API reference writes it down.
GRAMMAR: Final = re.compile(
    r"[+-]?(\d+(\.\d*)?|\.\d+)((Ki|Mi|Gi|Ti|Pi|Ei)|(n|u|m|k|M|G|T|P|E)?|[eE][+-]?\d+)", re.ASCII
)


def put(text: str) -> Answer:
    """Read an amount."""
    try:
        parse_quantity(text)
    except QuantityError as error:
        return Answer(REFUSED, str(error))
    return Answer(ACCEPTED)


def expected(text: str) -> str:
    """By the grammar; powers of ten beyond all sense are left to the reader."""
    if GRAMMAR.fullmatch(text) is None:
        return REFUSED
    return EITHER if "e1000000" in text else ACCEPTED


def cases() -> Iterator[Case]:
    """Every sign with every number and every suffix, and texts that are no amounts at all."""
    texts = ["".join(parts) for parts in itertools.product(SIGNS, DIGITS, SUFFIXES)]
    for text in dict.fromkeys([*texts, *HOSTILE, "9" * 400, "0." + "0" * 400 + "1", "1" * 61]):
        verdict = expected(text) if len(text) <= 60 else EITHER
        yield Case(SURFACE, ascii(text)[:60], lambda text=text: put(text), verdict)
