"""What of the local cluster can be looked at without one."""

import json
import os
import socket
import struct
import subprocess
import sys

import pytest
from localcluster import binaries, cluster, components, crd_server
from localcluster.audit import Use, calls, uses
from localcluster.images import pip_settings
from localcluster.names import Names, answer
from localcluster.places import Places, Record, cache, places, publish, read_record, write_record
from localcluster.processes import Problem, Process, process, run
from localcluster.releases import Release, release_of
from localcluster.sandbox import Network


class Api:
    """Answers as the API server would, and counts."""

    def __init__(self, services, endpoints):
        self.objects = {"/api/v1/services": {"items": services}, "/api/v1/endpoints": {"items": endpoints}}
        self.calls = 0

    def get(self, path):
        self.calls += 1
        return self.objects[path] if self.objects else None


def named(name, **more):
    return {"metadata": {"name": name, "namespace": "default"}, **more}


@pytest.fixture
def api():
    addresses = [{"ip": "10.200.0.5", "hostname": "web-0"}, {"ip": "10.200.0.6"}]
    return Api(
        [named("web", spec={"clusterIP": "None"}), named("one", spec={"clusterIP": "10.200.128.9"})],
        [named("web", subsets=[{"addresses": addresses}]), named("one", subsets=[{"addresses": addresses}])],
    )


def query(name, kind=1):
    labels = b"".join(bytes([len(each)]) + each.encode() for each in name.split("."))
    return struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", kind, 1)


def answered(api, name, kind=1):
    """Return the code of the answer and its addresses."""
    said = answer(query(name, kind), Names(api))
    number, flags, questions, count, *_ = struct.unpack_from("!6H", said)
    assert (number, questions, flags & 0x8000) == (7, 1, 0x8000)
    records = said[len(query(name, kind)) :]
    assert len(records) == 16 * count
    return flags & 0xF, [socket.inet_ntoa(records[16 * n + 12 : 16 * n + 16]) for n in range(count)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("one.default.svc.cluster.local", (0, ["10.200.128.9"])),
        ("ONE.default.svc.Cluster.Local", (0, ["10.200.128.9"])),
        ("web.default.svc.cluster.local", (0, ["10.200.0.5", "10.200.0.6"])),
        ("web-0.web.default.svc.cluster.local", (0, ["10.200.0.5"])),
        ("web-0.one.default.svc.cluster.local", (0, ["10.200.0.5"])),
        ("web.other.svc.cluster.local", (3, [])),
        ("example.com", (3, [])),
    ],
)
def test_a_name_leads_to_its_addresses(api, name, expected):
    assert answered(api, name) == expected


def test_a_name_without_an_address_of_the_kind_asked_for_is_no_unknown_name(api):
    assert answered(api, "one.default.svc.cluster.local", kind=28) == (0, [])  # IPv6


def test_names_outlive_an_api_server_that_is_away(api):
    names = Names(api)
    assert names.addresses("one.default.svc.cluster.local")
    api.objects, names._read_at = {}, float("-inf")
    assert names.addresses("one.default.svc.cluster.local") == ["10.200.128.9"]


def test_many_questions_at_once_cost_one_look(api):
    names = Names(api)
    for _ in range(100):
        names.addresses("one.default.svc.cluster.local")
    assert api.calls == 2  # services and endpoints


@pytest.mark.parametrize("rubbish", [b"", b"\0" * 11, query("a")[:-3], b"\0\0\x80\0\0\1" + b"\0" * 12, query("a")[:13]])
def test_what_is_no_question_gets_no_answer(api, rubbish):
    assert answer(rubbish, Names(api)) is None


@pytest.mark.parametrize("version", ["1.20.2", "1.20.5+really1.20.2", "1.20.2+dfsg"])
def test_the_binaries_name_the_version_that_they_are(version):
    assert binaries.version_of(f"kubernetes_{version}.orig.tar.gz") == "1.20.2"


def test_an_image_is_built_with_pip_as_it_is_set_up_here():
    listed = (
        ":env:.find-links='/wheels'\nglobal.cert='/certs/ca.crt'\nglobal.index-url='https://index.test/simple'\n"
        "global.extra-index-url='file:///index/simple file:///more/simple'\nfreeze.timeout='1'\n"
    )
    config, paths = pip_settings(listed)
    assert config.splitlines() == [
        "[global]",
        "find-links = /wheels",
        "cert = /certs/ca.crt",
        "index-url = https://index.test/simple",
        "extra-index-url = file:///index/simple file:///more/simple",
    ]
    assert paths == ["/certs/ca.crt", "/index", "/more", "/wheels"]  # a local index links to files beside it


def test_each_checkout_has_a_cluster_of_its_own(monkeypatch, tmp_path):
    monkeypatch.delenv("LONGSHORE_CLUSTER_STATE", raising=False)
    assert places() == places()
    monkeypatch.setattr("localcluster.places.CHECKOUT", tmp_path)
    mine = places()
    monkeypatch.setattr("localcluster.places.CHECKOUT", tmp_path / "other")
    assert places() != mine
    assert places().id != mine.id


def test_every_address_of_a_cluster_is_in_its_network():
    network = Network(203)
    assert network.all == "10.203.0.0/16"
    everywhere = (network.node, network.pods, network.services, network.api_service, network.outside, network.inside)
    assert all(each.startswith("10.203.") for each in everywhere)


def test_no_file_of_a_cluster_is_outside_its_folder(tmp_path):
    on = components.Setting(Places(tmp_path), Network(200), tmp_path / "bin", Release(1, 20))
    assert set(components.files(on)) == {
        "audit-policy.yaml",
        "containerd.toml",
        "kubelet.yaml",
        "proxy.yaml",
        "cni/10-kube.conflist",
        "resolv.conf",
    }


@pytest.mark.parametrize(
    ("printed", "flags", "settings"),
    [
        ("Kubernetes v1.20.2\n", True, {}),
        ("Kubernetes v1.24.17\n", True, {}),
        ("Kubernetes v1.26.15+k3s1\n", True, {}),
        ("Kubernetes v1.27.0-rc.1\n", False, {"containerRuntimeEndpoint"}),
        ("Kubernetes v1.31.4-eks-0a1b2c3\n", False, {"containerRuntimeEndpoint", "failCgroupV1"}),
        ("Kubernetes v1.36.2\n", False, {"containerRuntimeEndpoint", "failCgroupV1"}),
    ],
)
def test_kubelet_gets_its_runtime_by_the_flags_of_its_release(tmp_path, printed, flags, settings):
    on = components.Setting(Places(tmp_path), Network(200), tmp_path / "bin", release_of(printed))
    runtime = f"unix://{tmp_path}/containerd.sock"
    command = components.node(on)["kubelet"]
    given = ["--container-runtime=remote", f"--container-runtime-endpoint={runtime}"]
    assert [each for each in command if each.startswith("--container-runtime")] == (given if flags else [])
    config = json.loads(components.files(on)["kubelet.yaml"])
    new = {"containerRuntimeEndpoint": runtime, "failCgroupV1": False}
    assert {name: config[name] for name in new if name in config} == {name: new[name] for name in settings}


@pytest.mark.parametrize(
    ("printed", "message"),
    [
        ("Kubernetes v1.19.16\n", "Kubernetes 1.19 is not supported: KUBE_BIN must name binaries of 1.20 or later"),
        ("Kubernetes v1.9.11\n", "Kubernetes 1.9 is not supported"),
        ("kubelet: not found\n", "printed no version: 'kubelet: not found'"),
    ],
)
def test_a_kubelet_that_is_too_old_or_none_is_refused(printed, message):
    with pytest.raises(Problem, match=message):
        release_of(printed)


def test_kube_bin_may_be_relative_and_must_hold_all_programs(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBE_BIN", "bin")
    (tmp_path / "bin").mkdir()
    for each in binaries.NAMES:
        with pytest.raises(Problem, match=f"KUBE_BIN: {tmp_path}/bin must hold "):
            binaries.binaries()
        (tmp_path / "bin" / each).touch(mode=0o755)
    assert binaries.binaries() == tmp_path / "bin"


@pytest.mark.parametrize(("started_from", "refused"), [("bin", False), ("other", True), ("", True)])
def test_a_cluster_of_other_binaries_than_kube_bins_is_not_taken_for_it(monkeypatch, tmp_path, started_from, refused):
    place = Places(tmp_path)
    folder = str(tmp_path / started_from) if started_from else ""
    write_record(place, Record(process(os.getpid()), 200, with_node=True, ready=True, binaries=folder))
    assert cluster.running(place).binaries == folder  # whatever is up, where KUBE_BIN says nothing
    monkeypatch.setenv("KUBE_BIN", str(tmp_path / "bin"))
    if refused:
        with pytest.raises(Problem, match=f"KUBE_BIN names {tmp_path}/bin, but the cluster that is up runs"):
            cluster.running(place)
    else:
        assert cluster.running(place).binaries == folder


@pytest.mark.parametrize(
    ("library", "version"),
    [("0.36.4-1", "1.36.4"), ("0.33.0+ds1-2", "1.33.0"), ("1:0.20.15-1", "1.20.15"), ("0.36.4", "1.36.4")],
)
def test_a_library_of_kubernetes_names_the_version_that_it_is_of(library, version):
    assert crd_server.kubernetes_version(library) == version


@pytest.mark.parametrize("library", ["2.140.0-5", "0.0~git20260707.cf1189d-1", "1.36.4-1"])
def test_what_is_no_library_of_kubernetes_has_no_version_of_it(library):
    with pytest.raises(Problem, match="which is none of a Kubernetes library"):
        crd_server.kubernetes_version(library)


def test_the_server_of_custom_resources_is_built_when_both_programs_are_there(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for each in (crd_server.SERVER, crd_server.ETCD):
        assert crd_server.built() is None
        (tmp_path / each).touch(mode=0o755)
        publish([tmp_path / each], cache() / "crd-server")
    assert crd_server.built() == crd_server.build() == cache() / "crd-server"


def audited(id_="1", *, user="admin", verb="get", uri="/version", target=None, stage="ResponseComplete"):
    event = {"auditID": id_, "user": {"username": user}, "verb": verb, "requestURI": uri, "stage": stage}
    return json.dumps(event | {"requestReceivedTimestamp": "", **({"objectRef": target} if target else {})}) + "\n"


def test_the_audit_log_states_each_verb_on_each_resource_by_user(tmp_path):
    place = Places(tmp_path)
    place.logs.mkdir()
    pods = {"resource": "pods", "namespace": "a", "name": "b"}
    status = {"resource": "parallelrunsteps", "subresource": "status", "apiGroup": "longshore.dev"}
    place.audit.with_name("audit-2026-01-01T00-00-00.000.jsonl").write_text(audited("0", verb="create", target=pods))
    watch = [audited("2", verb="watch", target=pods, stage=each) for each in ("ResponseStarted", "ResponseComplete")]
    other = audited("3", verb="patch", target=status, user="operator")
    place.audit.write_text("".join([audited(), *watch, other, '{"auditID": "4", "half']))
    assert [each.id for each in calls(place)] == ["0", "1", "2", "3"]
    assert [each.writes for each in calls(place)] == [True, False, False, True]
    assert uses(place, "admin") == {
        Use("get", "", "", "/version"),
        Use("watch", "", "pods"),
        Use("create", "", "pods"),
    }
    assert uses(place, "operator") == {Use("patch", "longshore.dev", "parallelrunsteps/status")}


def test_a_record_reads_as_it_was_written_and_rubbish_as_none(tmp_path):
    place = Places(tmp_path)
    assert read_record(place) is None
    record = Record(Process(1, 2, "boot"), 200, with_node=True, ready=False)
    write_record(place, record)
    assert read_record(place) == record
    earlier = json.loads(place.record.read_text())
    del earlier["binaries"], earlier["release"]
    place.record.write_text(json.dumps(earlier))
    assert read_record(place) == record
    for rubbish in ("", "[]", '{"keeper": {}}', '{"keeper": null}'):
        place.record.write_text(rubbish)
        assert read_record(place) is None


def test_a_process_that_has_the_id_of_a_dead_one_is_neither_alive_nor_killed():
    ours = process(os.getpid())
    assert ours.is_alive()
    for other in (Process(ours.pid, ours.start + 1, ours.boot), Process(ours.pid, ours.start, "another boot")):
        assert not other.is_alive()
        other.kill()  # or this test would not go on


def test_a_process_is_killed_once_and_dead_before_it_is_reaped():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as started:
        child = process(started.pid)
        child.kill()
        os.waitid(os.P_PID, started.pid, os.WEXITED | os.WNOWAIT)
        assert not child.is_alive()
        child.kill()


def test_a_folder_that_is_no_clusters_is_never_removed(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(Problem, match="is no cluster's folder"):
        cluster._clear(Places(tmp_path))
    assert (tmp_path / "thesis.txt").exists()


def test_a_command_that_fails_states_which_and_why():
    with pytest.raises(Problem, match=r"sh -c echo no >&2; exit 3 ended with 3: no"):
        run("sh", "-c", "echo no >&2; exit 3")
