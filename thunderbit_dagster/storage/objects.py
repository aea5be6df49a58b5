"""Partitions in an object store, through obstore: S3, Google Cloud Storage, Azure, and memory for tests.

An object appears when its upload is completed, never before, so it is written right under its final key. A
killed writer leaves an unfinished multipart upload: invisible, and removed by a lifecycle rule of the bucket.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cache
from typing import Final

import obstore
import pyarrow as pa
import pyarrow.fs as pafs
from obstore.exceptions import BaseError, GenericError, PermissionDeniedError, UnauthenticatedError
from obstore.store import MemoryStore, ObjectStore, from_url

from thunderbit_dagster.storage import credentials
from thunderbit_dagster.storage.errors import StorageError

PART_BYTES: Final = 8 * 1024 * 1024
MAX_PARTS_IN_FLIGHT: Final = 2
MAX_RETRIES: Final = 8
# obstore's own default tries for three minutes; a run that is refused should say so sooner.
RETRY_TIMEOUT: Final = timedelta(seconds=45)
REFUSALS: Final = {"status code: 401": UnauthenticatedError, "status code: 403": PermissionDeniedError}


class ObjectBackend:
    """A prefix of a bucket."""

    def __init__(self, base_uri: str, store: ObjectStore) -> None:
        self._base_uri = base_uri
        self._store = store

    @property
    def filesystem(self) -> pafs.FileSystem:
        return pafs.PyFileSystem(ObjectReader(self._store))

    def uri(self, key: str) -> str:
        return f"{self._base_uri}/{key}"

    def keys(self, prefix: str) -> Iterator[str]:
        for batch in obstore.list(self._store, prefix=prefix):
            yield from (meta["path"] for meta in batch)

    def folders(self) -> Iterator[str]:
        yield from obstore.list_with_delimiter(self._store)["common_prefixes"]

    def sink(self, key: str) -> "Upload":
        return Upload(self._store, key)

    def sweep(self, crawl: str) -> None:
        """Nothing: an upload that was not completed is no object."""


def connect(base_uri: str) -> ObjectBackend:
    """The store of a bucket URI, with the credentials of obstore's own environment chain. Sends nothing.

    Raises:
        StorageError: a setting is missing, such as the Azure account; the text names the variables.
    """
    scheme, _, name = base_uri.partition("://")
    try:
        store = _memory(name) if scheme == "memory" else _bucket(base_uri)
    except BaseError as error:
        raise StorageError(f"Could not set up {base_uri}: {credentials.reason(base_uri, error)}.") from None
    return ObjectBackend(base_uri, store)


def _bucket(uri: str) -> ObjectStore:
    return from_url(uri, retry_config={"max_retries": MAX_RETRIES, "retry_timeout": RETRY_TIMEOUT})


@cache
def _memory(_name: str) -> MemoryStore:
    """One store a name, so that equal URIs mean the same objects within a process."""
    return MemoryStore()


@contextmanager
def _typed() -> Iterator[None]:
    """Give refusals the types that other calls of obstore have: its writers raise OSError for all."""
    try:
        yield
    except OSError as error:
        refusal = next((kind for status, kind in REFUSALS.items() if status in str(error)), GenericError)
        raise refusal(str(error)) from None


class Upload:
    """One object on its way, in parts; in memory are at most those in flight and the one that fills."""

    def __init__(self, store: ObjectStore, key: str) -> None:
        self._writer = obstore.open_writer(
            store,
            key,
            buffer_size=PART_BYTES,
            max_concurrency=MAX_PARTS_IN_FLIGHT,
        )
        self._position = 0
        self._over = False

    @property
    def closed(self) -> bool:
        return self._over

    def write(self, data: bytes, /) -> int:
        if not self._over:
            with _typed():
                self._writer.write(data)
            self._position += len(data)
        return len(data)

    def tell(self) -> int:
        return self._position

    def flush(self) -> None:
        """Nothing: parts go out when they are full."""

    def close(self) -> None:
        """Nothing: closing an upload publishes it, which is `publish`'s to do."""

    def seal(self) -> None:
        """Nothing: the last part can only be sent together with the completion."""

    def publish(self) -> None:
        with _typed():
            self._writer.close()
        self._over = True

    def discard(self) -> None:
        if self._over:
            return
        self._over = True
        # obstore aborts an upload only on the way out of a failed `with` block. A store that is out of reach
        # cannot abort, nor can obstore before 0.12 after a part has failed; the object stays invisible all the same.
        with suppress(BaseError, OSError):
            self._writer.__exit__(InterruptedError, InterruptedError(), None)


class ObjectFile(io.RawIOBase):
    """One version of an object, read by ranges.

    Each range asks for the version that was there at the beginning, so a replaced object ends in obstore's
    PreconditionError and never in a mixture of two versions.
    """

    def __init__(self, store: ObjectStore, key: str) -> None:
        super().__init__()
        meta = obstore.head(store, key)
        self._store = store
        self._key = key
        self._size = meta["size"]
        self._version = meta["e_tag"]
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = start + offset
        return self._position

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = self._size if size is None or size < 0 else size
        end = min(self._position + wanted, self._size)
        if end <= self._position:
            return b""
        data = self._range(self._position, end)
        self._position = end
        return data

    def _range(self, start: int, end: int) -> bytes:
        options: obstore.GetOptions = {"range": (start, end)}
        if self._version is not None:
            options["if_match"] = self._version
        return obstore.get(self._store, self._key, options=options).bytes().to_bytes()


class ObjectReader(pafs.FileSystemHandler):  # type: ignore[misc]  # pyarrow has no types
    """The reading half of a pyarrow file system over obstore: one set of credentials for writes and reads."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def get_type_name(self) -> str:
        return "obstore"

    def normalize_path(self, path: str) -> str:
        return path

    def open_input_file(self, path: str) -> pa.PythonFile:
        return pa.PythonFile(ObjectFile(self._store, path), mode="r")

    def open_input_stream(self, path: str) -> pa.PythonFile:
        return self.open_input_file(path)

    def get_file_info(self, paths: list[str]) -> list[pafs.FileInfo]:
        return [self._info(path) for path in paths]

    def _info(self, path: str) -> pafs.FileInfo:
        try:
            meta = obstore.head(self._store, path)
        except FileNotFoundError:
            return pafs.FileInfo(path, pafs.FileType.NotFound)
        return pafs.FileInfo(path, pafs.FileType.File, size=meta["size"], mtime=meta["last_modified"])

    def get_file_info_selector(self, selector: pafs.FileSelector) -> list[pafs.FileInfo]:
        raise self._refusal(f"list {selector.base_dir}")

    def create_dir(self, path: str, recursive: bool) -> None:  # noqa: ARG002  # pyarrow's signature
        raise self._refusal(f"create {path}")

    def delete_dir(self, path: str) -> None:
        raise self._refusal(f"delete {path}")

    def delete_dir_contents(self, path: str, missing_dir_ok: bool = False) -> None:  # noqa: ARG002
        raise self._refusal(f"delete {path}")

    def delete_root_dir_contents(self) -> None:
        raise self._refusal("delete everything")

    def delete_file(self, path: str) -> None:
        raise self._refusal(f"delete {path}")

    def move(self, src: str, dest: str) -> None:
        raise self._refusal(f"move {src} to {dest}")

    def copy_file(self, src: str, dest: str) -> None:
        raise self._refusal(f"copy {src} to {dest}")

    def open_output_stream(self, path: str, metadata: object) -> None:  # noqa: ARG002
        raise self._refusal(f"write {path}")

    def open_append_stream(self, path: str, metadata: object) -> None:  # noqa: ARG002
        raise self._refusal(f"append to {path}")

    @staticmethod
    def _refusal(what: str) -> io.UnsupportedOperation:
        return io.UnsupportedOperation(f"This file system reads objects by key; it does not {what}.")
