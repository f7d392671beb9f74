"""The servers that stand for object stores."""

from azure.storage.blob import BlobServiceClient
from object_stores import azure_servers
from s3_server import BUCKET


def test_an_azurite_that_ends_is_followed_by_another_for_the_same_clients():
    with azure_servers() as servers:
        text = servers.running().variables["AZURE_STORAGE_CONNECTION_STRING"]
        with BlobServiceClient.from_connection_string(text) as client:
            blob = client.get_blob_client(BUCKET, "a")
            blob.upload_blob(b"before")
            servers.kill()
            blob.upload_blob(b"after")  # the client tries again until there is a server
            assert blob.download_blob().readall() == b"after"
        assert servers.running().variables["AZURE_STORAGE_CONNECTION_STRING"] == text
