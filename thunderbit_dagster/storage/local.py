"""Partitions on a local disk: staged beside the tables, synced, then renamed into place.

obstore's LocalStore is not used for writing: it stages `rows.parquet#1` inside the table's directory, where a
killed process leaves it and pyarrow and pandas then fail on the directory; and it syncs nothing to the disk.
"""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from thunderbit_dagster.lazy import LazyModule
from thunderbit_dagster.storage.uri import from_path

if TYPE_CHECKING:
    import pyarrow.fs as pafs
else:
    pafs = LazyModule("pyarrow.fs")

if sys.platform != "win32":
    import fcntl

# A sibling of the tables' directories, where no reader looks; pyarrow skips the underscore anyway.
STAGING: Final = "_staging"
SUFFIX: Final = ".part"


class LocalBackend:
    """A directory on a disk of this machine, or on a mounted share."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def filesystem(self) -> pafs.FileSystem:
        return pafs.SubTreeFileSystem(self._root.as_posix(), pafs.LocalFileSystem())

    def uri(self, key: str) -> str:
        return from_path(self._root / key)

    def keys(self, prefix: str) -> Iterator[str]:
        for directory, _, names in os.walk(self._root / prefix, onerror=_raise_unless_missing):
            relative = Path(directory).relative_to(self._root).as_posix()
            yield from (f"{relative}/{name}" for name in names)

    def folders(self) -> Iterator[str]:
        with suppress(FileNotFoundError), os.scandir(self._root) as entries:
            yield from (entry.name for entry in entries if entry.is_dir())

    def sink(self, key: str) -> StagedFile:
        return StagedFile(self._staging(key.partition("/")[0]), self._root / key)

    def sweep(self, crawl: str) -> None:
        for path in self._staging(crawl).glob(f"*{SUFFIX}"):
            # Gone already, or not ours to remove: either way no reason to refuse a new partition.
            with suppress(OSError):
                _remove_if_abandoned(path)

    def _staging(self, crawl: str) -> Path:
        return self._root / crawl / STAGING


class StagedFile:
    """A locked file in the staging directory that becomes the target by one rename."""

    def __init__(self, staging: Path, target: Path) -> None:
        staging.mkdir(parents=True, exist_ok=True)
        self._target = target
        self._path, self._file = _create_locked(staging)
        self._given_up = False

    @property
    def closed(self) -> bool:
        return self._file.closed

    def write(self, data: bytes, /) -> int:
        return len(data) if self._given_up else self._file.write(data)

    def tell(self) -> int:
        return 0 if self._given_up else self._file.tell()

    def flush(self) -> None:
        if not self._given_up:
            self._file.flush()

    def close(self) -> None:
        """Nothing: the lock must last until the rename."""

    def seal(self) -> None:
        """Sync to the disk: a rename alone survives a killed process but not a power cut."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._target.parent.mkdir(parents=True, exist_ok=True)

    def publish(self) -> None:
        if sys.platform == "win32":  # an open file cannot be renamed there
            self._file.close()
        # os.replace rather than Path.replace: the one call that makes the object visible.
        os.replace(self._path, self._target)  # noqa: PTH105
        self._file.close()
        _sync_directory(self._target.parent)

    def discard(self) -> None:
        self._given_up = True
        # What is still buffered may not fit on the disk; it is thrown away in any case.
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


def _create_locked(staging: Path) -> tuple[Path, BinaryIO]:
    """A new file under this process's lock, which the kernel drops when the process dies."""
    while True:
        path = staging / f"{uuid.uuid4().hex}{SUFFIX}"
        file = path.open("xb")
        _lock(file)
        # A sweep may have come between the creation and the lock.
        if path.exists():
            return path, file
        file.close()


def _remove_if_abandoned(path: Path) -> None:
    with path.open("rb") as file:
        # Windows refuses to remove a file that its writer holds open: there, the removal itself is the test.
        if _lock(file) or sys.platform == "win32":
            path.unlink(missing_ok=True)


def _lock(file: BinaryIO) -> bool:
    """Whether the lock was free. A file system without locks has none free, so nothing is swept there."""
    if sys.platform == "win32":
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _sync_directory(directory: Path) -> None:
    if sys.platform == "win32":  # directories cannot be opened there
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _raise_unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
