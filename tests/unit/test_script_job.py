"""A script step and its result cross processes as JSON, and arrive as they left."""

from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore_protocol.job import Datastore, Model, ScriptInput, TabularFormat
from longshore_protocol.registrations import Registration
from longshore_protocol.script_job import ScriptJob, ScriptOutput, ScriptResult

TEXT = st.text(max_size=10)
TEXTS = st.dictionaries(TEXT, TEXT, max_size=3)
SECONDS = st.floats(0, 1e9, allow_nan=False)
VALUE = st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT


def of(kind, /, **strategies):
    """Build a dataclass with every field drawn: a field that no strategy is given for would go untested."""
    assert set(strategies) == {field.name for field in fields(kind)}
    return st.builds(kind, **strategies)


TABULAR = st.none() | st.builds(TabularFormat, format=TEXT, column_types=TEXTS)
REGISTRATION = of(
    Registration,
    kind=TEXT,
    name=TEXT,
    paths=st.lists(TEXT, max_size=3).map(tuple),
    datastore=TEXT,
    description=TEXT,
    tags=TEXTS,
    properties=TEXTS,
    tabular=st.none() | TEXTS,
)
OUTPUT = of(
    ScriptOutput,
    name=TEXT,
    uri=TEXT,
    mode=TEXT,
    overwrite=st.booleans(),
    registration=st.none() | REGISTRATION,
)
JOB = of(
    ScriptJob,
    name=TEXT,
    run_id=TEXT,
    run_uri=TEXT,
    source_uri=TEXT,
    script=TEXT,
    arguments=st.lists(TEXT, max_size=3).map(tuple),
    inputs=st.lists(
        of(ScriptInput, name=TEXT, uris=st.lists(TEXT, max_size=3).map(tuple), mode=TEXT, tabular=TABULAR)
    ).map(tuple),
    outputs=st.lists(OUTPUT).map(tuple),
    variables=TEXTS,
    params=TEXTS,
    models=st.lists(of(Model, name=TEXT, version=st.integers(), uri=TEXT), max_size=3).map(tuple),
    datastores=st.lists(
        of(Datastore, name=TEXT, uri=TEXT, default=st.booleans(), read_only=st.booleans()), max_size=3
    ).map(tuple),
    catalogue=TEXT,
    timeout=st.none() | SECONDS,
    logging_level=TEXT,
    experiment=TEXT,
    parent_id=TEXT,
    pipeline_parameters=TEXTS,
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
    registered=TEXT,
    code=TEXT,
)


@settings(max_examples=50)
@given(value=JOB | RESULT)
def test_it_arrives_as_it_left(value):
    assert type(value).from_json(value.to_json()) == value


@pytest.mark.parametrize("kind", [ScriptJob, ScriptResult])
def test_what_is_not_json_is_refused(kind):
    with pytest.raises(ValueError, match="Expecting"):
        kind.from_json("name: train")
