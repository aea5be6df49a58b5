"""Request bodies: section 2 of the API reference as types, with the documented error for each thing wrong.

Unknown fields are ignored, as the reference shows the service to do with its older spellings.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AliasChoices,
    AliasGenerator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
)
from pydantic.alias_generators import to_camel

from thunderbit_dagster.api.codes import (
    CREDITS_PER_DISTILL,
    CREDITS_PER_EXTRACT,
    CREDITS_PER_LLM_FORMAT,
    MAX_BATCH_URLS,
    JobKind,
)
from thunderbit_dagster.emulator.errors import EmulatorError
from thunderbit_dagster.emulator.selectors import to_xpath

_MAX_URL_LENGTH = 8192
MAX_QUERY_LENGTH = 500
_HOST = re.compile(r"[^\s/?#@\\<>\"{}|^`]+\Z")
_STEP = re.compile(r"[\w-]+")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")


_Model = TypeVar("_Model", bound=BaseModel)


class _Body(BaseModel):
    model_config = ConfigDict(
        strict=True, extra="ignore", frozen=True, alias_generator=AliasGenerator(validation_alias=to_camel)
    )


class SummaryFormat(_Body):
    """`{"type": "summary"}`: the sentences that say most about the page."""

    type: Literal["summary"]


class QuestionFormat(_Body):
    """`{"type": "question", "question": ...}`: the passage that answers."""

    type: Literal["question"]
    question: Annotated[str, StringConstraints(min_length=1)]


class HighlightsFormat(_Body):
    """`{"type": "highlights", "query": ...}`: passages about the query."""

    type: Literal["highlights"]
    query: Annotated[str, StringConstraints(min_length=1)]


LlmFormat = Annotated[SummaryFormat | QuestionFormat | HighlightsFormat, Field(discriminator="type")]
PlainFormat = Literal["markdown", "links", "images"]


def check_url(url: str) -> None:
    """Refuse what is no absolute http(s) URL.

    Raises:
        ApiError: `INVALID_URL`.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise EmulatorError("INVALID_URL", f"Not a URL: {url[:200]!r}.") from None
    fine = parts.scheme.lower() in {"http", "https"} and host and _HOST.match(host) and len(url) <= _MAX_URL_LENGTH
    if not fine or any(c.isspace() or ord(c) < ord(" ") for c in url):
        raise EmulatorError("INVALID_URL", f"Not an absolute http or https URL: {url[:200]!r}.")


def _given(value: object) -> object:
    if value is None:
        raise ValueError("null is not a value; leave the field out")
    return value


_NotNull = BeforeValidator(_given)


class PageOptions(_Body):
    """What may be said about how one page is fetched and what comes back."""

    timeout: Annotated[int, Field(ge=5000, le=60_000)] = 30_000
    wait_for: Annotated[int, Field(ge=0, le=10_000)] = 0
    render_mode: Literal["none", "basic", "full"] = "none"
    country_code: Annotated[str, StringConstraints(min_length=2, max_length=2)] = Field(
        default="US", validation_alias=AliasChoices("countryCode", "country_code")
    )
    force_refresh: bool = False
    include: tuple[Literal["metadata", "html", "links"], ...] = Field(default=(), strict=False)
    formats: tuple[PlainFormat | LlmFormat, ...] = Field(default=("markdown",), strict=False)
    include_html: bool = False
    extract_links: bool = False
    include_tags: tuple[str, ...] = Field(default=(), strict=False)
    exclude_tags: tuple[str, ...] = Field(default=(), strict=False)
    headers: Mapping[str, str] = Field(default_factory=dict, repr=False)

    @field_validator("include_tags", "exclude_tags")
    @classmethod
    def _tags_are_simple_selectors(cls, selectors: tuple[str, ...]) -> tuple[str, ...]:
        for selector in selectors:
            to_xpath(selector)
        return selectors

    @field_validator("headers")
    @classmethod
    def _headers_are_sendable(cls, headers: Mapping[str, str]) -> Mapping[str, str]:
        for name, value in headers.items():
            if not _HEADER_NAME.match(name) or not value.isascii() or any(c in value for c in "\r\n\0"):
                raise ValueError("not a header that can be sent")
        return headers

    @property
    def llm_formats(self) -> tuple[SummaryFormat | QuestionFormat | HighlightsFormat, ...]:
        """The formats that cost four credits each when they return something."""
        return tuple(wanted for wanted in self.formats if not isinstance(wanted, str))

    def wants(self, name: PlainFormat | Literal["metadata", "html"]) -> bool:
        """Whether a key is in the answer. Markdown is, unless `formats` names others only."""
        asked = name in self.include or name in self.formats
        older = (name == "html" and self.include_html) or (name == "links" and self.extract_links)
        return asked or older

    def price(self, kind: JobKind) -> int:
        """The most one URL can cost, in credits."""
        base = CREDITS_PER_DISTILL if kind is JobKind.DISTILL else CREDITS_PER_EXTRACT
        return base + CREDITS_PER_LLM_FORMAT * len(self.llm_formats)


class ExtractOptions(PageOptions):
    """The same for extraction: a longer time limit and the schema, in any of its three dialects."""

    timeout: Annotated[int, Field(ge=5000, le=120_000)] = 60_000
    extraction_schema: object = Field(default=None, validation_alias="schema")
    prompt: Annotated[str | None, _NotNull] = None


class WebhookTarget(_Body):
    """Where to announce the end of a job."""

    url: str
    secret: Annotated[str | None, _NotNull] = Field(default=None, repr=False)
    headers: Mapping[str, str] = Field(default_factory=dict, repr=False)


class SearchBody(_Body):
    """`POST /search`: the query, how many hits (default 5) and, if wanted, the one domain to look in."""

    query: Annotated[str, StringConstraints(min_length=1, max_length=MAX_QUERY_LENGTH)]
    limit: Annotated[int, Field(ge=1, le=10)] = 5
    site: Annotated[str | None, _NotNull] = None


class _OneUrl(_Body):
    url: str


class _ManyUrls(_Body):
    urls: tuple[str, ...] = Field(min_length=1, strict=False)
    webhook: Annotated[WebhookTarget | None, _NotNull] = None


@dataclass(frozen=True, slots=True)
class BatchSubmission:
    """A checked batch submission."""

    urls: tuple[str, ...]
    options: PageOptions
    webhook: WebhookTarget | None


def parse_options(kind: JobKind, body: Mapping[str, object]) -> PageOptions:
    """The options of a request, for distill or extract.

    Raises:
        ApiError: `INVALID_PARAMETER` with details by field, `SCHEMA_OR_PROMPT_REQUIRED`,
            `SCHEMA_AND_PROMPT_EXCLUSIVE`.
    """
    if kind is JobKind.DISTILL:
        return parse_fields(PageOptions, body)
    options = parse_fields(ExtractOptions, body)
    if options.extraction_schema is None and not options.prompt:
        raise EmulatorError("SCHEMA_OR_PROMPT_REQUIRED", "Give the fields to extract as 'schema'.")
    if options.extraction_schema is not None and options.prompt:
        raise EmulatorError("SCHEMA_AND_PROMPT_EXCLUSIVE", "Give 'schema' or 'prompt', not both.")
    if options.extraction_schema is None:
        raise EmulatorError(
            "INVALID_PARAMETER", "Prompts alone are not live yet.", details={"prompt": "needs 'schema' instead"}
        )
    return options


def parse_one(kind: JobKind, body: Mapping[str, object]) -> tuple[str, PageOptions]:
    """URL and options of a request for one page.

    Raises:
        ApiError: as `parse_options`, and `INVALID_URL`.
    """
    url = parse_fields(_OneUrl, body).url
    check_url(url)
    return url, parse_options(kind, body)


def parse_batch(
    kind: JobKind, body: Mapping[str, object], limit: int = MAX_BATCH_URLS, *, check_urls: bool = False
) -> BatchSubmission:
    """A batch submission. Unless `check_urls` is set, what is no URL is left to fail its row.

    Raises:
        ApiError: as `parse_options`, `BATCH_SIZE_EXCEEDED`, and `INVALID_URL` for the webhook or a URL.
    """
    many = parse_fields(_ManyUrls, body)
    if len(many.urls) > limit:
        raise EmulatorError(
            "BATCH_SIZE_EXCEEDED", f"A {kind.value} job takes {limit} URLs; these are {len(many.urls)}."
        )
    for url in many.urls if check_urls else ():
        check_url(url)
    if many.webhook is not None:
        check_url(many.webhook.url)
    return BatchSubmission(many.urls, parse_options(kind, body), many.webhook)


def parse_fields(model: type[_Model], body: Mapping[str, object]) -> _Model:
    """The body as `model`.

    Raises:
        ApiError: `INVALID_PARAMETER`, details by field.
    """
    try:
        return model.model_validate(body)
    except ValidationError as error:
        details = _details(error.errors(include_url=False, include_input=False))
        raise EmulatorError("INVALID_PARAMETER", "Some parameters are not valid.", details=details) from None


def _details(errors: Sequence[Mapping[str, object]]) -> dict[str, str]:
    details: dict[str, str] = {}
    for error in errors:
        location = error["loc"]
        steps = [str(step) for step in location] if isinstance(location, tuple) else [str(location)]
        # What follows a step like "literal['a','b']" names the types tried, not the place.
        path = ".".join(itertools.takewhile(_STEP.fullmatch, steps))
        details.setdefault(path or "body", str(error["msg"]))
    return details
