"""Parse the text of one cell: a missing value, a number, a boolean or a time.

Reading rows and computing partition keys share these rules, so that a key equals the value that the script receives.
"""

from __future__ import annotations

import datetime
import decimal
import math
import re
from typing import Callable, FrozenSet

from longshore_protocol.job import TabularFormat

NULL = "\x1aNULL\x1a"  # the text that `records.mark_nulls` writes for a missing value
# The default list of pandas, which grew over its versions. It is fixed here, independent of the installed version.
_DEFAULT_MISSING = frozenset(
    [
        "",
        "#N/A",
        "#N/A N/A",
        "#NA",
        "-1.#IND",
        "-1.#QNAN",
        "-NaN",
        "-nan",
        "1.#IND",
        "1.#QNAN",
        "<NA>",
        "N/A",
        "NA",
        "NULL",
        "NaN",
        "None",
        "n/a",
        "nan",
        "null",
    ]
)
# A whole date, then nothing or a time of day, then nothing or an offset. The year comes first, so that no part of it
# has to be guessed. Fractions end at nanoseconds, the finest unit of a DataFrame.
ISO_TIME = re.compile(
    r"(?:\d{4}-\d\d-\d\d(?:[T ]\d\d(?::\d\d(?::\d\d(?:\.\d{1,9})?)?)?(?P<offset> ?(?:Z|[+-]\d\d(?::?\d\d)?))?)?"
    r"|\d{8}(?:T\d\d(?:\d\d(?:\d\d(?:\.\d{1,9})?)?)?(?P<basic_offset>Z|[+-]\d\d(?:\d\d)?)?)?)",
    re.ASCII,
)
INTEGER = re.compile(r"\s*[+-]?\d+\s*", re.ASCII)
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
_NO_NUMBER = re.compile(r"\s*[+-]?(nan|inf|infinity)\s*", re.ASCII | re.IGNORECASE)
_LARGEST_EXPONENT = 40  # of numbers that may be integers
_PARTS = re.compile(
    r"(\d{4})-?(\d\d)-?(\d\d)(?:[T ](\d\d)(?::?(\d\d)(?::?(\d\d)(?:\.(\d{1,9}))?)?)?)?"
    r" ?(?:(Z)|([+-])(\d\d):?(\d\d)?)?",
    re.ASCII,
)


def missing_texts(format: TabularFormat) -> FrozenSet[str]:
    """Return the texts, without quotes, that represent a missing value in csv; see `missing`."""
    nulls = frozenset([NULL] if format.escape else [])
    return nulls | frozenset(format.na_values) | (_DEFAULT_MISSING if format.keep_default_na else frozenset())


def missing_numbers(format: TabularFormat) -> FrozenSet[float]:
    """Return the numbers that represent a missing value in any notation: as in pandas, -9 includes -9.0."""
    return frozenset(float(text) for text in format.na_values if is_number(text))


def missing(format: TabularFormat) -> Callable[[str], bool]:
    """Return a predicate for texts of csv cells that represent a missing value."""
    texts, numbers = missing_texts(format), missing_numbers(format)
    if not numbers:
        return texts.__contains__
    return lambda text: text in texts or (is_number(text) and float(text) in numbers)


def is_number(text: str) -> bool:
    """Return whether a text is a number."""
    return _NUMBER.fullmatch(text) is not None


def read_integer(text: str) -> int:
    """Return a text as an integer, also if written as 1.0 or 1e3. Raises ValueError."""
    if INTEGER.fullmatch(text):
        return int(text)
    if not _NUMBER.fullmatch(text):
        raise ValueError('"{}" is not a number'.format(text))
    return whole_number(decimal.Decimal(text.strip()))


def whole_number(number: decimal.Decimal) -> int:
    """Return a number as an integer. Raises ValueError if it has a fraction or is too large."""
    if not number.is_finite() or number.adjusted() > _LARGEST_EXPONENT or number != int(number):
        raise ValueError("{} is not an integer".format(number))
    return int(number)


def read_float(text: str) -> float:
    """Return a text as a float. Raises ValueError."""
    number = float(text) if _NUMBER.fullmatch(text) or _NO_NUMBER.fullmatch(text) else None
    if number is None or (math.isinf(number) and _NUMBER.fullmatch(text)):  # a number out of the range of floats
        raise ValueError('"{}" is not a floating-point number'.format(text))
    return number


def read_boolean(text: str) -> bool:
    """Return a text as a boolean: true or false in any case, 1 or 0. Raises ValueError."""
    plain = text.strip().lower()
    if plain in ("true", "1", "1.0"):
        return True
    if plain in ("false", "0", "0.0"):
        return False
    raise ValueError('"{}" is neither true nor false'.format(text))


def read_time(text: str, date_format: str = "") -> datetime.datetime:
    """Return a text as a time; it is aware if the text has an offset.

    Args:
        text: The text of the cell.
        date_format: A format for strptime; "" for ISO 8601.

    Raises:
        ValueError: The text does not match the format, or is more precise than a microsecond.
    """
    if date_format:
        return datetime.datetime.strptime(text, date_format)  # noqa: DTZ007  (the format may have no offset)
    parts = _PARTS.fullmatch(text) if ISO_TIME.fullmatch(text) else None
    if parts is None:
        raise ValueError('"{}" is not a time in ISO 8601'.format(text))
    year, month, day, hour, minute, second = (int(each or 0) for each in parts.groups()[:6])
    fraction, utc, sign, hours, minutes = parts.groups()[6:]
    zone = datetime.timezone.utc if utc else None
    if sign:
        offset = datetime.timedelta(hours=int(hours), minutes=int(minutes or 0))
        zone = datetime.timezone(-offset if sign == "-" else offset)
    if (fraction or "")[6:].strip("0"):
        raise ValueError('"{}" is more precise than a microsecond'.format(text))
    microsecond = int((fraction or "").ljust(6, "0")[:6])
    return datetime.datetime(year, month, day, hour, minute, second, microsecond, zone)
