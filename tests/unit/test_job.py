"""A job crosses processes as JSON and arrives as it left."""

import json
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore_protocol.job import (
    Datastore,
    Input,
    Job,
    MiniBatchSize,
    Model,
    Output,
    ScriptInput,
    TabularFormat,
    Thresholds,
    Timeouts,
)
from longshore_protocol.registrations import Registration

TEXT = st.text(max_size=10)
NUMBER = st.integers(-1, 10**6)
SECONDS = st.floats(0, 1e6, allow_nan=False)


def of(kind, /, **strategies):
    """Build a dataclass with every field drawn: a field that no strategy is given for would go untested."""
    assert set(strategies) == {field.name for field in fields(kind)}
    return st.builds(kind, **strategies)


TABULAR = of(
    TabularFormat,
    format=st.sampled_from(["csv", "jsonl", "parquet", "sql"]),
    separator=TEXT,
    header=st.booleans(),
    encoding=TEXT,
    column_types=st.dictionaries(TEXT, TEXT, max_size=3),
    escape=st.none() | TEXT,
    date_formats=st.dictionaries(TEXT, TEXT, max_size=3),
    keep_default_na=st.booleans(),
    na_values=st.lists(TEXT, max_size=3),
    one_header=st.booleans(),
    names=st.lists(TEXT, max_size=3),
    infer_types=st.booleans(),
    path_column=st.none() | TEXT,
    multi_line=st.booleans(),
    as_dicts=st.booleans(),
    query=st.none() | TEXT,
    split_by=st.none() | TEXT,
    database=TEXT,
)
INPUT = of(
    Input,
    name=TEXT,
    paths=st.lists(TEXT, max_size=3).map(tuple),
    mode=TEXT,
    tabular=st.none() | TABULAR,
    partition_format=st.none() | TEXT,
)
REGISTRATION = of(
    Registration,
    kind=TEXT,
    name=TEXT,
    paths=st.lists(TEXT, max_size=3).map(tuple),
    datastore=TEXT,
    description=TEXT,
    tags=st.dictionaries(TEXT, TEXT, max_size=3),
    properties=st.dictionaries(TEXT, TEXT, max_size=3),
    tabular=st.none() | st.dictionaries(TEXT, TEXT, max_size=3),
)
JOB = of(
    Job,
    name=TEXT,
    run_id=TEXT,
    run_uri=TEXT,
    inputs=st.lists(INPUT, max_size=3).map(tuple),
    mini_batch=of(MiniBatchSize, unit=TEXT, value=NUMBER),
    output=of(
        Output,
        action=TEXT,
        uri=TEXT,
        file_name=TEXT,
        format=TEXT,
        header=st.booleans(),
        separator=st.none() | TEXT,
        name=TEXT,
        registration=st.none() | REGISTRATION,
    ),
    source_uri=TEXT,
    entry_script=TEXT,
    arguments=st.lists(TEXT, max_size=3).map(tuple),
    variables=st.dictionaries(TEXT, TEXT, max_size=3),
    models=st.lists(of(Model, name=TEXT, version=NUMBER, uri=TEXT), max_size=3).map(tuple),
    datastores=st.lists(
        of(Datastore, name=TEXT, uri=TEXT, default=st.booleans(), read_only=st.booleans()), max_size=3
    ).map(tuple),
    catalogue=TEXT,
    side_inputs=st.lists(
        of(ScriptInput, name=TEXT, uris=st.lists(TEXT, max_size=3).map(tuple), mode=TEXT, tabular=st.none()), max_size=3
    ).map(tuple),
    workers=NUMBER,
    processes_per_worker=NUMBER,
    concurrency_per_process=NUMBER,
    partition_keys=st.lists(TEXT, max_size=3).map(tuple),
    coalesce=st.booleans(),
    gpus_per_worker=NUMBER,
    max_tries=NUMBER,
    thresholds=of(
        Thresholds,
        error_threshold=NUMBER,
        allowed_failed_count=NUMBER,
        allowed_failed_percent=st.none() | SECONDS,
        failed_items_warning_percent=SECONDS,
        chosen=st.booleans(),
    ),
    timeouts=of(
        Timeouts,
        run_invocation=SECONDS,
        task_overhead=SECONDS,
        init=SECONDS,
        first_task_creation=st.none() | SECONDS,
        progress_update=st.none() | SECONDS,
        storage=SECONDS,
    ),
    logging_level=TEXT,
    resource_monitor_interval=SECONDS,
    profiling_module=st.none() | TEXT,
    metrics_name_prefix=TEXT,
    container_log=TEXT,
    sample=st.none() | NUMBER,
    retry_failed=st.booleans(),
    accept_changed_code=st.booleans(),
    code=st.dictionaries(TEXT, TEXT, max_size=3),
    code_uri=TEXT,
    runtime=TEXT,
    experiment=TEXT,
    parent_id=TEXT,
    pipeline_parameters=st.dictionaries(TEXT, TEXT, max_size=3),
)


@settings(max_examples=50)
@given(job=JOB)
def test_a_job_arrives_as_it_left(job):
    text = job.to_json()
    assert Job.from_json(text) == job
    assert Job.from_json(text).to_json() == text


@pytest.fixture
def raw():
    job = Job("n", "1", "/r", (Input("i", ("/i",)),), MiniBatchSize("files", 1), Output("append_row", "/o"), "/c", "e")
    return json.loads(job.to_json())


def test_what_is_not_stated_has_its_default(raw):
    for name in ("thresholds", "timeouts"):
        raw[name] = {}
    for name in ("workers", "variables", "sample"):
        del raw[name]
    job = Job.from_json(json.dumps(raw))
    assert (job.thresholds, job.timeouts) == (Thresholds(), Timeouts())
    assert (job.workers, job.variables, job.sample) == (1, {}, None)


def test_what_is_not_json_is_refused():
    with pytest.raises(ValueError, match="Expecting"):
        Job.from_json("name: step")
