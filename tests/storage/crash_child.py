"""Publishes one version of a partition and dies by SIGKILL at a chosen point. Arguments: base URI, point."""

import os
import signal
import sys

from storage_rows import GUIDES, failed, publish, succeeded

from thunderbit_dagster.storage.local import StagedFile
from thunderbit_dagster.storage.store import ParquetStore


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def die_around(name, call, *, after):
    """Die before or after the given call (from 0) of one of StagedFile's methods."""
    real, calls = getattr(StagedFile, name), []

    def dying(self, *arguments):
        calls.append(name)
        if len(calls) - 1 == call and not after:
            die()
        result = real(self, *arguments)
        if len(calls) - 1 == call:
            die()
        return result

    setattr(StagedFile, name, dying)


def write(store, *, flush_bytes):
    with store.open_partition("docs", GUIDES, flush_bytes=flush_bytes) as writer:
        for position in range(50):
            writer.write_succeeded(succeeded(position, "new", markdown="x" * 10_000))
            writer.write_failed(failed(50 + position, "new"))
        die()


POINTS = {
    "buffered": lambda store: write(store, flush_bytes=1 << 30),
    "flushed": lambda store: write(store, flush_bytes=1),
    "mid-write": ("write", 6, False),
    "one-sealed": ("seal", 0, True),
    "both-sealed": ("publish", 0, False),
    "between": ("publish", 0, True),
    "published": ("publish", 1, True),
}


if __name__ == "__main__":
    place, point = ParquetStore(sys.argv[1]), POINTS[sys.argv[2]]
    if callable(point):
        point(place)
    else:
        method, which, after_call = point
        die_around(method, which, after=after_call)
        publish(place, "new", ok=7, bad=6)
    sys.exit("survived")
