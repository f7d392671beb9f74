"""The custom resources: defaults, ranges, rules between fields, and the sentences that say what is wrong."""

import copy
from collections.abc import Iterator
from typing import Any

import pandas
import pytest
from manifests import manifest

from longshore_api import KINDS, InvalidDocuments, ParallelRunStep, parse
from longshore_api.crdgen.descriptions import Described

BELOW = "must be the path of a .py file below the source folder"
STEP: dict[str, Any] = {
    "apiVersion": "longshore.dev/v1alpha1",
    "kind": "ParallelRunStep",
    "metadata": {"name": "digits"},
    "spec": {
        "inputs": [{"name": "mnist", "dataset": "mnist"}],
        "output": {"name": "inferences"},
        "entryScript": "digits.py",
        "outputAction": "append_row",
    },
}


def step(**spec: Any) -> dict[str, Any]:
    return {**STEP, "spec": {**copy.deepcopy(STEP["spec"]), **spec}}


def problems(raw: Any) -> list[str]:
    with pytest.raises(InvalidDocuments) as caught:
        parse(raw, where="steps.yaml document 2")
    return [f"{each.path} {each.text}".strip() for each in caught.value.problems]


def test_defaults_are_those_of_azure_ml():
    found = parse(STEP)
    assert isinstance(found, ParallelRunStep)
    spec = found.spec.model_dump(exclude={"inputs", "output", "entry_script", "output_action"}, exclude_none=True)
    assert spec == {
        "description": "",
        "side_inputs": [],
        "models": [],
        "arguments": [],
        "environment_variables": {},
        "node_count": 1,
        "process_count_per_node": 1,
        "max_concurrency_per_process": 16,
        "coalesce_small_files": False,
        "append_row_file_name": "parallel_run_step.txt",
        "error_threshold": -1,
        "allowed_failed_count": -1,
        "failed_items_warning_percent": 10,
        "run_invocation_timeout_seconds": 60,
        "run_max_try": 3,
        "task_overhead_timeout_seconds": 30,
        "init_timeout_seconds": 600,
        "storage_timeout_seconds": 600,
        "logging_level": "INFO",
        "container_log": "failures",
        "resource_monitor_interval_seconds": 600,
        "metrics_name_prefix": "",
        "priority": 0,
        "suspend": False,
        "cancel": False,
        "retry_failed": False,
        "accept_changed_code": False,
    }


def test_strings_are_taken_where_azure_ml_takes_numbers():
    raw = step(nodeCount="2", errorThreshold="-1", allowedFailedPercent="2.5", miniBatchSize="5", runMaxTry="1")
    spec = parse(raw).spec  # type: ignore[attr-defined]
    assert (spec.node_count, spec.error_threshold, spec.allowed_failed_percent, spec.run_max_try) == (2, -1, 2.5, 1)


def test_partition_keys_may_be_a_string_with_a_list_as_parameters_of_azure_ml_have_it():
    assert parse(step(partitionKeys='["store", "brand"]')).spec.partition_keys == ["store", "brand"]  # type: ignore[attr-defined]
    assert problems(step(partitionKeys=["a", "a"])) == [
        "spec.partitionKeys must name each key once: 'a' is there twice"
    ]
    assert problems(step(partitionKeys=[])) == ["spec.partitionKeys must hold at least 1 element"]
    assert problems(step(partitionKeys="store")) == ["spec.partitionKeys is 'store': must be a list"]


def test_a_sentence_names_document_field_value_and_rule():
    with pytest.raises(InvalidDocuments) as caught:
        parse(step(errorThreshold=-2), where="steps.yaml document 2")
    assert str(caught.value) == (
        "steps.yaml document 2, ParallelRunStep/digits: spec.errorThreshold is -2: must be -1 (ignore errors) or more"
    )


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("nodeCount", 0, "spec.nodeCount is 0: must be a whole number, 1 or more"),
        ("nodeCount", True, "spec.nodeCount is true: must be a whole number, 1 or more"),
        ("runMaxTry", "0", "spec.runMaxTry is '0': must be a whole number, 1 or more"),
        ("allowedFailedCount", -2, "spec.allowedFailedCount is -2: must be -1 (no limit) or more"),
        ("allowedFailedPercent", 101, "spec.allowedFailedPercent is 101: must be a number from 0 to 100"),
        (
            "runInvocationTimeoutSeconds",
            259201,
            "spec.runInvocationTimeoutSeconds is 259201: must be at most 259200",
        ),
        (
            "initTimeoutSeconds",
            0,
            "spec.initTimeoutSeconds is 0: must be a whole number of seconds from 1 to 259200 (three days)",
        ),
        ("loggingLevel", "ERROR", "spec.loggingLevel is 'ERROR': must be WARNING, INFO or DEBUG"),
        ("entryScript", "a.sh", f"spec.entryScript is 'a.sh': {BELOW}"),
        ("outputAction", "append-row", "spec.outputAction is 'append-row': must be append_row or summary_only"),
        ("containerLog", "errors", "spec.containerLog is 'errors': must be failures, all or none"),
        ("profilingModule", "yappi", "spec.profilingModule is 'yappi': must be cProfile or profile"),
        (
            "miniBatchSize",
            "10XB",
            "spec.miniBatchSize is '10XB': must be a number such as 10, or a size such as 1024, 1024KB, 10MB or 1GB",
        ),
        ("miniBatch", {"files": 1, "rows": 1}, "spec.miniBatch must have exactly one of files, bytes and rows"),
        ("inputs", [], "spec.inputs must hold at least 1 element"),
        ("inputs", {}, "spec.inputs is a mapping: must be a list"),
        ("inputs", [{"name": "a"}], "spec.inputs[0] must have exactly one of dataset, file and tabular"),
        (
            "inputs",
            [{"name": "a", "dataset": "b", "mode": "mounted"}],
            "spec.inputs[0].mode is 'mounted': must be mount, download or direct",
        ),
        ("output", None, "spec.output is missing: outputAction append_row needs an output"),
        (
            "output",
            {"name": "logs"},
            "spec.output.name is 'logs': must be another name: state and logs hold the run's own files",
        ),
        (
            "output",
            {"name": "o", "format": "jsonl", "separator": ","},
            "spec.output.separator is ',': must be left out with format jsonl",
        ),
        ("output", {"name": "mnist"}, "spec.inputs must have unique names: 'mnist' is used twice"),
        ("entryScript", "/a.py", f"spec.entryScript is '/a.py': {BELOW}"),
        (
            "entryScript",
            "../a.py",
            f"spec.entryScript is '../a.py': {BELOW}",
        ),
        ("appendRowFileName", "a/b.txt", "spec.appendRowFileName is 'a/b.txt': must be a file name without folders"),
        ("appendRowFileName", "..", "spec.appendRowFileName is '..': must be a file name without folders"),
        ("source", {"uri": "a", "image": "/b"}, "spec.source must have exactly one of uri, configMap and image"),
        ("environmentVariables", {"A": 1}, "spec.environmentVariables.A is 1: must be a string; put it in quotes"),
        ("description", 3, "spec.description is 3: must be a string; put it in quotes"),
        ("environment", "batch", "spec.environment is 'batch': must be a mapping of fields"),
        ("nodeCounts", 2, "spec.nodeCounts is not a known field: did you mean nodeCount?"),
        ("node_count", 2, "spec.node_count is not a known field: did you mean nodeCount?"),
    ],
)
def test_a_broken_rule_of_a_step_is_one_sentence(field: str, value: Any, sentence: str):
    assert problems(step(**{field: value})) == [sentence]


def test_an_unknown_field_that_resembles_none_is_answered_with_the_known_ones():
    wrong = {"name": "a", "dataset": "b", "zzz": 1}
    known = "dataset, file, mode, name, partitionFormat and tabular"
    assert problems(step(inputs=[wrong])) == [f"spec.inputs[0].zzz is not a known field: the known fields are {known}"]


def test_both_sizes_at_once_are_refused():
    assert problems(step(miniBatchSize=5, miniBatch={"files": 5})) == [
        "spec.miniBatch must be left out when miniBatchSize is given"
    ]


def test_every_problem_of_a_document_is_reported_at_once():
    found = problems(step(nodeCount=0, runMaxTry=0, entryScript=5))
    assert len(found) == 3


def test_a_missing_field_is_reported():
    raw = copy.deepcopy(STEP)
    del raw["spec"]["entryScript"], raw["metadata"]["name"]
    assert problems(raw) == ["metadata.name is missing: it is required", "spec.entryScript is missing: it is required"]


@pytest.mark.parametrize("name", ["ab", "a" * 52, "Digits", "1digits", "digits-", "di_gits"])
def test_names_of_steps_leave_room_for_those_of_their_pods_and_services(name: str):
    (found,) = problems({**STEP, "metadata": {"name": name}})
    assert found.startswith(f"metadata.name is {name!r}: must be 3 to 51 lower-case letters")


def test_names_of_other_kinds_keep_kubernetes_rule():
    raw = manifest("Environment", {"image": "python:3.11"})
    assert parse({**raw, "metadata": {"name": "1.a-b"}}).metadata.name == "1.a-b"
    assert problems({**raw, "metadata": {"name": "a_b"}})[0].startswith("metadata.name is 'a_b': must be at most 253")


@pytest.mark.parametrize(
    ("kind", "spec", "sentence"),
    [
        (
            "ComputeCluster",
            {"minNodes": 3, "maxNodes": 2},
            "spec.minNodes is 3: must not be above maxNodes, which is 2",
        ),
        ("ComputeCluster", {"minNodes": 5}, "spec.minNodes is 5: must not be above maxNodes, which is 4"),
        ("ComputeCluster", {"vmPriority": "spot"}, "spec.vmPriority is 'spot': must be dedicated or lowpriority"),
        (
            "ComputeCluster",
            {"vmSize": "A", "resources": {}},
            "spec must have only one of vmSize and resources",
        ),
        ("Datastore", {}, "spec.uri is missing: it is required"),
        ("Datastore", {"uri": " "}, "spec.uri is ' ': must be a string that is not empty"),
        ("Dataset", {}, "spec must have exactly one of file and tabular"),
        ("Dataset", {"file": {"paths": []}}, "spec.file.paths must hold at least 1 element"),
        (
            "Dataset",
            {"tabular": {"paths": ["a"], "format": "xml"}},
            "spec.tabular.format is 'xml': must be csv, jsonl, parquet or sql",
        ),
        (
            "Dataset",
            {"tabular": {"paths": ["a"], "separator": "ab"}},
            "spec.tabular.separator is 'ab': must be one character, and no quote or line end",
        ),
        (
            "Dataset",
            {"tabular": {"paths": ["a"], "encoding": "utf8x"}},
            "spec.tabular.encoding is 'utf8x': must be a text encoding of Python, such as utf-8 or latin-1",
        ),
        *(
            (
                "Dataset",
                {"tabular": {"paths": ["a"], "columnTypes": types, "dateFormats": {"day": "%d/%m/%Y"}}},
                "spec.tabular.dateFormats must have a datetime type in columnTypes for each, such as datetime64[ns]",
            )
            for types in ({}, {"other": "datetime"}, {"day": "string"})
        ),
        *(
            (
                "Dataset",
                {"tabular": {"paths": ["a"], "columnTypes": {"day": "datetime"}, "dateFormats": {"day": form}}},
                f"spec.tabular.dateFormats.day is {form!r}: must be a strptime format, such as %d/%m/%Y",
            )
            for form in ("", "ISO8601", "mixed", "dd/MM/yyyy")
        ),
        *(
            (
                "Dataset",
                {"tabular": {"paths": ["a"], "columnTypes": {"id": kind}}},
                (
                    f"spec.tabular.columnTypes.id is {kind!r}: must be a pandas type, such as int64, "
                    "Int64, float32, string, boolean or datetime64[ns]"
                ),
            )
            for kind in ("", "integer", "int46", "varchar", "date", "decimal(10,2)", "datetime64[]", "Float16")
        ),
        *(
            (
                "Dataset",
                {"tabular": {"paths": ["a"], "escapeCharacter": sign}},
                (
                    f"spec.tabular.escapeCharacter is {sign!r}: must be one ASCII punctuation character, such as a "
                    "backslash, and no quote"
                ),
            )
            for sign in ("", '"', "\\\\", "a", "\n", "§")
        ),
        (
            "Dataset",
            {"file": {"paths": ["a"], "partitionFormat": "plain.csv"}},
            (
                "spec.file.partitionFormat is 'plain.csv': must be hive, or the end of a path with placeholders, such "
                "as {user}/{season}.wav or {day:yyyy/MM/dd}/*.csv"
            ),
        ),
        (
            "Environment",
            {"variables": {"A B": "1"}},
            "spec.variables must not name a variable 'A B': letters, digits, '_', '-' and '.' only, and no digit first",
        ),
        ("Model", {"path": "a", "version": "0"}, "spec.version is '0': must be a whole number, 1 or more"),
        ("ScriptStep", {}, "spec.scriptName is missing: it is required"),
        ("ScriptStep", {"scriptName": "/a"}, "spec.scriptName is '/a': must be a path below the source folder"),
        (
            "ScriptStep",
            {"scriptName": "a.py", "inputs": [{"name": "a", "dataset": "a", "from": "b"}]},
            "spec.inputs[0] must have exactly one of dataset, file and from",
        ),
        (
            "ScriptStep",
            {"scriptName": "a.py", "inputs": [{"name": f"i{n}", "dataset": "a"} for n in range(257)]},
            "spec.inputs holds 257 elements: must hold at most 256",
        ),
        (
            "ScriptStep",
            {"scriptName": "a.py", "outputs": [{"name": "a"}, {"name": "a"}]},
            "spec.outputs[1] has the name 'a', as has outputs[0]",
        ),
        ("TransferStep", {"source": {"path": "a"}}, "spec.destination is missing: it is required"),
        (
            "TransferStep",
            {"source": {"path": " "}, "destination": {"path": "b"}},
            "spec.source.path is ' ': must be a string that is not empty",
        ),
        ("Pipeline", {"steps": []}, "spec.steps must hold at least 1 element"),
        (
            "Pipeline",
            {"steps": [{"name": "one", "script": {}, "transfer": {}}]},
            "spec.steps[0] must have exactly one of parallelRun, script and transfer",
        ),
        (
            "Pipeline",
            {"steps": [{"name": "one", "script": {}, "allowReuse": "$(parameters.a) or not"}]},
            "spec.steps[0].allowReuse is '$(parameters.a) or not': must be true or false",
        ),
        (
            "Pipeline",
            {"steps": [{"name": "one", "script": {}, "retries": "$(steps.a)"}]},
            "spec.steps[0].retries is '$(steps.a)': must be a whole number, 0 or more",
        ),
        ("PipelineRun", {}, "spec must have exactly one of pipelineRef, pipelineSpec and retryOf"),
        (
            "PipelineRun",
            {"retryOf": "nightly-1", "parameters": {}},
            "spec.parameters must be left out with retryOf: they are those of the run that is retried",
        ),
    ],
)
def test_a_broken_rule_of_another_kind_is_one_sentence(kind: str, spec: dict[str, Any], sentence: str):
    assert problems(manifest(kind, spec)) == [sentence]


@pytest.mark.parametrize("field", ["allowReuse", "version", "retries", "timeoutSeconds"])
def test_a_setting_of_a_pipelines_step_may_be_a_parameter(field: str):
    fields = {"name": "one", "script": {}, field: "$(parameters.of_the_run)"}
    (found,) = parse(manifest("Pipeline", {"steps": [fields]})).spec.steps  # type: ignore[attr-defined]
    assert found.model_dump(by_alias=True)[field] == "$(parameters.of_the_run)"


def test_a_setting_of_a_pipelines_step_is_read_as_that_of_a_step_is():
    fields = {
        "name": "one",
        "script": {},
        "allowReuse": "false",
        "version": "2",
        "retries": "1",
        "timeoutSeconds": "60",
    }
    (found,) = parse(manifest("Pipeline", {"steps": [fields]})).spec.steps  # type: ignore[attr-defined]
    assert (found.allow_reuse, found.version, found.retries, found.timeout_seconds) == (False, "2", 1, 60)


@pytest.mark.parametrize("default", ["", "a", 0, 1.5, False, {"datastore": "images", "path": "scans"}])
def test_a_parameters_default_is_kept_as_it_is(default: Any):
    """Its type says what it must be, once the run's own values are known."""
    spec = {
        "parameters": [{"name": "a", "type": "string", "default": default}],
        "steps": [{"name": "one", "script": {}}],
    }
    (found,) = parse(manifest("Pipeline", spec)).spec.parameters  # type: ignore[attr-defined]
    assert (found.default, type(found.default)) == (default, type(default))


def test_cluster_sizes_arrive_as_strings_too():
    spec = parse(manifest("ComputeCluster", {"minNodes": "1", "maxNodes": "2"})).spec  # type: ignore[attr-defined]
    assert (spec.min_nodes, spec.max_nodes, spec.idle_seconds_before_scale_down) == (1, 2, 1800)


@pytest.mark.parametrize(
    ("raw", "beginning"),
    [
        (["a"], "is a list: must be a mapping with apiVersion and kind"),
        ({"kind": "Dataset"}, "apiVersion is missing; the known kinds are ComputeCluster, Dataset,"),
        ({"apiVersion": "v1", "kind": "ConfigMap"}, "apiVersion is 'v1': must be longshore.dev/v1alpha1;"),
        ({"apiVersion": "longshore.dev/v1alpha1", "kind": 1}, "kind is 1: must be a string; the known kinds"),
        (
            {"apiVersion": "longshore.dev/v1alpha1", "kind": "Datasets"},
            "kind is 'Datasets': did you mean Dataset? the known kinds are",
        ),
    ],
)
def test_a_document_of_a_foreign_kind_is_answered_with_the_kinds(raw: Any, beginning: str):
    (found,) = problems(raw)
    assert found.startswith(beginning)


def nodes(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
    for each in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from nodes(each)


@pytest.mark.parametrize("kind", KINDS)
def test_schemas_are_structural_but_for_what_crds_inline(kind: str):
    for node in nodes(KINDS[kind].model_json_schema()):
        assert "prefixItems" not in node
        if "anyOf" in node and "x-kubernetes-int-or-string" not in node:
            assert len(node["anyOf"]) == 2
            assert {"type": "null"} in node["anyOf"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_has_a_description(kind: str):
    schema = KINDS[kind].model_json_schema(schema_generator=Described)
    models = [schema, *schema["$defs"].values()]
    assert [
        name
        for model in models
        for name, each in model["properties"].items()
        if not {"description", "$ref"} & set(each)
    ] == []


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        (
            {"spec": {"volumes": [{"name": "keys", "secret": {"secretName": "gcs-key"}}]}},
            "spec.podTemplate.spec.volumes must have a name and one of emptyDir, configMap and persistentVolumeClaim",
        ),
        (
            {"spec": {"volumes": [{"name": "work", "emptyDir": {}}]}},
            "spec.podTemplate.spec.volumes must have other names: worker pods have a volume work",
        ),
        ({"spec": {"hostNetwork": True}}, "spec.podTemplate.spec.hostNetwork is not a known field"),
        (
            {"metadata": {"labels": {"longshore.dev/step": "x"}}},
            "spec.podTemplate.metadata.labels must not have longshore.dev/step: labels of longshore.dev are",
        ),
        (
            {"spec": {"containers": [{"name": "main", "volumeMounts": [{"name": "scratch", "mountPath": "/x"}]}]}},
            "spec.podTemplate.spec.containers must mount volumes of this template only, and 'scratch' is none",
        ),
        (
            {"spec": {"priorityClassName": "system-node-critical"}},
            "spec.podTemplate.spec.priorityClassName is 'system-node-critical': must not begin with system-",
        ),
        (
            {"metadata": {"annotations": {"container.apparmor.security.beta.kubernetes.io/main": "unconfined"}}},
            "spec.podTemplate.metadata.annotations must not have container.apparmor.security.beta.kubernetes.io/main",
        ),
    ],
    ids=[
        "a secret",
        "a name of ours",
        "the host's network",
        "a label of ours",
        "a volume of ours",
        "a priority of the cluster's",
        "no confinement",
    ],
)
def test_a_pod_template_cannot_take_pods_out_of_their_limits(template, problem):
    (found,) = problems(manifest("ComputeCluster", {"podTemplate": template}))
    assert found.startswith(problem)


TYPES = (
    "int64 UInt8 float float16 Float32 str string[pyarrow] boolean category object i8 <f4 datetime64[s] "
    "timedelta64[ns] period[D] U10 int32[pyarrow] complex128"
)


@pytest.mark.parametrize("kind", [*TYPES.split(), "datetime64[ns, Europe/Berlin]"])
def test_types_are_those_of_pandas(kind):
    pandas.api.types.pandas_dtype(kind)  # which knows it, too
    found = parse(manifest("Dataset", {"tabular": {"paths": ["a"], "columnTypes": {"a": kind}}}))
    assert found.spec.tabular.column_types == {"a": kind}
