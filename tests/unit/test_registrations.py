"""Registrations on their way from a script to a step's result: recorded, validated, packed, and made manifests of."""

import json
import os
import re

import pytest

from longshore_agent.registering import collect_registrations
from longshore_planner.registering import next_version, origin_of, requests, resource_name
from longshore_protocol.registrations import (
    DATASET,
    LONGEST,
    MODEL,
    Registration,
    pack,
    read_registration,
    require_room,
    unpack,
)
from longshore_run.registrations import keep, record
from longshore_storage.store import open_store

NET = Registration(MODEL, "Net v2", ("run:registered/0a/net.pkl",), tags={"score": "0.9"}, properties={"rows": "3"})
TABLE = Registration(DATASET, "rows", ("output:rows/*.csv",), tabular={"format": "csv", "separator": ";"})
STORED = Registration(DATASET, "raw", ("raw/2026", "more"), datastore="lake", description="All.")
JOB = {
    "name": "train",
    "run_id": "train-1c2d",
    "run_uri": "/mnt/longshore/claim/data/team/longshore/train-1c2d",
    "outputs": [{"name": "rows", "uri": "s3://bucket/longshore/train-1c2d/rows"}],
    "inputs": [{"name": "raw", "uris": ["https://host/raw.csv?sig=SECRET"]}],
    "arguments": ["--url", "https://user:SECRET@host/x"],
    "params": {"rate": "0.5"},
    "pipeline_parameters": {"epochs": "3"},
    "models": [{"name": "base", "version": 2, "uri": "/m"}],
}


def test_what_is_packed_is_unpacked():
    assert unpack(pack([NET, TABLE, STORED])) == (NET, TABLE, STORED)
    assert (pack([]), unpack("")) == ("", ())


@pytest.mark.parametrize("text", ["no base64!", "AAAA", pack([NET])[:40]])
def test_what_was_not_packed_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        unpack(text)


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": "a/b"},
        {"name": ".hidden"},
        {"name": "a\nb"},
        {"name": "x" * 256},
        {"kind": "Secret"},
        {"paths": []},
        {"paths": ["run:registered/0a/../../ledger"]},
        {"tags": {"a": 1}},
        {"properties": {"a": "\udc00"}},
        {"tabular": {"format": "sql", "query": "SELECT 1"}},
        {"tabular": {"format": "csv", "header": "no"}},
    ],
    ids=str,
)
def test_an_invalid_record_is_refused(change):
    valid = json.loads(NET.to_json())
    assert read_registration(json.dumps(valid)) == NET
    with pytest.raises(ValueError, match=r"[A-Za-z]"):
        read_registration(json.dumps({**valid, **change}))


def test_as_many_registrations_fit_as_a_termination_message_has_room_for():
    many = [Registration(MODEL, f"store-{number}", (f"run:registered/{number:012x}/model",)) for number in range(50)]
    require_room(many)
    random = Registration(MODEL, "net", ("run:registered/0a/net",), tags={"text": os.urandom(LONGEST).hex()})
    with pytest.raises(ValueError, match=r"\"net\" cannot be registered: .* have more than 2400 characters"):
        require_room([random])


@pytest.fixture
def calls(tmp_path):
    """Write records and a Model's file; return the folder."""

    def write(*registrations, content=b"weights"):
        (tmp_path / "calls/0a").mkdir(parents=True)
        (tmp_path / "calls/0a/net.pkl").write_bytes(content)
        text = "".join(f"{each.to_json()}\n" for each in registrations)
        (tmp_path / "calls/calls.jsonl").write_text(text)
        return str(tmp_path / "calls")

    return write


def test_the_agent_uploads_the_files_that_are_registered(calls, tmp_path):
    folder, run = calls(NET, TABLE, STORED), open_store(str(tmp_path / "run"))
    assert collect_registrations(folder, run, outputs=["rows"]) == [NET, TABLE, STORED]
    assert run.get("registered/0a/net.pkl") == b"weights"
    assert collect_registrations(str(tmp_path / "absent"), run, outputs=[]) == []


@pytest.mark.parametrize(
    "given",
    [
        Registration(MODEL, "net", ("/etc/passwd",)),
        Registration(MODEL, "net", ("output:rows/net.pkl",)),
        Registration(MODEL, "net", ("run:state/ledger",)),
        Registration(MODEL, "net", ("run:registered/0b/net.pkl",)),
        Registration(DATASET, "rows", ("output:other",)),
        Registration(DATASET, "rows", ("run:registered/0a/net.pkl",)),
    ],
    ids=lambda each: each.paths[0],
)
def test_a_script_registers_its_own_files_and_outputs_only(calls, tmp_path, given):
    with pytest.raises((ValueError, FileNotFoundError)):
        collect_registrations(calls(given), open_store(str(tmp_path / "run")), outputs=["rows"])


@pytest.mark.parametrize("is_folder", [False, True])
def test_files_are_kept_as_they_were_at_the_call_and_readable_for_the_agent(tmp_path, is_folder):
    source = tmp_path / "model"
    (source / "sub").mkdir(parents=True, mode=0o700)
    (source / "sub/net.pkl").write_bytes(b"weights")
    (source / "sub/net.pkl").chmod(0o600)
    (source / "link.pkl").symlink_to("sub/net.pkl")
    path = keep(str(tmp_path / "calls"), str(source) if is_folder else str(source / "sub/net.pkl"))
    (source / "sub/net.pkl").write_bytes(b"later")
    record(str(tmp_path / "calls"), Registration(MODEL, "net", (path,)))
    run = open_store(str(tmp_path / "run"))
    assert [each.paths for each in collect_registrations(str(tmp_path / "calls"), run, outputs=[])] == [(path,)]
    names = {each.rpartition("/")[2]: run.get(each) for each in run.names("registered")}
    assert names == ({"net.pkl": b"weights", "link.pkl": b"weights"} if is_folder else {"net.pkl": b"weights"})
    modes = [each.stat().st_mode for each in (tmp_path / "calls").rglob("*")]
    assert all(mode & 0o040 for mode in modes)


def test_no_link_of_a_script_is_followed(calls, tmp_path):
    folder = calls(NET)
    os.remove(f"{folder}/0a/net.pkl")
    os.symlink("/etc/passwd", f"{folder}/0a/net.pkl")
    with pytest.raises(ValueError, match=r"\"Net v2\" has no files"):
        collect_registrations(folder, open_store(str(tmp_path / "run")), outputs=[])


def test_the_manifests_have_locations_below_datastores_and_no_secrets():
    origin = origin_of(JOB, kind="ScriptStep", code="c" * 64, environment="image", resource="train")
    stores = {"team": "pvc:data/team", "whole": "pvc:data", "bucket": "s3://bucket/"}
    net, table, stored = requests(pack([NET, TABLE, STORED]), JOB, origin, datastores=stores)
    made = net.manifest(3, namespace="research")
    assert made["metadata"]["name"] == resource_name("Net v2", 3) == "net-v2-5cab308f-3"
    assert made["metadata"]["labels"]["longshore.dev/origin-run"] == "train-1c2d"
    assert made["spec"] == {
        "name": "Net v2",
        "version": 3,
        "tags": {"score": "0.9"},
        "properties": {"rows": "3"},
        "datastore": "team",
        "path": "longshore/train-1c2d/registered/0a/net.pkl",
    }
    assert table.manifest(1)["spec"]["tabular"] == {
        "datastore": "bucket",
        "paths": ["longshore/train-1c2d/rows/*.csv"],
        "format": "csv",
        "separator": ";",
    }
    assert stored.manifest(1)["spec"]["file"] == {"datastore": "lake", "paths": ["raw/2026", "more"]}
    assert origin.parameters == {"epochs": "3", "rate": "0.5"}
    assert origin.models == ["base 2"]
    assert "SECRET" not in origin.model_dump_json()


def test_a_registration_has_one_key_however_often_it_is_requested():
    origin = origin_of(JOB, kind="ScriptStep")

    def keys(job, **options):
        return [each.key for each in requests(pack([NET, NET]), job, origin, datastores={}, **options)]

    first, second = keys(JOB)
    assert first != second
    assert keys(JOB) == [first, second]
    assert not {first, second} & {*keys(JOB, attempt=1), *keys({**JOB, "run_id": "train-2"})}


def test_the_version_is_one_above_the_highest_of_the_name():
    (request,) = requests(pack([NET]), JOB, origin_of(JOB, kind="ScriptStep"), datastores={})
    named = [{"spec": {"name": "Net v2", "version": each}, "metadata": {"name": "x"}} for each in ("3", 12)]
    others = [{"spec": {"name": "other", "version": 40}, "metadata": {"name": "y"}}]
    assert next_version(request, [*named, *others]) == 13
    assert next_version(request, others) == 1


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("digits", "digits-7"),
        ("My Model", "my-model-[0-9a-f]{8}-7"),
        ("my_model", "my-model-[0-9a-f]{8}-7"),
        ("Größe", "gr-e-[0-9a-f]{8}-7"),
        ("日本", "[0-9a-f]{8}-7"),
    ],
)
def test_names_that_kubernetes_does_not_allow_become_slugs_that_differ(name, slug):
    assert re.fullmatch(slug, resource_name(name, 7))
    assert len({resource_name(each, 1) for each in (name, f"{name} ", f"{name}!")}) == 3
    assert len(resource_name(name * 40, 12)) <= 253
