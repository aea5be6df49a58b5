"""The ledger's records: one small JSON document in the metadata of each event.

Every record is an event of an asset and of no run, so deleting runs forgets nothing.

Observations on ``submissions`` tell the story of a submission: ``opened``, then for each POST an ``intent``
before it and ``recorded``, ``refused`` or ``lost`` right after it. Observations on ``thunderbit/submissions``, which
all crawls share, carry a copy of ``opened``, then ``sealed`` (everything that was wanted has been sent) and
``collected`` (the rows are published); the materializations of ``submissions``, and of ``succeeded`` and ``failed``,
carry a copy of these two. Observations on ``succeeded`` carry ``progress`` of a job, and ``key_refused`` when the API
did not accept the key. Observations on ``thunderbit/webhooks``, which all crawls share, carry ``notified``: what the
API said by itself of a job. Observations on ``thunderbit/credits`` carry ``reserved``, ``billed`` and ``settled``: what
the jobs of an account cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import dagster as dg
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from thunderbit_dagster.api.codes import JobStatus

RECORD_KEY = "thunderbit/record"
RECORD_VERSION: Final = 1

LOST: Final = "LOST"
"""The API does not know the job any more."""
EXPIRED: Final = "EXPIRED"
"""The job is past its deadline, and may run on and bill."""
STOPPED: Final = "STOPPED"
"""The job is past its deadline and was cancelled for it."""
ENDED: Final = frozenset({status.value for status in JobStatus if status.is_terminal} | {LOST, EXPIRED, STOPPED})
"""Statuses after which a job is not polled again."""


class LedgerError(Exception):
    """The event log holds a record that this version cannot read."""


class Record(BaseModel):
    """Base of all records; unknown fields of a newer version are ignored, an unknown version is not.

    ``run`` is the run that wrote the record; empty in older records, which are events of that run.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    v: Literal[1] = RECORD_VERSION
    submission_id: str
    run: str = ""


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


class SentUrl(BaseModel):
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

    ``request`` is the fingerprint of the options, ``account`` that of origin and key. ``location`` is the code location
    that submits, ``store`` where it publishes and ``origin`` that of the API; each is empty where it is not known, as
    in older records. ``at`` is when the submission began (Unix seconds), 0 in older records.
    """

    event: Literal["opened"] = "opened"
    request: str
    account: str
    total: int
    location: str = ""
    store: str = ""
    origin: str = ""
    at: float = 0.0
    rejected: tuple[RejectedUrl, ...] = ()


class Moved(Record):
    """Another code location, store or key takes a submission over; ``account`` is empty when the key stays."""

    event: Literal["moved"] = "moved"
    location: str
    store: str
    account: str = ""


class Amended(Record):
    """URLs that need no request of their own: repeats of pages that were sent, and refused ones found later."""

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
    items: tuple[SentUrl, ...]


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
    """Everything wanted was sent: the jobs to wait for. ``location`` and ``store`` as in ``opened``."""

    event: Literal["sealed"] = "sealed"
    total: int
    location: str = ""
    store: str = ""
    jobs: tuple[JobShare, ...] = ()


class Progress(BaseModel):
    """What a status poll saw of a job. ``status`` is the API's word, or LOST, EXPIRED or STOPPED.

    ``asked_to_stop`` says that the API was asked to cancel the job and answered. Unix times: ``at`` is when it was
    seen, ``ended_at`` when it ended by the API's word, ``not_begun_at`` when it was last seen to have no finished row.
    """

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
    asked_to_stop: bool = False
    at: float
    ended_at: float | None = None
    not_begun_at: float | None = None


class KeyRefused(BaseModel):
    """The API did not accept the key. ``account`` is the fingerprint of origin and key, ``at`` a Unix time."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    v: Literal[1] = RECORD_VERSION
    event: Literal["key_refused"] = "key_refused"
    account: str
    message: str
    at: float


class Notified(BaseModel):
    """A signed call of the API named a job, as ``distill/<id>``, and its status; ``at`` is when it came.

    ``intent_id`` is the intent whose POST asked for the call, so that a job whose reply was lost is found.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    v: Literal[1] = RECORD_VERSION
    event: Literal["notified"] = "notified"
    job: str
    status: str
    intent_id: str | None = None
    at: float


class Collected(Record):
    """The submission's rows were published."""

    event: Literal["collected"] = "collected"
    succeeded: int
    failed: int


class Reserved(BaseModel):
    """Credits are set aside for a POST that is about to be made.

    ``account`` is the fingerprint of origin and key, ``run`` the run that makes the POST; empty in older records, which
    are events of that run.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    v: Literal[1] = RECORD_VERSION
    event: Literal["reserved"] = "reserved"
    run: str = ""
    account: str
    crawl: str
    intent_id: str
    credits: int


class SameAccount(BaseModel):
    """Two fingerprints turned out to be of one account: the key of ``account`` reads jobs of ``former``."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    v: Literal[1] = RECORD_VERSION
    event: Literal["same_account"] = "same_account"
    account: str
    former: str


class Settled(BaseModel):
    """What a reservation came to: nothing when its POST was not accepted, and in older logs the bill of its job."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    v: Literal[1] = RECORD_VERSION
    event: Literal["settled"] = "settled"
    intent_id: str
    credits: int


class Bill(BaseModel):
    """What the job of a reservation cost, in credits."""

    model_config = ConfigDict(frozen=True)

    intent_id: str
    credits: int
    job: str


class Billed(BaseModel):
    """What several reservations came to: the bills of the jobs that a run collected."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    v: Literal[1] = RECORD_VERSION
    event: Literal["billed"] = "billed"
    bills: tuple[Bill, ...]


SubmissionRecord = Opened | Moved | Amended | Intent | Recorded | Refused | Lost
AnyRecord = (
    SubmissionRecord | Sealed | Progress | KeyRefused | Collected | Reserved | Settled | Billed | SameAccount | Notified
)
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
            f"(it reads version {RECORD_VERSION}). Nothing was sent. Upgrade the plugin, or wipe the partition's "
            f"`submissions` history to start over. Details: {error}",
        ) from error
