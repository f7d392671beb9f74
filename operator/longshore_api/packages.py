"""Packages of an Environment: requirement lines, conda files, Python version and package indexes."""

from __future__ import annotations

import re
from typing import Annotated, Any, Self

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from longshore_api.base import Fields, NameRef
from longshore_api.values import FilledString, Matching, broken

# Valid in CEL, too. An index's user, password and query may be credentials, which no status or log may show.
INDEX_URL = r"https?://[^\s@?#]+"
# A rule that begins with "is" is printed without the value.
INDEX_URL_RULE = (
    "is not supported: it must be an http:// or https:// URL without user, password and query; "
    "put user and password into the Secret that secretRef names"
)
NO_PACKAGES = "must have at least one of pip, requirements, conda and python"
_LONGEST_URL = 2048


class _IndexUrl:
    """A URL of a package index, whose value no message shows."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(_read_index_url)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        # Without a pattern: API servers print a value that does not match.
        return {"type": "string", "minLength": 1, "maxLength": _LONGEST_URL}


def _read_index_url(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_URL:
        raise broken(INDEX_URL_RULE)
    return value


IndexUrl = Annotated[str, _IndexUrl()]
_Text = Annotated[str, Matching(r"(?s:.*\S.*)", "must be a text that is not empty", longest=262_144)]
_PythonVersion = Annotated[str, Matching(r"3\.[0-9]{1,2}", 'must be a version such as "3.10", in quotes', longest=4)]


class Packages(Fields):
    """Python packages, installed on top of the image, or in local runs into a cached environment."""

    pip: list[FilledString] = Field(default_factory=list, max_length=1000)
    """Requirements, such as scikit-learn or numpy>=1.26,<3."""
    requirements: _Text | None = None
    """Content of a requirements.txt, with its --index-url and --extra-index-url."""
    conda: _Text | None = None
    """Content of a conda environment.yml, or in local runs the name of such a file, relative to the YAML file. Packages
    are installed from the package index; system libraries and R packages are refused."""
    python: _PythonVersion | None = None
    """Required version of Python, such as "3.10": that of the image, or in local runs of any interpreter on your
    machine."""
    index_url: IndexUrl | None = None
    """URL of the package index; if not given, PyPI, or in local runs that of uv's own configuration."""
    extra_index_urls: list[IndexUrl] = Field(default_factory=list, max_length=16)
    """URLs of further package indexes, which take precedence over `indexUrl`."""
    secret_ref: NameRef | None = None
    """Secret with the keys `username` and `password` for the package index, and only for its host: that of `indexUrl`,
    or without it those of `extraIndexUrls`; hidden from scripts. A local run uses the variables
    LONGSHORE_INDEX_USERNAME and LONGSHORE_INDEX_PASSWORD of your environment, or your netrc file, instead."""

    @model_validator(mode="after")
    def _has_packages_and_no_password(self) -> Self:
        if not (self.pip or self.requirements or self.conda or self.python):
            raise broken(NO_PACKAGES)
        for field, urls in (("indexUrl", filter(None, [self.index_url])), ("extraIndexUrls", self.extra_index_urls)):
            if not all(re.fullmatch(INDEX_URL, each) for each in urls):
                raise broken(INDEX_URL_RULE, field=field)
        return self


def is_conda_file(conda: str) -> bool:
    """Return whether `conda` is the name of a file, not the content of one."""
    return "\n" not in conda.strip() and conda.strip().endswith((".yml", ".yaml"))
