"""Quantities are exact, and rounded as Kubernetes rounds."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.errors import QuantityError
from scheduler.core.quantity import NANO, parse_quantity

SUFFIXES = {
    "": Fraction(1), "n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000), "k": 10**3, "M": 10**6,
    "G": 10**9, "T": 10**12, "P": 10**15, "E": 10**18, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50,
    "Ei": 2**60, "e3": 10**3, "E-3": Fraction(1, 1000), "e+2": 100,
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value", "milli"),
    [
        ("1", 1, 1000), ("500m", 1, 500), ("0.5", 1, 500), (".5", 1, 500), ("5.", 5, 5000), ("+2", 2, 2000),
        ("80Gi", 80 * 2**30, 80 * 2**30 * 1000), ("1e3", 1000, 10**6), ("1E", 10**18, 10**21), ("0", 0, 0),
        ("1n", 1, 1), ("1001m", 2, 1001), ("-1", -1, -1000), ("-1500m", -1, -1500), ("0.1Ki", 103, 102400),
    ],
)  # fmt: skip
def test_known_values(text, value, milli):
    quantity = parse_quantity(text)

    assert quantity.value() == value
    assert quantity.milli() == milli


@given(st.integers(0, 10**12), st.text("0123456789", max_size=9), st.sampled_from(sorted(SUFFIXES)), st.booleans())
def test_every_spelling_means_its_number_rounded_up_to_a_nano(whole, fraction, suffix, negative):
    text = f"{'-' if negative else ''}{whole}{'.' + fraction if fraction else ''}{suffix}"
    exact = Fraction(f"{whole}.{fraction or 0}") * SUFFIXES[suffix] * NANO

    found = abs(parse_quantity(text).nanos)

    assert exact <= found < exact + 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 1",
        "1 Gi",
        "1GiB",
        "0x10",
        "1e1000000",
        "--1",
        "+-1",
        "1.2.3",
        "９",
        "∞",
        "NaN",
        "Gi",
        ".",
        "1" * 100,
        "1K",
    ],
)
def test_what_is_not_a_quantity_is_quoted(text):
    with pytest.raises(QuantityError) as caught:
        parse_quantity(text)

    assert len(str(caught.value)) < 200
    assert repr(text[:20])[:-1] in str(caught.value)


def test_equal_amounts_are_equal_whatever_their_spelling():
    assert parse_quantity("1Gi") == parse_quantity("1024Mi")
    assert hash(parse_quantity("1")) == hash(parse_quantity("1000m"))
    assert parse_quantity("1Gi") > parse_quantity("1G")
