"""Writes under a limit on file sizes, as a full disk or a quota would; prints the error."""

import resource
import sys

from storage_rows import GUIDES, publish, succeeded

from thunderbit_dagster.storage.errors import PublishError
from thunderbit_dagster.storage.store import ParquetStore

store = ParquetStore(sys.argv[1])
publish(store, "old")
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    with store.open_partition("docs", GUIDES, flush_bytes=1) as writer:
        for position in range(100):
            writer.write_succeeded(succeeded(position, markdown=f"{position} " * 5_000))
        writer.commit({})
except PublishError as error:
    sys.stdout.write(str(error))
