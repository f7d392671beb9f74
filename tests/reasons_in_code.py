"""Every reason that the code can give a condition, a step of a pipeline or an event, found by where it stands."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType

import longshore_cli
import longshore_coordinator
import longshore_operator
import longshore_planner
from longshore_coordinator import verdict
from longshore_operator.common import reasons
from longshore_planner.pipelines import records
from longshore_protocol import snapshot

_PACKAGES = (longshore_cli, longshore_coordinator, longshore_operator, longshore_planner)
_TABLES = (verdict, reasons, records, snapshot)  # modules whose constants of this form are all reasons
_PLACES = {"Blocked": 0, "Verdict": 0, "Event": 1, "Outcome": 1}  # function -> which of its arguments is the reason
_KEYWORDS = ("reason", "waiting_reason", "stalled")
_VARIABLES = ("reason", "state")
_REASON = re.compile("([A-Z][a-z]+)+")


def reasons_in_code() -> set[str]:
    """Return the reasons."""
    found = set(_reasons(value for module in _TABLES for name, value in vars(module).items() if name[:2] != "__"))
    for module in _modules():
        found.update(_reasons(value for name, value in vars(module).items() if name.endswith("_REASONS")))
        for expression in _expressions(ast.parse(inspect.getsource(module))):
            found.update(_reasons(_values(expression, module)))
    return found


def _modules() -> Iterator[ModuleType]:
    for package in _PACKAGES:
        for each in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not each.name.endswith("__main__"):
                yield importlib.import_module(each.name)


def _reasons(values: Iterable[object]) -> Iterator[str]:
    for each in values:
        if isinstance(each, str) and _REASON.fullmatch(each):
            yield each
        elif isinstance(each, tuple):
            yield from _reasons(each)
        elif isinstance(each, Mapping):
            yield from _reasons(each.values())


def _expressions(tree: ast.AST) -> Iterator[ast.expr]:
    """Yield each expression whose value is a reason, or a tuple that begins with one."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
                place = _PLACES.get(name)
                if place is not None and len(node.args) > place:
                    yield node.args[place]
                yield from (each.value for each in node.keywords if each.arg in _KEYWORDS)
            case ast.Assign(targets=[ast.Name(id=name) | ast.Tuple(elts=[ast.Name(id=name), *_])], value=value):
                if name in _VARIABLES:
                    yield value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if name in _VARIABLES:
                yield value
            case ast.FunctionDef(name="waiting"):
                yield from (each.value for each in ast.walk(node) if isinstance(each, ast.Return) and each.value)


def _values(expression: ast.expr, module: ModuleType) -> Iterator[object]:
    match expression:
        case ast.Constant(value=value):
            yield value
        case ast.Name(id=name):
            yield getattr(module, name, None)
        case ast.Attribute(value=ast.Name(id=owner), attr=name):
            yield getattr(getattr(module, owner, None), name, None)
        case ast.Tuple(elts=[first, *_]):
            yield from _values(first, module)
        case ast.IfExp(body=first, orelse=second):
            yield from (*_values(first, module), *_values(second, module))
        case ast.BoolOp(values=parts) | ast.Dict(values=parts):
            yield from (value for each in parts for value in _values(each, module))
        case ast.Call(func=ast.Attribute(value=ast.Dict() as texts, attr="get")):
            yield from _values(texts, module)
