"""Quantities are exact, and rounded as Kubernetes rounds."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.errors import QuantityError
from scheduler.core.quantity import BINARY, DECIMAL, EXPONENT, NANO, parse_quantity

SUFFIXES = {
    "": Fraction(1), "n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000), "k": 10**3, "M": 10**6,
    "G": 10**9, "T": 10**12, "P": 10**15, "E": 10**18, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50,
    "Ei": 2**60, "e3": 10**3, "E-3": Fraction(1, 1000), "e+2": 100,
}  # fmt: skip
BINARY_SUFFIXES = [suffix for suffix in SUFFIXES if suffix.endswith("i")]
LARGEST_BINARY = (2**63 - 1) * NANO


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

    found = parse_quantity(text).nanos

    if suffix in BINARY_SUFFIXES and exact > LARGEST_BINARY:
        assert found == (-LARGEST_BINARY if negative else LARGEST_BINARY)
    else:
        assert exact <= abs(found) < exact + 1
        assert (found < 0) == (negative and exact > 0)


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


# ---------------------------------------------------------------- the form in which the API server writes


# As printed by k8s.io/apimachinery v0.37.2.
@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("0", "0"), ("0Gi", "0"), ("0.000", "0"), ("-0", "0"), ("1", "1"), ("5.", "5"), ("+5", "5"), ("-1025", "-1025"),
        ("1000", "1k"), ("1500", "1500"), ("1.500", "1500m"), ("0.1", "100m"), ("1n", "1n"), ("0.1n", "1n"),
        ("-0.1n", "-1n"), ("100000", "100k"), ("1E", "1E"), ("9223372036854775808", "9223372036854775808"),
        ("1023Ki", "1023Ki"), ("1024Ki", "1Mi"), ("1048576Ki", "1Gi"), ("1.5Gi", "1536Mi"), ("2500Mi", "2500Mi"),
        ("-2Ki", "-2Ki"), ("0.5Ki", "512"), ("0.1Ki", "102400m"), ("-0.0001Ki", "-102400u"), ("7Ei", "7Ei"),
        ("8Ei", "9223372036854775807"), ("-92Ei", "-9223372036854775807"), ("9000Ti", "9000Ti"),
        ("1e0", "1"), ("1E3", "1e3"), ("12e4", "120e3"), ("100e3", "100e3"), ("1e-3", "1e-3"), ("1e-12", "1e-9"),
        ("1500e-3", "1500e-3"), ("1e21", "1e21"), ("1e40", "10e39"),
    ],
)  # fmt: skip
def test_the_canonical_form_is_that_of_kubernetes(text, written):
    assert parse_quantity(text).canonical() == written


def test_a_decimal_suffix_beyond_the_largest_is_not_dropped():
    assert parse_quantity("1000E").canonical() == "1000E"


DECIMAL_POWERS = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
BINARY_POWERS = {"": 0, "Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}


def canonical_by_trial(amount: Fraction, spelled: str) -> str:
    """Every form in turn, the largest unit first: the first in which the amount is a whole number."""
    if spelled == BINARY and abs(amount) >= 1024 and amount.denominator == 1:
        units = [(suffix, Fraction(1024) ** power) for suffix, power in BINARY_POWERS.items()]
    elif spelled == EXPONENT:
        units = [(f"e{power}" if power else "", Fraction(10) ** power) for power in range(-9, 48, 3)]
    else:
        units = [(suffix, Fraction(10) ** power) for suffix, power in DECIMAL_POWERS.items()]
    for suffix, unit in reversed(units):
        if amount and (amount / unit).denominator == 1:
            return f"{amount / unit}{suffix}"
    return "0"


@given(
    st.integers(0, 10**6) | st.integers(0, 10**22) | st.integers(0, 9).map(lambda power: 1024**power),
    st.text("0125", max_size=6),
    st.sampled_from(sorted(SUFFIXES)),
    st.booleans(),
)
def test_the_canonical_form_has_the_largest_unit_that_keeps_it_whole(whole, fraction, suffix, negative):
    quantity = parse_quantity(f"{'-' if negative else ''}{whole}{'.' + fraction if fraction else ''}{suffix}")
    exponents = {"e3", "E-3", "e+2"}
    spelled = BINARY if suffix in BINARY_SUFFIXES else EXPONENT if suffix in exponents else DECIMAL

    written = quantity.canonical()

    assert quantity.format == spelled
    assert written == canonical_by_trial(Fraction(quantity.nanos, NANO), spelled)
    assert parse_quantity(written) == quantity
    assert parse_quantity(written).canonical() == written
