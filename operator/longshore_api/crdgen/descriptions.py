"""Descriptions of fields: the docstrings below them, read from the source of their models.

pydantic can read them itself, whenever a model is defined. That takes a third of the time to import the models, and
only the definitions of custom resources need descriptions.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from itertools import pairwise

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import ModelSchema


class Described(GenerateJsonSchema):
    """Generate JSON schemas whose properties have the docstrings of their fields as descriptions."""

    def model_schema(self, schema: ModelSchema) -> JsonSchemaValue:
        result = super().model_schema(schema)
        model: type[BaseModel] = schema["cls"]
        texts = docstrings(model)
        for name, field in model.model_fields.items():
            if name in texts:
                result["properties"][field.alias or name]["description"] = texts[name]
        return result


def docstrings(model: type[BaseModel]) -> dict[str, str]:
    """Return the docstring below each field of a model that has one, those of its parents included."""
    found: dict[str, str] = {}
    for each in reversed(model.__mro__):
        if issubclass(each, BaseModel) and each is not BaseModel:
            found |= _docstrings_in(each)
    return found


def _docstrings_in(model: type[BaseModel]) -> dict[str, str]:
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    assert isinstance(definition, ast.ClassDef)
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in pairwise(definition.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }
