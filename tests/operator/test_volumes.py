"""What the containers of a pod see of the volumes that Datastores lie on."""

import json
from dataclasses import replace

import pytest
from frozen import SETTINGS, a_run, a_task, containers, dumped

from longshore_agent import inject
from longshore_api.nodes import TemplateSpec
from longshore_operator.manifests import parts, pods, tasks
from longshore_operator.manifests.volumes import DataAccess
from longshore_operator.settings import Settings
from longshore_planner.cluster.pod_requirements import PodRequirements, Volume
from longshore_planner.cluster.task_runs import TaskRun
from longshore_planner.pod_locations import MOUNTS
from longshore_protocol.job import Datastore, Model, ScriptInput
from longshore_protocol.script_job import ScriptJob, ScriptOutput
from longshore_storage import beneath

DATA, RUNS = "/mnt/longshore/claim/data", "/mnt/longshore/claim/runs/team"
MORE = "/mnt/longshore/claim/more"
RUN = f"{RUNS}/longshore/score-1"
GIVEN = PodRequirements(volumes=(Volume(claim="data"), Volume(claim="runs")), folders=(DATA, RUNS))


def access(*reads, writes=(f"{RUN}/logs", f"{RUN}/scores"), given=GIVEN):
    return DataAccess(given, writes=(RUN, f"{RUN}/scores"), script_reads=reads, script_writes=writes)


def seen(made):
    """Return what a script sees: mount path -> volume, folder of it, and whether it is read-only."""
    return {
        each.mount_path: (each.name, each.sub_path or "", "ro" if each.read_only else "rw")
        for each in made.script_mounts()
    }


OWN = {
    f"{RUN}/logs": ("data-1", "team/longshore/score-1/logs", "rw"),
    f"{RUN}/scores": ("data-1", "team/longshore/score-1/scores", "rw"),
}
HIDDEN = ("hidden", "", "rw")
OTHER = f"{RUNS}/longshore/other-1/rows"


@pytest.mark.parametrize(
    ("reads", "others"),
    [
        ((), {}),
        (("gs://bucket/in", "postgresql://host/db"), {}),
        ((f"{DATA}/in/*.png", f"{DATA}/model.pkl"), {DATA: ("data-0", "", "ro")}),
        ((f"{RUNS}/in",), {RUNS: ("data-1", "team", "ro"), f"{RUNS}/longshore": HIDDEN}),
        ((f"{RUNS}/*.csv",), {RUNS: ("data-1", "team", "ro"), f"{RUNS}/longshore": HIDDEN}),
        ((OTHER,), {OTHER: ("data-1", "team/longshore/other-1/rows", "ro")}),
        ((f"{OTHER}/*/part-*",), {OTHER: ("data-1", "team/longshore/other-1/rows", "ro")}),
        (
            (f"{RUNS}/in", f"{OTHER}/rows.csv"),
            {
                RUNS: ("data-1", "team", "ro"),
                f"{RUNS}/longshore": HIDDEN,
                f"{OTHER}/rows.csv": ("data-1", "team/longshore/other-1/rows/rows.csv", "ro"),
            },
        ),
        ((f"{RUNS}/longshore", f"{RUNS}/longshore/*/rows", RUN), {}),  # the run's own state would be in it
        ((f"{DATA}-2/in", "/etc/passwd"), {}),
    ],
    ids=["nothing", "URLs", "another store", "beside runs", "all of it", "output", "glob", "both", "runs", "elsewhere"],
)
def test_a_script_sees_what_its_step_reads_and_writes_and_no_state(reads, others):
    assert seen(access(*reads)) == {**OWN, **others}


@pytest.mark.parametrize("made", [access(f"{RUNS}/in"), access(f"{RUNS}/in", OTHER), access(f"{DATA}/x", f"{RUNS}/y")])
def test_mounts_come_from_the_outside_in_and_each_volume_is_there(made):
    paths = [each.mount_path for each in made.script_mounts()]
    assert paths == sorted(set(paths))
    assert {each.name for each in made.script_mounts()} <= {each.name for each in made.volumes()}


def test_of_datastores_in_one_another_a_script_sees_the_inner_one():
    given = replace(GIVEN, folders=(DATA, f"{DATA}/in", RUNS))
    assert seen(access(f"{DATA}/in/a.csv", given=given)) == {**OWN, f"{DATA}/in": ("data-0", "in", "ro")}


def test_a_datastore_whose_folder_looks_like_a_glob_is_a_datastore():
    given = replace(GIVEN, folders=(f"{DATA}/v[1]", RUNS))
    assert seen(access(f"{DATA}/v[1]/*.csv", given=given)) == {**OWN, f"{DATA}/v[1]": ("data-0", "v[1]", "ro")}


def test_a_run_in_a_datastore_that_is_read_through_an_outer_one_is_hidden():
    given = PodRequirements(volumes=(Volume(claim="runs"),), folders=("/mnt/longshore/claim/runs", RUNS))
    assert seen(access("/mnt/longshore/claim/runs/in", given=given))[f"{RUNS}/longshore"] == HIDDEN


def test_volumes_that_nothing_is_written_to_are_read_only_and_keep_their_owners():
    made = access(f"{DATA}/in")
    claims = {each.persistent_volume_claim.claim_name: each.persistent_volume_claim for each in made.volumes()[:2]}
    assert (claims["data"].read_only, claims["runs"].read_only) == (True, None)
    assert [each.read_only for each in made.mounts()] == [True, None]
    assert all(each.read_only for each in made.mounts(of=f"{DATA}/code", read_only=True))
    assert [each.name for each in made.mounts(of=f"{DATA}/code")] == ["data-0"]


def test_folders_of_nodes_are_mounted_in_parts_too():
    root = "/mnt/longshore/host/srv/data"
    given = PodRequirements(volumes=(Volume(host_path="/srv/data"),), folders=(root,))
    run = f"{root}/longshore/score-1"
    made = DataAccess(given, (run,), (f"{root}/in",), (f"{run}/logs",))
    assert seen(made) == {
        root: ("data-0", "", "ro"),
        f"{root}/longshore": HIDDEN,
        f"{run}/logs": ("data-0", "longshore/score-1/logs", "rw"),
    }


def test_a_run_that_an_earlier_operator_wrote_down_has_its_volumes_as_a_whole():
    raw = GIVEN.to_dict()
    del raw["folders"]
    given = PodRequirements.from_dict(json.loads(json.dumps(raw)))
    assert seen(access(f"{RUNS}/in", given=given))["/mnt/longshore/claim/runs"] == ("data-1", "", "ro")
    assert f"{RUN}/state" not in seen(access(f"{RUNS}/in", given=given))


def test_a_script_in_one_container_sees_outputs_that_are_written_in_place_only():
    job = ScriptJob(
        "train",
        "train-1",
        RUN,
        "/longshore/source",
        "train.py",
        arguments=("--weights", f"--start={DATA}/start.bin"),
        variables={"LEXICON": f"{MORE}/words"},
        inputs=(ScriptInput("rows", (OTHER,)),),
        outputs=(ScriptOutput("model", f"{RUN}/model"), ScriptOutput("packed", f"{RUN}/packed", "upload")),
        models=(Model("m", 1, f"{DATA}/m"),),
    )
    given = replace(GIVEN, volumes=(*GIVEN.volumes, Volume(claim="more")), folders=(*GIVEN.folders, MORE))
    run = TaskRun("ScriptStep", "n", "train", "u", 1, "train-1", RUN, {}, job.to_dict(), given)
    pod = dumped(tasks.task_pod(run, SETTINGS, 0))
    made = {each["name"]: each for each in containers(pod)}
    of_main = {each["mountPath"]: each.get("readOnly", False) for each in made["main"]["volumeMounts"]}
    assert {path: ro for path, ro in of_main.items() if path.startswith("/mnt")} == {
        DATA: True,
        MORE: True,
        OTHER: True,
        f"{RUN}/logs": False,
        f"{RUN}/model": False,
    }
    command = made["inject"]["command"]
    assert [command[place + 1] for place, each in enumerate(command) if each == "--make"] == [
        f"{RUN}/logs",
        f"{RUN}/model",
    ]
    assert [command[place + 1] for place, each in enumerate(command) if each == "--need"] == [OTHER]


@pytest.mark.parametrize("uri", ["gs://bucket/code.zip", "/mnt/longshore/claim/images/code"])
def test_who_fetches_a_source_from_a_volume_has_no_credentials(uri):
    on_volume = uri.startswith("/")
    pod = dumped(pods.worker_pod(a_run(config_map=None, source_uri=uri), SETTINGS, 0))
    (fetching,) = [each for each in containers(pod) if each["name"] == "source"]
    assert ("envFrom" in fetching) is not on_volume
    mounts = [each for each in fetching["volumeMounts"] if each["mountPath"].startswith("/mnt")]
    expected = [{"name": "data-0", "mountPath": "/mnt/longshore/claim/images", "readOnly": True}]
    assert mounts == (expected if on_volume else [])
    skipped = pod["metadata"]["annotations"]["eks.amazonaws.com/skip-containers"].split(",")
    assert ("source" in skipped) is on_volume


@pytest.mark.parametrize(
    "pod",
    [
        dumped(pods.coordinator_pod(a_run(), SETTINGS)),
        dumped(pods.worker_pod(a_run(), SETTINGS, 0)),
        dumped(tasks.task_pod(a_task(), SETTINGS, 0)),
        dumped(tasks.task_pod(a_task("TransferStep"), SETTINGS, 0)),
    ],
    ids=lambda pod: pod["metadata"]["name"],
)
def test_containers_of_ours_that_have_a_volume_keep_below_the_datastores(pod):
    for each in containers(pod):
        mounts = {mount["mountPath"] for mount in each["volumeMounts"]}
        if each["name"] == "main" or not any(path.startswith("/mnt") for path in mounts):
            continue
        listed = {variable["name"]: variable.get("value") for variable in each["env"]}[beneath.VARIABLE].split(":")
        assert set(a_run().provision.folders) <= set(listed)
        assert ("/longshore/work" in listed) is ("/longshore/work" in mounts and each["name"] != "coordinator")


def test_planner_builder_and_storage_are_of_one_mind_about_where_volumes_are():
    assert MOUNTS == beneath.MOUNTS
    assert parts.WORK == "/longshore/work"
    assert Settings(image="x").host_paths is False


def test_folders_for_a_script_are_made_and_those_it_needs_are_only_looked_for(tmp_path, monkeypatch):
    monkeypatch.setenv(beneath.VARIABLE, str(tmp_path))
    (tmp_path / "there").mkdir()

    inject.prepare_folders([f"{tmp_path}/run/logs", f"{tmp_path}/there"], [f"{tmp_path}/there"])

    assert (tmp_path / "run" / "logs").is_dir()
    with pytest.raises(FileNotFoundError):
        inject.prepare_folders([], [f"{tmp_path}/gone"])
    (tmp_path / "run" / "out").symlink_to("/etc")
    with pytest.raises(PermissionError):
        inject.prepare_folders([f"{tmp_path}/run/out/x"], [])


@pytest.mark.parametrize(
    "made",
    [
        pods.worker_pod(a_run(), SETTINGS, 0),
        pods.worker_pod(a_run(config_map=None, source_uri="gs://bucket/code.zip"), SETTINGS, 0),
        tasks.task_pod(a_task(), SETTINGS, 0),
    ],
    ids=["worker", "with a fetched source", "task"],
)
def test_no_volume_of_a_template_has_the_name_of_one_of_ours(made):
    names = {each["name"] for each in dumped(made)["spec"]["volumes"]} - {"shm"}
    for name in names:
        volume = {"name": name, "emptyDir": {}}
        with pytest.raises(ValueError, match=f"must have other names: worker pods have a volume {name}"):
            TemplateSpec.model_validate({"volumes": [volume]})


def test_a_script_cannot_move_what_its_agent_writes_inputs_to():
    made = {each["name"]: each for each in containers(dumped(pods.worker_pod(a_run(), SETTINGS, 0)))}
    staged = {
        name: [each.get("readOnly", False) for each in made[name]["volumeMounts"] if each["name"] == "staged"]
        for name in made
    }
    assert staged == {"inject": [], "agent": [False], "main": [True]}
    assert {"name": "LONGSHORE_STAGE_DIR", "value": "/longshore/staged"} in made["agent"]["env"]
    made = {each["name"]: each for each in containers(dumped(tasks.task_pod(a_task(), SETTINGS, 0)))}
    staged = {
        name: [each.get("readOnly", False) for each in made[name]["volumeMounts"] if each["name"] == "staged"]
        for name in made
    }
    assert staged == {"inject": [], "prepare": [], "collect": [False], "main": [True]}
    assert {"name": "LONGSHORE_STAGE_DIR", "value": "/longshore/staged"} in made["collect"]["env"]


@pytest.mark.parametrize(("read_only", "mode"), [(True, True), (False, None)])
def test_a_volume_that_scripts_may_upload_to_is_mounted_for_writing_in_our_containers_alone(read_only, mode):
    store = Datastore("other", "/mnt/longshore/claim/other", read_only=read_only)
    volumes = (*a_run().provision.volumes, Volume(claim="other"))
    run = a_run()
    run = replace(
        run, job=replace(run.job, datastores=(store,)), provision=replace(run.provision, volumes=volumes, folders=())
    )
    made = {each["name"]: each for each in containers(dumped(pods.worker_pod(run, SETTINGS, 0)))}
    mounts = [each for each in made["agent"]["volumeMounts"] if each["mountPath"] == "/mnt/longshore/claim/other"]
    assert [each.get("readOnly") for each in mounts] == [mode]
    assert [each for each in made["main"]["volumeMounts"] if each["mountPath"] == "/mnt/longshore/claim/other"] == []


def test_every_folder_of_a_pods_own_has_a_limit_and_the_agent_knows_it():
    settings = replace(SETTINGS, scratch_size_limit="2Gi")
    fetched = a_run(config_map=None, source_uri="gs://bucket/code.zip")
    made = [
        pods.coordinator_pod(a_run(), settings),
        pods.worker_pod(fetched, settings, 0),
        tasks.task_pod(a_task(), settings, 0),
        tasks.task_pod(a_task("TransferStep"), settings, 0),
    ]
    limits = {}
    for pod in map(dumped, made):
        for each in pod["spec"]["volumes"]:
            if "emptyDir" in each and each["name"] != "shm":  # which is the user's
                limits.setdefault(each["name"], set()).add(each["emptyDir"].get("sizeLimit"))
    ours = {"packages": {"64Mi"}, "source": {"5Gi"}, "hidden": {"1Mi"}}
    assert limits == {**ours, **{name: {"2Gi"} for name in ("work", "staged", "scratch")}}
    for each in [*containers(dumped(made[1])), *containers(dumped(made[2]))]:
        if each["name"] in ("agent", "collect"):
            assert {"name": "LONGSHORE_SPACE", "value": str(2 << 30)} in each["env"]
