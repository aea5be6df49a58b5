"""What to ask of the API: the options of distill and extract, and the webhook of a job.

Options are named in snake case and sent in the API's camel case, and only those that differ from "not set"
are sent. One set of options holds for every URL of a batch job. A wrong value raises pydantic's
ValidationError, a ValueError that names the field, what was given, the range and where the range comes from, and
never shows the value of a header or a secret. Text that is a number stands for it, as everywhere in pydantic.

Source: endpoint pages of `/distill`, `/extract` and `/batch/*`, "Output formats", "Best practices" and
"Webhooks".
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    model_validator,
)
from pydantic.functional_validators import ModelWrapValidatorHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from thunderbit_dagster.api.codes import (
    CREDITS_PER_DISTILL,
    CREDITS_PER_EXTRACT,
    CREDITS_PER_LLM_FORMAT,
    JobKind,
)
from thunderbit_dagster.api.headers import Headers, KeepVariable, named_headers, resolved_headers, resolved_secret
from thunderbit_dagster.api.schemas import row_schema, wire_schema
from thunderbit_dagster.api.validation_errors import refuse_variables, worded

if TYPE_CHECKING:
    from typing_extensions import Self, TypedDict, Unpack

_UNPRINTABLE = re.compile(r"[\s\x00-\x20\x7f]")


@dataclass(frozen=True)
class _Milliseconds:
    """Bounds of a duration, checked with a message that names the API's field."""

    low: int
    high: int
    field: str

    def check(self, value: int) -> int:
        if self.low <= value <= self.high:
            return value
        raise ValueError(f"{value} is outside {self.low}..{self.high} ms (Thunderbit API, field {self.field})")

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), "minimum": self.low, "maximum": self.high}


def _render_mode(value: object) -> object:
    return "full" if value == "advanced" else value


def _country(value: str) -> str:
    if re.fullmatch("[A-Za-z]{2}", value):
        return value.upper()
    raise ValueError(f"{value!r} is not a country code of two letters (Thunderbit API, field countryCode)")


def _not_blank(value: str) -> str:
    if value.strip():
        return value
    raise ValueError("is blank: leave it out instead")


def is_http_url(text: str) -> bool:
    """Whether this is an absolute http or https URL with a host, without blanks or control characters."""
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and not _UNPRINTABLE.search(text)
    except ValueError:
        return False


def _http_url(value: str) -> str:
    if is_http_url(value):
        return value
    raise ValueError("is not an http or https URL")


def _json_schema(value: object) -> object:
    """A pydantic model class stands for its JSON Schema; anything else must be a JSON object."""
    worded = value.model_json_schema() if isinstance(value, type) and issubclass(value, BaseModel) else value
    if not isinstance(worded, Mapping) or not worded:
        raise ValueError("is neither a JSON Schema object nor a pydantic model class (Thunderbit API, field schema)")
    try:
        schema = dict(json.loads(json.dumps(dict(worded), allow_nan=False)))
    except (TypeError, ValueError):
        raise ValueError("holds values that JSON cannot express (Thunderbit API, field schema)") from None
    row_schema(schema)
    return schema


WaitFor: TypeAlias = Annotated[int, _Milliseconds(0, 10_000, "waitFor")]
DistillTimeout: TypeAlias = Annotated[int, _Milliseconds(5_000, 60_000, "timeout")]
ExtractTimeout: TypeAlias = Annotated[int, _Milliseconds(5_000, 120_000, "timeout")]
RenderMode: TypeAlias = Annotated[Literal["none", "basic", "full"], BeforeValidator(_render_mode)]
CountryCode: TypeAlias = Annotated[str, AfterValidator(_country)]
Text: TypeAlias = Annotated[str, AfterValidator(_not_blank)]
HttpUrl: TypeAlias = Annotated[str, AfterValidator(_http_url)]
JsonSchema: TypeAlias = Annotated[Mapping[str, object], BeforeValidator(_json_schema)]


class _Told(BaseModel):
    """A model whose mistakes name the setting, what is expected and what was given."""

    @model_validator(mode="wrap")
    @classmethod
    def _tell(cls, given: object, check: ModelWrapValidatorHandler[Self]) -> Self:
        refuse_variables(given, cls)
        try:
            return check(given)
        except ValidationError as error:
            raise worded(error, cls) from None


class _Formats(_Told):
    """What to make of a page besides the default.

    Attributes:
        images: Ask for the images of the page. No extra cost.
        links: Ask for the links of the page. No extra cost.
        summary: Ask for a summary. 4 credits when it comes.
        question: A question to answer from the page. 4 credits when it is answered.
        highlights: What to look for; passages come back. 4 credits when some come.
    """

    images: bool = False
    links: bool = False
    summary: bool = False
    question: Text | None = None
    highlights: Text | None = None

    def _formats(self) -> list[object]:
        plain: list[object] = ["images"] if self.images else []
        return plain + self._llm_formats()

    def _llm_formats(self) -> list[object]:
        asked: list[object] = []
        if self.summary:
            asked.append({"type": "summary"})
        if self.question is not None:
            asked.append({"type": "question", "question": self.question})
        if self.highlights is not None:
            asked.append({"type": "highlights", "query": self.highlights})
        return asked

    def _llm_credits(self) -> int:
        return CREDITS_PER_LLM_FORMAT * len(self._llm_formats())


class _Options(_Formats):
    """Options that distill and extract share.

    Attributes:
        render_mode: `none` (the service's default), `basic`, or `full` (5 to 10 times slower); `advanced`
            means `full`.
        wait_for: Milliseconds to wait after the page has loaded, 0..10000.
        country_code: Two letters: where to fetch from. The service's default is `US`.
        force_refresh: Bypass any cache.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, populate_by_name=True)

    kind: ClassVar[JobKind]

    render_mode: RenderMode | None = None
    wait_for: WaitFor | None = None
    country_code: CountryCode | None = None
    force_refresh: bool = False

    def body(self) -> dict[str, object]:
        """The JSON body without `url` or `urls`: camel case, and nothing that is not set.

        Raises:
            ConfigurationError: the environment variable of a header is not set.
        """
        return self._body(self._own_fields())

    def secrets(self) -> tuple[str, ...]:
        """What is never shown of the body; raises as that does."""
        return ()

    def _body(self, own_fields: Mapping[str, object]) -> dict[str, object]:
        fields: dict[str, object] = {
            "formats": self._formats(),
            "renderMode": self.render_mode,
            "countryCode": self.country_code,
            "forceRefresh": self.force_refresh or None,
            **own_fields,
        }
        sent = {name: value for name, value in fields.items() if value not in (None, [], {})}
        return sent if self.wait_for is None else {**sent, "waitFor": self.wait_for}

    def fingerprint(self) -> str:
        """SHA-256 in hex over the kind and the body: equal for requests that ask for the same.

        Headers for the target site count, yet cannot be read back from it. Of an environment variable the name counts,
        so that a secret may be replaced.
        """
        body = self._body(self._named_fields())
        canonical = json.dumps({"kind": self.kind.value, "body": body}, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def _own_fields(self) -> dict[str, object]:
        raise NotImplementedError

    def _named_fields(self) -> dict[str, object]:
        """The own fields without what environment variables hold."""
        return self._own_fields()


class Distill(_Options):
    """Turn pages into Markdown: 1 credit a page, 4 more for each of summary, question and highlights that
    returns something.

    Attributes:
        metadata: Ask for title, language and the like. No extra cost. On unless switched off.
        html: Ask for the HTML as well. No extra cost.
        timeout: Milliseconds the service may spend on a page, 5000..60000. The service's default is 30000.
        include_tags: Tags or selectors to keep.
        exclude_tags: Tags or selectors to drop.
        headers: Sent to the target site (cookies, tokens). Never shown by `repr`. A value may be a `dagster.EnvVar`,
            which is read when a job is submitted.
    """

    kind: ClassVar[JobKind] = JobKind.DISTILL

    metadata: bool = True
    html: bool = False
    timeout: DistillTimeout | None = None
    include_tags: tuple[Text, ...] = ()
    exclude_tags: tuple[Text, ...] = ()
    headers: Headers = Field(default_factory=dict, repr=False)

    def credits_per_url(self) -> int:
        """Credits a page costs at most: the estimate before the service has said its price."""
        return CREDITS_PER_DISTILL + self._llm_credits()

    def secrets(self) -> tuple[str, ...]:
        """The values of the headers."""
        return tuple(resolved_headers("Distill", self.headers).values())

    def _own_fields(self) -> dict[str, object]:
        return {**self._named_fields(), "headers": resolved_headers("Distill", self.headers)}

    def _named_fields(self) -> dict[str, object]:
        return {
            "include": [name for name in ("metadata", "html", "links") if getattr(self, name)],
            "timeout": self.timeout,
            "includeTags": list(self.include_tags),
            "excludeTags": list(self.exclude_tags),
            "headers": named_headers(self.headers),
        }

    def _formats(self) -> list[object]:
        # A list of formats replaces the default one, so Markdown has to be named in it.
        asked = super()._formats()
        return ["markdown", *asked] if asked else []


if TYPE_CHECKING:

    class _ExtractOptions(TypedDict, total=False):
        images: bool
        links: bool
        summary: bool
        question: str | None
        highlights: str | None
        render_mode: Literal["none", "basic", "full", "advanced"] | None
        wait_for: int | None
        country_code: str | None
        force_refresh: bool
        timeout: int | None


class Extract(_Options):
    """Turn pages into rows of a schema: 20 credits a page, 4 more for each of summary, question and
    highlights.

    Attributes:
        schema_: What one row holds, given as the argument `schema`: a pydantic model class, JSON Schema of an object
            (or of an array of them), or one of the API's older dialects, a map from field name to instruction or
            `{"fields": [{"name", "type", "instruction"}]}`. Checked at once; sent with its references put in place
            and with fields that may be null as not required.
        timeout: Milliseconds the service may spend on a page, 5000..120000. The service's default is 60000.
    """

    kind: ClassVar[JobKind] = JobKind.EXTRACT

    schema_: JsonSchema = Field(alias="schema")
    timeout: ExtractTimeout | None = None

    if TYPE_CHECKING:

        def __init__(
            self, *, schema: Mapping[str, object] | type[BaseModel], **options: Unpack[_ExtractOptions]
        ) -> None: ...

    def credits_per_url(self) -> int:
        """Credits a page costs at most: the estimate before the service has said its price."""
        return CREDITS_PER_EXTRACT + self._llm_credits()

    def _own_fields(self) -> dict[str, object]:
        return {"schema": wire_schema(self.schema_), "timeout": self.timeout}

    def row_schema(self) -> dict[str, object]:
        """The JSON Schema that each row of an answer must fit, whichever dialect was given."""
        return row_schema(self.schema_)

    def _formats(self) -> list[object]:
        # `include` is not documented for extraction, so links are asked for as a format.
        return (["links"] if self.links else []) + super()._formats()


class Webhook(_Told):
    """Where the service reports that a batch job is over (Webhooks).

    Attributes:
        url: An http or https URL that the service can reach.
        secret: Signs the deliveries; without it they carry no signature. Never shown by `repr`. It may be a
            `dagster.EnvVar`, as may the headers.
        headers: Accepted by the service but, by its newest page, not sent yet. Never shown by `repr`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    url: HttpUrl
    secret: Annotated[Text | None, KeepVariable] = Field(default=None, repr=False)
    headers: Headers = Field(default_factory=dict, repr=False)

    def body(self) -> dict[str, object]:
        """The value of the field `webhook` of a submit.

        Raises:
            ConfigurationError: the environment variable of a secret is not set.
        """
        fields = {"url": self.url, "secret": self._secret(), "headers": resolved_headers("Webhook", self.headers)}
        return {name: value for name, value in fields.items() if value}

    def secrets(self) -> tuple[str, ...]:
        """What is never shown of the body; raises as that does."""
        return (self._secret(), *resolved_headers("Webhook", self.headers).values())

    def _secret(self) -> str:
        return resolved_secret("Webhook: `secret`", self.secret or "")


Request: TypeAlias = Distill | Extract
"""What one batch job, or one synchronous call, asks for."""
