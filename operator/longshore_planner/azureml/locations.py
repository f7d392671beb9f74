"""Azure ML's paths: folders beside the YAML, paths in datastores, data assets, and URLs."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

ALL_BELOW = "**"  # the path of a Datastore as a whole

_DATASTORE = re.compile(r"azureml://(?:.*/)?datastores/([^/]+)(?:/paths(?:/(.*))?)?/?")
_ASSET = re.compile(r"azureml:(?!//)([^:@]+)(?:[:@].*)?")
_REGISTERED = re.compile(r"azureml://(?:.*/)?(?:data|environments|components|models|codes)/([^/]+)(?:/.*)?")
_BLOB = re.compile(r"wasbs?://([^@/]+)@([^./]+)\.blob\.([^/]+)/?(.*)")
_BLOB_URL = re.compile(r"https://([^./]+)\.blob\.([^/]+)/([^/?]+)/?([^?]*)")
_EITHER_SLASH = re.compile(r"(?<!:)/{2,}")


@dataclass(frozen=True)
class Location:
    """A location in the form of Longshore's documents, and a remark about guesses."""

    path: str  # a URL, or relative to the Datastore
    datastore: str = ""  # Azure ML's name
    asset: str = ""  # name of a data asset, whose path only the workspace has
    remark: str = ""
    local: bool = False  # on this machine


def parse_location(text: str, *, folder: str) -> Location:
    """Parse a path; `folder` is the folder of the YAML file, as the resulting documents see it."""
    text = text.strip()
    if found := _DATASTORE.fullmatch(text):
        return Location(_EITHER_SLASH.sub("/", found[2] or "") or ALL_BELOW, datastore=found[1])
    if found := _ASSET.fullmatch(text) or _REGISTERED.fullmatch(text):
        return Location(local_url(folder, f"data/{found[1]}/"), asset=found[1], local=True)
    if found := _BLOB.fullmatch(text):
        container, account, domain, path = found.groups()
        return _on_storage(account, domain, container, path)
    if found := _BLOB_URL.fullmatch(text):
        account, domain, container, path = found.groups()
        return _on_storage(account, domain, container, path)
    if "://" in text and not text.startswith("file:"):
        return Location(text)
    return Location(local_url(folder, text.removeprefix("file:")), local=True)


def local_url(folder: str, path: str) -> str:
    """Return a path of this machine as a file: URL, so that it is not relative to the default Datastore."""
    path = re.sub(r"^//(localhost)?/", "/", path.replace("\\", "/"))
    end = "/" if path.endswith("/") and path.strip("/.") else ""
    whole = posixpath.normpath(posixpath.join(folder, path)) + end
    return "file:" + whole.replace("%", "%25")  # what follows file: is unquoted


def asset_name(text: str) -> str:
    """Return the name in "azureml:NAME:VERSION", "azureml:NAME@latest" and similar, or the unchanged text."""
    found = _ASSET.fullmatch(text.strip()) or _REGISTERED.fullmatch(text.strip())
    return found[1] if found else text.strip()


def is_asset(text: str) -> bool:
    """Return whether a text refers to an asset that is registered in a workspace or registry."""
    return text.strip().startswith("azureml:")


def _on_storage(account: str, domain: str, container: str, path: str) -> Location:
    url = f"abfs://{container}@{account}.dfs.{domain}/{path}"
    return Location(url, remark=f"container {container} of storage account {account}; reading it needs credentials")
