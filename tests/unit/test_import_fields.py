"""What the fields of a parallel job, and of a ParallelRunConfig, become."""

from typing import Any

from azureml_jobs import cases, config, parallel, step


@cases(
    (
        "a mini-batch is one file where nothing is said",
        parallel(),
        {"miniBatchSize": 1, "processCountPerNode": "auto"},
    ),
    ("a size as a string stays one", parallel(mini_batch_size="5"), {"miniBatchSize": "5"}),
    (
        "partition keys take the place of a size",
        parallel(partition_keys=["store", "brand"], mini_batch_size=5),
        {"partitionKeys": ["store", "brand"], "miniBatchSize": None},
    ),
    (
        "so they do in v1",
        config(partition_keys=["a"], mini_batch_size="5"),
        {"partitionKeys": ["a"], "miniBatchSize": None},
    ),
    (
        "none in v1 are none",
        config(partition_keys=None, mini_batch_size="5"),
        {"miniBatchSize": "5", "partitionKeys": None},
    ),
    ("retries come after the first try", parallel(retry_settings={"max_retries": 0}), {"runMaxTry": 1}),
    ("retries may be a string", parallel(retry_settings={"max_retries": "2"}), {"runMaxTry": 3}),
    ("a timeout is that of run()", parallel(retry_settings={"timeout": 90}), {"runInvocationTimeoutSeconds": 90}),
    ("failed mini-batches are counted", parallel(mini_batch_error_threshold=3), {"allowedFailedCount": 3}),
    ("instances are nodes", parallel(resources={"instance_count": 3}), {"nodeCount": 3}),
    ("concurrency is processes of a node", parallel(max_concurrency_per_instance=4), {"processCountPerNode": 4}),
    ("levels are in capitals", parallel(logging_level="debug"), {"loggingLevel": "DEBUG"}),
    ("rows are appended where an output is named", parallel(), {"outputAction": "append_row"}),
    ("no output for rows is summary_only", parallel({"append_row_to": None}), {"outputAction": "summary_only"}),
    (
        "variables are strings",
        parallel(environment_variables={"A": 1, "B": True}),
        {"environmentVariables": {"A": "1", "B": "true"}},
    ),
    (
        "Azure ML's settings stay among the arguments, where Longshore reads them, too",
        parallel({"program_arguments": "--error_threshold 5 --name 'two words'"}),
        {"arguments": ["--error_threshold", "5", "--name", "two words"]},
    ),
    (
        "a literal stands in the arguments, and an optional part without a value does not",
        parallel(
            {"program_arguments": "--k ${{ inputs.k }} $[[--limit ${{inputs.limit}}]]"},
            inputs={
                "files": {"path": "data", "type": "uri_folder"},
                "k": 3,
                "limit": {"type": "integer", "optional": True},
            },
        ),
        {"arguments": ["--k", "3"]},
    ),
    (
        "an optional part with a value stands there",
        parallel(
            {"program_arguments": "$[[--limit ${{inputs.limit}}]]"},
            inputs={"files": {"path": "data", "type": "uri_folder"}, "limit": {"type": "integer", "default": 7}},
        ),
        {"arguments": ["--limit", "7"]},
    ),
    (
        "the file of rows is called what its path ends in",
        parallel(outputs={"rows": {"type": "uri_file", "path": "azureml://datastores/d/paths/x/rows.csv"}}),
        {"appendRowFileName": "rows.csv", "output": {"name": "rows", "datastore": "d"}},
    ),
    (
        "an output that is called as an input gets another name",
        parallel({"append_row_to": "${{outputs.files}}"}, outputs={"files": {"type": "uri_file"}}),
        {"output": {"name": "files_folder"}},
    ),
    (
        "a table's default size is Longshore's, too",
        parallel(inputs={"files": {"type": "mltable", "path": "t", "mode": "eval_mount"}}),
        {"inputs": [{"name": "files", "dataset": "files"}], "miniBatchSize": None},
    ),
    (
        "copies are asked for",
        parallel(inputs={"files": {"type": "uri_folder", "path": "d", "mode": "download"}}),
        {"inputs": [{"name": "files", "dataset": "files", "mode": "download"}]},
    ),
    (
        "a config's numbers may be strings",
        config(mini_batch_size="5", node_count="2"),
        {"miniBatchSize": "5", "nodeCount": "2"},
    ),
    (
        "a config's times have their unit",
        config(run_invocation_timeout=600, run_max_try=2),
        {"runInvocationTimeoutSeconds": 600, "runMaxTry": 2},
    ),
    ("a config's file of rows", config(append_row_file_name="a.txt"), {"appendRowFileName": "a.txt"}),
)
def test_fields_become_ours(content: Any, expected: dict[str, Any]):
    spec, _ = step(content)
    assert {key: spec.get(key) for key in expected} == expected


def test_a_config_without_a_size_leaves_it_to_the_default_which_is_the_same():
    spec, _ = step(config())
    assert spec.keys().isdisjoint({"miniBatchSize", "processCountPerNode", "runMaxTry"})
