"""Values that nobody should write, by what they stand in for."""

from typing import Any, Final

HOSTILE: Final = (
    "\x1b[2J\x1b[31mred", "a\nb", "a\r\nb", "\x00", "\x7f", "\u202egnp.exe", "\u2028", "\ufeffbom",
    "<script>alert(1)</script>", "{{7*7}}", "%s%n%x", "=cmd|' /C calc'!A0", "'; DROP TABLE pods; --",
    "../../etc/passwd", "$(id)", "`id`", "a" * 10_000, "é" * 300, "\U0001f4a9", "\ud800",
)  # fmt: skip
"""Strings that mean something to a terminal, a log, a page, a shell or a sheet."""

VALUES: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 2**31, 2**63 - 1, 2**63, 2**70, -(2**63) - 1, 1.5, 1e308, "", " ", "x", "0", "-1", "true",
    [], [[]], [7], ["x"], [None], [{}], {}, {"a": 1}, {"name": {}}, {"": ""}, [[[[[[]]]]]], *HOSTILE,
)  # fmt: skip
"""JSON values of all types."""

NUMBERS: Final = (
    '"5"', "yes", "true", "on", "1:30", "1:30:15.5", ".nan", ".NaN", "nan", ".inf", "-.inf", "+.inf", "1e999",
    "-1e999", "-1", "-0.5", "[1]", "[]", "{a: 1}", "null", "~", '""', "٣", "５", "1,5", "1_0", "_1", "0x1F", "0o17",
    "0b1", "1 2", "--1", "+-1", "1.2.3", "∞", "2024-01-01", "12:30", "!!float 1", "!!int 1", "!!str 5",
    "!!python/object:os.system x", "!!binary aGk=", "!custom 1", "*unknown", "9" * 400, "1" + "0" * 5000, "%5", "@5",
    "`5`", "five", "<<", "=", "|\n  5",
)  # fmt: skip
"""YAML texts where a number from nought on is meant."""
