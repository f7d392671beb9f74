"""What the pods of a run are given: no token of the API, and in the user's container neither ours nor a store's."""

import base64

import pytest

LOOK = """
import glob, os
print(*os.environ.items(), sep="\\n")
folders = [path for folder in ("/longshore", "/run") for path in glob.glob(folder + "/**", recursive=True)]
for path in glob.glob("/proc/[0-9]*/environ") + folders:
    try:
        print(path, open(path, "rb").read())
    except OSError as error:
        print(path, error)
"""


@pytest.fixture
def running(steps, namespace):
    """A step that runs, with a store's credential; its namespace."""
    namespace("create", "secret", "generic", "key", "--from-literal=AWS_SECRET_ACCESS_KEY=open-sesame")
    steps.apply("Datastore", "bucket", uri="s3://bucket", secretRef={"name": "key"})
    steps.submit(limit=10, arguments=["--unused=s3://bucket/x"])
    steps.until_done(10)
    yield namespace
    steps.finish()


def test_no_container_has_a_token_of_the_api(running):
    account = "/var/run/secrets/kubernetes.io"
    for pod, container in (("worker-0", "main"), ("worker-0", "agent"), ("coordinator", "coordinator")):
        ended = running.try_("exec", f"score-{pod}", f"--container={container}", "--", "ls", "-d", account)
        assert "No such file or directory" in ended.stderr, ended


def test_the_users_container_sees_neither_the_runs_token_nor_a_credential(running):
    token = base64.b64decode(running.get("secret", "score-run")["data"]["token"]).decode()
    seen = {
        each: running("exec", "score-worker-0", f"--container={each}", "--", "python3", "-c", LOOK)
        for each in ("main", "agent")
    }
    assert "AWS_SECRET_ACCESS_KEY" in seen["agent"]  # so that looking would find it
    for secret in (token, "open-sesame", "AWS_SECRET_ACCESS_KEY", "LONGSHORE_TOKEN"):
        assert secret in seen["agent"], secret
        assert secret not in seen["main"], secret
    assert "/longshore/work/agent.sock" in seen["main"]
