"""Manifests that must be refused, each with what refuses it: a rule (CEL) or a schema of the definitions in crds/."""

from __future__ import annotations

import re
from typing import Any

from manifests import COPY, SCRIPT, manifest, packages, pipeline, pipeline_step, query, script, step, tabular

Raw = dict[str, Any]

DATABASE = (
    "uri is wrong: it must be postgresql://HOST:PORT/DATABASE or mssql://HOST:PORT/DATABASE: user, password and "
    "options are keys of the Secret, and in a local run variables of its environment"
)
INDEX = (
    "is not supported: it must be an http:// or https:// URL without user, password and query; "
    "put user and password into the Secret that secretRef names"
)
FILES_AND_ROWS = {"file": {"paths": ["a"]}, "tabular": {"paths": ["a"]}}
BY_RULE: dict[tuple[str, str], list[Raw]] = {  # by model and message
    ("DatasetSpec", "must have exactly one of file and tabular"): [
        manifest("Dataset", {}),
        manifest("Dataset", FILES_AND_ROWS),
    ],
    ("DatastoreSpec", DATABASE): [
        manifest("Datastore", {"uri": uri})
        for uri in (
            "postgresql://db",
            "PostgreSQL://db/sales",
            "postgresql://user@db/sales",
            "postgresql://user:word@db/sales",
            "postgresql://db/sales?password=word",
            "postgresql+psycopg://db/sales",
            "postgres://db/sales",
            "mssql://db:port/sales",
            "sqlserver://db/sales",
        )
    ],
    ("TabularDataset", "rowsAs must be dataframe, but with format jsonl"): [tabular(paths=["a"], rowsAs="dicts")],
    ("TabularDataset", "columnTypes must be left out with rowsAs dicts"): [
        tabular(paths=["a"], format="jsonl", rowsAs="dicts", columnTypes={"id": "int64"})
    ],
    ("TabularDataset", "keepDefaultNa must be left out: it belongs to format csv"): [
        tabular(paths=["a"], format="parquet", keepDefaultNa=False),
        query(keepDefaultNa=False),
    ],
    ("TabularDataset", "naValues must be left out: it belongs to format csv"): [
        tabular(paths=["a"], format="jsonl", naValues=["-"]),
        query(naValues=["-"]),
    ],
    ("TabularDataset", "escapeCharacter must be left out: it belongs to format csv"): [
        tabular(paths=["a"], format="jsonl", escapeCharacter="^"),
        query(escapeCharacter="^"),
    ],
    ("TabularDataset", "escapeCharacter must be another character than separator"): [
        tabular(paths=["a"], separator="|", escapeCharacter="|"),
    ],
    ("TabularDataset", "onlyFirstFileHasHeader must be left out: it belongs to format csv"): [
        tabular(paths=["a"], format="parquet", onlyFirstFileHasHeader=True),
        query(onlyFirstFileHasHeader=True),
    ],
    ("TabularDataset", "onlyFirstFileHasHeader must be left out with header false"): [
        tabular(paths=["a"], header=False, onlyFirstFileHasHeader=True),
    ],
    ("TabularDataset", "inferColumnTypes must be left out: it belongs to format csv"): [
        tabular(paths=["a"], format="parquet", inferColumnTypes=False),
        query(inferColumnTypes=False),
    ],
    ("TabularDataset", "paths is missing: it is required"): [tabular(), tabular(format="jsonl")],
    ("TabularDataset", "query must be left out: it belongs to format sql"): [tabular(paths=["a"], query="SELECT 1")],
    ("TabularDataset", "splitBy must be left out: it belongs to format sql"): [tabular(paths=["a"], splitBy="id")],
    ("TabularDataset", "query is missing: format sql needs one"): [tabular(format="sql", splitBy="id")],
    ("TabularDataset", "paths must be left out with format sql"): [query(paths=["a"])],
    ("TabularDataset", "separator must be left out with format sql"): [query(separator=";")],
    ("TabularDataset", "header must be left out with format sql"): [query(header=False)],
    ("TabularDataset", "encoding must be left out with format sql"): [query(encoding="latin-1")],
    ("TabularDataset", "supportMultiLine must be left out with format sql"): [query(supportMultiLine=True)],
    ("TabularDataset", "partitionFormat must be left out with format sql"): [query(partitionFormat="{day}")],
    ("TabularDataset", "pathColumn must be left out with format sql"): [query(pathColumn="Path")],
    ("StepInput", "must have exactly one of dataset, file and tabular"): [
        step(inputs=[{"name": "scans"}]),
        step(inputs=[{"name": "scans", "dataset": "scans"}, {"name": "more", **FILES_AND_ROWS}]),
        step(inputs=[{"name": "scans", "dataset": "scans", **FILES_AND_ROWS}]),
    ],
    ("StepOutput", "name must be another name: state and logs hold the run's own files"): [
        step(output={"name": "state"}),
        step(output={"name": "logs"}),
    ],
    ("StepOutput", "separator must be left out with format"): [
        step(output={"name": "scores", "format": "parquet", "separator": ";"}),
    ],
    ("StepOutput", "header must be left out with format"): [
        step(output={"name": "scores", "format": "jsonl", "header": True}),
    ],
    ("Source", "must have exactly one of uri, configMap and image"): [
        step(source={}),
        step(source={"uri": "file:.", "image": "/code"}),
        step(source={"uri": "file:.", "configMap": "code", "image": "/code"}),
        script(source={}),
    ],
    ("MiniBatch", "must have exactly one of files, bytes and rows"): [
        step(miniBatch={}),
        step(miniBatch={"files": 1, "rows": 1}),
    ],
    ("ParallelRunStepSpec", "retryFailed must be left out without resumeFrom"): [step(retryFailed=True)],
    ("ParallelRunStepSpec", "acceptChangedCode must be left out without resumeFrom"): [step(acceptChangedCode=True)],
    ("ParallelRunStepSpec", "miniBatch must be left out when miniBatchSize is given"): [
        step(miniBatchSize=1, miniBatch={"files": 1}),
    ],
    ("ParallelRunStepSpec", "miniBatchSize must be left out when partitionKeys is given"): [
        step(miniBatchSize=1, partitionKeys=["ward"]),
    ],
    ("ParallelRunStepSpec", "miniBatch must be left out when partitionKeys is given"): [
        step(miniBatch={"rows": 1}, partitionKeys=["ward"]),
    ],
    ("ParallelRunStepSpec", "coalesceSmallFiles must be left out when partitionKeys is given"): [
        step(coalesceSmallFiles=True, partitionKeys=["ward"]),
    ],
    ("ParallelRunStepSpec", "output is missing: outputAction append_row needs an output"): [step("output")],
    ("ParallelRunStepSpec", "entryScript must be the path of a .py file below the source folder"): [
        step(entryScript=each) for each in ("score.sh", "/score.py", "../score.py", "a/../score.py", "a/..")
    ],
    ("ParallelRunStepSpec", "inputs must have unique names"): [step(output={"name": "scans"})],
    ("ParallelRunStepSpec", "sideInputs must have unique names"): [
        step(sideInputs=[{"name": "scans", "dataset": "words"}]),
        step(sideInputs=[{"name": "words", "dataset": "words"}, {"name": "scores", "dataset": "words"}]),
    ],
    ("ScriptInput", "must have exactly one of dataset, file and from"): [
        step(sideInputs=[{"name": "words"}]),
        script(inputs=[{"name": "scans"}]),
        script(inputs=[{"name": "a", "dataset": "a"}, {"name": "b", "file": {"paths": ["b"]}, "from": "c"}]),
        script(inputs=[{"name": "scans", "dataset": "scans", "file": {"paths": ["b"]}, "from": "c"}]),
    ],
    ("ScriptStepSpec", "scriptName must be a path below the source folder"): [
        script(scriptName=each) for each in ("/train.py", "../train.py", "a/../train.py", "a/..", "..")
    ],
    ("PipelineStep", "must have exactly one of parallelRun, script and transfer"): [
        pipeline({"name": "train"}),
        pipeline({"name": "train", "script": {}, "parallelRun": {}}),
        pipeline({"name": "copy", "transfer": COPY}, {"name": "train", "script": SCRIPT, "transfer": COPY}),
        manifest("PipelineRun", {"pipelineSpec": {"steps": [{"name": "train"}]}}),
    ],
    ("PipelineRunSpec", "must have exactly one of pipelineRef, pipelineSpec and retryOf"): [
        manifest("PipelineRun", {}),
        manifest("PipelineRun", {"pipelineRef": {"name": "nightly"}, "retryOf": "nightly-1"}),
        manifest("PipelineRun", {"pipelineRef": {"name": "nightly"}, "pipelineSpec": pipeline_step()["spec"]}),
    ],
    ("PipelineRunSpec", "parameters must be left out with retryOf: they are those of the run that is retried"): [
        manifest("PipelineRun", {"retryOf": "nightly-1", "parameters": {"share": 0.5}}),
        manifest("PipelineRun", {"retryOf": "nightly-1", "parameters": {}}),
    ],
    ("Packages", "must have at least one of pip, requirements, conda and python"): [
        packages(),
        packages(pip=[]),
        packages(indexUrl="https://index.example/simple"),
    ],
    ("Packages", f"indexUrl {INDEX}"): [
        packages(pip=["numpy"], indexUrl=url)
        for url in (
            "https://user:word@index.example/simple",
            "https://token@index.example/simple",
            "https://index.example/simple?token=word",
            "https://index.example/simple#word",
            "ftp://index.example/simple",
            "index.example/simple",
        )
    ],
    ("Packages", f"extraIndexUrls {INDEX}"): [
        packages(pip=["numpy"], extraIndexUrls=["https://index.example/simple", "https://user:word@index.example"])
    ],
    ("ComputeClusterSpec", "minNodes must not be above maxNodes"): [
        manifest("ComputeCluster", {"minNodes": 3, "maxNodes": 2}),
        manifest("ComputeCluster", {"minNodes": "10", "maxNodes": "9"}),
        manifest("ComputeCluster", {"minNodes": 5}),
    ],
    ("ComputeClusterSpec", "must have only one of vmSize and resources"): [
        manifest("ComputeCluster", {"vmSize": "STANDARD_D2_V2", "resources": {"limits": {"cpu": 1}}}),
    ],
}

# By the field that the API server names. Servers before 1.31 leave the index of an element out.
BY_SCHEMA: list[tuple[Raw, str]] = [
    (step(nodeCount=0), "spec.nodeCount"),
    (step(nodeCount="two"), "spec.nodeCount"),
    (step(nodeCount=1.5), "spec.nodeCount"),
    (step(processCountPerNode="most"), "spec.processCountPerNode"),
    (step(miniBatchSize="10XB"), "spec.miniBatchSize"),
    (step(miniBatch={"files": 0}), "spec.miniBatch.files"),
    (step(appendRowFileName="a/b"), "spec.appendRowFileName"),
    (step(appendRowFileName=".."), "spec.appendRowFileName"),
    (step(outputAction="append-row"), "spec.outputAction"),
    (step(inputs=[]), "spec.inputs"),
    (step(inputs=[{"name": "a", "dataset": "b", "mode": "stream"}]), "spec.inputs[0].mode"),
    (step("entryScript"), "spec.entryScript"),
    (step(runMaxTry=-1), "spec.runMaxTry"),
    (step(loggingLevel="LOUD"), "spec.loggingLevel"),
    (step(containerLog="everything"), "spec.containerLog"),
    ({**step(), "spec": None}, "spec"),
    ({**step(), "metadata": {"name": "Upper"}}, "metadata.name"),
    ({**step(), "metadata": {"name": "a" * 52}}, "metadata.name"),
    (manifest("ComputeCluster", {"resources": {"limits": {"cpu": "two"}}}), "spec.resources.limits.cpu"),
    (manifest("ComputeCluster", {"vmPriority": "spot"}), "spec.vmPriority"),
    (manifest("ComputeCluster", {"maxNodes": 0}), "spec.maxNodes"),
    (manifest("Dataset", {"file": {"paths": []}}), "spec.file.paths"),
    (tabular(paths=[]), "spec.tabular.paths"),
    (tabular(paths=["a"], format="xls"), "spec.tabular.format"),
    (tabular(format="sql", query=" "), "spec.tabular.query"),
    (manifest("Datastore", {}), "spec.uri"),
    (manifest("Model", {"name": "m"}), "spec.path"),
    (packages(pip=["numpy"], python="2.7"), "spec.packages.python"),
    (packages(pip=["numpy"], python="3"), "spec.packages.python"),
    (packages(requirements=" "), "spec.packages.requirements"),
    (packages(conda=""), "spec.packages.conda"),
    (packages(pip=[""]), "spec.packages.pip[0]"),
    (manifest("ScriptStep", {}), "spec.scriptName"),
    ({**script(), "metadata": {"name": "a" * 52}}, "metadata.name"),
    (script(inputs=[{"name": "scans", "dataset": "scans", "mode": "direct"}]), "spec.inputs[0].mode"),
    (script(inputs=[{"name": f"input{n}", "dataset": "scans"} for n in range(257)]), "spec.inputs"),
    (script(outputs=[{"name": "model", "mode": "download"}]), "spec.outputs[0].mode"),
    (script(timeoutSeconds=0), "spec.timeoutSeconds"),
    (manifest("TransferStep", {"source": {"path": "a"}}), "spec.destination"),
    (manifest("TransferStep", {**COPY, "destination": {"datastore": "images"}}), "spec.destination.path"),
    ({**manifest("TransferStep", COPY), "metadata": {"name": "ab"}}, "metadata.name"),
    (pipeline(), "spec.steps"),
    (pipeline(*({"name": f"step-{n}", "script": SCRIPT} for n in range(1001))), "spec.steps"),
    (pipeline_step(name="Train"), "spec.steps[0].name"),
    (pipeline_step(runAfter=["a"]), "spec.steps[0].runAfter[0]"),
    (pipeline_step(script="$(parameters.script)"), "spec.steps[0].script"),
    (pipeline_step(allowReuse="yes"), "spec.steps[0].allowReuse"),
    (pipeline_step(allowReuse="$(parameters.reuse), or not"), "spec.steps[0].allowReuse"),
    (pipeline_step(retries=-1), "spec.steps[0].retries"),
    (pipeline_step(retries="$(steps.other)"), "spec.steps[0].retries"),
    (pipeline_step(timeoutSeconds="$(parameters.limit)0"), "spec.steps[0].timeoutSeconds"),
    (pipeline_step(timeoutSeconds=259_201), "spec.steps[0].timeoutSeconds"),
    (
        pipeline({"name": "train", "script": SCRIPT}, parameters=[{"name": "share", "type": "float"}]),
        "spec.parameters[0].type",
    ),
    (
        pipeline({"name": "train", "script": SCRIPT}, parameters=[{"name": "the share", "type": "number"}]),
        "spec.parameters[0].name",
    ),
    (manifest("PipelineRun", {"pipelineRef": {}}), "spec.pipelineRef.name"),
    (manifest("PipelineRun", {"pipelineSpec": {"steps": []}}), "spec.pipelineSpec.steps"),
    (manifest("PipelineRun", {"pipelineRef": {"name": "nightly"}, "parameters": ["share"]}), "spec.parameters"),
    (manifest("PipelineRun", {"retryOf": "Nightly"}), "spec.retryOf"),
]

# The keys of lists are the API server's own: no JSON schema knows them.
BY_KEY: list[tuple[Raw, str]] = [
    (step(inputs=[{"name": "a", "dataset": "b"}, {"name": "a", "dataset": "c"}]), "spec.inputs[1]"),
    (script(outputs=[{"name": "model"}] * 2), "spec.outputs[1]"),
    (pipeline(*[{"name": "train", "script": {}}] * 2), "spec.steps[1]"),
]


def is_named(field: str, text: str) -> bool:
    """Whether a server's refusal names a field, with or without the indices of elements."""
    without_indices = re.sub(r"\[\d+\]", "", field)
    return f"{field}:" in text or f"{without_indices}:" in text
