"""What tells one plan from another."""

import json
from dataclasses import replace

import jobs
import pytest

from longshore_coordinator.enumerate import Checkpoint, PlanDigest, Slice, plan_settings, setting_difference
from longshore_protocol.job import Input, MiniBatchSize, Output, TabularFormat

JOB = jobs.job(
    Input("mnist", ("/in",)), Input("rows", ("/rows",), tabular=TabularFormat("csv")), size=10, action="append_row"
)
SLICES = [Slice(0, 1, b'["/in/%d"]' % number) for number in range(3)]


def checkpoint(slices: list[Slice]) -> Checkpoint:
    digest = PlanDigest()
    for each in slices:
        digest.add(each)
    return digest.checkpoint()


def test_a_checkpoint_counts_all_mini_batches_and_names_the_first_new_item():
    digest, found = PlanDigest(), []
    for new in (SLICES[:2], SLICES[2:], [Slice(1, None, b'{"path":"/rows/a","start":0,"end":9}')]):
        for each in new:
            digest.add(each)
        made = digest.checkpoint()
        found.append((made.count, made.first))
    assert found == [(2, "/in/0"), (3, "/in/2"), (4, "/rows/a")]
    assert digest.count == 4


def test_a_digest_is_of_all_mini_batches_whenever_checkpoints_were_made():
    digest = PlanDigest()
    for each in SLICES:
        digest.add(each)
        last = digest.checkpoint()
    assert last.digest == checkpoint(SLICES).digest


def test_there_is_no_checkpoint_without_a_new_mini_batch():
    digest = PlanDigest()
    with pytest.raises(IndexError):
        digest.checkpoint()
    digest.add(SLICES[0])
    digest.checkpoint()
    with pytest.raises(IndexError):
        digest.checkpoint()


@pytest.mark.parametrize(
    "other",
    [
        SLICES[:2],
        [*SLICES[:2], Slice(0, 1, b'["/in/x"]')],
        [*SLICES[:2], SLICES[2]._replace(input=1)],
        SLICES[::-1],
        [Slice(0, 2, b'["/in/0","/in/1"]'), SLICES[2]],
    ],
    ids=["fewer", "another file", "another input", "another order", "another cut"],
)
def test_plans_that_differ_have_different_digests(other):
    assert checkpoint(SLICES).digest == checkpoint(list(SLICES)).digest
    assert checkpoint(SLICES).digest != checkpoint(other).digest


ADDRESSES = {
    "S3": "https://b.s3.amazonaws.com/a?versionId=7&X-Amz-Date={0}&X-Amz-Security-Token={0}&X-Amz-Signature={0}",
    "S3, version 2": "https://b.s3.amazonaws.com/a?versionId=7&AWSAccessKeyId=A&Signature={0}&Expires={0}",
    "CloudFront": "https://d1.cloudfront.net/a?versionId=7&Expires={0}&Signature={0}&Key-Pair-Id={0}",
    "Google": "https://storage.googleapis.com/b/a?versionId=7&X-Goog-Date={0}&X-Goog-Signature={0}",
    "Azure": "https://a.blob.core.windows.net/c/a?versionId=7&sv=1&st={0}&se={0}&sr=b&sp=r&sig={0}",
}


def of_address(url):
    job = replace(JOB, inputs=(replace(JOB.inputs[0], paths=(url,)),))
    return checkpoint([Slice(0, 1, json.dumps([url]).encode())]).digest, plan_settings(job)


@pytest.mark.parametrize("address", ADDRESSES.values(), ids=ADDRESSES.keys())
def test_an_address_that_is_signed_again_is_the_same_one(address):
    first, again, other = (address.format("x1"), address.format("y2"), address.format("x1").replace("Id=7", "Id=8"))
    assert of_address(first) == of_address(again)
    assert of_address(first)[0] != of_address(other)[0]
    assert "x1" not in str(of_address(first))


@pytest.mark.parametrize("name", ["code", "key", "session", "sort_key", "sp"])
def test_parameters_with_names_of_secrets_distinguish_addresses(name):
    first, other = (of_address(f"https://h/export?id=1&{name}={value}")[0] for value in ("DE", "FR"))
    assert first != other


def test_equal_settings_have_no_difference_through_json_too():
    settings = plan_settings(JOB)
    assert setting_difference(json.loads(json.dumps(settings)), settings) is None


def test_a_setting_that_differs_is_named_with_both_values():
    now = plan_settings(replace(JOB, mini_batch=MiniBatchSize("files", 5)))
    found = setting_difference(plan_settings(JOB), now)
    assert found == 'The setting "mini-batch size" was "10 files" and is "5 files" now.'


def test_settings_inside_settings_are_named_by_their_path():
    stored = {"output": {"format": "csv", "header": True}}
    found = setting_difference(stored, {"output": {"format": "csv"}})
    assert found == 'The setting "output.header" was true and is null now.'
    assert setting_difference({}, {"sample": 3}) == 'The setting "sample" was null and is 3 now.'


def test_the_settings_of_a_plan_state_what_changes_its_mini_batches_and_rows():
    semicolons = replace(JOB.inputs[1], tabular=TabularFormat("csv", separator=";"))
    changed = [
        replace(JOB, inputs=JOB.inputs[:1]),
        replace(JOB, inputs=(JOB.inputs[0], semicolons)),
        replace(JOB, output=Output("summary_only", "/out")),
        replace(JOB, output=Output("append_row", "/out", format="csv")),
        replace(JOB, output=Output("append_row", "/out", header=True)),
        replace(JOB, output=Output("append_row", "/out", separator=";")),
        replace(JOB, sample=3),
    ]
    for other in changed:
        assert setting_difference(plan_settings(JOB), plan_settings(other)) is not None
    assert plan_settings(replace(JOB, workers=7, max_tries=1, run_uri="/elsewhere")) == plan_settings(JOB)


def test_a_long_value_is_cut_short():
    now = plan_settings(replace(JOB, inputs=(Input("mnist", tuple(f"/in/{number}" for number in range(500))),)))
    found = setting_difference(plan_settings(JOB), now)
    assert found is not None
    assert len(found) < 600
