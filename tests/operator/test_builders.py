"""The manifests of a run, held by golden files. UPDATE_GOLDEN=1 writes them anew: read the difference."""

import os
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from frozen import SETTINGS, a_run, a_task, containers, dumped

from longshore_operator.manifests import environments, names, objects, pods, tasks
from longshore_operator.manifests import survey as surveys
from longshore_operator.manifests.subject import Subject
from longshore_planner.cluster.environments import packed_environment
from longshore_planner.cluster.pod_requirements import PodRequirements
from longshore_planner.pipelines.survey import Survey
from longshore_protocol.built_environment import BuiltEnvironment
from longshore_protocol.package_set import PackageSet
from longshore_protocol.survey import SourceToCopy, SurveyRequest

GOLDEN = Path(__file__).resolve().parents[1] / "data" / "golden"
FETCHING = a_task(config_map=None, source_uri="gs://bucket/code.zip")
IN_IMAGE = a_task(config_map=None, source_image="/app")
PACKED = packed_environment(
    "scikit",
    PackageSet(("pillow", "scikit-learn"), ("3.11",), "https://packages.example/simple", secret="index"),
    image="example.com/scikit:1",
    interpreter="python3",
    architecture="amd64",
    runs="/mnt/longshore/claim/images/longshore",
)
WITH_PACKAGES = a_run(environment=PACKED)
IN_BUCKET = replace(PACKED, uri="gs://bucket/longshore/environments/1")
SCIKIT = Subject("Environment", "research", "scikit", "0f8a7c52-1111-2222-3333-444444444444")
RUN = Subject("PipelineRun", "research", "nightly", "0f8a7c52-1111-2222-3333-444444444444")
SURVEY = Survey(
    SurveyRequest(
        (SourceToCopy("gs://bucket/code.zip", "/mnt/longshore/claim/images/longshore/nightly-0f8a7c52/sources/0"),),
        {"train": {"rows": ["/mnt/longshore/claim/images/in/*.csv"]}},
    ),
    PodRequirements(volumes=a_run().provision.volumes, folders=a_run().provision.folders, secrets=("gcs-key",)),
    {"train": 0},
)
MANIFESTS = {
    "config_map": objects.config_map,
    "secret": lambda run: objects.secret(run, {objects.TOKEN: "t", objects.KEY: "k"}),
    "service": objects.service,
    "network_policy": objects.network_policy,
    "coordinator_pod": lambda run: pods.coordinator_pod(run, SETTINGS),
    "worker_pod": lambda run: pods.worker_pod(run, SETTINGS, 1),
    "worker_pod_of_fetched_source": lambda run: pods.worker_pod(
        replace(run, provision=replace(run.provision, config_map=None, source_uri="gs://bucket/code.zip")), SETTINGS, 1
    ),
    "task_map": lambda _: tasks.task_map(a_task()),
    "script_pod": lambda _: tasks.task_pod(a_task(), SETTINGS, 0),
    "script_pod_of_fetched_source": lambda _: tasks.task_pod(FETCHING, SETTINGS, 1),
    "script_pod_of_source_in_image": lambda _: tasks.task_pod(IN_IMAGE, SETTINGS, 2),
    "transfer_pod": lambda _: tasks.task_pod(a_task("TransferStep"), SETTINGS, 0),
    "worker_pod_with_packages": lambda _: pods.worker_pod(WITH_PACKAGES, SETTINGS, 1),
    "script_pod_with_packages": lambda _: tasks.task_pod(a_task(environment=IN_BUCKET), SETTINGS, 0),
    "environment_packages": lambda _: environments.packages_map(SCIKIT, PACKED),
    "environment_built": lambda _: environments.built_map(SCIKIT, PACKED, BuiltEnvironment("1.zst", "1", 2)),
    "builder_pod": lambda _: environments.builder_pod(SCIKIT, PACKED, WITH_PACKAGES.provision, SETTINGS, 2),
    "survey_map": lambda _: surveys.survey_map(RUN, SURVEY),
    "survey_pod": lambda _: surveys.survey_pod(RUN, SURVEY, SETTINGS),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_is_the_golden_one(name):
    manifest = dumped(MANIFESTS[name](a_run()))
    path = GOLDEN / f"{name}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(manifest, sort_keys=False, width=120))
    assert manifest == yaml.safe_load(path.read_text())


def every_pod():
    run, fetching = a_run(), a_run(config_map=None, source_uri="gs://bucket/code.zip")
    workers = pods.worker_pod(run, SETTINGS, 0), pods.worker_pod(fetching, SETTINGS, 1)
    return [dumped(each) for each in (pods.coordinator_pod(run, SETTINGS), *workers)]


def task_pods():
    of = (a_task(), FETCHING, IN_IMAGE, a_task("TransferStep"))
    return [dumped(tasks.task_pod(each, SETTINGS, number)) for number, each in enumerate(of)]


def survey_pod():
    return dumped(surveys.survey_pod(RUN, SURVEY, SETTINGS))


def environment_pods():
    """Return a builder whose archive is on a volume, one whose is in a bucket, and pods that unpack them."""
    in_bucket = replace(WITH_PACKAGES.provision, environment=IN_BUCKET)
    return [
        dumped(environments.builder_pod(SCIKIT, PACKED, WITH_PACKAGES.provision, SETTINGS, 0)),
        dumped(environments.builder_pod(SCIKIT, IN_BUCKET, in_bucket, SETTINGS, 1)),
        dumped(pods.worker_pod(WITH_PACKAGES, SETTINGS, 1)),
        dumped(tasks.task_pod(a_task(environment=IN_BUCKET), SETTINGS, 0)),
    ]


@pytest.mark.parametrize(
    "pod", [*every_pod(), *task_pods(), survey_pod(), *environment_pods()], ids=lambda pod: pod["metadata"]["name"]
)
def test_pods_pass_pod_security_restricted_and_get_no_token(pod):
    spec = pod["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for each in containers(pod):
        context = each["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["runAsUser"] > 0


@pytest.mark.parametrize("pod", every_pod()[1:], ids=lambda pod: pod["metadata"]["name"])
def test_the_users_container_sees_no_credential(pod):
    (main,) = [each for each in pod["spec"]["containers"] if each["name"] == "main"]
    assert "envFrom" not in main
    assert {each["name"] for each in main["env"]} == {"PYTHONPATH", "LONGSHORE_UMASK", "HOME"}
    assert {each["name"] for each in main["volumeMounts"]} == {
        "packages", "work", "staged", "source", "data-0", "hidden", "shm"
    }  # fmt: skip


@pytest.mark.parametrize("pod", [*every_pod()[1:], *task_pods()[:3]], ids=lambda pod: pod["metadata"]["name"])
def test_webhooks_of_clouds_are_to_give_the_users_container_no_token(pod):
    annotations = pod["metadata"]["annotations"]
    assert annotations["eks.amazonaws.com/skip-containers"] == "main,inject"
    assert annotations["azure.workload.identity/skip-containers"] == "main;inject"


@pytest.mark.parametrize("pod", task_pods()[:3], ids=lambda pod: pod["metadata"]["name"])
def test_a_tasks_script_sees_no_credential_and_no_job(pod):
    made = {each["name"]: each for each in containers(pod)}
    assert "envFrom" not in made["main"]
    assert {each["name"] for each in made["main"]["env"]} == {"PYTHONPATH", "LONGSHORE_UMASK", "LONGSHORE_ECHO", "HOME"}
    seen = {name: {each["name"] for each in container["volumeMounts"]} for name, container in made.items()}
    assert seen["main"] == {"packages", "work", "staged", "data-0", "shm"}
    assert seen["collect"] == {"run", "work", "staged", "scratch", "data-0", "data-1"}
    assert seen["prepare"] - {"source"} == seen["collect"] - {"staged"}
    assert pod["spec"]["restartPolicy"] == "Never"


def test_the_pod_states_where_the_source_of_a_task_is_not_the_job():
    said = [each["spec"]["initContainers"][1]["command"][8:-2] for each in task_pods()[:3]]
    assert said == [[], ["--source", "gs://bucket/code.zip"], ["--image-source", "/app"]]


def test_a_tasks_pod_is_a_node_and_not_a_worker_of_a_step():
    labels = task_pods()[0]["metadata"]["labels"]
    assert labels["longshore.dev/compute"] == "gpus"
    assert (labels["longshore.dev/role"], labels["longshore.dev/task"]) == ("worker", "train")
    assert "longshore.dev/step" not in labels
    assert "longshore.dev/compute" not in task_pods()[3]["metadata"]["labels"]


def test_a_survey_goes_with_its_run_and_is_no_steps_pod():
    pod = survey_pod()
    assert "longshore.dev/step" not in pod["metadata"]["labels"]
    assert pod["metadata"]["labels"]["longshore.dev/pipeline-run"] == "nightly"
    (owner,) = pod["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["controller"]) == ("PipelineRun", True)
    assert pod["spec"]["restartPolicy"] == "Never"
    assert dumped(surveys.survey_map(RUN, SURVEY))["metadata"]["name"] == pod["metadata"]["name"]


def test_the_name_of_a_survey_is_another_once_what_it_looks_at_is():
    others = (
        replace(SURVEY, request=replace(SURVEY.request, contents={})),
        replace(SURVEY, provision=replace(SURVEY.provision, secrets=())),
    )
    found = {surveys.survey_map(RUN, each).metadata.name for each in (SURVEY, *others)}
    assert len(found) == 3
    assert all(re.fullmatch(r"nightly-survey-[0-9a-f]{8}", each) for each in found)


def test_the_name_of_a_tasks_pod_states_how_many_were_lost():
    assert names.task_number("train", names.task("train", 3)) == 3
    assert names.task_number("train", "train-task") is None


def test_a_worker_sees_of_the_runs_secret_the_authority_only():
    volumes = {each["name"]: each for each in every_pod()[1]["spec"]["volumes"]}
    assert [each["key"] for each in volumes["authority"]["secret"]["items"]] == ["ca.crt"]


def test_a_source_in_the_image_needs_no_volume():
    pod = dumped(pods.worker_pod(a_run(config_map=None), SETTINGS, 0))
    assert "source" not in {each["name"] for each in pod["spec"]["volumes"]}


def test_a_source_in_a_store_is_fetched_by_us_and_read_by_the_script():
    pod = dumped(pods.worker_pod(a_run(config_map=None, source_uri="gs://bucket/code.zip"), SETTINGS, 0))
    made = {each["name"]: each for each in containers(pod)}
    assert made["source"]["command"][-2:] == ["gs://bucket/code.zip", "/longshore/source"]
    assert made["source"]["envFrom"] == [{"secretRef": {"name": "gcs-key"}}]
    mounts = {name: [at for at in each["volumeMounts"] if at["name"] == "source"] for name, each in made.items()}
    assert mounts["source"] == [{"name": "source", "mountPath": "/longshore/source"}]
    assert mounts["main"] == [{"name": "source", "mountPath": "/longshore/source", "readOnly": True}]
    assert mounts["agent"] == []


@pytest.mark.parametrize("of_a_store", [True, False], ids=["with an account", "without one"])
def test_pods_that_use_a_store_have_the_account_it_names_and_no_token_of_the_api(of_a_store):
    account = "scores" if of_a_store else None
    run = a_run(service_account=account)
    transfer = replace(a_task("TransferStep"), provision=run.provision)
    made = [
        pods.coordinator_pod(run, SETTINGS),
        pods.worker_pod(run, SETTINGS, 0),
        tasks.task_pod(a_task(service_account=account), SETTINGS, 0),
        tasks.task_pod(transfer, SETTINGS, 0),
        surveys.survey_pod(RUN, replace(SURVEY, provision=run.provision), SETTINGS),
    ]
    for pod in map(dumped, made):
        assert pod["spec"].get("serviceAccountName") == account
        assert pod["metadata"]["labels"].get("azure.workload.identity/use") == ("true" if of_a_store else None)
        assert pod["spec"]["automountServiceAccountToken"] is False


def credentials_of(container):
    """Return the Secrets that a container has, as variables or files."""
    variables = (each["valueFrom"]["secretKeyRef"]["name"] for each in container.get("env", []) if "valueFrom" in each)
    return {*variables, *(each["secretRef"]["name"] for each in container.get("envFrom", []))}


def test_only_the_container_that_installs_has_the_credentials_of_the_index_and_it_has_no_others():
    on_volume, in_bucket = (
        {each["name"]: credentials_of(each) for each in containers(pod)} for pod in environment_pods()[:2]
    )
    assert on_volume == {"inject": set(), "find": set(), "install": {"index"}, "publish": set()}
    assert in_bucket == {"inject": set(), "find": {"gcs-key"}, "install": {"index"}, "publish": {"gcs-key"}}
    for pod in environment_pods()[2:]:
        assert not any("index" in credentials_of(each) for each in containers(pod))


def test_the_container_that_installs_sees_no_store():
    (install,) = [each for each in containers(environment_pods()[0]) if each["name"] == environments.INSTALL]
    mounts = {each["name"]: each.get("readOnly", False) for each in install["volumeMounts"]}
    assert mounts == {"packages": True, "run": True, "work": True, "environment": False, "build": False}


def test_a_builder_mounts_the_volume_of_the_archive_alone_and_is_no_node():
    on_volume, in_bucket = environment_pods()[:2]
    claims = [
        [each["persistentVolumeClaim"]["claimName"] for each in pod["spec"]["volumes"] if "data" in each["name"]]
        for pod in (on_volume, in_bucket)
    ]
    assert claims == [["images"], []]
    assert not any("hostPath" in each for each in on_volume["spec"]["volumes"])
    assert "longshore.dev/compute" not in on_volume["metadata"]["labels"]
    assert "longshore.dev/step" not in on_volume["metadata"]["labels"]


def test_scripts_read_their_packages_and_write_none():
    for pod in environment_pods()[2:]:
        made = {each["name"]: each for each in containers(pod)}
        assert made["main"]["command"][0] == "/longshore/environment/venv/bin/python"
        (mount,) = [each for each in made["main"]["volumeMounts"] if each["name"] == "environment"]
        assert mount == {"name": "environment", "mountPath": "/longshore/environment", "readOnly": True}
        (mount,) = [each for each in made["environment"]["volumeMounts"] if each["name"] == "environment"]
        assert "readOnly" not in mount


def test_environments_that_differ_have_other_archives():
    given = {"image": "i", "interpreter": "python", "architecture": "", "runs": "s3://bucket/longshore"}
    others = [
        {"image": "j"},
        {"interpreter": "python3.12"},
        {"architecture": "arm64"},
        {"runs": "s3://other/longshore"},
    ]
    found = {packed_environment("e", PackageSet(("numpy",)), **{**given, **each}).key for each in [{}, *others]}
    found.add(packed_environment("e", PackageSet(("numpy", "pillow")), **given).key)
    assert len(found) == 6
    same = packed_environment("another name", PackageSet(("numpy",), secret="s", notes=("n",)), **given)
    assert same.key in found


def test_the_name_of_a_worker_states_its_index():
    assert names.worker_index("score", names.worker("score", 12)) == 12
    assert names.worker_index("score", "score-coordinator") is None
    assert names.worker_index("score", "score-worker-x") is None


def test_an_image_that_has_nothing_of_ours_can_run_what_is_injected(tmp_path):
    import subprocess

    from longshore_agent.inject import inject

    inject(str(tmp_path))
    inject(str(tmp_path))  # a container that is started again
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "longshore_host",
        "longshore_protocol",
        "longshore_run",
        "longshore_shims",
    ]
    command = [sys.executable, "-S", "-c", "import longshore_host.supervisor as s; print(s.__file__)"]
    found = subprocess.run(command, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=True)
    assert found.stdout.startswith(str(tmp_path))


@pytest.mark.parametrize("name", ["a" * 53 + "." + "b" * 199, "a" * 53 + "-" + "b" * 199, "a.b" * 84])
def test_the_placeholders_of_a_long_name_have_names_and_labels_that_kubernetes_takes(name):
    label = names.label_value(name)
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?", label)
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", names.placeholder(name, 3))
    assert names.placeholder_index(name, names.placeholder(name, 3)) == 3


def test_a_datastores_secret_injects_no_code_into_our_containers():
    for pod in [*every_pod(), *task_pods(), survey_pod(), *environment_pods()]:
        for each in containers(pod):
            if each["name"] in ("main", environments.INSTALL):
                continue
            assert each["command"][:3] == ["/opt/longshore/bin/python", "-I", "-u"]
            if "envFrom" in each:
                fixed = {variable["name"]: variable["value"] for variable in each["env"] if "value" in variable}
                assert fixed["LD_PRELOAD"] == fixed["LD_LIBRARY_PATH"] == fixed["LD_AUDIT"] == ""


def senders(policy, pod, port):
    """Return the selectors of pods that a policy lets reach a port of a pod; None where it says nothing of the pod."""
    spec, labels = policy["spec"], pod["metadata"]["labels"]
    if not spec["podSelector"]["matchLabels"].items() <= labels.items():
        return None
    rules = [each for each in spec["ingress"] if port in {open_["port"] for open_ in each["ports"]}]
    return [peer for rule in rules for peer in rule["from"]]


def test_a_runs_coordinator_is_reached_by_its_workers_and_the_operator_at_its_port_alone():
    policy = dumped(objects.network_policy(a_run()))
    coordinator, worker, _ = every_pod()
    for pod in (coordinator, worker):
        assert senders(policy, pod, 22) == []
        workers, operator = senders(policy, pod, names.PORT)
        assert workers == {"podSelector": {"matchLabels": {names.STEP_LABEL: "score", names.ROLE_LABEL: names.WORKER}}}
        assert operator["podSelector"] == {"matchLabels": {names.APP_NAME: names.OPERATOR}}
    (container,) = coordinator["spec"]["containers"]
    assert {each["containerPort"] for each in container["ports"]} == {names.PORT}
    assert not any("ports" in each for each in containers(worker))


def test_what_a_script_may_send_is_not_restricted_and_what_it_may_state_to_the_coordinator_is():
    """It shares the network of its agent, so a policy cannot tell the two apart; the token is what tells them apart."""
    policy = dumped(objects.network_policy(a_run()))
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    assert "egress" not in policy["spec"]
    worker = every_pod()[1]
    agent, main = (next(each for each in containers(worker) if each["name"] == name) for name in ("agent", "main"))
    assert any(each["name"] == "LONGSHORE_TOKEN" for each in agent["env"])
    assert not any("TOKEN" in each["name"] or "valueFrom" in each for each in main["env"])
    assert "authority" not in {each["name"] for each in main["volumeMounts"]}


@pytest.mark.parametrize("pod", [*task_pods(), survey_pod()], ids=lambda pod: pod["metadata"]["name"])
def test_pods_that_serve_nothing_have_no_policy(pod):
    assert senders(dumped(objects.network_policy(a_run())), pod, names.PORT) is None
    assert not any("ports" in each for each in containers(pod))


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*pod*.yaml")), ids=lambda path: path.stem)
def test_no_container_has_a_variable_or_a_mount_twice(path):
    """Server-side apply cannot convert a pod with two entries of one key, and answers 500."""
    spec = yaml.safe_load(path.read_text())["spec"]
    for each in (*spec.get("initContainers", []), *spec["containers"]):
        for field, key in (("env", "name"), ("volumeMounts", "mountPath")):
            keys = [entry[key] for entry in each.get(field) or []]
            assert len(keys) == len(set(keys)), f"{each['name']}: {field} {sorted(keys)}"
    volumes = [each["name"] for each in spec["volumes"]]
    assert len(volumes) == len(set(volumes))
