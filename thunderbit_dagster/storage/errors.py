"""What can go wrong in storage.

StorageError
  UnknownSchemeError      the base URI cannot be used
  InvalidKeyError         a crawl name, dimension or partition key that no path can hold
  InvalidRowError         a row that does not fit its table
  SchemaDriftError        a stored column has another type than it is read as
  PartitionNotFoundError  nothing was published there
  DamagedFileError        what lies there is no Parquet file
  HalfPublishedError      a partition's two tables are of different commits
  PublishError            a partition could not be written
"""

import re


class StorageError(Exception):
    """Base of everything that storage raises on purpose."""


class UnknownSchemeError(StorageError, ValueError):
    """A base URI that storage does not take. The text never repeats secrets of the URI."""


class InvalidKeyError(StorageError, ValueError):
    """A name that would not survive the way through paths, Hive readers and Dagster unchanged."""


class SchemaDriftError(StorageError):
    """A stored column has another type than the schema it is read under; the text names field, old and new type."""


class InvalidRowError(StorageError, ValueError):
    """A row with an unknown column, a missing required value, or a value of the wrong type."""


class PartitionNotFoundError(StorageError, LookupError):
    """No object at the partition's path."""


class DamagedFileError(StorageError):
    """What lies at the partition's path is no whole Parquet file."""


class HalfPublishedError(StorageError):
    """A writer ended between publishing one table of a partition and the other."""


class PublishError(StorageError):
    """A partition could not be written or made visible; the text says what readers see now and what to do."""


def first_line(error: BaseException) -> str:
    """The first line of an error, without the query of any URL in it and without its full stop."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    line = (text.splitlines() or [type(error).__name__])[0]
    # A store's own words may quote the request with its signature, as S3's about a wrong one do.
    line = re.sub(r"(status code: \d{3}[^:]*):.*", r"\1", line)
    return re.sub(r"\?\S+", "?...", line).rstrip(". ")
