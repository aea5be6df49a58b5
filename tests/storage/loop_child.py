"""Commits one version after the other, each with its own number of rows, until it is killed."""

import itertools
import sys

from storage_rows import publish

from thunderbit_dagster.storage.store import ParquetStore

for number in itertools.count(1):
    publish(ParquetStore(sys.argv[1]), str(number), ok=number % 40, bad=number % 7, markdown="x" * (number % 5000))
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()
