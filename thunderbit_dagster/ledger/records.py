"""The ledger's records: one small JSON document in the metadata of each event.

Observations on ``submissions`` tell the story of a submission: ``opened``, then for each POST an ``intent``
before it and ``recorded``, ``refused`` or ``lost`` right after it. Its materialization carries ``sealed``:
everything that was wanted has been sent. Observations on ``succeeded`` carry ``progress`` of a job, and the
materializations of ``succeeded`` and ``failed`` carry ``collected``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import dagster as dg
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

RECORD_KEY = "thunderbit/record"
RECORD_VERSION: Final = 1


class LedgerError(Exception):
    """The event log holds a record that this version cannot read."""


class Record(BaseModel):
    """Base of all records; unknown fields of a newer version are ignored, an unknown version is not."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    v: Literal[1] = RECORD_VERSION
    submission_id: str


class RejectedUrl(BaseModel):
    """A URL refused before it cost anything."""

    model_config = ConfigDict(frozen=True)

    position: int
    url: str
    reason: str


class DuplicateUrl(BaseModel):
    """A URL that shares the fetch of the position ``first``."""

    model_config = ConfigDict(frozen=True)

    position: int
    url: str
    first: int


class Item(BaseModel):
    """One URL of a batch job: its place in the job and in the partition's list.

    ``sent`` is set when another spelling of the same page went into the job.
    """

    model_config = ConfigDict(frozen=True)

    job_position: int
    position: int
    url: str
    sent: str | None = None


class Opened(Record):
    """A submission begins: what shapes its requests, how many URLs, and those that need no request.

    ``request`` is the fingerprint of the options, ``account`` that of origin and key.
    """

    event: Literal["opened"] = "opened"
    request: str
    account: str
    total: int
    rejected: tuple[RejectedUrl, ...] = ()
    duplicates: tuple[DuplicateUrl, ...] = ()


class Amended(Record):
    """The URL list changed while the submission was open: more URLs that need no request of their own."""

    event: Literal["amended"] = "amended"
    rejected: tuple[RejectedUrl, ...] = ()
    duplicates: tuple[DuplicateUrl, ...] = ()


class Intent(Record):
    """A batch job is about to be POSTed. Written once for each partition that has URLs in it.

    ``size`` counts all URLs of the job; ``items`` are this partition's; ``home`` is the partition whose
    ``recorded`` event is written first, so that a job known there is known to all.
    """

    event: Literal["intent"] = "intent"
    intent_id: str
    size: int
    attempt: int = 1
    home: str | None = None
    items: tuple[Item, ...]


class Recorded(Record):
    """The POST was answered: the intent has a job, named as ``distill/<id>``."""

    event: Literal["recorded"] = "recorded"
    intent_id: str
    job: str
    at: float


class Refused(Record):
    """The POST was surely not accepted: nothing runs and nothing is paid."""

    event: Literal["refused"] = "refused"
    intent_id: str
    code: str
    message: str


class Lost(Record):
    """The reply to the POST was lost: a job may run and bill without a known id."""

    event: Literal["lost"] = "lost"
    intent_id: str
    message: str
    resubmitted: bool = False


class JobShare(BaseModel):
    """A batch job and how many of its URLs belong to the partition."""

    model_config = ConfigDict(frozen=True)

    job: str
    rows: int
    size: int
    at: float


class Sealed(Record):
    """Everything wanted was sent: the jobs to wait for."""

    event: Literal["sealed"] = "sealed"
    total: int
    jobs: tuple[JobShare, ...] = ()


class Progress(BaseModel):
    """What a status poll saw of a job. ``status`` is the API's word, or LOST, or EXPIRED (past its deadline)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    v: Literal[1] = RECORD_VERSION
    event: Literal["progress"] = "progress"
    job: str
    status: str
    done: int | None = None
    total: int | None = None
    credits_used: int | None = None
    missed: int = 0
    polls: int = 1
    at: float


class Collected(Record):
    """The submission's rows were published."""

    event: Literal["collected"] = "collected"
    succeeded: int
    failed: int


SubmissionRecord = Opened | Amended | Intent | Recorded | Refused | Lost
AnyRecord = SubmissionRecord | Sealed | Progress | Collected
_READER: TypeAdapter[AnyRecord] = TypeAdapter(Annotated[AnyRecord, Field(discriminator="event")])


def to_metadata(record: AnyRecord) -> dict[str, dg.MetadataValue[Any]]:
    """The record as event metadata; nothing but it is read back."""
    return {RECORD_KEY: dg.MetadataValue.json(record.model_dump(mode="json"))}


def from_metadata(metadata: Mapping[str, object]) -> AnyRecord | None:
    """The record in an event's metadata, None when the event is not ours.

    Raises:
        LedgerError: the record was written by a newer version of the plugin.
    """
    value = metadata.get(RECORD_KEY)
    if not isinstance(value, dg.JsonMetadataValue):
        return None
    try:
        return _READER.validate_python(value.value)
    except ValueError as error:
        raise LedgerError(
            f"A {RECORD_KEY} event in Dagster's event log cannot be read by this version of thunderbit-dagster "
            f"(it reads version {RECORD_VERSION}). Nothing was sent. Upgrade the plugin again, or wipe the partition's "
            f"`submissions` history to start over. Details: {error}",
        ) from error
