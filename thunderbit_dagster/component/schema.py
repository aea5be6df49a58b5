"""The shape of a crawl in YAML. Values are checked against it and kept as they were written."""

import inspect
import re
from collections.abc import Mapping
from datetime import datetime
from functools import reduce
from operator import or_
from types import NoneType
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, get_args

import dagster as dg
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidationInfo,
    create_model,
    field_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from thunderbit_dagster.api.codes import MAX_BATCH_URLS
from thunderbit_dagster.api.requests import Distill, Extract
from thunderbit_dagster.component.sources import SOURCES
from thunderbit_dagster.component.templates import (
    TEMPLATE_SCHEMA,
    Checked,
    Has,
    Is,
    IsTemplate,
    OneOf,
    Template,
    is_template,
)
from thunderbit_dagster.component.values import (
    DATE_PATTERN,
    BaseUri,
    Count,
    Cron,
    Duration,
    Flag,
    Fraction,
    NonEmptyText,
    Offset,
    Shape,
    Zone,
)
from thunderbit_dagster.crawl.changes import LONGEST_HISTORY
from thunderbit_dagster.resource import ThunderbitResource


class _Cadence(Shape):
    """How often: the time partitions of a crawl, as Dagster's definition of that name has them."""

    default_fmt: ClassVar[str] = "%Y-%m-%d"
    date_pattern: ClassVar[str] = f"{DATE_PATTERN}$"

    # Before the dates, which are written in it.
    fmt: NonEmptyText | None = Field(
        default=None, description="How a date is written as a partition key, as strftime has it."
    )
    start_date: NonEmptyText = Field(description="The first date, such as 2026-11-01.")
    end_date: NonEmptyText | None = Field(default=None, description="The date to stop at.")
    timezone: Zone = Field(default="UTC", description="Such as Europe/Berlin.")
    end_offset: Offset = Field(default=0, description="1: the date under way is a partition, too.")

    @field_validator("start_date", "end_date")
    @classmethod
    def _check_date(cls, date: str | None, info: ValidationInfo) -> str | None:
        fmt = info.data.get("fmt") or cls.default_fmt
        if date is not None and not is_template(date) and not is_template(fmt):
            datetime.strptime(date, fmt)  # noqa: DTZ007 - only whether it can be read
        return date

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """With a format of its own a date may look like anything."""
        made = handler(schema)
        date: JsonSchemaValue = {"if": TEMPLATE_SCHEMA, "else": {"pattern": cls.date_pattern}}
        handler.resolve_ref_schema(made).update(
            {"if": {"required": ["fmt"]}, "else": {"properties": {"start_date": date, "end_date": date}}}
        )
        return made


class _ByMinute(_Cadence):
    minute_offset: Offset = Field(default=0, description="The minute at which an hour begins.")


class _Hourly(_ByMinute):
    default_fmt: ClassVar[str] = "%Y-%m-%d-%H:%M"
    date_pattern: ClassVar[str] = rf"{DATE_PATTERN}-([01]\d|2[0-3]):[0-5]\d$"

    type: Literal["hourly"]


class _Daily(_ByMinute):
    type: Literal["daily"]
    hour_offset: Offset = Field(default=0, description="The hour at which a day begins.")


class _Weekly(_Daily):
    type: Literal["weekly"]  # type: ignore[assignment]  # each kind has its own word
    day_offset: Offset = Field(default=0, description="The day on which a week begins; 0 is Sunday.")


class _Monthly(_Daily):
    type: Literal["monthly"]  # type: ignore[assignment]  # each kind has its own word
    day_offset: Offset = Field(default=1, description="The day on which a month begins.")


class _Cron(_Cadence):
    type: Literal["cron"]
    cron_schedule: Cron = Field(description="Where one partition ends and the next begins, such as `0 6 * * 1-5`.")
    fmt: NonEmptyText = Field(description="How a date is written as a partition key, such as `%Y-%m-%d`.")


class _UnknownCadence(dg.Model):
    model_config = ConfigDict(extra="allow")

    type: Literal["hourly", "daily", "weekly", "monthly", "cron"]


def _options(docstring: str) -> Mapping[str, str]:
    """What a docstring in Google's style says of each name."""
    found = re.findall(r"^    (\w+): (.+(?:\n {8}.+)*)", inspect.cleandoc(docstring), re.MULTILINE)
    return {name: re.sub(r"\s+", " ", text) for name, text in found}


def _without_none(annotation: object) -> object:
    """An option that is not wanted is left out; a union with null would hide the line of a mistake."""
    left = [one for one in get_args(annotation) if one is not NoneType]
    return reduce(or_, left) if NoneType in get_args(annotation) else annotation


def _mirror(name: str, original: type[BaseModel], base: type[dg.Model] = dg.Model, **own: object) -> type[dg.Model]:
    """The shape of a pydantic model's arguments: its own fields and rules, each of which may be a template."""
    said = {key: text for kind in original.__mro__[::-1] for key, text in _options(kind.__doc__ or "").items()}
    fields: dict[str, object] = {
        key: (
            Annotated[_without_none(field.rebuild_annotation()), Template()],
            Field(
                default=None if field.is_required() else field.get_default(call_default_factory=True),
                description=field.description or said.get(key),
                alias=field.alias,
            ),
        )
        for key, field in original.model_fields.items()
    }
    # pydantic declares the fields of a model that is made at run time as `Any`.
    made: Any = fields | own
    return create_model(name, __base__=base, **made)


class _UnknownRequest(dg.Model):
    model_config = ConfigDict(extra="allow")

    type: Literal["distill", "extract"]


_SCHEMA = Field(
    alias="schema",
    description="JSON Schema of one row, or where a pydantic model is that stands for it, such as "
    "`my_project.schemas.Product`; with a dot in front the path begins beside the YAML.",
)
_DISTILL = _mirror("DistillRequest", Distill, type=(Literal["distill"], ...))
_EXTRACT = _mirror(
    "ExtractRequest",
    Extract,
    type=(Literal["extract"], ...),
    schema_=(Annotated[object, OneOf([(Is(str), NonEmptyText)], dict[str, object])], _SCHEMA),
)

CadenceShape: TypeAlias = Annotated[
    object,
    OneOf(
        [
            (IsTemplate(), str),
            (Has("type", "hourly"), _Hourly),
            (Has("type", "daily"), _Daily),
            (Has("type", "weekly"), _Weekly),
            (Has("type", "monthly"), _Monthly),
            (Has("type", "cron"), _Cron),
        ],
        _UnknownCadence,
    ),
]
RequestShape: TypeAlias = Annotated[
    object,
    OneOf(
        [(IsTemplate(), str), (Has("type", "distill"), _DISTILL), (Has("type", "extract"), _EXTRACT)],
        _UnknownRequest,
    ),
]

_SOURCE_CASES = [(Has(key), source.shape) for key, source in SOURCES.items()]
_Urls: TypeAlias = list[NonEmptyText]
_Source: TypeAlias = Annotated[object, OneOf([(IsTemplate(), str), *_SOURCE_CASES], _Urls)]
UrlsShape: TypeAlias = Annotated[
    object,
    OneOf([(IsTemplate(), str), (Is(str), _Urls), (Is(list), _Urls), *_SOURCE_CASES], dict[str, _Source]),
]


class ScheduleShape(Shape):
    """When Dagster submits a crawl by itself."""

    cron: Cron = Field(default="", description="Such as `0 6 * * 1-5`; the default is the cadence's own.")
    timezone: Zone = Field(default="", description="Such as Europe/Berlin; the default is the cadence's.")
    spread: Annotated[Duration, Template()] = Field(
        default=Duration(), description="Submit the URL partitions in slices over so long a time after each tick."
    )
    catch_up: Offset = Field(default=0, description="So many dates before the newest are submitted where missing.")


Schedules: TypeAlias = Annotated[object, OneOf([(Is(str), Cron), (Is(dict), ScheduleShape)], bool)]
PastDatesShape: TypeAlias = Annotated[
    object, OneOf([(IsTemplate(), str), (Is(str), Literal["fetch", "refuse"])], Duration)
]


_Crawls = Annotated[int, Field(ge=1, le=LONGEST_HISTORY), Template()]


class ChangesShape(Shape):
    """What counts as a change of a page from crawl to crawl."""

    confirm: _Crawls = Field(default=1, description="In how many crawls in a row new text must stand before it counts.")
    removed_after: _Crawls = Field(
        default=2, description="In how many crawls in a row a page must be missing before it counts as removed."
    )
    history: _Crawls = Field(default=10, description="How many published dates before its own are read.")
    ignore: Annotated[list[NonEmptyText], Template()] = Field(
        default=[], description="Regular expressions; what they match is left out before lines are compared."
    )
    ordered_hosts: Annotated[list[NonEmptyText], Template()] = Field(
        default=[], description="Hosts on which the order of lines is content."
    )
    trusted_hosts: Annotated[list[NonEmptyText], Template()] = Field(
        default=[], description="Hosts whose pages are never taken for bot walls, login or error pages."
    )
    learn_numbers: Flag = Field(
        default=True, description="Leave out numbers that change from crawl to crawl on most pages of a host."
    )


ChangesSettings: TypeAlias = Annotated[object, OneOf([(IsTemplate(), str)], ChangesShape)]


class CrawlShape(Shape):
    """A named set of URLs with one kind of request, its partitions and its cadence."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_]*$"), Template()] = Field(
        description="Letters, digits and underscores; the first part of every asset key.",
    )
    urls: UrlsShape = Field(
        description="A list of URLs; or a mapping, whose keys are the URL partitions; or "
        + ", ".join(f"`{key}: {source.example}`" for key, source in SOURCES.items()),
    )
    request: RequestShape = Field(
        description="`type: distill` for Markdown or `type: extract` with a `schema` for data, and their options."
    )
    shards: Count = Field(
        default=1, description="Split a list by a stable hash of the URL into so many URL partitions."
    )
    cadence: CadenceShape = Field(
        default=None, description="Time partitions as the second dimension: hourly, daily, weekly, monthly or cron."
    )
    schedule: Schedules = Field(
        default=True, description="true: each new date of the cadence; a cron string; or `cron`, `spread` and more."
    )
    fragments: Annotated[Literal["routes", "keep", "drop"], Template()] = Field(
        default="routes",
        description="Which fragments tell pages apart: `#/...` and `#!...` of single-page applications, all, or none.",
    )
    past_dates: PastDatesShape = Field(
        default="fetch",
        description="`refuse`: send nothing for a date once as much time has passed since its end as it lasted; or a "
        "length of time after its end.",
    )
    max_partitions_per_run: Count = Field(default=500, description="How many partitions may share one run.")
    job_deadline: Annotated[Duration, Template()] = Field(
        default=Duration(hours=24), description="A batch job older than this is given up; its finished rows are kept."
    )
    cancel_on_deadline: Flag = Field(default=False, description="Cancel such a job as well.")
    batch_size: Annotated[int, Field(ge=1, le=MAX_BATCH_URLS), Template()] = Field(
        default=MAX_BATCH_URLS, description="URLs in a batch job; the default is 100 for distill and 50 for extract."
    )
    max_credits_per_partition: Count = Field(
        default=1, description="What one submission of a partition may cost in credits; by default there is no cap."
    )
    success_rate: Annotated[list[Fraction], Field(min_length=2, max_length=2), Template()] = Field(
        default=[0.95, 0.8],
        description="Of a partition's URLs: the check warns when a smaller share succeeded, and below the second is an "
        "error. [0, 0]: it only counts.",
    )
    changes: ChangesSettings = Field(
        default=None, description="Adds the asset `changes`, with these settings; {} for the defaults. Needs a cadence."
    )
    description: NonEmptyText = Field(
        default="", description="What the crawl is for; goes before the text of each asset."
    )
    group: NonEmptyText = Field(default="", description="The asset group; the default is the name of the crawl.")
    owners: Annotated[list[NonEmptyText], Template()] = Field(
        default=[], description="E-mail addresses, or teams as in `team:search`."
    )
    tags: Annotated[dict[str, str], Template()] = Field(default={}, description="Tags of each asset.")
    freshness: Annotated[Literal["cadence", "never"], Template()] = Field(
        default="cadence",
        description="Stale after two windows of the cadence with nothing new, or two gaps of the schedule if that is "
        "longer; warned after one and a half. A template may give a freshness policy.",
    )


Crawls: TypeAlias = Annotated[list[object], Checked(list[Annotated[CrawlShape, Template()]])]


class _Settings(dg.Model):
    """Other names are refused where they are read: pydantic would print what stands there, which may be a key."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"additionalProperties": False})


Thunderbit: TypeAlias = Annotated[
    dict[str, object],
    Checked(_mirror("ThunderbitSettings", ThunderbitResource, _Settings)),
]


class StoreShape(Shape):
    """Where the Parquet goes."""

    base_uri: BaseUri = Field(
        description="A path, which begins at the project's root, or s3://, gs://, az:// or file://."
    )


StoreSettings: TypeAlias = Annotated[dict[str, object], Checked(StoreShape)]
Executor: TypeAlias = Annotated[str, Checked(NonEmptyText)]
Seconds: TypeAlias = Annotated[int, Checked(Annotated[int, Field(strict=True, ge=1)])]
TickSeconds: TypeAlias = Annotated[float, Checked(Annotated[float, Field(strict=True, gt=0, lt=60)])]
