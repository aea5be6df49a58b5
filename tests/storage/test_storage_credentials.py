"""A store without credentials: the error says so and names the variables, whatever the metadata service does."""

from __future__ import annotations

import os
import time
from datetime import timedelta

import loopback_s3
import pytest
from ports import free_port
from storage_rows import GUIDES

from thunderbit_dagster.storage import objects
from thunderbit_dagster.storage.credentials import reason
from thunderbit_dagster.storage.errors import PublishError, StorageError
from thunderbit_dagster.storage.store import ParquetStore

SETTINGS = ("AWS_", "GOOGLE_", "GCE_", "AZURE_")
S3 = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
NAMED = {
    "s3://bucket/p": S3,
    "gs://bucket/p": "set GOOGLE_APPLICATION_CREDENTIALS",
    "az://container/p": "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}


@pytest.fixture
def bare(monkeypatch, tmp_path, without_settings):  # noqa: ARG001  # in this order
    """No credentials, short patience, and a metadata service at the address given."""

    def at(address):
        monkeypatch.setenv("AWS_METADATA_ENDPOINT", f"http://{address}")
        monkeypatch.setenv("GCE_METADATA_HOST", address)
        monkeypatch.setenv("GCE_METADATA_IP", address)
        monkeypatch.setenv("AZURE_MSI_ENDPOINT", f"http://{address}/metadata/identity/oauth2/token")
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")

    # gcloud keeps its own below the home directory.
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(objects, "MAX_RETRIES", 1)
    monkeypatch.setattr(objects, "RETRY_TIMEOUT", timedelta(seconds=1))
    return at


@pytest.fixture
def without_settings(monkeypatch):
    for name in list(os.environ):
        if name.startswith(SETTINGS):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("uri", NAMED)
def test_a_machine_without_a_role_is_told_which_variables_to_set(uri, bare):
    with loopback_s3.proxy("") as metadata:
        metadata.fault = lambda _: 403
        bare(metadata.url.removeprefix("http://"))
        store = ParquetStore(uri)
        with pytest.raises(StorageError, match="no credentials were found") as read:
            store.partitions("docs", "succeeded")
        with (
            pytest.raises(PublishError, match="readers see what they saw before") as written,
            store.open_partition("docs", GUIDES) as writer,
        ):
            writer.commit({})
        assert metadata.refused
    assert NAMED[uri] in str(read.value)
    assert NAMED[uri] in str(written.value)
    assert "Give this process credentials" in str(written.value)
    assert "docs/storage.md" in str(read.value)


def test_a_metadata_service_out_of_reach_says_the_same_in_time(bare):
    bare(f"127.0.0.1:{free_port()}")
    began = time.monotonic()
    with pytest.raises(StorageError, match=S3):
        ParquetStore("s3://bucket/p").partitions("docs", "succeeded")
    assert time.monotonic() - began < 5


@pytest.mark.usefixtures("without_settings")
def test_an_azure_account_that_lacks_is_named():
    with pytest.raises(
        StorageError, match="Account must be specified; no credentials were found: set AZURE_"
    ) as caught:
        ParquetStore("az://container/p").partitions("docs", "succeeded")
    assert NAMED["az://container/p"] in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("s3://b/p", "Error performing PUT https://b.s3.amazonaws.com/p - status code: 403 Forbidden"),
        ("s3://b/p", "the bucket does not exist"),
        ("file:///srv/169.254.169.254", "cannot list /srv/169.254.169.254"),
        ("memory://m", "Account must be specified"),
    ],
)
def test_other_errors_say_nothing_of_missing_credentials(uri, said):
    assert "credentials" not in reason(uri, OSError(said))


@pytest.mark.parametrize("given", ["", " ", "\n"])
def test_an_empty_base_uri_is_not_the_working_directory(given):
    with pytest.raises(ValueError, match="`base_uri` must be text that is not blank"):
        ParquetStore(given)
