"""Scripts in pods that ask for data by name that their step does not declare, on an object store and on a claim."""

import json
import os

import pytest
import scripts_by_name as by_name
from claims import claim
from localcluster import install
from s3_server import BUCKET
from servers import CREDENTIALS, ObjectStore
from steps import GROUP, STEP

SCRIPT_STEP = "scriptsteps.longshore.dev"
SECRET = CREDENTIALS["AWS_SECRET_ACCESS_KEY"]
KINDS = "parallelrunsteps,scriptsteps,events,configmaps"


class InBucket:
    """Datastores in an object store."""

    def __init__(self, kubectl, image):
        self._objects = ObjectStore(kubectl, image)
        self._objects.put({f"store/{name}": text for name, text in by_name.FILES.items()})
        for name in ("store", "other"):
            secret = {"secretRef": {"name": "key"}}
            kubectl.apply("Datastore", name, uri=f"s3://{BUCKET}/{name}", default=name == "store", **secret)

    def files(self, prefix=""):
        """Return the texts below a path of the Datastore `store`, by their paths in it."""
        found = self._objects.get(f"store/{prefix}")
        return {name.removeprefix("store/"): text for name, text in found.items()}


class OnClaim:
    """Datastores on one claim."""

    def __init__(self, kubectl, folder):
        self._folder = folder / "store"
        for name, text in by_name.FILES.items():
            (self._folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self._folder / name).write_text(text)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o2770 if path.is_dir() else 0o640)
            os.chown(path, -1, GROUP)
        self.volume = claim(kubectl, "shared", folder)
        for name in ("store", "other"):
            kubectl.apply("Datastore", name, uri=f"pvc:shared/{name}", default=name == "store")

    def files(self, prefix=""):
        """As above."""
        files = [each for each in self._folder.rglob("*") if each.is_file()]
        named = {str(each.relative_to(self._folder)): each for each in files}
        return {name: each.read_text(errors="replace") for name, each in named.items() if name.startswith(prefix)}


@pytest.fixture(params=["bucket", "claim"])
def store(request, place, namespace, tables_image, tmp_path):
    """The Datastores `store` and `other`, and all that the script asks for."""
    install.start(place)
    if request.param == "bucket":
        made = InBucket(namespace, request.getfixturevalue("servers_image"))
    else:
        made = OnClaim(namespace, tmp_path / "claim")
    namespace("label", "namespace", namespace.namespace, "pod-security.kubernetes.io/enforce=restricted")
    for each in by_name.documents():
        namespace.apply(each["kind"], each["metadata"]["name"], **each["spec"])
    namespace.apply("Environment", "tables", image=tables_image)
    head = f"SECRETS = [{SECRET[::-1]!r}[::-1]]\n"  # reversed, so that the source does not hold the secret itself
    scripts = {"entry.py": head + by_name.ENTRY, "script.py": head + by_name.SCRIPT}
    namespace("create", "configmap", "code", *(f"--from-literal={name}={text}" for name, text in scripts.items()))
    yield made
    if request.param == "claim":
        namespace("delete", "persistentvolume", made.volume, "--wait=false")


def ended(kubectl, resource):
    kubectl.eventually(lambda: kubectl.conditions(resource).get("Finished", {}).get("status") == "True", patience=240.0)
    return kubectl.conditions(resource)["Succeeded"]


def found(texts):
    lines = [line for text in texts.values() for line in text.splitlines() if "FOUND " in line]
    return [json.loads(line.partition("FOUND ")[2]) for line in lines]


def test_an_entry_script_and_a_script_step_use_every_call_in_pods(store, namespace):
    common = {"source": {"configMap": "code"}, "environment": {"name": "tables"}}
    namespace.apply("ScriptStep", "script-step", scriptName="script.py", datastores=["store"], **common)
    namespace.apply(
        "ParallelRunStep",
        "entry-step",
        inputs=[{"name": "files", "file": {"paths": ["words/*.txt"]}}],
        output={"name": "rows"},
        entryScript="entry.py",
        outputAction="append_row",
        processCountPerNode=2,
        **common,
    )
    for mark, resource in (("entry", f"{STEP}/entry-step"), ("script", f"{SCRIPT_STEP}/script-step")):
        condition = ended(namespace, resource)
        logs = {name: text for name, text in store.files("longshore/").items() if "/logs/" in name}
        assert condition["status"] == "True", (condition, logs)
        of_step = {name: text for name, text in logs.items() if f"/{mark}-step-" in name and "stdout" in name}
        declared = ("files",) if mark == "entry" else ()
        made = found(of_step)
        assert made
        assert all(each == by_name.expected(mark, declared=declared) for each in made), made
        for name, text in by_name.made(mark).items():
            assert store.files(name) == {name: text}
    told = json.dumps(namespace.get(KINDS)) + json.dumps(store.files("longshore/"))
    assert SECRET not in told
