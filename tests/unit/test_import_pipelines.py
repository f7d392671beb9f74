"""What pipeline jobs of Azure ML become: steps, parameters, and what each reads of the others."""

from typing import Any

from azureml_jobs import ENTRY, cases, command, made, parallel, pipeline, step


@cases(
    ("a script", "python x.py --a 1", ("x.py", ["--a", "1"])),
    ("options of the interpreter are left out", "python3 -u ./x.py 1", ("x.py", ["1"])),
    ("quotes are read as by a shell", "python x.py --a 'b c'", ("x.py", ["--a", "b c"])),
    ("a line that goes on", "python x.py \\\n  --a 1", ("x.py", ["--a", "1"])),
    ("a module is guessed to be a file", "python -m pack.age --a", ("pack/age.py", ["--a"])),
    ("what is done before is left out", "pip install a && python x.py 1", ("x.py", ["1"])),
    ("what is done in other lines is left out", "ls\npython x.py 1\n", ("x.py", ["1"])),
    ("redirections are left out", "python x.py 1 > out.txt", ("x.py", ["1"])),
    ("another program needs a script to be written", "bash run.sh", ("to_be_written.py", None)),
    ("two scripts need one to be written", "python a.py; python b.py", ("to_be_written.py", None)),
)
def test_a_command_is_one_script(content: str, expected: tuple[str, list[str] | None]):
    spec, _ = step(pipeline({"one": command(content)}))
    assert (spec["scriptName"], spec.get("arguments")) == expected


@cases(
    (
        "a reference to an input is a path",
        pipeline({"a": command("python x.py ${{inputs.d}}", inputs={"d": {"type": "uri_folder", "path": "d"}})}),
        {"arguments": ["$(inputs.d)"], "inputs": [{"name": "d", "dataset": "d"}]},
    ),
    (
        "an input of the pipeline is a parameter",
        pipeline({"a": command("python x.py ${{inputs.n}}", inputs={"n": "${{parent.inputs.n}}"})}, inputs={"n": 3}),
        {"arguments": ["$(parameters.n)"]},
    ),
    (
        "data of the pipeline is a Dataset to choose",
        pipeline(
            {"a": command("python x.py ${{inputs.d}}", inputs={"d": "${{parent.inputs.d}}"})},
            inputs={"d": {"type": "uri_folder", "path": "d"}},
        ),
        {"inputs": [{"name": "d", "dataset": "$(parameters.d)"}]},
    ),
    (
        "a file that another step writes is a file in its folder",
        pipeline(
            {
                "first": command("python x.py ${{outputs.f}}", outputs={"f": {"type": "uri_file"}}),
                "last": command("python y.py ${{inputs.f}}", inputs={"f": "${{parent.jobs.first.outputs.f}}"}),
            }
        ),
        {"arguments": ["$(inputs.f)/f"], "inputs": [{"name": "f", "from": "$(steps.first.outputs.f)"}]},
    ),
    (
        "the rows of a parallel step are a file in its folder",
        pipeline(
            {
                "first": parallel(),
                "last": command("python y.py ${{inputs.f}}", inputs={"f": "${{parent.jobs.first.outputs.rows}}"}),
            }
        ),
        {"arguments": ["$(inputs.f)/parallel_run_step.txt"]},
    ),
    (
        "a further output of a parallel step is a folder in its one output",
        pipeline(
            {
                "first": parallel(outputs={"rows": {"type": "uri_file"}, "more": {"type": "uri_folder"}}),
                "last": command("python y.py ${{inputs.m}}", inputs={"m": "${{parent.jobs.first.outputs.more}}"}),
            }
        ),
        {"arguments": ["$(inputs.m)/more"], "inputs": [{"name": "m", "from": "$(steps.first.outputs.rows)"}]},
    ),
    (
        "a parallel step reads below the folder of another one",
        pipeline(
            {
                "first": parallel(outputs={"rows": {"type": "uri_file"}, "more": {"type": "uri_folder"}}),
                "last": parallel(inputs={"files": "${{parent.jobs.first.outputs.more}}"}),
            }
        ),
        {"inputs": [{"name": "files", "from": "$(steps.first.outputs.rows)/more", "mode": "mount"}]},
    ),
    (
        "settings of a step may be parameters",
        pipeline({"one": parallel(mini_batch_size="${{parent.inputs.size}}")}, inputs={"size": "5"}),
        {"miniBatchSize": "$(parameters.size)"},
    ),
    (
        "a text may hold a parameter",
        pipeline(
            {"a": command("python x.py ${{inputs.t}}", inputs={"t": "run-${{parent.inputs.n}}"})}, inputs={"n": 3}
        ),
        {"arguments": ["run-$(parameters.n)"]},
    ),
    (
        "an output is uploaded, into the Datastore of its path",
        pipeline({"a": command(outputs={"o": {"mode": "upload", "path": "azureml://datastores/Store_1/paths/x"}})}),
        {"outputs": [{"name": "o", "datastore": "store-1", "mode": "upload"}]},
    ),
)
def test_jobs_of_a_pipeline_become_steps(content: Any, expected: dict[str, Any]):
    spec, _ = step(content)
    assert {key: spec.get(key) for key in expected} == expected


def test_a_pipelines_parameters_have_types_and_those_that_nothing_reads_are_left_out():
    inputs = {
        "s": "a",
        "i": 1,
        "n": {"type": "number", "default": 1},
        "b": True,
        "open": {"type": "integer"},
        "unused": 1,
    }
    line = "python x.py " + " ".join(f"${{{{inputs.{each}}}}}" for each in "sinb") + " ${{inputs.open}}"
    own = {each: f"${{{{parent.inputs.{each}}}}}" for each in inputs if each != "unused"}
    specs, notes = made(pipeline({"a": command(line, inputs=own)}, inputs=inputs))
    assert specs["Pipeline/a-job"]["parameters"] == [
        {"name": "s", "type": "string", "default": "a"},
        {"name": "i", "type": "integer", "default": 1},
        {"name": "n", "type": "number", "default": 1},
        {"name": "b", "type": "boolean", "default": True},
        {"name": "open", "type": "integer"},
    ]
    assert "inputs.unused is not carried over: no job refers to this input" in notes
    assert "inputs.open: has no value; pass -p open=VALUE to longshore run" in notes


def test_side_inputs_of_a_pipeline_are_its_parameters_or_what_steps_wrote():
    job = parallel(
        {"program_arguments": "--model ${{inputs.model}} --words ${{inputs.words}}"},
        inputs={
            "files": "${{parent.inputs.data}}",
            "model": "${{parent.inputs.model}}",
            "words": "${{parent.jobs.first.outputs.o}}",
        },
    )
    inputs = {each: {"type": "uri_folder", "path": each} for each in ("data", "model")}
    first = command(outputs={"o": {"type": "uri_folder"}})
    specs, _ = made(pipeline({"first": first, "one": job}, inputs=inputs))
    step = specs["Pipeline/a-job"]["steps"][1]["parallelRun"]
    assert [each["name"] for each in specs["Pipeline/a-job"]["parameters"]] == ["data", "model"]
    assert step["sideInputs"] == [
        {"name": "model", "dataset": "$(parameters.model)"},
        {"name": "words", "from": "$(steps.first.outputs.o)"},
    ]
    assert step["arguments"] == ["--model", "$(inputs.model)", "--words", "$(inputs.words)"]


def test_settings_of_a_pipeline_become_those_of_its_run_its_nodes_and_its_store():
    settings = {
        "default_compute": "azureml:Big_Cluster",
        "default_datastore": "azureml:blobs",
        "continue_on_step_failure": True,
        "force_rerun": True,
    }
    specs, _ = made(pipeline({"abc": command()}, settings=settings))
    run = {"pipelineRef": {"name": "a-job"}, "continueOnStepFailure": True, "regenerateOutputs": True}
    assert specs["PipelineRun/a-job-run"] == run
    assert specs["Datastore/blobs"] == {"uri": "file:datastores/blobs", "default": True}
    assert specs["Pipeline/a-job"]["steps"][0]["script"]["computeTarget"] == "big-cluster"


def test_what_stands_beside_a_script_is_the_steps():
    specs, _ = made(pipeline({"abc": command(is_deterministic=False, limits={"timeout": 60})}))
    (found,) = specs["Pipeline/a-job"]["steps"]
    assert {key: found[key] for key in ("name", "allowReuse", "timeoutSeconds")} == {
        "name": "abc",
        "allowReuse": False,
        "timeoutSeconds": 60,
    }


def test_names_of_jobs_are_made_to_fit_and_stay_apart():
    jobs = {"Prep_Data": command(), "prep-data": command(), "x": command(), "9lives": command(), "a" * 40: command()}
    specs, _ = made(pipeline(jobs))
    names = [each["name"] for each in specs["Pipeline/a-job"]["steps"]]
    assert names == ["prep-data", "prep-data-2", "step-x", "step-9lives", "a" * 32]


def test_a_component_is_read_from_its_file_and_its_code_is_beside_that():
    component = {
        "type": "parallel",
        "name": "c",
        "inputs": {"files": {"type": "uri_folder"}, "k": {"type": "integer", "default": 4}},
        "outputs": {"rows": {"type": "uri_file"}},
        "input_data": "${{inputs.files}}",
        "mini_batch_size": "3",
        "task": {**ENTRY, "program_arguments": "--k ${{inputs.k}}", "append_row_to": "${{outputs.rows}}"},
    }
    job = {
        "type": "parallel",
        "component": "./parts/c.yml",
        "inputs": {"files": {"path": "data", "type": "uri_folder"}},
        "mini_batch_size": "9",
    }
    spec, _ = step(pipeline({"abc": job}), {"parts/c.yml": component})
    assert spec["source"] == {"uri": "file:parts/src"}
    assert (spec["miniBatchSize"], spec["arguments"]) == ("9", ["--k", "4"])


def test_a_component_that_only_the_workspace_has_leaves_a_script_to_write():
    spec, notes = step(pipeline({"abc": {"type": "command", "component": "azureml:train:1", "inputs": {"k": 3}}}))
    assert spec["scriptName"] == "to_be_written.py"
    assert any(each.startswith("jobs.abc.component is not carried over: it is azureml:train:1") for each in notes)


@cases(
    (
        "a folder with a name is a Dataset",
        pipeline({"a": command("python x.py", outputs={"rows": {"type": "uri_folder", "name": "sales rows"}})}),
        {"name": "rows", "registerOnComplete": {"name": "sales rows"}},
    ),
    (
        "a model with a name is a Model",
        pipeline({"a": command("python x.py", outputs={"net": {"type": "mlflow_model", "name": "sales"}})}),
        {"name": "net", "registerOnComplete": {"kind": "Model", "name": "sales"}},
    ),
    (
        "its version is the next one",
        pipeline({"a": command("python x.py", outputs={"net": {"type": "custom_model", "name": "n", "version": "3"}})}),
        {"name": "net", "registerOnComplete": {"kind": "Model", "name": "n"}},
    ),
    (
        "an output of the pipeline has the name",
        pipeline(
            {"a": command("python x.py", outputs={"rows": "${{parent.outputs.all}}"})},
            outputs={"all": {"type": "uri_folder", "mode": "upload", "name": "sales"}},
        ),
        {"name": "rows", "mode": "upload", "registerOnComplete": {"name": "sales"}},
    ),
    (
        "an output without a name is not registered",
        pipeline({"a": command("python x.py", outputs={"rows": {"type": "uri_folder"}})}),
        {"name": "rows"},
    ),
)
def test_an_output_with_a_name_is_registered(content: str, expected: dict[str, Any]):
    spec, notes = step(content)
    assert spec["outputs"] == [expected]
    assert not [each for each in notes if "name" in str(each) or "version" in str(each)]


def test_the_rows_of_a_parallel_step_with_a_name_are_registered():
    outputs = {"rows": {"type": "uri_folder", "name": "scores"}}
    spec, _ = step(pipeline({"a": parallel(outputs=outputs)}))
    assert spec["output"] == {"name": "rows", "registerOnComplete": {"name": "scores"}}
