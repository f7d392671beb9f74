"""Convert columns of times: texts in a declared format or ISO 8601, with or without a time zone."""

from __future__ import annotations

import datetime
import numbers
import re
from typing import Any, List, Tuple

from longshore_protocol.cells import ISO_TIME

Series = Any  # of pandas, whose stubs know no columns of unknown type

_KIND = re.compile(r"datetime(?:64)?(?:\[(\w+)(?:,\s*(.+?))?\s*\])?")
_PERIOD = re.compile(r"\d{4}(-\d\d|-?Q[1-4])?", re.ASCII)


class Refused(ValueError):
    """A value does not have a type; the message is the reason with the remedy: "which is ..."."""


def is_date(kind: str) -> bool:
    """Return whether a declared type is a type of times."""
    return kind.startswith("datetime")


def convert(values: Series, kind: str, date_format: str) -> Series:
    """Convert a column to the type of times `kind`; return it. Texts have `date_format`, or ISO 8601 if that is empty.

    Raises:
        Refused: A value cannot be converted exactly.
        TypeError: The type is unknown.
        ValueError: A text is not a time; pandas raises other errors, too.
    """
    import pandas

    unit, zone = _parts(kind)
    dtype: Any = "datetime64[{}, {}]".format(unit, zone) if zone else "datetime64[{}]".format(unit)
    given = values[~values.isna()]
    parts = []
    for some, has_offset in _by_offset(given, date_format):
        if len(some):
            stamps = _parsed(some, date_format, has_offset=has_offset)
            if stamps.isna().any():
                raise ValueError("one of the texts means no time")
            parts.append(_exactly(_in_zone(stamps, kind, zone, has_offset=has_offset), dtype, kind))
    found = pandas.concat(parts) if parts else pandas.Series([], dtype=dtype)
    return found.reindex(values.index).rename(values.name)


def _by_offset(values: Series, date_format: str) -> List[Tuple[Series, bool]]:
    """Divide values into those with an offset and those without; return each, with True for an offset."""
    import pandas

    if getattr(values.dtype, "kind", "") == "M":
        return [(values, getattr(values.dtype, "tz", None) is not None)]
    values = values.astype(object)
    if date_format:
        for each in values.tolist():
            _require_text(each, date_format)
        return [(values.map(str), "%z" in date_format)]
    has_offset = pandas.Series([_has_offset(each) for each in values.tolist()], index=values.index, dtype=bool)
    return [(values[has_offset], True), (values[~has_offset], False)]


def _parsed(values: Series, date_format: str, *, has_offset: bool) -> Series:
    import pandas

    if getattr(values.dtype, "kind", "") == "M":
        return values
    if not date_format and int(pandas.__version__.split(".")[0]) >= 2:
        date_format = "ISO8601"  # an earlier pandas takes each ISO text for itself
    return pandas.to_datetime(values, utc=has_offset, format=date_format or None)


def _in_zone(stamps: Series, kind: str, zone: str, *, has_offset: bool) -> Series:
    if not has_offset:
        return stamps.dt.tz_localize(zone) if zone else stamps
    if not zone:
        better = "datetime64[{}, UTC]".format(_parts(kind)[0])
        raise Refused('which has an offset, and {} has no zone; set its type to "{}"'.format(kind, better))
    return stamps.dt.tz_convert(zone)


def _exactly(stamps: Series, dtype: Any, kind: str) -> Series:
    """Convert times to another unit. Raises Refused for one that the unit would truncate."""
    found = stamps.astype(dtype)
    if found.dtype != stamps.dtype and not (found == stamps).all():
        unit, zone = _parts(kind)
        finer = "datetime64[ns, {}]".format(zone) if zone else "datetime64[ns]"
        raise Refused('which is more precise than {}: its unit is "{}"; set its type to "{}"'.format(kind, unit, finer))
    return found


def spans(values: Series, dtype: Any, kind: str) -> Series:
    """Convert a column to durations. Raises Refused for one that the unit would truncate, and errors of pandas."""
    import pandas

    given: Any = pandas.to_timedelta(values)
    found = given.astype(dtype)
    if not (found.isna() | (found.astype(given.dtype) == given)).all():
        raise Refused('which is more precise than {}; set its type to "timedelta64[ns]"'.format(kind))
    return found


def require_periods(values: Series) -> None:
    """Raise Refused for a text whose period is ambiguous."""
    for each in values[~values.isna()].tolist():
        if isinstance(each, str) and not (_PERIOD.fullmatch(each) or ISO_TIME.fullmatch(each)):
            raise Refused("which is neither a time in ISO 8601 nor a part of one, such as 2011-05 or 2011Q2")


def _parts(kind: str) -> Tuple[str, str]:
    """Return the unit and the zone of a type of times, "" for no zone. Raises TypeError."""
    match = _KIND.fullmatch(kind)
    if match is None:
        raise TypeError("the type {} is not known".format(kind))
    return match.group(1) or "ns", match.group(2) or ""


def _has_offset(value: Any) -> bool:
    """Return whether a time has an offset. Raises Refused for a value that is not a time."""
    if isinstance(value, str):
        match = ISO_TIME.fullmatch(value)
        if match is not None:
            return match.group("offset") is not None or match.group("basic_offset") is not None
    elif isinstance(value, datetime.datetime):  # a Timestamp, too
        return value.tzinfo is not None
    elif isinstance(value, datetime.date):
        return False
    raise Refused('which is not a time in ISO 8601; state its form in dateFormats, such as "%d/%m/%Y"')


def _require_text(value: Any, date_format: str) -> None:
    """Raise Refused for values that have no date format; pandas parses two words as the current time."""
    is_text = isinstance(value, str) and value.lower() not in ("now", "today")
    if not is_text and (isinstance(value, bool) or not isinstance(value, numbers.Integral)):
        raise Refused('which does not have the form "{}" of its dateFormats'.format(date_format))


def reason(error: Exception, kind: str, date_format: str) -> str:
    """Return the message of Refused for an error of pandas."""
    import pandas

    if isinstance(error, (pandas.errors.OutOfBoundsDatetime, OverflowError)):
        unit = _parts(kind)[0]
        better = kind.replace("[ns", "[us") if "[ns" in kind else "datetime64[us]"
        if unit == "ns":
            return 'which is outside of {}; set its type to "{}"'.format(kind, better)
        return "which is outside of what {} holds with pandas {}".format(kind, pandas.__version__)
    zone = _parts(kind)[1]
    text = "{} {}".format(type(error).__name__, error).lower()
    if zone and "nonexistent" in text:
        return "which {} skipped when clocks went forward; give times with an offset".format(zone)
    if zone and "ambiguous" in text:
        return "which {} had twice when clocks went back; give times with an offset".format(zone)
    if date_format:
        return 'which does not have the form "{}" of its dateFormats'.format(date_format)
    return "which is not a time in ISO 8601"
