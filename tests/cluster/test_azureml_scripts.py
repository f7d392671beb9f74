"""Entry scripts as they were written for Azure ML, unmodified, in pods of images that hold nothing of Longshore."""

import pytest
from azureml_scripts import SCRIPTS
from localcluster import install
from steps import Steps


@pytest.fixture(scope="module")
def ended(place, shared_namespace, tables_image, tmp_path_factory):
    """Run all scripts at once, each in pods of its own; return what became of each, and its run's folder."""
    install.start(place)
    steps = Steps(shared_namespace, tmp_path_factory.mktemp("scripts") / "data")
    steps.apply("Environment", "tables", image=tables_image)
    for name, script in SCRIPTS.items():
        sources = {"entry.py": script.text, **script.beside}
        shared_namespace("create", "configmap", name, *(f"--from-literal={file}={sources[file]}" for file in sources))
        for model, spec in script.models.items():
            steps.apply("Model", model, **spec)
        for file, content in script.data.items():
            path = steps.folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
    steps.open_to_pods()
    for name, script in SCRIPTS.items():
        environment = {"name": "tables" if script.packages else "plain"}
        steps.apply("ParallelRunStep", name, **script.step(source={"configMap": name}, environment=environment))
    for name in SCRIPTS:
        steps.finish(name)
    return {name: (steps.status(name), steps.run_folder(name)) for name in SCRIPTS}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_runs_unmodified_in_pods_and_comes_to_what_it_is_to(ended, name):
    status, folder = ended[name]
    SCRIPTS[name].check(status, folder, step=name)
