"""A script step and its result cross processes as JSON, and arrive as they left."""

import json
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore_protocol.job import Model, ScriptInput
from longshore_protocol.script_job import ScriptJob, ScriptOutput, ScriptResult

TEXT = st.text(max_size=10)
TEXTS = st.dictionaries(TEXT, TEXT, max_size=3)
SECONDS = st.floats(0, 1e9, allow_nan=False)
VALUE = st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT


def of(kind, **strategies):
    """Build a dataclass with every field drawn: a field that no strategy is given for would go untested."""
    assert set(strategies) == {field.name for field in fields(kind)}
    return st.builds(kind, **strategies)


JOB = of(
    ScriptJob,
    name=TEXT,
    run_id=TEXT,
    run_uri=TEXT,
    source_uri=TEXT,
    script=TEXT,
    arguments=st.lists(TEXT, max_size=3).map(tuple),
    inputs=st.lists(of(ScriptInput, name=TEXT, uris=st.lists(TEXT, max_size=3).map(tuple), mode=TEXT)).map(tuple),
    outputs=st.lists(of(ScriptOutput, name=TEXT, uri=TEXT, mode=TEXT, overwrite=st.booleans())).map(tuple),
    variables=TEXTS,
    params=TEXTS,
    models=st.lists(of(Model, name=TEXT, version=st.integers(), uri=TEXT), max_size=3).map(tuple),
    timeout=st.none() | SECONDS,
    logging_level=TEXT,
    experiment=TEXT,
    parent_id=TEXT,
)
RESULT = of(
    ScriptResult,
    state=TEXT,
    exit_code=st.none() | st.integers(),
    message=TEXT,
    metrics=st.dictionaries(TEXT, VALUE | st.lists(VALUE, max_size=3), max_size=3),
    started=SECONDS,
    finished=SECONDS,
    git=st.none() | TEXTS,
    reason=TEXT,
)


@settings(max_examples=50)
@given(value=JOB | RESULT)
def test_it_arrives_as_it_left(value):
    assert type(value).from_json(value.to_json()) == value


JOB_OF_EVERYTHING = ScriptJob(
    "train",
    "run-1",
    "/run",
    "/code",
    "train.py",
    inputs=(ScriptInput("digits", ("/data",)),),
    outputs=(ScriptOutput("model", "/run/model"),),
    models=(Model("m", 1, "/m"),),
)
RESULT_OF_ONE = ScriptResult("failed", 1, "ValueError: no", {"accuracy": 0.5}, 1.0, 2.0)


@pytest.mark.parametrize("value", [JOB_OF_EVERYTHING, RESULT_OF_ONE], ids=["job", "result"])
def test_a_field_that_a_later_version_added_is_ignored(value):
    raw = json.loads(value.to_json())
    raw["colour"] = "red"
    for kind in ("inputs", "outputs", "models"):
        for each in raw.get(kind, []):
            each["colour"] = "red"
    assert type(value).from_json(json.dumps(raw)) == value


@pytest.mark.parametrize(("value", "name"), [(JOB_OF_EVERYTHING, "script"), (RESULT_OF_ONE, "state")])
def test_a_field_that_is_missing_is_refused(value, name):
    raw = json.loads(value.to_json())
    del raw[name]
    with pytest.raises(TypeError, match=name):
        type(value).from_json(json.dumps(raw))


def test_what_is_not_said_has_its_default():
    raw = json.loads(JOB_OF_EVERYTHING.to_json())
    for name in ("inputs", "models", "timeout"):
        del raw[name]
    job = ScriptJob.from_json(json.dumps(raw))
    assert (job.inputs, job.models, job.timeout) == ((), (), None)


@pytest.mark.parametrize("kind", [ScriptJob, ScriptResult])
def test_what_is_not_json_is_refused(kind):
    with pytest.raises(ValueError, match="Expecting"):
        kind.from_json("name: train")
