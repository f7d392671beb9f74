"""A refusal says whether bucket, object, permission or credential is missing: real stores and real errors."""

import re
from uuid import uuid4

import aiohttp
import botocore.exceptions
import google.auth.exceptions
import pytest
from azure.core.exceptions import HttpResponseError
from gcsfs.retry import HttpError, validate_response
from multidict import CIMultiDict, CIMultiDictProxy
from s3fs.errors import translate_boto_error
from yarl import URL

from longshore_agent.transfer import error_message
from longshore_storage import retrying
from longshore_storage.causes import cause_of
from longshore_storage.errors import AbsentError, ListingError
from longshore_storage.files import fetch_file
from longshore_storage.listing import list_files
from longshore_storage.store import open_store

STORES = {"s3": ("s3", "bucket", "object"), "gcs": ("gs", "bucket", "object"), "azure": ("abfs", "container", "blob")}


@pytest.fixture(params=STORES)
def words(request):
    """A scheme whose store is running, and what that calls a bucket and an object."""
    request.getfixturevalue(request.param)
    return STORES[request.param]


def brought(url, tmp_path):
    """Return why a file cannot be downloaded."""
    with pytest.raises(Exception, match=r".") as caught:
        fetch_file(url, str(tmp_path / "copy"), check=lambda: None)
    return cause_of(url, caught.value)


def test_a_bucket_that_is_not_there(words, tmp_path):
    scheme, bucket, _ = words
    sentence = f'{bucket} "nowhere" does not exist'
    assert brought(f"{scheme}://nowhere/a/b", tmp_path) == sentence
    with pytest.raises(ListingError, match=sentence):
        list(list_files(f"{scheme}://nowhere/a/"))
    store = open_store(f"{scheme}://nowhere/run")
    for write in (store.put, store.create):
        with pytest.raises(OSError, match=f"^{scheme}://nowhere/run/x: {sentence}$"):
            write("x", b"x")


def test_an_object_that_is_not_there(words, tmp_path):
    scheme, bucket, what = words
    name = f"{uuid4()}/b"
    sentence = f'{what} "{name}" does not exist in {bucket} "bucket"'
    assert brought(f"{scheme}://bucket/{name}", tmp_path) == sentence
    with pytest.raises(AbsentError, match=sentence):
        list(list_files(f"{scheme}://bucket/{name}"))


def test_a_key_that_is_not_the_accounts(azure, tmp_path):
    text = azure.variables["AZURE_STORAGE_CONNECTION_STRING"].replace("AccountKey=Eby8", "AccountKey=Fby8")
    with pytest.raises(HttpResponseError) as caught:
        fetch_file("abfs://bucket/x", str(tmp_path / "copy"), check=lambda: None, connection_string=text)
    told = cause_of("abfs://bucket/x", caught.value)
    assert told == 'container "bucket" rejected the credentials (AuthorizationFailure); check that they are current'


@pytest.mark.usefixtures("azure")
def test_what_is_no_connection_string_is_not_repeated(monkeypatch):
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", "the-secret-of-somebody")
    with pytest.raises(ValueError, match="connect") as caught:
        open_store("abfs://bucket/x", skip_instance_cache=True)
    told = cause_of("abfs://bucket/x", caught.value)
    assert told.startswith('no usable credentials for container "bucket"; set spec.secretRef of its Datastore')


def s3(code, status):
    error = {"Error": {"Code": code, "Message": "said"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return translated(botocore.exceptions.ClientError(error, "GetObject"))


def translated(error):
    """As s3fs raises it."""
    found = translate_boto_error(error)
    found.__cause__ = error
    return found


def http(status, headers=()):
    url = URL("http://host/a")
    asked = aiohttp.RequestInfo(url, "GET", CIMultiDictProxy(CIMultiDict()), url)
    return aiohttp.ClientResponseError(asked, (), status=status, headers=CIMultiDictProxy(CIMultiDict(headers)))


def google_(status):
    with pytest.raises(Exception, match=r".") as caught:
        validate_response(status, b'{"error": {"message": "said"}}', "b/bucket/o/a")
    return caught.value


NO_PERMISSION, BAD, NONE = "the credentials lack permission", "rejected the credentials", "no usable credentials"


@pytest.mark.parametrize(
    ("url", "error", "sentence"),
    [
        ("s3://bucket/a", s3("AccessDenied", 403), NO_PERMISSION),
        ("s3://bucket/a", s3("InvalidAccessKeyId", 403), BAD),
        ("s3://bucket/a", s3("SignatureDoesNotMatch", 403), BAD),
        ("s3://bucket/a", s3("ExpiredToken", 400), BAD),
        ("s3://bucket/a", translated(botocore.exceptions.NoCredentialsError()), NONE),
        ("gs://bucket/a", google_(401), BAD),
        ("gs://bucket/a", google_(403), NO_PERMISSION),
        ("gs://bucket/a", google.auth.exceptions.DefaultCredentialsError("none"), NONE),
        ("http://host/a", http(401), BAD),
        ("http://host/a", http(403), NO_PERMISSION),
    ],
)
def test_a_refusal(url, error, sentence):
    told = cause_of(url, error)
    assert sentence in told
    assert re.search(r'(bucket "bucket"|server "host")', told)
    assert "said" not in told
    assert not retrying.is_retryable(error)
    assert error_message(url, "s3://other/b", error) == f'"{url}" cannot be copied to "s3://other/b": {told}'


@pytest.mark.parametrize(
    ("error", "is_retryable"),
    [
        (s3("SlowDown", 503), True),
        (s3("TooManyRequests", 429), True),
        (HttpError({"code": 503, "message": "later"}), True),
        (HttpError({"code": 429, "message": "later"}), True),
        (http(503), True),
        (http(501), False),
        (http(408), True),
        (http(404), False),
        (aiohttp.ClientPayloadError("not all of it"), True),
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (FileNotFoundError(), False),
        (PermissionError(), False),
        (ValueError("no such scheme"), False),
    ],
)
def test_what_may_pass(error, is_retryable):
    assert retrying.is_retryable(error) is is_retryable


def test_pauses_grow_and_are_of_random_length():
    pauses = [[retrying.pause(number, OSError()) for _ in range(50)] for number in range(1, 9)]
    assert len({*pauses[0]}) > 40
    assert max(pauses[0]) < min(pauses[3])
    assert max(map(max, pauses)) <= 12


@pytest.mark.parametrize(
    ("asked", "least", "most"), [("3", 3, 3.25), ("0", 0, 0.25), ("86400", 30, 30.25), ("soon", 0, 1)]
)
def test_a_store_states_when_to_come_back_within_reason(asked, least, most):
    assert least <= retrying.pause(1, http(429, {"Retry-After": asked})) <= most


def test_a_call_is_made_again_until_it_gives_something(monkeypatch):
    monkeypatch.setattr(retrying.time, "sleep", lambda _: None)
    troubles = [http(503), ConnectionResetError(), http(429)]

    def call():
        if troubles:
            raise troubles.pop()
        return 3

    assert retrying.with_retries(call) == 3
    calls = []

    def fail():
        calls.append(1)
        raise http(503)

    with pytest.raises(aiohttp.ClientResponseError):
        retrying.with_retries(fail)
    assert len(calls) == retrying.TRIES
