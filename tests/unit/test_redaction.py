"""Secrets in URLs are hidden; what tells one file from another stays."""

import pytest

from longshore_protocol.redaction import redacted

SECRET = "c2VjcmV0%2Fzz"
HIDDEN = {
    "a presigned URL of S3": (
        f"https://b.s3.amazonaws.com/a.csv?X-Amz-Credential={SECRET}&X-Amz-Date=2026&X-Amz-Signature={SECRET}",
        "https://b.s3.amazonaws.com/a.csv?X-Amz-Credential=***&X-Amz-Date=2026&X-Amz-Signature=***",
    ),
    "an older one": (
        f"https://b.s3.amazonaws.com/a.csv?AWSAccessKeyId={SECRET}&Signature={SECRET}&Expires=1",
        "https://b.s3.amazonaws.com/a.csv?AWSAccessKeyId=***&Signature=***&Expires=1",
    ),
    "a signed URL of Google": (
        f"https://storage.googleapis.com/b/a?X-Goog-Credential={SECRET}&X-Goog-Signature={SECRET}",
        "https://storage.googleapis.com/b/a?X-Goog-Credential=***&X-Goog-Signature=***",
    ),
    "a SAS of Azure": (
        f"https://a.blob.core.windows.net/c/a.csv?sv=2024-01-01&se=2027&sp=r&sig={SECRET}",
        "https://a.blob.core.windows.net/c/a.csv?sv=2024-01-01&se=2027&sp=r&sig=***",
    ),
    "a token": (f"https://host/a?access_token={SECRET}&id=3", "https://host/a?access_token=***&id=3"),
    "a password": (f"postgresql://user:{SECRET}@host:5432/db", "postgresql://user:***@host:5432/db"),
    "one in a sentence": (
        f'The file "https://host/a?sig={SECRET}" of input "x" cannot be read: 403, url=\'https://host/a?sig={SECRET}\'',
        'The file "https://host/a?sig=***" of input "x" cannot be read: 403, url=\'https://host/a?sig=***\'',
    ),
    "several in JSON": (
        f'["https://h/a?id=1&sig={SECRET}","https://h/a?id=2&sig={SECRET}"]',
        '["https://h/a?id=1&sig=***","https://h/a?id=2&sig=***"]',
    ),
}


@pytest.mark.parametrize(("text", "shown"), HIDDEN.values(), ids=HIDDEN.keys())
def test_a_secret_is_hidden(text, shown):
    assert redacted(text) == shown
    assert redacted(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "s3://bucket/folder/a.csv",
        "https://host/download?id=17&version=3",
        "https://host/user@2/a.csv",
        "/data/what?sig=1.csv",
        "az://container@account.dfs.core.windows.net/a",
        "",
    ],
)
def test_what_is_no_secret_stays(text):
    assert redacted(text) == text
