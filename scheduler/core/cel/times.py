"""Timestamps and durations: reading, printing, arithmetic and their fields, as Go's time package does it."""

import re
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from scheduler.core.cel.values import INT_MAX, INT_MIN, Duration, Failure, Timestamp, civil

SECOND: Final = 10**9
_MIN_SECONDS: Final = -62_135_596_800
_MAX_SECONDS: Final = 253_402_300_799
_UNITS: Final = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": SECOND, "m": 60 * SECOND,
                 "h": 3600 * SECOND}  # fmt: skip
_PART: Final = re.compile(r"([0-9]*)(?:(\.)([0-9]*))?([^.0-9]*)")
_RFC3339: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:[.,]([0-9]+))?(Z|([+-])([0-9]{2}):([0-9]{2}))",
    re.ASCII,
)
_OFFSET: Final = re.compile(r"[+-]?[0-9]+", re.ASCII)
_DAYS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def parse_duration(text: str) -> Duration:
    """`1h30m`, `-1.5s`. Raises Failure."""
    problem = Failure(f"cannot read {text[:40]!r} as duration")
    negative, rest = text[:1] == "-", text[1:] if text[:1] in {"-", "+"} else text
    if rest == "0":
        return Duration(0)
    if not rest:
        raise problem
    total = 0
    while rest:
        found = _PART.match(rest)
        if found is None or not (found[1] or found[3]) or found[4] not in _UNITS:
            raise problem
        rest = rest[found.end() :]
        unit, whole = _UNITS[found[4]], int(found[1] or "0") if len(found[1]) < 40 else 2**64
        if whole > 2**63 // unit:
            raise problem
        total += whole * unit + _fraction(found[3] or "", unit)
        if total > 2**63:
            raise problem
    if not negative and total > INT_MAX:
        raise problem
    return Duration(-total if negative else total)


def _fraction(digits: str, unit: int) -> int:
    value, scale = 0, 1.0
    for digit in digits:
        if value > INT_MAX // 10 or value * 10 + int(digit) > 2**63:
            break
        value = value * 10 + int(digit)
        scale *= 10
    return int(float(value) * (float(unit) / scale)) if value else 0


def duration_text(duration: Duration) -> str:
    """Seconds, such as `3601.5s`."""
    return plain_decimal(seconds_of(duration)) + "s"


def plain_decimal(value: float) -> str:
    """Shortest digits that read back, without an exponent."""
    text = format(Decimal(repr(value)), "f")
    return text.removesuffix(".0") if "." in text else text


def seconds_of(duration: Duration) -> float:
    """The duration in seconds, as a double."""
    return _in(duration, SECOND)


def _in(duration: Duration, unit: int) -> float:
    whole = abs(duration.nanos) // unit
    rest = abs(duration.nanos) % unit
    value = float(whole) + float(rest) / float(unit)
    return -value if duration.nanos < 0 else value


def hours_of(duration: Duration) -> int:
    """Whole hours."""
    return int(_in(duration, 3600 * SECOND))


def minutes_of(duration: Duration) -> int:
    """Whole minutes."""
    return int(_in(duration, 60 * SECOND))


def whole_seconds_of(duration: Duration) -> int:
    """Whole seconds."""
    return int(seconds_of(duration))


def milliseconds_of(duration: Duration) -> int:
    """Whole milliseconds."""
    found = abs(duration.nanos) // 10**6
    return -found if duration.nanos < 0 else found


def days_before(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 to a date."""
    year -= month <= 2
    era, of_era = divmod(year, 400)
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468


def valid_date(year: int, month: int, day: int) -> bool:
    """Whether there is such a day."""
    if not 1 <= month <= 12 or day < 1:
        return False
    leap = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return day <= _DAYS[month - 1] + leap


def parse_timestamp(text: str) -> Timestamp:
    """RFC 3339. Raises Failure."""
    found = _RFC3339.fullmatch(text)
    problem = Failure(f"cannot read {text[:40]!r} as timestamp")
    if found is None:
        raise problem
    year, month, day, hour, minute, second = (int(found[i]) for i in range(1, 7))
    if not valid_date(year, month, day) or hour > 23 or minute > 59 or second > 59:
        raise problem
    offset = 0
    if found[9]:
        hours, minutes = int(found[10]), int(found[11])
        if hours > 24 or minutes > 60:
            raise problem
        offset = (hours * 60 + minutes) * 60 * (-1 if found[9] == "-" else 1)
    seconds = days_before(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset
    nanos = int((found[7] or "0")[:9].ljust(9, "0"))
    return checked(seconds, nanos, offset)


def checked(seconds: int, nanos: int, offset: int) -> Timestamp:
    """A timestamp within the years 1 to 9999. Raises Failure."""
    if not _MIN_SECONDS <= seconds <= _MAX_SECONDS:
        raise Failure("timestamp overflow")
    return Timestamp(seconds, nanos, offset)


def later(moment: Timestamp, duration: Duration) -> Timestamp:
    """The moment so much later. Raises Failure."""
    seconds, nanos = divmod(moment.nanos + duration.nanos, SECOND)
    return checked(moment.seconds + seconds, nanos, moment.offset)


def earlier(moment: Timestamp, duration: Duration) -> Timestamp:
    """The moment so much earlier. Raises Failure."""
    if duration.nanos == INT_MIN:
        raise Failure("integer overflow")
    return later(moment, Duration(-duration.nanos))


def between(one: Timestamp, other: Timestamp) -> Duration:
    """`one - other`. Raises Failure."""
    return limited((one.seconds - other.seconds) * SECOND + one.nanos - other.nanos, one.seconds - other.seconds)


def limited(nanos: int, seconds: int | None = None) -> Duration:
    """A duration of 64 bits. Raises Failure."""
    beyond = seconds is not None and not INT_MIN <= seconds * SECOND <= INT_MAX
    if beyond or not INT_MIN <= nanos <= INT_MAX:
        raise Failure("integer overflow")
    return Duration(nanos)


# ---------------------------------------------------------------- fields


def _shift(moment: Timestamp, zone: str) -> int:
    """Seconds east of UTC in that zone: an offset such as `-08:00`, or a name of the time zone database."""
    hours, colon, minutes = zone.partition(":")
    if colon:
        if not _OFFSET.fullmatch(hours) or not _OFFSET.fullmatch(minutes):
            raise Failure(f"cannot read {zone[:40]!r} as time zone")
        hour, minute = int(hours), int(minutes)
        return (hour * 60 - minute if zone.startswith("-") else hour * 60 + minute) * 60
    if zone in {"", "UTC", "Local"}:
        return 0
    try:
        found = ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        raise Failure(f"unknown time zone {zone[:40]}") from None
    # Two days from either end of the calendar the offset is the same, and no year is out of range.
    inside = min(max(moment.seconds, _MIN_SECONDS + 172_800), _MAX_SECONDS - 172_800)
    moved = found.fromutc(np.datetime64(inside, "s").item().replace(tzinfo=found))
    offset = moved.utcoffset()
    return 0 if offset is None else int(offset.total_seconds())


def field_of(name: str, moment: Timestamp, zone: str = "UTC") -> int:
    """A field such as `getHours` in a time zone. Raises Failure."""
    days, rest = divmod(moment.seconds + _shift(moment, zone), 86_400)
    if name == "getHours":
        return rest // 3600
    if name == "getMinutes":
        return rest // 60 % 60
    if name == "getSeconds":
        return rest % 60
    if name == "getMilliseconds":
        return moment.nanos // 10**6
    if name == "getDayOfWeek":
        return (days + 4) % 7
    year, month, day = civil(days)
    if name == "getDayOfYear":
        return days - days_before(year, 1, 1)
    return {"getFullYear": year, "getMonth": month - 1, "getDayOfMonth": day - 1, "getDate": day}[name]
