"""Typed parameters of pipelines: what is taken for a value, what is refused, and how values get into steps."""

import pytest
from pipelines import document, frozen, problems, script


def parameter(type_: str, **more):
    return {"name": "value", "type": type_, **more}


def filled(type_: str, given, **more):
    """What becomes of `$(parameters.value)` as the whole of a value of that type."""
    return frozen(
        script("only", arguments=["$(parameters.value)"]), parameters=[parameter(type_)], given={"value": given}, **more
    ).parameters["value"]


@pytest.mark.parametrize(
    ("type_", "given", "value"),
    [
        ("string", "5", "5"),
        ("integer", "5", 5),
        ("integer", -5, -5),
        ("number", "0.5", 0.5),
        ("number", "1e-3", 0.001),
        ("number", "5", 5),
        ("number", 2.5, 2.5),
        ("boolean", "True", True),
        ("boolean", "false", False),
        ("boolean", "yes", True),
        ("integer", "1_000", 1000),
        ("integer", "0x1F", 31),
        ("boolean", False, False),
        ("datapath", "gs://bucket/data", "gs://bucket/data"),
        ("datapath", "data", "/src/data"),
        ("datapath", {"path": "data/a.csv"}, "/src/data/a.csv"),
    ],
)
def test_a_value_is_read_as_the_parameters_type(type_, given, value):
    read = filled(type_, given)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("type_", "given", "rule"),
    [
        ("string", [1], "is a list: must be a string, in quotes"),
        ("string", False, "is false: must be a string, in quotes"),
        ("string", 45000, "is 45000: must be a string, in quotes"),
        ("string", 1.1, "is 1.1: must be a string, in quotes"),
        ("integer", "5.0", "is '5.0': must be a whole number"),
        ("integer", True, "is true: must be a whole number"),
        ("integer", 2.5, "is 2.5: must be a whole number"),
        ("number", "nan", "is 'nan': must be a number"),
        ("number", "a lot", "is 'a lot': must be a number"),
        ("number", True, "is true: must be a number"),
        ("boolean", "maybe", "is 'maybe': must be true or false"),
        ("boolean", 1, "is 1: must be true or false"),
        ("dataset", 5, "is 5: must be the name of a Dataset"),
        ("datapath", {"store": "x"}, "is a mapping: must be a URL, a path, or a mapping of datastore and path"),
    ],
)
def test_a_value_of_another_type_is_refused_with_the_parameters_name(type_, given, rule):
    found = problems(
        script("only", arguments=["$(parameters.value)"]), parameters=[parameter(type_)], given={"value": given}
    )
    assert found == [f"-p value: {rule}, as the parameter value is of the type {type_}"]


def test_a_default_of_another_type_is_refused_where_it_stands():
    found = problems(
        script("only", arguments=["$(parameters.value)"]), parameters=[parameter("integer", default="five")]
    )
    assert found[0].startswith("spec.parameters[0].default is 'five': must be a whole number")


def test_a_required_parameter_without_a_value_is_refused():
    found = problems(script("only", arguments=["$(parameters.value)"]), parameters=[parameter("string")])
    assert found == [
        "spec.parameters[0] has no value, but the parameter value is required; pass it with -p value=VALUE",
    ]


def test_a_required_parameter_that_nothing_refers_to_is_refused():
    found = problems(script("only"), parameters=[parameter("string")], given={"value": "a"})
    assert found == [
        "spec.parameters[0] is required, but nothing refers to $(parameters.value); use the parameter or remove it",
    ]


def test_a_parameter_with_a_default_may_be_left_unused():
    assert frozen(script("only"), parameters=[parameter("string", default="a")]).parameters == {"value": "a"}


def test_a_value_for_no_parameter_is_refused_with_those_there_are():
    found = problems(script("only"), parameters=[parameter("string", default="a")], given={"vlaue": "b"})
    assert found == ["-p vlaue: is not a parameter of the pipeline; its parameters are value"]


def test_two_parameters_of_one_name_are_refused():
    found = problems(script("only"), parameters=[parameter("string", default="a"), parameter("integer", default=1)])
    assert found == ["spec.parameters[1].name is 'value', as is that of spec.parameters[0]"]


def test_a_reference_to_no_parameter_is_refused_where_it_stands():
    found = problems(script("only", arguments=["-n", "$(parameters.count)"]))
    (sentence,) = found
    assert sentence == (
        "spec.steps[0].script.arguments[1] refers to the parameter 'count', which does not exist; "
        "the parameters are none"
    )


def test_a_dataset_that_is_not_there_is_refused_where_it_was_given():
    found = problems(
        script("only", inputs=[{"name": "data", "dataset": "$(parameters.value)"}]),
        parameters=[parameter("dataset")],
        given={"value": "digit"},
        documents=(document("Dataset", "digits", file={"paths": ["a"]}),),
    )
    assert found == ["-p value: is 'digit': there is no such Dataset; the documents have digits"]


def test_a_datapath_is_taken_from_its_datastore():
    stores = (
        document("Datastore", "images", uri="gs://images/all"),
        document("Datastore", "rest", uri="gs://rest", default=True),
    )
    assert filled("datapath", {"datastore": "images", "path": "a/0.png"}, documents=stores) == "gs://images/all/a/0.png"
    assert filled("datapath", "b.csv", documents=stores) == "gs://rest/b.csv"


def test_every_value_of_a_step_takes_parameters_and_keeps_their_type():
    parallel = {
        "name": "score",
        "allowReuse": "$(parameters.reuse)",
        "retries": "$(parameters.count)",
        "timeoutSeconds": "$(parameters.count)",
        "parallelRun": {
            "inputs": [{"name": "data", "dataset": "$(parameters.data)"}],
            "output": {"name": "out"},
            "entryScript": "$(parameters.script).py",
            "environment": {"name": "$(parameters.environment)"},
            "computeTarget": "$(parameters.target)",
            "nodeCount": "$(parameters.count)",
            "processCountPerNode": "$(parameters.count)",
            "miniBatchSize": "$(parameters.size)",
            "errorThreshold": "$(parameters.count)",
            "outputAction": "$(parameters.action)",
        },
    }
    names = {"count": "integer", "reuse": "boolean", "data": "dataset"}
    values = {
        "count": "3",
        "reuse": "false",
        "data": "rows",
        "script": "score",
        "environment": "slim",
        "target": "small",
        "size": "7",
        "action": "append_row",
    }
    pipeline = frozen(
        parallel,
        parameters=[{"name": name, "type": names.get(name, "string")} for name in values],
        given=values,
        documents=(
            document("Dataset", "rows", file={"paths": ["/data"]}),
            document("Environment", "slim", variables={"A": "1"}),
            document("ComputeCluster", "small", maxNodes=2),
        ),
    )
    step = pipeline.step("score")
    assert (step.allow_reuse, step.retries, step.timeout) == (False, 3, 3.0)
    job = step.job
    assert (job["workers"], job["processes_per_worker"], job["entry_script"]) == (2, 3, "score.py")
    assert job["mini_batch"] == {"unit": "files", "value": 7}
    assert job["thresholds"]["error_threshold"] == 3
    assert (job["variables"], job["inputs"][0]["paths"]) == ({"A": "1"}, ["/data"])


def test_a_parameter_in_a_longer_string_becomes_text():
    pipeline = frozen(
        script("only", arguments=["--share=$(parameters.value)/2"]),
        parameters=[parameter("number")],
        given={"value": "0.25"},
    )
    assert pipeline.step("only").job["arguments"] == ["--share=0.25/2"]


def test_a_value_that_its_field_refuses_is_refused_with_the_fields_path():
    found = problems(
        script("only", retries="$(parameters.value)"), parameters=[parameter("string")], given={"value": "often"}
    )
    assert found == ["spec.steps[0].retries is 'often': must be a whole number, 0 or more"]
