"""Writes 300 MB of text through one partition; prints by how many bytes the peak of its memory grew."""

import base64
import os
import resource
import sys

from storage_rows import GUIDES, publish, succeeded

from thunderbit_dagster.storage.store import ParquetStore

PAGE_BYTES = 100_000
TOTAL_BYTES = 300_000_000


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


store = ParquetStore(sys.argv[1])
publish(store, "warm")
before = peak()
with store.open_partition("docs", GUIDES) as writer:
    for position in range(TOTAL_BYTES // PAGE_BYTES):
        page = base64.b64encode(os.urandom(PAGE_BYTES * 3 // 4)).decode()
        writer.write_succeeded(succeeded(position, markdown=page))
    result = writer.commit({})
sys.stdout.write(f"{peak() - before} {result.succeeded.rows}\n")
