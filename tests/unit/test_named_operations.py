"""What scripts get by name from their agent: by the stand-ins, over the socket, from folders and an object store."""

import os
import re
from functools import partial
from pathlib import Path

import pytest
from named_store import ASSETS, FILES, STORE, fill, memory

from longshore_agent import named_files
from longshore_agent.named_files import NamedFiles
from longshore_agent.named_operations import requests_of
from longshore_agent.request_server import serving
from longshore_protocol.catalogue import pack
from longshore_protocol.job import Datastore as Usable
from longshore_protocol.script_job import ScriptJob
from longshore_run import context
from longshore_run.context import Context, Given
from longshore_shims.dataset import Dataset
from longshore_shims.datastore import Datastore
from longshore_shims.errors import InputNotFoundException, ModelNotFoundException, UserErrorException
from longshore_shims.model import Model
from longshore_shims.named import ask
from longshore_shims.workspace import Workspace


@pytest.fixture
def step(tmp_path, monkeypatch):
    """Serve the requests of this process, which is one of a script; return the folder of the step."""
    fill()
    for name in ("iris.bin", "in/1.txt", "in/2.txt"):
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_text(name)
    job = ScriptJob(
        name="step",
        run_id="run-1",
        run_uri=f"{STORE}/longshore/run-1",
        source_uri="/code",
        script="s.py",
        datastores=(
            Usable("bucket", STORE, default=True),
            Usable("folder", str(tmp_path / "folder"), read_only=True),
        ),
        catalogue=pack(ASSETS, ["bucket", "folder", "hidden"]),
    )
    folder = tmp_path / "step"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(named_files, "_FIRST_PAUSE", 0.001)
    inputs = (Given("declared", (str(tmp_path / "folder/in"),)),)
    given = Context(log_dir="", socket=str(folder / "agent.sock"), inputs=inputs)
    monkeypatch.setenv(context.VARIABLE, given.write(str(folder)))
    files = NamedFiles(str(tmp_path / "named"), patience=5.0)
    with serving(str(folder / "agent.sock"), lambda: requests_of(job, files, exchange=str(folder))):
        yield folder
    memory().store.clear()


def stored():
    return {name.removeprefix("/named/"): data.getvalue().decode() for name, data in memory().store.items()}


def below(folder):
    walk = os.walk(folder)
    return {os.path.relpath(os.path.join(where, each), folder) for where, _, names in walk for each in names}


@pytest.mark.usefixtures("step")
class TestModels:
    """Models by name."""

    def test_the_highest_version_is_downloaded_or_the_one_that_is_named(self):
        assert below(Model.get_model_path("digits")) == {"a.bin", "sub/b.bin"}
        assert Path(Model.get_model_path("digits", version=1)).read_text() == "old"
        assert Path(Model.get_model_path("digits", 1, _workspace=Workspace())).name == "old.bin"

    def test_a_local_model_is_used_in_place(self, step):
        assert Model.get_model_path("iris") == str(step.parent / "folder/iris.bin")

    def test_a_model_has_what_its_document_states(self):
        model = Model(Workspace(), name="digits")
        assert (model.name, model.version, model.id) == ("digits", 2, "digits:2")
        assert (model.description, model.tags, model.properties) == ("Digits.", {"stage": "test"}, {"rows": "5"})
        assert below(model.path) == {"a.bin", "sub/b.bin"}
        assert Model(Workspace(), id="digits:1").version == 1

    @pytest.mark.parametrize(
        ("filters", "found"),
        [
            ({}, [("digits", 2), ("digits", 1), ("iris", 1)]),
            ({"name": "digits"}, [("digits", 2), ("digits", 1)]),
            ({"latest": True}, [("digits", 2), ("iris", 1)]),
            ({"tags": ["stage"]}, [("digits", 2), ("iris", 1)]),
            ({"tags": [["stage", "live"]]}, [("iris", 1)]),
            ({"properties": [["rows", 5]]}, [("digits", 2)]),
            ({"name": "none"}, []),
        ],
    )
    def test_models_are_listed(self, filters, found):
        assert [(each.name, each.version) for each in Model.list(Workspace(), **filters)] == found

    def test_a_model_is_copied_where_the_script_wants_it(self, step):
        path = Model(Workspace(), "digits", version=1).download(target_dir="models")
        assert path == os.path.join("models", "old.bin")
        with pytest.raises(UserErrorException, match="exists already; set exist_ok=True"):
            Model(Workspace(), "digits", version=1).download(target_dir="models")
        Model(Workspace(), "digits", version=1).download(target_dir="models", exist_ok=True)
        Model(Workspace(), "digits").download(target_dir=str(step / "all"))
        assert below(step / "all") == {"digits/a.bin", "digits/sub/b.bin"}

    def test_the_workspace_has_them(self):
        assert {name: each.version for name, each in Workspace().models.items()} == {"digits": 2, "iris": 1}

    @pytest.mark.parametrize(
        ("name", "version", "error", "message"),
        [
            (
                "none",
                None,
                ModelNotFoundException,
                (
                    'Model "none" is not in spec.models of the step and did not exist when this run began; Models that '
                    "existed: digits, iris, secret, strewn, up."
                ),
            ),
            (
                "digits",
                9,
                ModelNotFoundException,
                'Model "digits" had no version 9 when this run began; its versions: 1, 2.',
            ),
            (
                "secret",
                None,
                UserErrorException,
                (
                    'Model "secret" version 1 is in Datastore "hidden", which is not among those that this step may '
                    'use (bucket, folder); add "hidden" to spec.datastores of the step.'
                ),
            ),
            (
                "strewn",
                None,
                UserErrorException,
                (
                    'Model "strewn" version 1 is at "s3://elsewhere/m.bin", in no Datastore; create one that contains '
                    "it, and list that in spec.datastores of the step."
                ),
            ),
            (
                "up",
                None,
                UserErrorException,
                'Model "up" version 1 has ".." in its path "../m.bin"; write it without, below its Datastore.',
            ),
        ],
    )
    def test_a_model_that_cannot_be_had_is_refused_with_the_remedy(self, name, version, error, message):
        for attempt in (Model.get_model_path, lambda name, version: Model(None, name, version=version)):
            with pytest.raises(UserErrorException) as refused:
                attempt(name, version)
            assert type(refused.value) is error
            assert str(refused.value) == message


@pytest.mark.usefixtures("step")
class TestDatasets:
    """Datasets by name."""

    def test_files_are_downloaded_copied_and_mounted(self, step):
        words = Dataset.get_by_name(Workspace(), name="words")
        assert (words.name, words.version, words.description, words.tags) == ("words", 3, "Words.", {"language": "en"})
        assert words.to_path() == ["/deep/de.txt", "/en.txt"]
        assert sorted(words.download("words")) == [str(step / "words/deep/de.txt"), str(step / "words/en.txt")]
        Path("words/en.txt").write_text("the copy is the script's own")
        with words.mount() as mounted:
            assert below(mounted.mount_point) == {"deep/de.txt", "en.txt"}
            assert not os.stat(f"{mounted.mount_point}/en.txt").st_mode & 0o222
        with words.as_named_input("x").as_mount("there") as mounted:
            assert Path(mounted.mount_point, "en.txt").read_text() == "one\ntwo\n"
        with words.as_download() as folder:
            assert Path(folder.mount_point, "en.txt").read_text() == "one\ntwo\n"
        assert words.take(1).to_path() == ["/deep/de.txt"]

    def test_rows_are_read(self):
        table = Dataset.get_by_name(Workspace(), "table", version=1)
        assert table.to_pandas_dataframe().values.tolist() == [[1, 2], [3, 4]]
        assert table.skip(1).take(1).to_pandas_dataframe().values.tolist() == [[3, 4]]

    def test_local_files_are_used_in_place(self, step):
        found = Dataset.get_by_name(Workspace(), "local", version="latest")
        assert found.to_path() == ["/1.txt", "/2.txt"]
        assert below(step.parent / "named") == set()

    def test_inputs_of_the_step_come_first(self):
        assert Dataset.get_by_name(Workspace(), "declared").to_path() == ["/1.txt", "/2.txt"]
        assert set(Workspace().datasets) == {"declared", "gone", "local", "query", "table", "words"}
        assert Workspace().datasets["table"].version == 1

    @pytest.mark.parametrize(
        ("name", "error", "message"),
        [
            ("none", InputNotFoundException, 'Dataset "none" is not in spec.inputs of the step and did not exist'),
            (
                "private",
                UserErrorException,
                'is in Datastore "hidden", which is not among those that this step may use',
            ),
        ],
    )
    def test_a_dataset_that_cannot_be_had_is_refused(self, name, error, message):
        for attempt in (lambda: Dataset.get_by_name(None, name), lambda: Workspace().datasets[name]):
            with pytest.raises(UserErrorException) as refused:
                attempt()
            assert type(refused.value) is error
            assert message in str(refused.value)

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("query", 'Dataset "query" version 1 is a query of a database; declare it in spec.inputs'),
            (
                "gone",
                (
                    r'Dataset "gone" version 1 in Datastore "bucket" cannot be downloaded: The path '
                    r'"memory://named/nothing/here" does not exist\.$'
                ),
            ),
        ],
    )
    def test_a_dataset_whose_files_cannot_be_had_is_refused_at_its_first_use(self, name, message):
        found = Dataset.get_by_name(None, name)
        with pytest.raises(UserErrorException, match=message):
            found.to_pandas_dataframe()


@pytest.mark.usefixtures("step")
class TestDatastores:
    """Datastores by name."""

    def test_the_default_one_has_azure_mls_name_too(self):
        workspace = Workspace()
        for each in (
            Datastore.get(workspace, "workspaceblobstore"),
            Datastore.get_default(workspace),
            Datastore(workspace),
        ):
            assert each.name == "bucket"
        assert workspace.get_default_datastore().name == "bucket"
        assert set(workspace.datastores) == {"bucket", "folder"}
        assert workspace.datastores["workspaceblobstore"].name == "bucket"
        assert Datastore(workspace, "folder").path("x/y").path_on_datastore == "x/y"

    def test_folders_and_files_are_uploaded(self):
        os.makedirs("out/sub")
        Path("out/a.txt").write_text("a")
        Path("out/sub/b.txt").write_text("b")
        os.chmod("out/sub/b.txt", 0o600)
        made = Datastore.get(None, "bucket").upload(src_dir="out", target_path="results/1", overwrite=True)
        assert (made.datastore.name, made.path_on_datastore) == ("bucket", "results/1")
        Datastore(None, "bucket").upload_files(["out/sub/b.txt"], target_path="flat")
        Datastore(None, "bucket").upload_files(["out/sub/b.txt"], relative_root="out", target_path="kept/")
        found = stored()
        assert {name: found[name] for name in found if name not in FILES} == {
            "results/1/a.txt": "a",
            "results/1/sub/b.txt": "b",
            "flat/b.txt": "b",
            "kept/sub/b.txt": "b",
        }

    def test_existing_files_stay_unless_they_may_be_replaced(self, capsys):
        Path("en.txt").write_text("other")
        store = Datastore(None, "bucket")
        store.upload_files(["en.txt"], target_path="words")
        assert stored()["words/en.txt"] == "one\ntwo\n"
        assert "words/en.txt exists already; set overwrite=True to replace it." in capsys.readouterr().out
        store.upload_files(["en.txt"], target_path="words", overwrite=True)
        assert stored()["words/en.txt"] == "other"

    def test_files_are_downloaded_with_their_paths_in_the_store(self, step, capsys):
        store = Datastore(None, "bucket")
        assert store.download("here", prefix="words") == 2
        assert below(step / "here") == {"words/en.txt", "words/deep/de.txt"}
        assert store.download("here", prefix="words") == 0
        assert "exists already; set overwrite=True" in capsys.readouterr().out
        assert store.download("here", prefix="/words/en.txt", overwrite=True) == 1
        assert store.download("all") == len(FILES)
        assert below(step / "all") == set(FILES)
        assert below(step.parent / "named") == set()  # nothing is left at the agent
        assert Datastore(None, "folder").download("folder", prefix="in") == 2

    def test_links_of_the_script_are_files_that_it_may_read(self, step):
        os.makedirs("out")
        Path("secret.txt").write_text("the script's own")
        os.symlink(step / "secret.txt", "out/link.txt")
        os.symlink("/nowhere", "out/dead.txt")
        with pytest.raises(FileNotFoundError):
            Datastore(None, "bucket").upload("out")
        os.remove("out/dead.txt")
        Datastore(None, "bucket").upload("out", "linked")
        assert stored()["linked/link.txt"] == "the script's own"

    @pytest.mark.parametrize(
        ("target", "message"),
        [
            ("../up", 'The path "../up" does not stay below Datastore "bucket"; write it without "..".'),
            ("a/../../b", "does not stay below"),
            ("a\\b", "does not stay below"),
            (
                "longshore/run-1/state",
                'The path "longshore/run-1/state" of Datastore "bucket" is part of a run, where a',
            ),
            ("./longshore/run-2", "is part of a run"),
            ("runs/7/state/ledger", "is part of a run"),  # a folder with a run's marker
        ],
    )
    def test_scripts_write_nowhere_else(self, target, message):
        memory().pipe_file("/named/runs/7/.longshore", b"")
        before = stored()
        Path("x.txt").write_text("x")
        with pytest.raises(UserErrorException) as refused:
            Datastore(None, "bucket").upload_files(["x.txt"], target_path=target, overwrite=True)
        assert message in str(refused.value)
        assert stored() == before
        assert [each for each in os.listdir() if each.startswith("longshore-upload")] == []

    def test_a_volume_that_the_step_only_reads_is_not_written_to(self):
        Path("x.txt").write_text("x")
        with pytest.raises(UserErrorException) as refused:
            Datastore(None, "folder").upload_files(["x.txt"])
        assert str(refused.value) == (
            'Datastore "folder" is on a volume that this step only reads; add "folder" to spec.datastores of the step '
            "to write to it."
        )

    @pytest.mark.parametrize("prefix", ["nothing", "wor", "words/*", "words/en.txt/x", "t/*.csv"])
    def test_what_is_neither_a_file_nor_a_folder_is_not_downloaded(self, prefix, step):
        message = f'"{re.escape(prefix)}" of Datastore "bucket" cannot be downloaded: .*(does not exist|neither a file)'
        with pytest.raises(UserErrorException, match=message):
            Datastore(None, "bucket").download("here", prefix=prefix)
        assert not (step / "here").exists()

    @pytest.mark.parametrize("prefix", ["../x", "words/../../x", "a\\b"])
    def test_scripts_read_nowhere_else(self, prefix):
        with pytest.raises(UserErrorException, match='does not stay below Datastore "bucket"'):
            Datastore(None, "bucket").download("here", prefix=prefix)

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            (
                "hidden",
                (
                    'Datastore "hidden" is not among those that this step may use (bucket, folder); add "hidden" to '
                    "spec.datastores of the step."
                ),
            ),
            ("none", 'Datastore "none" does not exist; those that this step may use: bucket, folder.'),
        ],
    )
    def test_a_datastore_that_the_step_may_not_use_is_refused(self, name, message):
        workspace = Workspace()
        for attempt in (
            partial(Datastore, workspace),
            partial(Datastore.get, workspace),
            workspace.datastores.__getitem__,
        ):
            with pytest.raises(UserErrorException) as refused:
                attempt(name)
            assert str(refused.value) == message

    @pytest.mark.parametrize("name", ["/etc", "../step", "a/../..", "."])
    def test_the_agent_uploads_from_the_shared_folder_only(self, name):
        with pytest.raises(UserErrorException, match="is not a folder that the script shares with its agent"):
            ask("upload", datastore="bucket", folder=name, path="x", overwrite=True)

    def test_the_agent_follows_no_links_in_the_shared_folder(self, step):
        os.makedirs("mine")
        os.symlink("/etc/hostname", step / "mine/link")
        os.symlink("/etc", step / "mine/folder")
        os.symlink("/etc", step / "etc")
        assert ask("upload", datastore="bucket", folder="mine", path="x", overwrite=True)["count"] == 0
        assert ask("upload", datastore="bucket", folder="etc", path="x", overwrite=True)["count"] == 0
        assert set(stored()) == set(FILES)

    @pytest.mark.parametrize("path", ["/etc", "../..", "", "model"])
    def test_scripts_discard_their_own_downloads_only(self, path):
        with pytest.raises(UserErrorException, match="is not a folder with requested files"):
            ask("discard", path=path)
