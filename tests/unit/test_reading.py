"""What one version of Longshore wrote, the versions before and after it read."""

import builtins
import importlib
import inspect
import json
import pkgutil
import types
import typing
from collections import abc
from copy import deepcopy
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass, replace

import pytest
from versions import at, default_of, levels

import longshore_planner
import longshore_protocol
from longshore_agent.coordinator_client import Orders, Registration
from longshore_planner.cluster.pod_requirements import PodRequirements
from longshore_planner.cluster.step_runs import ClusterRun
from longshore_planner.cluster.task_runs import TaskRun
from longshore_planner.pipelines.frozen import STAMPS, FrozenPipeline
from longshore_planner.pipelines.on_cluster import ClusterPipeline
from longshore_protocol.built_environment import BuiltEnvironment
from longshore_protocol.job import Job
from longshore_protocol.messages import HostSpec
from longshore_protocol.package_set import PackageSet
from longshore_protocol.reading import UnreadableError, read
from longshore_protocol.script_folder import ScriptSpec
from longshore_protocol.script_job import ScriptJob, ScriptResult
from longshore_protocol.snapshot import Snapshot
from longshore_protocol.survey import SurveyRequest, SurveyResult

BY_ITSELF = (
    *(Job, ScriptJob, ScriptResult, ScriptSpec, Snapshot, SurveyRequest, SurveyResult),
    *(BuiltEnvironment, PackageSet),
    *(ClusterRun, TaskRun, PodRequirements, FrozenPipeline, ClusterPipeline),
)
INSIDE_MESSAGES = (HostSpec, Registration, Orders)
KINDS = (*BY_ITSELF, *INSIDE_MESSAGES)


def sample(hint, default=MISSING):
    """Return a value of a type that is no default, and that has one element of each collection in it."""
    if is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        return hint(**{each.name: sample(hints[each.name], each.default) for each in fields(hint)})
    args = [each for each in typing.get_args(hint) if each not in (type(None), ...)]
    match typing.get_origin(hint):
        case typing.Union | types.UnionType:
            return sample(args[0])
        case builtins.tuple:
            return tuple(map(sample, args))
        case builtins.list:
            return [sample(args[0])]
        case builtins.dict | abc.Mapping:
            return {"name": sample(args[1])}
    return {str: "a text", int: 7, float: 7.5, bool: default is not True, typing.Any: "anything"}[hint]


def with_value(value, path, name, new):
    """Return a value whose dataclass at `path` has another field."""
    if not path:
        return replace(value, **{name: new})
    key, *rest = path
    if is_dataclass(value):
        return replace(value, **{key: with_value(getattr(value, key), rest, name, new)})
    if isinstance(value, dict):
        return {**value, key: with_value(value[key], rest, name, new)}
    return type(value)(with_value(each, rest, name, new) if at == key else each for at, each in enumerate(value))


def as_json(value):
    return json.loads(json.dumps(asdict(value)))


LEVELS = [
    pytest.param(kind, path, level, id=".".join([kind.__name__, *map(str, path)]))
    for kind in KINDS
    for path, level in levels(sample(kind))
]
FIELDS = [
    pytest.param(*each.values, field, id=f"{each.id}.{field.name}")
    for each in LEVELS
    for field in fields(each.values[2])
]


def test_every_kind_that_reads_itself_is_covered():
    found = set()
    for package in (longshore_protocol, longshore_planner):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            for _, kind in inspect.getmembers(importlib.import_module(module.name), is_dataclass):
                if {"from_json", "from_dict", "unpack"} & vars(kind).keys():
                    found.add(kind)
    assert found == set(BY_ITSELF)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_read_as_it_was_written(kind):
    value = sample(kind)
    assert read(kind, as_json(value)) == value
    assert read(kind, asdict(value)) == value


@pytest.mark.parametrize("kind", BY_ITSELF)
def test_a_kind_reads_what_it_writes(kind):
    value = sample(kind)
    if kind is SurveyResult:
        assert SurveyResult.unpack(value.pack()) == value
    elif kind is PodRequirements:
        assert PodRequirements.from_dict(json.loads(json.dumps(value.to_dict()))) == value
    else:
        assert kind.from_json(value.to_json()) == value


@pytest.mark.parametrize("later", [None, 1, "text", [{}], {"of": "a later version"}])
@pytest.mark.parametrize(("kind", "path", "_level"), LEVELS)
def test_a_field_of_another_version_is_ignored(kind, path, _level, later):
    raw = as_json(sample(kind))
    at(raw, path)["a_field_of_another_version"] = later
    assert read(kind, raw) == sample(kind)


@pytest.mark.parametrize(("kind", "path", "level", "field"), FIELDS)
def test_a_field_that_another_version_lacks_has_its_default_or_is_named(kind, path, level, field):
    raw = as_json(sample(kind))
    del at(raw, path)[field.name]
    default = default_of(field)
    if default is not MISSING:
        assert read(kind, raw) == with_value(sample(kind), path, field.name, default)
        return
    with pytest.raises(UnreadableError) as unreadable:
        read(kind, raw)
    said = str(unreadable.value)
    assert said.startswith(kind.__name__)
    assert type(level).__name__ in said
    assert f'has no field "{field.name}"' in said


def test_reading_leaves_what_is_read_alone():
    raw = as_json(sample(Job))
    before = deepcopy(raw)
    read(Job, raw)
    assert raw == before


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("inputs", {}, "Job.inputs is an object; it must be a list"),
        ("inputs", [7], "Job.inputs[0] is a single value; it must be an object"),
        ("inputs", [{"name": "a"}], 'Job.inputs[0], of type Input, has no field "paths", which'),
        ("output", None, "Job.output is null; it must be an object"),
        ("arguments", "--all", "Job.arguments is a single value; it must be a list"),
        ("variables", [], "Job.variables is a list; it must be an object"),
        ("mini_batch", [], "Job.mini_batch is a list; it must be an object"),
    ],
)
def test_a_value_of_another_kind_is_refused_with_its_place(field, value, said):
    with pytest.raises(UnreadableError) as unreadable:
        read(Job, {**as_json(sample(Job)), field: value})
    assert str(unreadable.value).startswith(said)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "7"])
def test_what_is_no_object_is_a_value_error(text):
    with pytest.raises(ValueError, match=r"line 1|Snapshot is"):
        Snapshot.from_json(text)


def test_elements_of_a_fixed_number_are_counted():
    raw = as_json(sample(ScriptSpec))
    with pytest.raises(UnreadableError, match=r"ScriptSpec\.models\[0\] has 2 elements; it must have 3"):
        read(ScriptSpec, {**raw, "models": [["a", 1]]})


def test_a_boolean_stands_for_what_a_fingerprint_counts():
    raw = as_json(sample(ClusterPipeline))
    raw["pipeline"]["options"]["content_fingerprint"] = True
    assert read(ClusterPipeline, raw).pipeline.options.content_fingerprint == STAMPS


@dataclass(frozen=True)
class Later:
    """A dataclass with each way to say that a field may be null."""

    modern: tuple[int, ...] | None
    classic: typing.Optional[dict[str, Orders]] = None  # noqa: UP045  (as modules for Python 3.7 have it)


def test_null_stands_where_it_may():
    assert read(Later, {"modern": None, "classic": None}) == Later(None, None)
    assert read(Later, {"modern": [1], "classic": {"a": {"stop": True}}}) == Later((1,), {"a": Orders(stop=True)})
