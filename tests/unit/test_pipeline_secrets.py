"""Secrets of URLs are in no status of a pipeline, and steps are compared by what the URLs name."""

from datetime import UTC, datetime

import pytest
from pipelines import document, frozen, script

from longshore_agent.task import _transfer
from longshore_agent.transfer import error_message
from longshore_planner.pipelines import fingerprint
from longshore_planner.pipelines.decide import decide
from longshore_planner.pipelines.frozen import Options
from longshore_planner.pipelines.history import History
from longshore_planner.pipelines.status import pipeline_status
from longshore_storage.redaction import recorded

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECRET, OTHER = "c2lnbmF0dXJlLW9mLWE", "b3RoZXItc2lnbmF0dXJl"
SIGNED = "https://host/{name}.csv?X-Amz-Date=1&X-Amz-Signature={secret}"
WITH_KEY = "https://host/{name}.csv?api-key={secret}"
WITH_PASSWORD = "ftp://user:{secret}@host/{name}.csv"


def parallel(**more):
    spec = {"inputs": [{"name": "rows", "file": {"paths": ["/data"]}}], "entryScript": "s.py",
            "outputAction": "summary_only", **more}  # fmt: skip
    return {"name": "only", "parallelRun": spec}


STEPS = {
    "an input of files": lambda url: parallel(inputs=[{"name": "rows", "file": {"paths": ["/data", url]}}]),
    "an input of rows": lambda url: parallel(inputs=[{"name": "rows", "tabular": {"paths": [url]}}]),
    "a side input": lambda url: parallel(sideInputs=[{"name": "more", "file": {"paths": [url]}}]),
    "an input of a script": lambda url: script("only", inputs=[{"name": "rows", "file": {"paths": [url]}}]),
    "an argument": lambda url: script("only", arguments=["--from", f"--url={url}"]),
    "a param": lambda url: script("only", params={"url": url}),
    "a variable": lambda url: parallel(environmentVariables={"URL": url}),
    "the source of a transfer": lambda url: {
        "name": "only",
        "transfer": {"source": {"path": url}, "destination": {"path": "/copy"}},
    },
    "a parameter of the pipeline": lambda url: script("only", arguments=["$(parameters.url)"]),
    "a model": lambda url: {"name": "only", "script": {"scriptName": "s.py", "models": [{"name": "m"}]}},
}


def frozen_pipeline(make, url):
    parameters = [{"name": "url", "type": "string"}] if "parameter" in repr(make(url)) else []
    model = document("Model", "m", version=1, path=url)
    return frozen(make(url), given={"url": url} if parameters else {}, parameters=parameters, documents=(model,))


@pytest.mark.parametrize("form", [SIGNED, WITH_KEY, WITH_PASSWORD], ids=["signature", "key", "password"])
@pytest.mark.parametrize("make", STEPS.values(), ids=STEPS)
def test_no_status_has_the_secret_of_a_url(make, form):
    pipeline = frozen_pipeline(make, form.format(name="a", secret=SECRET))
    decision = decide(pipeline, {}, history=History(), options=Options(), now=1.0)
    status = pipeline_status(pipeline, decision, started=NOW, now=NOW, previous=None)
    assert status.steps[0].fingerprint.parts
    assert SECRET not in status.to_json()
    assert SECRET in pipeline.to_json()  # where it is used


@pytest.mark.parametrize("make", STEPS.values(), ids=STEPS)
def test_a_step_is_the_same_with_another_signature_and_another_one_with_another_file(make):
    first = frozen_pipeline(make, SIGNED.format(name="a", secret=SECRET)).steps[0].parts
    again = frozen_pipeline(make, SIGNED.format(name="a", secret=OTHER)).steps[0].parts
    other = frozen_pipeline(make, SIGNED.format(name="b", secret=SECRET)).steps[0].parts
    assert fingerprint.digest(first) == fingerprint.digest(again)
    assert fingerprint.digest(first) != fingerprint.digest(other)
    assert SECRET not in fingerprint.why_not(first, other)


@pytest.mark.parametrize("make", [each for name, each in STEPS.items() if "input" in name or "source" in name])
def test_what_inputs_hold_is_looked_at_with_the_secret(make):
    url = SIGNED.format(name="a", secret=SECRET)
    (step,) = frozen_pipeline(make, url).steps
    assert [url in paths for paths in step.locations.values()].count(True) == 1


RECORDED = {
    "no URL": ("--key=abc", "--key=abc"),
    "no secret": ("https://host/a?version=3", "https://host/a?version=3"),
    "a signature": ("https://host/a?id=1&sig=abc", "https://host/a?id=1"),
    "a password": ("see sftp://me:abc@host/a", "see sftp://me:***@host/a"),
    "a password beside a signature": ("https://me:abc@host/a?sig=abc", "https://me:***@host/a"),
}


@pytest.mark.parametrize(("text", "wanted"), RECORDED.values(), ids=RECORDED)
def test_a_text_is_recorded_as_it_names_things(text, wanted):
    assert recorded(text) == wanted


def test_other_secrets_distinguish_one_thing_from_another():
    texts = [recorded(f"https://host/a?key={secret}") for secret in (SECRET, OTHER, SECRET)]
    assert texts[0] == texts[2] != texts[1]
    assert all(text.startswith("https://host/a?key=*** (") for text in texts)


@pytest.mark.usefixtures("restored_signals")
def test_a_transfer_that_fails_or_is_ended_names_no_secret(tmp_path):
    source, target = SIGNED.format(name="a", secret=SECRET), WITH_PASSWORD.format(name="b", secret=SECRET)
    assert SECRET not in error_message(source, target, OSError("no"))
    absent = f"memory://{tmp_path.name}/a?sig={SECRET}"
    result = _transfer({"source": absent, "destination": str(tmp_path), "timeout": 60.0})
    assert (result.state, SECRET in result.message) == ("failed", False)
