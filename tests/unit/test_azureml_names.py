"""Every call of Azure ML's SDK that scripts make: in the shape in which they make it, and its result in use."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from azureml_sdk import sdk, write

START = """
import os
import azureml.core
from azureml.core import *
from azureml.core import ComputeTarget, Dataset, Datastore, Environment, Experiment, Keyvault, Model, Run
from azureml.core import RunConfiguration, ScriptRunConfig, VERSION, Workspace
from azureml.core.authentication import *
from azureml.core.compute import AmlCompute
from azureml.core.compute_target import ComputeTargetException
from azureml.core.conda_dependencies import CondaDependencies
from azureml.core.runconfig import DEFAULT_CPU_IMAGE, DEFAULT_GPU_IMAGE, DockerConfiguration
from azureml.data import OutputFileDatasetConfig
from azureml.data.data_reference import DataReference
from azureml.data.datapath import DataPath, DataPathComputeBinding
from azureml.data.dataset_consumption_config import DatasetConsumptionConfig
from azureml.exceptions import *
from azureml.pipeline.core import *
from azureml.pipeline.steps import CommandStep, DataTransferStep, ParallelRunConfig, ParallelRunStep, PythonScriptStep
from azureml.widgets import RunDetails

ws = Workspace.from_config()
ds = ws.get_default_datastore()
env = Environment("env")

def config(**changes):
    given = dict(environment=env, entry_script="src/score.py", error_threshold=10, output_action="append_row",
                 compute_target="local", node_count=1)
    return ParallelRunConfig(**{**given, **changes})

def step(*arguments, **more):
    return PythonScriptStep(script_name="train.py", source_directory="src", arguments=list(arguments), **more)

def built(*steps, **more):
    '''The steps of the document, by name.'''
    spec = Pipeline(ws, steps=list(steps)).build("test").pipeline.to_dict()["spec"]
    return {each["name"]: each.get("script") or each.get("parallelRun") or each["transfer"] for each in spec["steps"]}
"""

CALLS = {
    # Workspace and sign-in
    "from_config": "assert '\\n'.join([ws.name, ws.location, ws.resource_group, ws.subscription_id])",
    "from_config with auth and path": """
        assert Workspace.from_config(path="conf", auth=AzureCliAuthentication()).name == "named"
    """,
    "from_config reads config.json": "assert Workspace.from_config('conf/config.json').resource_group == 'rg'",
    "Workspace.get": """
        w = Workspace.get(name="w", subscription_id="s", resource_group="r", auth=MsiAuthentication())
        assert (w.name, w.subscription_id, w.resource_group) == ("w", "s", "r")
    """,
    "Workspace()": "assert Workspace('s', 'r', 'w', auth=InteractiveLoginAuthentication(tenant_id='t')).name == 'w'",
    "Workspace.create": """
        w = Workspace.create(name="w", subscription_id="s", resource_group="r", location="here",
                             create_resource_group=True, sku="basic", exist_ok=True)
        assert w.location == "here"
    """,
    "VERSION": "assert azureml.core.VERSION == VERSION and isinstance(VERSION, str)",
    "ws.compute_targets": """
        AmlCompute.provisioning_configuration(vm_size="STANDARD_D2_V2")
        assert "cpu" not in ws.compute_targets and ws.compute_targets.get("cpu") is None
        ComputeTarget.create(ws, "cpu", AmlCompute.provisioning_configuration(vm_size="STANDARD_D2_V2", max_nodes=2))
        assert [ct for ct in ws.compute_targets] == ["cpu"] and ws.compute_targets["cpu"].name == "cpu"
    """,
    "ws.datastores": "assert ws.datastores['workspaceblobstore'].name in ws.datastores.keys()",
    "ws.datasets": """
        Dataset.File.from_files((ds, "a"), validate=False).register(ws, "images")
        assert list(ws.datasets) == ["images"] and ws.datasets.get("images").name == "images"
        assert "other" not in ws.datasets
    """,
    "ws.environments": """
        env.register(workspace=ws)
        assert ws.environments["env"].name == "env" and ws.environments["AzureML-Tutorial"].name == "AzureML-Tutorial"
        assert "nothing" not in list(ws.environments)
    """,
    "ws.experiments": "Experiment(ws, 'my exp_1'); assert ws.experiments['my exp_1'].name == 'my exp_1'",
    "set_default_datastore": """
        Datastore.register_azure_blob_container(workspace=ws, datastore_name="other", container_name="c",
                                                account_name="local", account_key="k")
        ws.set_default_datastore("other")
        assert ws.get_default_datastore().name == "other"
    """,
    "get_details, write_config": """
        assert ws.get_details()["name"] == ws.name
        ws.write_config(path=".")
        assert Workspace.from_config().name == ws.name
    """,
    "get_secret": """
        os.environ["ACCOUNT_KEY"] = "secret"
        assert ws.get_default_keyvault().get_secret(name="account-key") == "secret"
        del os.environ["ACCOUNT_KEY"]
    """,
    "authentication": """
        for auth in (InteractiveLoginAuthentication(), AzureCliAuthentication(), MsiAuthentication(),
                     ServicePrincipalAuthentication(tenant_id="t", service_principal_id="i",
                                                    service_principal_password="p")):
            assert auth.get_authentication_header()["Authorization"].startswith("Bearer ")
    """,
    # Compute
    "ComputeTarget in try": """
        try:
            target = ComputeTarget(workspace=ws, name="cpu")
        except ComputeTargetException:
            conf = AmlCompute.provisioning_configuration(
                vm_size="STANDARD_D2_V2", min_nodes="0", max_nodes="3", vm_priority="lowpriority",
                idle_seconds_before_scaledown="300")
            target = ComputeTarget.create(ws, "cpu", conf)
        target.wait_for_completion(show_output=True, min_node_count=None, timeout_in_minutes=20)
        assert type(target) is AmlCompute and target.type == "AmlCompute"
        assert ComputeTarget(ws, "cpu").get_status().scale_settings.maximum_node_count == 3
        assert AmlCompute(ws, "cpu").scale_settings.maximum_node_count == 3
        status = target.get_status().serialize()
        assert status["scaleSettings"] == {"minNodeCount": 0, "maxNodeCount": 3,
                                           "nodeIdleTimeBeforeScaleDown": "PT300S"}
        assert {"currentNodeCount", "targetNodeCount", "nodeStateCounts", "allocationState", "errors", "creationTime",
                "modifiedTime", "provisioningState", "vmPriority", "vmSize"} <= set(status)
        assert target.status.serialize() == status
        assert target.serialize()["properties"]["properties"]["scaleSettings"]["maxNodeCount"] == 3
        assert (target.provisioning_state, target.provisioning_errors) == ("Succeeded", None)
        assert target.cluster_resource_id
        target.delete()
        assert "cpu" not in ws.compute_targets
    """,
    "AmlCompute in try": """
        for make in (AmlCompute, ComputeTarget):
            try:
                make(ws, "gpu")
            except ComputeTargetException as error:
                assert '"gpu" does not exist' in error.message
    """,
    "compute_target as text": "assert 'computeTarget' not in built(step(compute_target='local'))['train-py']",
    # Datastore
    "Datastore.get and others": """
        names = [Datastore.get(ws, "workspaceblobstore").name, Datastore(ws, "workspaceblobstore").name,
                 Datastore.get_default(ws).name]
        assert names == ["workspaceblobstore"] * 3
    """,
    "register_azure_blob_container": """
        for overwrite in (False, True):
            blob = Datastore.register_azure_blob_container(
                workspace=ws, datastore_name="images", container_name="sample", account_name="account",
                account_key="key", overwrite=overwrite, create_if_not_exists=True)
        assert (blob.account_name, blob.container_name, blob.account_key) == ("account", "sample", "key")
        assert blob.uri == "abfs://sample@account.dfs.core.windows.net/"
        assert oct(os.stat(".longshore/azureml/keys/images.json").st_mode)[-3:] == "600"
    """,
    "register_azure_data_lake_gen2": """
        lake = Datastore.register_azure_data_lake_gen2(workspace=ws, datastore_name="lake", filesystem="fs",
            account_name="account", tenant_id="t", client_id="c", client_secret="s")
        assert lake.uri == "abfs://fs@account.dfs.core.windows.net/"
    """,
    "upload and download": """
        reference = ds.upload(src_dir="src", target_path="code", overwrite=True, show_progress=True)
        assert Dataset.File.from_files(reference).to_path() == ["/score.py", "/train.py"]
        assert ds.download("got", prefix="code") == 2 and os.path.isfile("got/code/train.py")
    """,
    "upload_files": """
        first = ds.upload_files(files=["data/a.csv"], target_path="rows", overwrite=True, show_progress=False)
        ds.upload_files(["./data/a.csv"], ".", "rooted")
        assert Dataset.Tabular.from_delimited_files(first).to_pandas_dataframe().shape == (3, 2)
        assert Dataset.File.from_files((ds, "rooted")).to_path() == ["/data/a.csv"]
    """,
    "DataReference": """
        reference = DataReference(datastore=ds, data_reference_name="raw", path_on_datastore="in", mode="mount")
        whole = DataReference(ds)
        found = built(step("--in", reference, "--all", whole, inputs=[reference, whole]))["train-py"]
        assert found["arguments"][1] == "$(inputs.raw)" and len(found["inputs"]) == 2
    """,
    "DataPath": """
        path = DataPath(datastore=ds, path_on_datastore="in")
        parameter = PipelineParameter(name="where", default_value=path)
        pair = (parameter, DataPathComputeBinding(mode="download"))
        found = built(step("--in", pair, inputs=[pair]))["train-py"]
        assert found["arguments"] == ["--in", "$(inputs.where)"]
        assert found["inputs"] == [{"name": "where", "file": {"paths": ["$(parameters.where)"]}, "mode": "download"}]
        assert (path.datastore_name, path.path_on_datastore) == ("workspaceblobstore", "in")
    """,
    # Dataset
    "from_files": """
        ds.upload_files(["data/a.csv"], target_path="in")
        for path in [(ds, "in"), [(ds, "in")], ds.path("in"), DataPath(ds, "in"), (ds, "/in/a.csv"), (ds, "*/*.csv"),
                     (ds, "**/*.csv"), "data/a.csv"]:
            assert Dataset.File.from_files(path).to_path() == ["/a.csv"] or "*" in str(path)
        url = Dataset.File.from_files(["https://example.org/a.csv"], validate=False, partition_format="{name}.csv")
        assert url.partition_keys == ["name"]
    """,
    "get_by_name and register": """
        first = Dataset.File.from_files((ds, "a"), validate=False)
        registered = first.register(workspace=ws, name="My set", description="d", tags={"a": "b"})
        second = Dataset.File.from_files((ds, "b"), validate=False)
        second = second.register(workspace=ws, name="My set", create_new_version=True)
        assert (registered.version, second.version) == (1, 2)
        found = Dataset.get_by_name(ws, name="My set")
        assert (found.name, found.version, found.id) == ("My set", 2, second.id)
        assert Dataset.get_by_name(ws, "My set", version=1).tags == {"a": "b"}
    """,
    "register_pandas_dataframe": """
        import pandas as pd
        made = Dataset.Tabular.register_pandas_dataframe(pd.DataFrame({"a": [1, 2]}), ds, "frame")
        assert made.to_pandas_dataframe()["a"].tolist() == [1, 2] and "frame" in ws.datasets
    """,
    "consumption": """
        files = Dataset.File.from_files((ds, "a"), validate=False)
        modes = [each.mode for each in (files.as_named_input("n").as_mount(), files.as_named_input("n").as_download(),
                                        files.as_named_input("n").as_mount("/tmp/x"), files.as_mount())]
        assert modes == ["mount", "download", "mount", "mount"]
        other = DatasetConsumptionConfig("n", PipelineParameter("p", files), mode="direct").as_download()
        assert built(step(inputs=[other]))["train-py"]["inputs"] == [
            {"name": "n", "dataset": "$(parameters.p)", "mode": "download"}]
    """,
    "partition_by": """
        ds.upload_files(["data/b.csv"], target_path="sales", overwrite=True)
        table = Dataset.Tabular.from_delimited_files((ds, "sales/*.csv"))
        made = table.partition_by(partition_keys=["store", "brand"], target=(ds, "partitioned"), name="by-key")
        assert made.partition_keys == ["store", "brand"] and "by-key" in ws.datasets
        assert os.path.isfile(".longshore/datastore/partitioned/store=1/brand=x/part-00000.parquet")
    """,
    "reading datasets": """
        table = Dataset.Tabular.from_delimited_files("data/a.csv")
        assert table.take(2).to_pandas_dataframe().shape == (2, 2)
        assert list(table.drop_columns("x").to_pandas_dataframe()) == ["y"]
        assert list(table.keep_columns(["x"]).to_pandas_dataframe()) == ["x"]
        files = Dataset.File.from_files("data")
        assert len(files.take(1).to_path()) == 1
        assert len(files.download(target_path="temp/", overwrite=True)) == 2 and os.path.isfile("temp/a.csv")
    """,
    "OutputFileDatasetConfig": """
        out = OutputFileDatasetConfig(name="scores", destination=(ds, "out/{run-id}/{output-name}"))
        out = out.register_on_complete(name="scores", description="d").as_upload(overwrite=True)
        first = step("--out", out, f"folder={out.arg_val}", name="one")
        second = step(name="two", inputs=[out.as_input("s").as_download(), out])
        found = built(second)
        assert found["one"]["arguments"] == ["--out", "$(outputs.scores)", "folder=$(outputs.scores)"]
        (written,) = found["one"]["outputs"]
        assert written["path"] == "out/{run-id}/scores" and written["mode"] == "upload"
        assert written["registerOnComplete"]["name"] == "scores"
        assert [each["from"] for each in found["two"]["inputs"]] == ["$(steps.one.outputs.scores)"] * 2
        assert OutputFileDatasetConfig().name != OutputFileDatasetConfig().name
    """,
    "rows of outputs": """
        out = OutputFileDatasetConfig("rows", (ds, "rows")).read_delimited_files()
        one = step(out, name="one")
        two = ParallelRunStep(
            name="two", parallel_run_config=config(), inputs=[out.as_input("t")], output=PipelineData("o"))
        assert built(two)["two"]["inputs"][0]["tabular"] == {"paths": ["$(steps.one.outputs.rows)"], "format": "csv"}
        assert OutputFileDatasetConfig("p").read_parquet_files().as_mount().tabular == {"format": "parquet"}
    """,
    "PipelineData": """
        data = PipelineData("data", datastore=ds, is_directory=True, pipeline_output_name="all", output_mode="upload",
                            output_path_on_compute="x", output_name="data")
        table = data.as_dataset().parse_parquet_files()
        one = step("--out", data, outputs=[data], name="one")
        two = ParallelRunStep(
            name="two", parallel_run_config=config(), inputs=[table.as_named_input("t")], output=PipelineData("o"))
        assert built(two)["two"]["inputs"][0]["tabular"]["format"] == "parquet"
        assert built(step(name="three", inputs=[data.as_input("i")]))["one"]["outputs"][0]["mode"] == "upload"
    """,
    "one name in two steps": """
        first, second = PipelineData("out"), PipelineData("out")
        found = built(step(first, name="one"), step(first.as_input(), second, name="two"))
        assert found["two"]["arguments"] == ["$(inputs.out-2)", "$(outputs.out)"]
    """,
    # Environment and RunConfiguration
    "Environment": """
        env.python.conda_dependencies = CondaDependencies.create(
            pip_packages=["pandas"], conda_packages=["numpy"], python_version="3.8", pin_sdk_version=False)
        env.docker.enabled = True
        env.docker.base_image = DEFAULT_CPU_IMAGE
        env.docker.base_image = DEFAULT_GPU_IMAGE
        env.environment_variables = {"A": "1"}
        env.environment_variables["B"] = 2
        env.spark.precache_packages = False
        env.python.user_managed_dependencies = True
        env.register(workspace=ws)
        env.build(workspace=ws).wait_for_completion(show_output=True)
        assert Environment.get(workspace=ws, name="env").environment_variables == {"A": "1", "B": 2}
        assert "env" in Environment.list(workspace=ws)
        assert "image" not in env.native(local=True).to_dict()["spec"]
    """,
    "Environment from files": """
        conda = Environment.from_conda_specification(name="c", file_path="conda.yml")
        assert conda.python.conda_dependencies.pip_packages == ["pandas==2.2"]
        pip = Environment.from_pip_requirements("p", "requirements.txt")
        assert pip.python.conda_dependencies.pip_packages == ["numpy"]
        os.makedirs("described")
        CondaDependencies("conda.yml").save_to_file("described")
        assert Environment.load_from_directory("described").name == "described"
    """,
    "CondaDependencies": """
        deps = CondaDependencies(conda_dependencies_file_path="conda.yml")
        deps.add_pip_package("pandas==2.3"), deps.add_conda_package("scipy"), deps.add_channel("conda-forge")
        deps.set_python_version("3.10")
        assert deps.as_dict() == {"name": "project_environment", "channels": ["conda-forge"],
            "dependencies": ["python=3.10", "numpy", "scipy", {"pip": ["pandas==2.3"]}]}
        assert "scipy" in deps.serialize_to_string()
    """,
    "RunConfiguration": """
        run_config = RunConfiguration(conda_dependencies=CondaDependencies(), framework="python")
        run_config.environment = env
        run_config.environment.docker.enabled = True
        run_config.environment.python.user_managed_dependencies = False
        run_config.target = "local"
        run_config.docker = DockerConfiguration(use_docker=True)
        env.environment_variables["A"] = 1
        assert built(step(runconfig=run_config))["train-py"]["environment"] == {"name": "env"}
    """,
    "ScriptRunConfig": """
        src = ScriptRunConfig(source_directory="src", script="train.py", arguments=["-x"], compute_target="local",
                              environment=env)
        assert (src.script, src.source_directory, src.run_config.target) == ("train.py", "src", "local")
        assert built(step(runconfig=src.run_config))
    """,
    # Models
    "Model.register and list": """
        for number in (1, 2):
            model = Model.register(workspace=ws, model_path="src/", model_name="net", tags={"a": number},
                                   description="d", properties={"p": "q"})
        assert [(m.name, m.version, m.tags, m.properties, m.description) for m in Model.list(ws)] == [
            ("net", 2, {"a": "2"}, {"p": "q"}, "d"), ("net", 1, {"a": "1"}, {"p": "q"}, "d")]
        assert Model(ws, "net").version == 2 and os.path.isfile(os.path.join(Model.get_model_path("net"), "train.py"))
        assert ws.models["net"].id == "net:2" and Model.list(ws, tags=[["a", "1"]])[0].version == 1
    """,
    # Steps
    "PythonScriptStep": """
        one = PythonScriptStep("train.py", source_directory="src")
        two = step("--n", 20, 0.5, None, " ", PipelineParameter("p", 3), name="01 Train Model ", allow_reuse=False,
                   compute_target="local", runconfig=RunConfiguration(), inputs=[], outputs=[], params={"a": 1})
        two.run_after(one)
        assert (one.name, two.name) == ("train.py", "01 Train Model ")
        spec = Pipeline(workspace=ws, steps=two).build("t").pipeline.to_dict()["spec"]["steps"]
        assert [each["name"] for each in spec] == ["train-py", "step-01-train-model"]
        assert spec[1]["runAfter"] == ["train-py"] and spec[1]["allowReuse"] is False
        assert spec[1]["script"]["arguments"] == ["--n", "20", "0.5", "None", " ", "$(parameters.p)"]
    """,
    "ParallelRunStep": """
        files = Dataset.File.from_files((ds, "a"), validate=False)
        size = PipelineParameter(name="size", default_value="5")
        conf = config(source_directory="src", entry_script="score.py", mini_batch_size=size, run_invocation_timeout=180,
                      process_count_per_node="2", node_count="33", error_threshold=-1, run_max_try=1)
        assert conf.append_row_file_name == "parallel_run_step.txt"
        out = OutputFileDatasetConfig("out")
        prs = ParallelRunStep(name="ScoreParallel", parallel_run_config=conf, inputs=[files.as_named_input("f")],
                              output=out, arguments=["--out", out, "--n", 3], side_inputs=[None], allow_reuse=False)
        found = built(prs)["scoreparallel"]
        assert found["arguments"] == ["--out", "$(outputs.out)", "--n", "3"] and found["nodeCount"] == 33
        assert (found["miniBatchSize"], found["processCountPerNode"]) == ("$(parameters.size)", 2)
        assert found["errorThreshold"] == -1 and "sideInputs" not in found
        written = PipelineData("written")
        summary = ParallelRunStep(name="summary", parallel_run_config=config(output_action="summary_only"),
                                  inputs=[files], arguments=[written, files.as_named_input("side")], side_inputs=[])
        found = built(summary)["summary"]
        assert found["arguments"] == ["$(outputs.written)", "$(inputs.side)"] and found["output"]["name"] == "written"
    """,
    "load_yaml": """
        conf = ParallelRunConfig.load_yaml(workspace=ws, path="prs.yml")
        assert (conf.compute_target, conf.environment.name, conf.node_count) == ("local", "AzureML-Tutorial", 2)
    """,
    "StepSequence": """
        a, b, c = (step(name=name) for name in ("aaa", "bbb", "ccc"))
        steps = Pipeline(ws, steps=StepSequence(steps=[a, [b, c]])).build("t").pipeline.to_dict()["spec"]["steps"]
        assert [each.get("runAfter") for each in steps] == [None, ["aaa"], ["aaa"]]
    """,
    "CommandStep": """
        data = Dataset.File.from_files((ds, "a"), validate=False).as_named_input("d")
        one = CommandStep(name="one", command=["python train.py", "--x", data], source_directory="src")
        config = ScriptRunConfig(source_directory="src", command=["python", "train.py", "--y", 3])
        two = CommandStep(name="two", runconfig=config)
        found = built(one, two)
        assert found["one"]["arguments"] == ["--x", "$(inputs.d)"] and found["two"]["arguments"] == ["--y", "3"]
    """,
    "DataTransferStep": """
        place = DataReference(datastore=ds, data_reference_name="a", path_on_datastore="a")
        other = DataReference(datastore=ds, data_reference_name="b", path_on_datastore="b")
        copy = DataTransferStep(name="copy", source_data_reference=place, destination_data_reference=other,
                                compute_target=None, destination_reference_type="directory")
        assert built(copy)["copy"]["destination"] == {"path": "b", "datastore": "workspaceblobstore"}
    """,
    # Pipelines and parameters
    "Pipeline": """
        pipeline = Pipeline(ws, [[step(name="one")], step(name="two")], description="d", default_datastore=ds,
                            default_source_directory=".")
        assert pipeline.validate() == []
        pipeline._set_experiment_name
    """,
    "PipelineParameter": """
        for value in ("x", " ", 1, 0.5, True, DataPath(ds, "a"), ["a"],
                      Dataset.File.from_files((ds, "a"), validate=False),
                      Dataset.Tabular.from_delimited_files((ds, "a"), validate=False)):
            assert built(step(PipelineParameter(name="p", default_value=value)))["train-py"]["arguments"]
        assert PipelineParameter("p", 3).default_value == 3
    """,
    "Experiment": """
        exp = Experiment(workspace=ws, name="My exp_1")
        assert exp.name == "My exp_1" and list(exp.get_runs()) == []
    """,
    "start_logging": """
        run = Experiment(ws, "e").start_logging()
        run.log("accuracy", 0.5), run.log_list("l", [1])
        run.upload_file(name="outputs/train.py", path_or_stream="src/train.py")
        model = run.register_model(model_name="m", model_path="outputs/train.py", tags={"a": "b"}, properties={})
        assert run.get_metrics() == {"accuracy": 0.5, "l": [1]} and model.version == 1
        run.complete()
        assert run.get_status() == "Completed"
    """,
    # Publishing
    "publish": """
        published = Pipeline(ws, [step(name="one")]).publish("p", description="d", version="1")
        assert (published.name, str(published.version)) == ("p", "1") and published.endpoint.endswith(published.id)
        assert published.id in published._repr_html_()
        assert [each.id for each in PublishedPipeline.list(ws)] == [published.id]
        assert PublishedPipeline.get(ws, published.id).name == "p"
        published.disable()
        assert PublishedPipeline.list(ws) == [] and len(PublishedPipeline.list(ws, active_only=False)) == 1
    """,
    "PipelineEndpoint": """
        from azureml.pipeline.core._restclients.aeva.models.error_response import ErrorResponseException
        published = Pipeline(ws, [step(name="one")]).publish(name="p")
        try:
            endpoint = PipelineEndpoint.get(workspace=ws, name="e")
            endpoint.add_default(published)
        except ErrorResponseException:
            endpoint = PipelineEndpoint.publish(workspace=ws, name="e", pipeline=published, description="d")
        other = Pipeline(ws, [step(name="two")]).publish(name="q")
        PipelineEndpoint.get(workspace=ws, name="e").add_default(other)
        assert endpoint.get_pipeline().name == "q" and endpoint.get_pipeline("0").name == "p"
        assert [each.version for each in endpoint.list_versions()] == ["0", "1"]
        endpoint.set_default_version("0"), endpoint.set_default(other), endpoint.add(published)
        assert endpoint.default_version == "1" and endpoint.endpoint.startswith("http://127.0.0.1:")
    """,
    "Schedule": """
        for use in (lambda: Schedule.create(ws, name="s", pipeline_id="i", experiment_name="e", recurrence=None),
                    lambda: ScheduleRecurrence(frequency="Week", interval=1, week_days=["Monday"]),
                    lambda: Schedule.list(ws), lambda: Schedule.get(ws, "i")):
            try:
                use()
            except NotSupportedException as error:
                assert "apply a CronJob that creates a PipelineRun" in error.message
            else:
                raise AssertionError
    """,
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_has_its_shape_and_its_result(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(
        tmp_path,
        {
            "src/train.py": "print('train')\n",
            "src/score.py": "def run(mini_batch):\n    return mini_batch\n",
            "data/a.csv": "x,y\n1,2\n3,4\n5,6\n",
            "data/b.csv": "store,brand,n\n1,x,1\n1,y,2\n2,x,3\n",
            "conda.yml": "dependencies:\n- python=3.8\n- numpy\n- pip:\n  - pandas==2.2\n",
            "requirements.txt": "# comment\nnumpy\n",
            "conf/config.json": '{"workspace_name": "named", "resource_group": "rg", "subscription_id": "s"}',
            "prs.yml": "parallel_run_config:\n  input_format:\n  environment_name: AzureML-Tutorial\n"
            "  compute_target_name: local\n  entry_script: src/score.py\n  error_threshold: 1\n"
            "  output_action: append_row\n  node_count: 2\n",
            ".longshore/accounts.yaml": "local: azure\n",
        },
    )
    with sdk(tmp_path, monkeypatch):
        exec(compile(START + textwrap.dedent(CALLS[name]), name, "exec"), {})
