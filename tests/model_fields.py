"""The fields of the kinds, as paths."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel


def fields_of(annotation: Any, path: str) -> Iterator[str]:
    """Yield the paths of all fields of the models in a type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, field in annotation.model_fields.items():
            yield f"{path}.{field.alias or name}"
            yield from fields_of(field.annotation, f"{path}.{field.alias or name}")
        return
    arguments = get_args(annotation)
    suffix = {list: "[]", dict: ".NAME"}.get(getattr(annotation, "__origin__", None), "")  # type: ignore[arg-type]
    for each in arguments:
        yield from fields_of(each, path + suffix)
