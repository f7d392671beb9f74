"""Types of field values, each with the sentence that states its rule.

Azure ML takes "5" where it takes 5, and values of parameters always arrive as strings: numbers and switches are read
from either. Booleans are never numbers here, so that YAML's `yes` does not become a node count of 1.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

INT_MAX = 2**31 - 1
TIMEOUT_MAX = 259_200  # seconds: three days

_WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d{1,18}(\.\d{0,18})?|\.\d{1,18})", re.ASCII)
_SIZE = re.compile(r"(\d{1,18})\s*(kb|mb|gb)?", re.ASCII | re.IGNORECASE)
_QUANTITY = re.compile(r"\d+(\.\d+)?([numkMGTPE]|[KMGTPE]i)?", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z_][-.A-Za-z0-9_]*", re.ASCII)
_UNITS = {"kb": 1024, "mb": 1024**2, "gb": 1024**3}


def broken(rule: str, *, field: str = "") -> PydanticCustomError:
    """Return the error to raise for a broken rule; `field` names the field below the model that raises it."""
    return PydanticCustomError("rule", "{rule}", {"rule": rule, "field": field})


def integer_or_string(spelt: str, **limits: int) -> JsonSchemaValue:
    """Return the schema of a number, or of a string that the expression `spelt` matches as a whole.

    The limits apply to numbers only: a schema does not parse strings. `spelt` must be valid in Go, which the API server
    is written in: no look-ahead, no look-behind.
    """
    either = [{"type": "integer"}, {"type": "string"}]
    return {"x-kubernetes-int-or-string": True, "anyOf": either, "pattern": f"^({spelt})$", **limits}


def parse_size(value: int | str) -> tuple[int, bool]:
    """Read 10, "10", "1024KB", "10MB" or "1GB" (1024-based, any case) as (number, whether a unit was given).

    Returns:
        The number (in bytes if a unit was given), and whether a unit was given.

    Raises:
        ValueError: for any other text, and below 1.
    """
    found = None if isinstance(value, bool) else _SIZE.fullmatch(str(value).strip())
    number = 0 if found is None else int(found[1]) * _UNITS.get((found[2] or "").lower(), 1)
    if found is None or number < 1:
        raise ValueError("must be a number such as 10, or a size such as 1024, 1024KB, 10MB or 1GB")
    return number, found[2] is not None


@dataclass(frozen=True)
class Whole:
    """A whole number within a range, or one of a few words."""

    minimum: int
    maximum: int = INT_MAX
    words: tuple[str, ...] = ()
    rule: str = ""  # replaces the sentence that is generated from the range

    def read(self, value: Any) -> int | str:
        if isinstance(value, str) and value in self.words:
            return value
        number = value
        if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
            number = int(value)
        if type(number) is not int or not self.minimum <= number <= self.maximum:
            raise broken(self.sentence(number))
        return number

    def sentence(self, value: Any) -> str:
        if type(value) is int and value > self.maximum:
            return f"must be at most {self.maximum}"
        if self.rule:
            return self.rule
        return " or ".join((f"must be a whole number, {self.minimum} or more", *self.words))

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        spelt = "|".join(("[+-]?[0-9]{1,18}", *self.words))
        return integer_or_string(spelt, minimum=self.minimum, maximum=self.maximum)


@dataclass(frozen=True)
class Number:
    """A number within a closed range."""

    minimum: float
    maximum: float

    def read(self, value: Any) -> float:
        number = value
        if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
            number = float(value)
        if type(number) not in (int, float) or not self.minimum <= number <= self.maximum:
            raise broken(f"must be a number from {self.minimum:g} to {self.maximum:g}")
        return float(number)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        # A structural schema cannot express "number or string": the type stays open, the range applies to numbers.
        return {"x-kubernetes-preserve-unknown-fields": True, "minimum": self.minimum, "maximum": self.maximum}


@dataclass(frozen=True)
class Matching:
    """A string of a certain form."""

    pattern: str
    rule: str
    longest: int
    shortest: int = 1

    def read(self, value: Any) -> str:
        if not isinstance(value, str):
            raise broken(f"must be a string; {self.rule}")
        if not self.shortest <= len(value) <= self.longest or not re.fullmatch(self.pattern, value):
            raise broken(self.rule)
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        lengths = {"minLength": self.shortest, "maxLength": self.longest}
        pattern = f"({self.pattern})" if "|" in self.pattern else self.pattern  # anchors bind alternatives more tightly
        return {"type": "string", "pattern": f"^{pattern}$", **lengths}


class _Flag:
    """true or false, or either as a string."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(_read_flag)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "boolean"}


class _Argument:
    """A string; numbers and booleans are refused, because YAML loses the text that sys.argv must contain."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(_read_argument)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string"}


class _Size:
    """A count or a size, kept as written: the kind of the inputs determines its unit."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(_read_size)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return integer_or_string("[0-9]{1,18} *([kKmMgG][bB])?", minimum=1)


class _Quantity:
    """An amount of a Kubernetes resource, kept as a string."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(_read_quantity)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return integer_or_string(_QUANTITY.pattern.replace(r"\d", "[0-9]"), minimum=0)


class _Anything:
    """A value of any type, kept unchanged."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.any_schema()

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"x-kubernetes-preserve-unknown-fields": True}


class _FreeForm:
    """An object of Kubernetes, passed on unchanged."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(_read_object)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def _read_object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise broken("must be an object")
    return value


def _read_quantity(value: Any) -> str:
    text = "" if isinstance(value, bool) else str(value)
    if not _QUANTITY.fullmatch(text):
        raise broken("must be an amount such as 2, 500m or 4Gi")
    return text


def _read_variables(variables: dict[str, str]) -> dict[str, str]:
    for name in variables:
        if not _VARIABLE.fullmatch(name):
            raise broken(
                f"must not name a variable {name!r}: letters, digits, '_', '-' and '.' only, and no digit first"
            )
    return variables


def _read_flag(value: Any) -> bool:
    word = value.strip().lower() if isinstance(value, str) else value
    if word is True or word is False:
        return bool(word)
    if word not in ("true", "false"):
        raise broken("must be true or false")
    return bool(word == "true")


def _read_argument(value: Any) -> str:
    if not isinstance(value, str):
        raise broken('must be a string: put it in quotes, as in "1.10"')
    return value


def _read_names(value: Any) -> Any:
    """Parse a string with a JSON list, which Azure ML's pipelines pass as parameter; return other values unchanged."""
    if isinstance(value, str) and value.strip().startswith("["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _each_once(names: list[str]) -> list[str]:
    for name in names:
        if names.count(name) > 1:
            raise broken(f"must name each key once: {name!r} is there twice")
    return names


def _read_size(value: Any) -> int | str:
    if isinstance(value, int | str):
        try:
            parse_size(value)
        except ValueError as error:
            raise broken(str(error)) from None
        return value
    raise broken("must be a number such as 10, or a size such as 1024, 1024KB, 10MB or 1GB")


_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
ResourceName = Annotated[
    str,
    Matching(
        rf"{_LABEL}(\.{_LABEL})*",
        "must be at most 253 lower-case letters, digits, '-' and '.', beginning and ending with a letter or digit",
        longest=253,
    ),
]
DatastoreName = Annotated[
    str,
    Matching(
        rf"[*]|{_LABEL}(\.{_LABEL})*",
        "must be the name of a Datastore, or '*' for all Datastores",
        longest=253,
    ),
]
StepName = Annotated[
    str,
    Matching(
        "[a-z]([-a-z0-9]*[a-z0-9])?",
        "must be 3 to 32 lower-case letters, digits and '-', beginning with a letter and not ending with '-'",
        longest=32,
        shortest=3,
    ),
]
# Steps that are resources give their name to a Service, whose limit is 63 characters. Steps inside a pipeline follow
# Azure ML's rule; the name of the run is prefixed to theirs.
StepResourceName = Annotated[
    str,
    Matching(
        "[a-z]([-a-z0-9]*[a-z0-9])?",
        "must be 3 to 51 lower-case letters, digits and '-', beginning with a letter and not ending with '-'",
        longest=51,
        shortest=3,
    ),
]
PortName = Annotated[
    str,
    Matching(
        "[A-Za-z_]([-A-Za-z0-9_]*[A-Za-z0-9_])?",
        "must be at most 64 letters, digits, '_' and '-', beginning with a letter or '_' and not ending with '-'",
        longest=64,
    ),
]
ParameterName = Annotated[
    str,
    Matching(
        "[A-Za-z_][-A-Za-z0-9_]*",
        "must be at most 64 letters, digits, '_' and '-', beginning with a letter or '_'",
        longest=64,
    ),
]
_IN_NAME = r"[^/\\\x00-\x1f]"
_FIRST_IN_NAME = r"[^./\\\x00-\x1f]"
_NAME_IN_PATH = rf"({_FIRST_IN_NAME}|\.{_FIRST_IN_NAME}|\.\.{_IN_NAME}){_IN_NAME}*"  # neither "." nor ".."
FileName = Annotated[
    str,
    Matching(
        _NAME_IN_PATH,
        "must be a file name without folders",
        longest=255,
    ),
]
FolderPath = Annotated[
    str,
    Matching(
        rf"{_NAME_IN_PATH}(/{_NAME_IN_PATH})*",
        "must be a path below the Datastore, without '..' and without '/' at its ends",
        longest=1024,
    ),
]
Separator = Annotated[str, Matching(r'[^"\r\n]', "must be one character, and no quote or line end", longest=1)]
AssetName = Annotated[
    str,
    Matching(
        r"[^\s./]([^/\r\n\t]*[^\s/])?",
        "must be at most 255 characters without '/' and line ends, not beginning with '.' or a blank",
        longest=255,
    ),
]
FilledString = Annotated[str, Matching(r"(?s:.*\S.*)", "must be a string that is not empty", longest=4096)]
PartitionFormatText = Annotated[
    str,
    Matching(
        r"(hive|[^{}]*(\{[^{}:]+(:[^{}]*yyyy[^{}]*)?\}[^{}]*)+)",
        "must be hive, or the end of a path with placeholders, such as {user}/{season}.wav or {day:yyyy/MM/dd}/*.csv",
        longest=1024,
    ),
]
LabelValue = Annotated[
    str,
    Matching(
        "[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?",
        "must be at most 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit",
        longest=63,
    ),
]
KeyName = Annotated[str, Matching(r"(?s:.*\S.*)", "must be a name that is not empty", longest=256)]
KeyNames = Annotated[
    list[KeyName], Field(min_length=1, max_length=32), AfterValidator(_each_once), BeforeValidator(_read_names)
]
Flag = Annotated[bool, _Flag()]
Anything = Annotated[Any, _Anything()]
FreeForm = Annotated[dict[str, Any], _FreeForm()]
Argument = Annotated[str, _Argument()]
Quantity = Annotated[str, _Quantity()]
Variables = Annotated[dict[str, str], AfterValidator(_read_variables)]
Size = Annotated[int | str, _Size()]
Seconds = Annotated[
    int,
    Whole(1, TIMEOUT_MAX, rule=f"must be a whole number of seconds from 1 to {TIMEOUT_MAX} (three days)"),
]
ProcessCount = Annotated[int | Literal["auto"], Whole(1, words=("auto",))]
