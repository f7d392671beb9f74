"""From documents to the job."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from manifests import resource
from resolving import FILES, MNIST, ROWS, STEP, Resolve

from longshore_api import InvalidDocuments
from longshore_planner.documents import load
from longshore_planner.resolve import resolve
from longshore_protocol.job import Job, MiniBatchSize, TabularFormat, Timeouts


def test_a_step_by_itself_becomes_a_job_with_azure_mls_defaults(resolved: Resolve, tmp_path: Path):
    found = resolved(MNIST)
    assert found.python is None
    job = found.job
    assert (job.name, job.run_id, job.run_uri) == ("digits", "r1", "/runs/1")
    assert job.inputs[0].paths == (f"{tmp_path}/images/**/*.png",)
    assert (job.inputs[0].mode, job.inputs[0].tabular) == ("mount", None)
    assert job.mini_batch == MiniBatchSize("files", 10)
    assert (job.output.uri, job.output.file_name) == ("/runs/1/inferences", "parallel_run_step.txt")
    assert (job.source_uri, job.entry_script) == (str(tmp_path), "digits.py")
    assert (job.workers, job.processes_per_worker, job.max_tries, job.sample) == (1, 1, 3, None)
    assert job.timeouts == Timeouts()
    assert Job.from_json(job.to_json()) == job


CHOSEN = {
    "nothing": ({}, False),
    "a share for the warning": ({"failedItemsWarningPercent": 5}, False),
    "failed items": ({"errorThreshold": 5}, True),
    "failed items, ignored": ({"errorThreshold": -1}, True),
    "failed mini-batches": ({"allowedFailedCount": 2}, True),
    "a share of failed mini-batches": ({"allowedFailedPercent": 100}, True),
    "failed items, among the arguments": ({"arguments": ["--error_threshold", "-1"]}, True),
    "failed mini-batches, among the arguments": ({"arguments": ["--allowed_failed_count=3"]}, True),
    "another setting among the arguments": ({"arguments": ["--logging_level", "DEBUG"]}, False),
}


@pytest.mark.parametrize(("changes", "chosen"), CHOSEN.values(), ids=CHOSEN.keys())
def test_the_job_states_whether_its_user_chose_how_much_may_fail(resolved: Resolve, changes, chosen):
    assert resolved(MNIST, **changes).job.thresholds.chosen is chosen


def test_every_setting_reaches_the_job(resolved: Resolve):
    job = resolved(
        MNIST,
        arguments=["--a", 1, True],
        environmentVariables={"A": "b"},
        errorThreshold="10",
        allowedFailedCount=2,
        allowedFailedPercent="2.5",
        failedItemsWarningPercent="1.5",
        runInvocationTimeoutSeconds=5,
        taskOverheadTimeoutSeconds=6,
        initTimeoutSeconds=7,
        firstTaskCreationTimeoutSeconds=8,
        progressUpdateTimeoutSeconds=9,
        storageTimeoutSeconds=10,
        runMaxTry=1,
        loggingLevel="DEBUG",
        resourceMonitorIntervalSeconds=0,
        profilingModule="cProfile",
        containerLog="all",
        metricsNamePrefix="x_",
        nodeCount="3",
        processCountPerNode="2",
        maxConcurrencyPerProcess="40",
        appendRowFileName="mnist_outputs.txt",
        output={"name": "o", "format": "csv", "header": True, "separator": ";"},
        sample=3,
    ).job
    assert job.arguments == ("--a", "1", "true")
    assert job.variables == {"A": "b"}
    assert (job.thresholds.error_threshold, job.thresholds.allowed_failed_count) == (10, 2)
    assert (job.thresholds.allowed_failed_percent, job.thresholds.failed_items_warning_percent) == (2.5, 1.5)
    assert job.timeouts == Timeouts(5, 6, 7, 8, 9, 10)
    assert (job.max_tries, job.logging_level, job.resource_monitor_interval) == (1, "DEBUG", 0)
    assert (job.profiling_module, job.metrics_name_prefix) == ("cProfile", "x_")
    assert job.container_log == "all"
    assert (job.workers, job.processes_per_worker, job.sample) == (3, 2, 3)
    assert job.concurrency_per_process == 40
    assert (job.output.format, job.output.header, job.output.separator) == ("csv", True, ";")
    assert job.output.file_name == "mnist_outputs.txt"


def test_an_escape_character_reaches_the_format(resolved: Resolve):
    spec = {"tabular": {"paths": ["a"], "escapeCharacter": "\\", "supportMultiLine": True}}
    job = resolved(resource("Dataset", "mnist", spec)).job
    assert job.inputs[0].tabular == TabularFormat("csv", escape="\\", multi_line=True)


def test_what_texts_of_cells_mean_is_taken_over(resolved: Resolve):
    given = {
        "paths": ["rows"],
        "columnTypes": {"day": "datetime64[ns]"},
        "dateFormats": {"day": "%d/%m/%Y"},
        "keepDefaultNa": False,
        "naValues": ["-", ""],
    }
    job = resolved(inputs=[{"name": "rows", "tabular": given}]).job
    assert job.inputs[0].tabular == TabularFormat(
        "csv",
        column_types={"day": "datetime64[ns]"},
        date_formats={"day": "%d/%m/%Y"},
        keep_default_na=False,
        na_values=["-", ""],
    )
    assert Job.from_json(job.to_json()) == job


def test_tabular_inputs_are_read_directly_in_pieces_of_one_megabyte(resolved: Resolve):
    job = resolved(resource("Dataset", "mnist", ROWS)).job
    assert job.inputs[0].mode == "direct"
    assert job.inputs[0].tabular == TabularFormat("csv", column_types={"id": "int64"})
    assert job.mini_batch == MiniBatchSize("bytes", 1024**2)


@pytest.mark.parametrize(
    ("data", "sizes", "result"),
    [
        (FILES, {"miniBatchSize": "5"}, MiniBatchSize("files", 5)),
        (FILES, {"miniBatch": {"files": 7}}, MiniBatchSize("files", 7)),
        (ROWS, {"miniBatchSize": "10MB"}, MiniBatchSize("bytes", 10 * 1024**2)),
        (ROWS, {"miniBatchSize": 2048}, MiniBatchSize("bytes", 2048)),
        (ROWS, {"miniBatch": {"bytes": "1KB"}}, MiniBatchSize("bytes", 1024)),
        (ROWS, {"miniBatch": {"rows": "100"}}, MiniBatchSize("rows", 100)),
    ],
)
def test_a_size_without_unit_is_in_files_or_bytes(
    resolved: Resolve, data: dict[str, Any], sizes: dict[str, Any], result: MiniBatchSize
):
    assert resolved(resource("Dataset", "mnist", data), **sizes).job.mini_batch == result


def test_partition_keys_and_formats_are_passed_on(resolved: Resolve):
    rows = resource("Dataset", "mnist", {"tabular": {"paths": ["a"], "partitionFormat": "{year}/*.csv"}})
    job = resolved(rows, partitionKeys=["year", "store"]).job
    assert (job.partition_keys, job.inputs[0].partition_format) == (("year", "store"), "{year}/*.csv")
    assert Job.from_json(job.to_json()) == job
    inputs = [{"name": "mnist", "dataset": "mnist", "partitionFormat": "{day:yyyy}/*"}]
    assert resolved(rows, inputs=inputs).job.inputs[0].partition_format == "{day:yyyy}/*"
    assert resolved(rows, coalesceSmallFiles=True).job.coalesce


def test_a_partition_format_that_is_none_is_reported_where_it_stands(problems: Callable[..., list[str]]):
    data = {"file": {"paths": ["a"], "partitionFormat": "{user}/{user}.wav"}}
    assert problems(resource("Dataset", "mnist", data), partitionKeys=["user"]) == [
        "spec.file.partitionFormat is '{user}/{user}.wav': must not use the name 'user' twice"
    ]


@pytest.mark.parametrize(
    ("data", "spec", "sentence"),
    [
        (
            FILES,
            {"miniBatchSize": "1MB"},
            "spec.miniBatchSize is '1MB': must be a number of files, because the inputs are files",
        ),
        (
            FILES,
            {"coalesceSmallFiles": True},
            "spec.coalesceSmallFiles is not supported for files; remove it, or use tabular inputs",
        ),
        (
            FILES,
            {"partitionKeys": ["user"]},
            (
                "spec.partitionKeys[0] is 'user': must be in the partitionFormat of every input, and that of "
                "spec.inputs[0] is not given"
            ),
        ),
        (
            {"file": {"paths": ["a"], "partitionFormat": "{user}/{season}.wav"}},
            {"partitionKeys": ["season", "genre"]},
            (
                "spec.partitionKeys[1] is 'genre': must be in the partitionFormat of every input, and that of "
                "spec.inputs[0] has user and season"
            ),
        ),
        (
            FILES,
            {"miniBatch": {"rows": 5}},
            "spec.miniBatch.rows is not supported, because the inputs are files; set files",
        ),
        (
            ROWS,
            {"miniBatch": {"files": 5}},
            "spec.miniBatch.files is not supported, because the inputs are tabular; set bytes or rows",
        ),
        (
            FILES,
            {"inputs": [{"name": "a", "dataset": "mnist", "mode": "direct"}]},
            (
                "spec.inputs[0].mode is 'direct': must be mount or download, because the input is files; "
                "direct is for tabular inputs"
            ),
        ),
        (
            FILES,
            {"inputs": [{"name": "a", "dataset": "mnist"}, {"name": "b", **ROWS}]},
            "spec.inputs must all be of one kind: 'a' is files, 'b' tabular",
        ),
        (
            FILES,
            {"inputs": [{"name": "a", "dataset": "mnst"}]},
            "spec.inputs[0].dataset is 'mnst': there is no such Dataset; the documents have mnist",
        ),
        (
            FILES,
            {"computeTarget": "gpu"},
            "spec.computeTarget is 'gpu': there is no such ComputeCluster; the documents have none",
        ),
        (
            FILES,
            {"environment": {"name": "e"}},
            "spec.environment.name is 'e': there is no such Environment; the documents have none",
        ),
        (
            FILES,
            {"output": {"name": "o", "datastore": "d"}},
            "spec.output.datastore is 'd': there is no such Datastore; the documents have none",
        ),
        (
            FILES,
            {"models": [{"name": "m", "version": 2}]},
            "spec.models[0].name is 'm': there is no such Model of version 2; Models and their versions: none",
        ),
        (
            FILES,
            {"source": {"configMap": "code"}},
            "spec.source.configMap is supported on clusters only; for a local run, set spec.source.uri",
        ),
        (
            FILES,
            {"source": {"uri": "file://code"}},
            (
                "spec.source.uri is 'file://code': it names a machine, 'code': "
                "write file:code/… for a path relative to the YAML file"
            ),
        ),
        (
            FILES,
            {"arguments": ["--x", "$(inputs.mnist)"]},
            (
                "spec.arguments[1] refers to inputs.mnist, which does not exist; arguments of a standalone step can "
                "refer to $(parameters.NAME), and $(outputs.inferences)"
            ),
        ),
    ],
)
def test_what_documents_do_not_agree_on_is_one_sentence(
    problems: Callable[..., list[str]], data: dict[str, Any], spec: dict[str, Any], sentence: str
):
    assert problems(resource("Dataset", "mnist", data), **spec) == [sentence]


def test_all_that_is_wrong_is_reported_at_once(problems: Callable[..., list[str]]):
    assert len(problems(computeTarget="c", environment={"name": "e"}, models=[{"name": "m"}])) == 4


def test_a_run_takes_exactly_one_step(tmp_path: Path):
    path = tmp_path / "a.yaml"
    path.write_text(yaml.safe_dump(MNIST))
    with pytest.raises(InvalidDocuments, match="none is a ParallelRunStep; found Dataset"):
        resolve(load([path]), run_uri="/runs/1", run_id="r1", cores=1)
    steps = [resource("ParallelRunStep", name, STEP) for name in ("one", "two")]
    path.write_text(yaml.safe_dump_all([MNIST, *steps]))
    with pytest.raises(InvalidDocuments, match=r"takes one ParallelRunStep; found one \(.*\) and two \("):
        resolve(load([path]), run_uri="/runs/1", run_id="r1", cores=1)


def test_settings_among_the_arguments_win_and_stay_in_the_arguments(resolved: Resolve):
    arguments = ["--error_threshold", "5", "--logging_level=DEBUG", "--append_row_dataframe_header", "True", "--mine"]
    job = resolved(MNIST, arguments=arguments, errorThreshold=1).job
    assert job.thresholds.error_threshold == 5
    assert (job.logging_level, job.output.header) == ("DEBUG", True)
    assert job.arguments == ("--error_threshold", "5", "--logging_level=DEBUG", *arguments[3:4], "True", "--mine")


def test_files_may_be_lines_whose_rows_are_dicts(resolved: Resolve):
    arguments = ["--amlbi_file_format", "jsonl", "--amlbi_mini_batch_rows=5"]
    job = resolved(MNIST, arguments=arguments, miniBatchSize=10).job
    assert job.mini_batch == MiniBatchSize("rows", 5)
    assert job.inputs[0].tabular == TabularFormat("jsonl", as_dicts=True)
    assert job.arguments == tuple(arguments)
    in_units = resolved(MNIST, arguments=arguments[:2], miniBatch={"rows": 7}).job
    assert in_units.mini_batch == MiniBatchSize("rows", 7)


def test_a_number_of_rows_beside_partition_keys_names_the_argument(problems: Callable[..., list[str]]):
    arguments = ["--amlbi_file_format", "jsonl", "--amlbi_mini_batch_rows", "5"]
    assert problems(MNIST, arguments=arguments, partitionKeys=["day"]) == [
        "spec.arguments[3] must be left out when partitionKeys is given"
    ]


def test_an_abbreviated_flag_is_the_scripts_own(resolved: Resolve):
    assert resolved(MNIST, arguments=["--error", "5"]).job.thresholds.error_threshold == -1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--x", "--error_threshold", "-2"],
            "spec.arguments[2] is '-2': must be -1 (ignore errors) or more",
        ),
        (
            ["--task_overhead_timeout=0"],
            "spec.arguments[0] is '0': must be a whole number of seconds from 1 to 259200 (three days)",
        ),
        (["--logging_level"], "spec.arguments[0] is '--logging_level': must be followed by a value"),
        (["--amlbi_file_format", "csv"], "spec.arguments[1] is 'csv': must be jsonl after --amlbi_file_format"),
        (
            ["--amlbi_file_format=jsonl"],
            (
                "spec.arguments[0] is 'jsonl': needs the rows per mini-batch; add --amlbi_mini_batch_rows N, "
                "or set miniBatch.rows"
            ),
        ),
        (
            ["--amlbi_mini_batch_rows", "0", "--amlbi_file_format", "jsonl"],
            "spec.arguments[1] is '0': must be a whole number, 1 or more",
        ),
    ],
)
def test_a_bad_setting_among_the_arguments_names_the_argument(
    problems: Callable[..., list[str]], arguments: list[str], sentence: str
):
    assert problems(MNIST, arguments=arguments) == [sentence]


def test_arguments_may_refer_to_the_output_folder(resolved: Resolve):
    assert resolved(MNIST, arguments=["--to=$(outputs.inferences)/x"]).job.arguments == ("--to=/runs/1/inferences/x",)
