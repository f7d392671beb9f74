"""Whatever stands in a manifest, it is accepted, or refused with sentences that name what is wrong."""

from pathlib import Path

import pytest
import yaml
from fuzzing import VALUES, examples, mutated
from hypothesis import given
from hypothesis import strategies as st

from longshore_api.errors import InvalidDocuments, Problem
from longshore_planner.azureml import UnsupportedDocument, check, translate
from longshore_planner.documents import load
from longshore_planner.pipelines.choose import choose
from longshore_planner.resolve import resolve

DATA = Path(__file__).parents[1] / "data"
DOCUMENTS = list(yaml.safe_load_all((DATA / "manifests/every_field.yaml").read_text()))
STEP = {
    "apiVersion": "longshore.dev/v1alpha1",
    "kind": "ParallelRunStep",
    "metadata": {"name": "score"},
    "spec": {
        "inputs": [{"name": "in", "file": {"paths": ["data/*"]}, "partitionFormat": "/{year:yyyy}/x.txt"}],
        "sideInputs": [{"name": "words", "uri": "words.txt"}],
        "output": {"name": "out"},
        "source": {"uri": "file:."},
        "entryScript": "score.py",
        "arguments": ["--words", "$(inputs.words)", "--error_threshold", "3"],
        "miniBatchSize": 2,
        "outputAction": "append_row",
    },
}


def dumped(documents):
    return yaml.safe_dump_all(documents, allow_unicode=False).encode()


def use(folder, text):
    """Do with a manifest what the command does before anything is started."""
    path = folder / "manifest.yaml"
    path.write_bytes(text)
    problems = []
    try:
        documents = load([path], parameters={"x": "1"})
        if choose(documents, name=None, assigned={}) is None:
            job = resolve(documents, run_uri=str(folder / "run"), run_id="1", cores=2).job
            assert type(job).from_json(job.to_json()) == job
    except InvalidDocuments as error:
        problems = error.problems or [Problem("", "", "")]
    for problem in problems:
        assert problem.where, problem.path
        assert problem.text


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("manifests")


@examples(60)
@given(step=mutated(STEP))
def test_a_step(folder, step):
    use(folder, dumped([step]))


@examples(40)
@given(documents=mutated(DOCUMENTS, most=5))
def test_documents_of_every_kind(folder, documents):
    use(folder, dumped(documents if isinstance(documents, list) else [documents]))


@examples(40)
@given(document=VALUES)
def test_any_value(folder, document):
    use(folder, dumped([document]))


@examples(60)
@given(text=st.binary(max_size=60) | st.text("-[]{}:,&*!|>'\"#%@`ab0 \n\t?~<", max_size=60).map(str.encode))
def test_any_bytes(folder, text):
    use(folder, text)


AZUREML = [yaml.safe_load(each.read_text()) for each in sorted((DATA / "azureml").glob("*.yml"))]


@examples(60)
@given(content=st.sampled_from(AZUREML).flatmap(mutated))
def test_an_import_of_azure_ml(content):
    refused = None
    try:
        translation = translate(content, name="job", base=".", read=lambda _: None)
        check(translation.documents, where="job.yml")
    except (UnsupportedDocument, InvalidDocuments) as error:
        refused = error
    assert refused is None or str(refused).strip()
