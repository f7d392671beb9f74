"""What the text of one cell means: missing, or a time.

One rule for the reader of rows and for the partition keys, so that a key equals the cell that the script gets.
"""

from __future__ import annotations

import datetime
import re
from typing import FrozenSet

from longshore_protocol.job import TabularFormat

# pandas' own list, which grew over its versions: the list is fixed here, whatever version reads.
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
_PARTS = re.compile(
    r"(\d{4})-?(\d\d)-?(\d\d)(?:[T ](\d\d)(?::?(\d\d)(?::?(\d\d)(?:\.(\d{1,9}))?)?)?)?"
    r" ?(?:(Z)|([+-])(\d\d):?(\d\d)?)?",
    re.ASCII,
)


def missing_texts(format: TabularFormat) -> FrozenSet[str]:
    """Return the texts of a csv cell that mean a missing value, after quotes are removed."""
    return frozenset(format.na_values) | (_DEFAULT_MISSING if format.keep_default_na else frozenset())


def read_time(text: str, date_format: str = "") -> datetime.datetime:
    """Return the time that a text means: in `date_format` (as strptime has it), or without one in ISO 8601.

    It has a zone where the text has an offset. Raises ValueError, also for a fraction that microseconds cannot hold.
    """
    if date_format:
        return datetime.datetime.strptime(text, date_format)  # noqa: DTZ007  (a form need not have an offset)
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
