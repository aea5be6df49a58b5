"""``ThunderbitResource``: the API in Dagster, for crawls and for anyone's own assets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import dagster as dg
from pydantic import (
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)
from pydantic.functional_validators import ModelWrapValidatorHandler
from typing_extensions import Self

from thunderbit_dagster.api.account import (
    DEFAULT_BASE_URL,
    LOOPBACK_HOSTS,
    MAX_RESPONSE_BYTES,
    checked_base_url,
    checked_budget_url,
    checked_key,
)
from thunderbit_dagster.api.codes import plan_of
from thunderbit_dagster.api.errors import ConfigurationError, NotSentError, ThunderbitError, WithheldError
from thunderbit_dagster.api.models import Document, Job, JobPage, JobRef, Row
from thunderbit_dagster.api.requests import Distill, Extract, Webhook, is_http_url
from thunderbit_dagster.api.retry import RETRY, RetryPolicy
from thunderbit_dagster.api.signatures import read_secrets
from thunderbit_dagster.api.validation_errors import worded
from thunderbit_dagster.lazy import LazyModule
from thunderbit_dagster.runs.signals import sleep
from thunderbit_dagster.validation import shown

if TYPE_CHECKING:
    import httpx

    from thunderbit_dagster.api.client import ThunderbitClient
else:
    httpx = LazyModule("httpx")

OnLostReply = Literal["wait", "resubmit", "fail"]

INTENT_PARAMETER = "intent"
"""The parameter of the webhook's URL by which a job whose reply was lost names its intent."""

_VARIABLES = (dg.EnvVar, type(dg.EnvVar.int("")))


class ThunderbitResource(dg.ConfigurableResource):  # type: ignore[type-arg]  # Dagster leaves the parameter open
    """The Thunderbit API, with the account's limits and the policies for what may go wrong.

    Useful alone in any asset: ``distill``, ``extract``, ``submit_distill``, ``submit_extract``, ``get_job``,
    ``iter_rows``, ``stream_rows`` and ``cancel_job`` are those of ``ThunderbitClient``, which ``client`` gives.

    Raises:
        ValueError: a setting is wrong, or there is none of that name. What an environment variable holds is checked
            when a run starts.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    api_key: str = Field(
        description="The account's key, `tb_` and 32 hex digits; preferably `dg.EnvVar(...)`.", repr=False
    )
    base_url: str = Field(default=DEFAULT_BASE_URL, description="The URL of the API; the key is sent nowhere else.")
    requests_per_minute: int = Field(
        default=10,
        ge=1,
        description="The plan's limit (free 10, pro 100, enterprise 1000), shared by all processes on a machine.",
        examples=[10, 100, 1000],
    )
    budget_url: str | None = Field(
        default=None,
        description="A Redis database that keeps the request budget for all machines that name it; without one, each "
        "machine counts alone.",
        examples=["redis://redis.internal:6379/2"],
        repr=False,
    )
    request_timeout: float = Field(default=60.0, gt=0, allow_inf_nan=False, description="Seconds for one HTTP request.")
    max_response_bytes: int = Field(
        default=MAX_RESPONSE_BYTES,
        ge=1,
        description="The largest response that is read, in bytes after decompression; rows of a larger one are "
        "requested in smaller pages.",
    )
    webhook_url: str | None = Field(default=None, description="Where the API reports finished jobs.")
    webhook_secret: str | None = Field(
        default=None,
        description="The secret that signs those reports; of two separated by a comma, the first signs.",
        repr=False,
    )
    on_lost_reply: OnLostReply = Field(
        default="wait",
        description="When the reply to a submit is lost, the job may run and bill unseen. `wait` for the webhook to "
        "name it (fails without a webhook), `resubmit` at the risk of paying twice, or `fail`.",
    )
    max_credits_per_run: int | None = Field(
        default=None, ge=1, description="A run sends no batch job that could exceed this number of credits."
    )
    max_credits_per_day: int | None = Field(
        default=None,
        ge=1,
        description="The same for all runs of a UTC day, over all crawls of this key in one Dagster instance.",
    )

    _client: ThunderbitClient | None = PrivateAttr(default=None)

    @model_validator(mode="wrap")
    @classmethod
    def _tell(cls, given: object, check: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return check(given)
        except ValidationError as error:
            raise worded(error, cls) from None

    @field_validator("api_key")
    @classmethod
    def _usable_key(cls, given: str) -> str:
        return _configured(checked_key, given)

    @field_validator("base_url")
    @classmethod
    def _usable_origin(cls, given: str) -> str:
        _configured(checked_base_url, given)
        return given

    @field_validator("webhook_url")
    @classmethod
    def _usable_webhook(cls, given: str | None) -> str | None:
        if given is None or is_http_url(given):
            return given
        raise ValueError(f"must be an http or https URL with a host, not {shown(given)}")

    @field_validator("budget_url")
    @classmethod
    def _usable_budget(cls, given: str | None) -> str | None:
        return None if given is None else _configured(checked_budget_url, given)

    # The last, so that it stands around the others.
    @field_validator("*", mode="wrap")
    @classmethod
    def _leave_variables(cls, given: object, check: ValidatorFunctionWrapHandler) -> object:
        return given if isinstance(given, _VARIABLES) else check(given)

    @property
    def client(self) -> ThunderbitClient:
        """The client behind the resource, opened at first use."""
        if self._client is None:
            self._client = self.open_client()
        return self._client

    def open_client(
        self, *, max_wait: float = 900.0, request_timeout: float | None = None, retry: RetryPolicy = RETRY
    ) -> ThunderbitClient:
        """A client of the caller's own, to be closed by it.

        ``max_wait`` is how many seconds a call may wait for a free request slot before it raises
        ``BudgetExceededError``; ``request_timeout`` replaces the resource's.
        """
        # The HTTP client behind it is not worth importing for a code location that is only loaded.
        from thunderbit_dagster.api.client import ThunderbitClient  # noqa: PLC0415

        return ThunderbitClient(
            self.api_key,
            base_url=self.base_url,
            requests_per_minute=self.requests_per_minute,
            budget_url=self.budget_url,
            request_timeout=self.request_timeout if request_timeout is None else request_timeout,
            max_wait=max_wait,
            retry=retry,
            sleep=sleep,
            max_response_bytes=self.max_response_bytes,
        )

    @property
    def webhook(self) -> Webhook | None:
        """What a submission asks the API to call when its job ends, None when no URL is set."""
        return Webhook(url=self.webhook_url, secret=self._signing_secret) if self.webhook_url else None

    def webhook_of(self, intent_id: str) -> Webhook | None:
        """The webhook of one submit: its URL also carries the intent's id, beside the parameters that it has."""
        if self.webhook_url is None:
            return None
        url = httpx.URL(self.webhook_url).copy_set_param(INTENT_PARAMETER, intent_id)
        return Webhook(url=str(url), secret=self._signing_secret)

    @property
    def _signing_secret(self) -> str | None:
        # While secrets rotate the setting holds two, and the receiver accepts both.
        return next(iter(read_secrets(self.webhook_secret or "")), None)

    @property
    def is_local(self) -> bool:
        """Whether the API is on this machine, as the emulator is: only then can private addresses be fetched."""
        return urlsplit(self.base_url).hostname in LOOPBACK_HOSTS

    @property
    def concurrent_jobs(self) -> int:
        """Batch jobs that the API runs at once, by the plan that ``requests_per_minute`` stands for."""
        return plan_of(self.requests_per_minute).concurrent_jobs

    def explain(self, error: ThunderbitError) -> str:
        """An error's text, with what to do when it is the emulator that does not answer."""
        if not (self.is_local and isinstance(error, NotSentError)) or isinstance(error, WithheldError):
            return str(error)
        return (
            f"{error}. No emulator answers at {self.base_url}: start one with `thunderbit-dagster emulator`, or "
            "together with Dagster with `thunderbit-dagster dev`"
        )

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Close the connections."""
        del context
        if self._client is not None:
            self._client.close()
            self._client = None

    def distill(self, url: str, request: Distill | None = None) -> Document:
        """One page as Markdown, now."""
        return self.client.distill(url, request or Distill())

    def extract(self, url: str, request: Extract) -> Document:
        """One page as rows of data, now."""
        return self.client.extract(url, request)

    def submit_distill(self, urls: Sequence[str], request: Distill | None = None) -> Job:
        """A batch job of 1 to 100 URLs; it is never sent twice by itself."""
        return self.client.submit_distill(urls, request or Distill(), webhook=self.webhook)

    def submit_extract(self, urls: Sequence[str], request: Extract) -> Job:
        """A batch job of 1 to 100 URLs (some accounts: 50); it is never sent twice by itself."""
        return self.client.submit_extract(urls, request, webhook=self.webhook)

    def get_job(self, ref: JobRef, *, page: int = 0, page_size: int = 1) -> JobPage:
        """A job's state and one page of its rows."""
        return self.client.get_job(ref, page=page, page_size=page_size)

    def iter_rows(self, ref: JobRef) -> Iterator[Row]:
        """Every row of a job, all pages."""
        return self.client.iter_rows(ref)

    def stream_rows(self, ref: JobRef, *, interval: float = 5.0) -> Iterator[Row]:
        """Each row once, as it completes, until the job ends. ``interval`` is in seconds."""
        return self.client.stream_rows(ref, interval=interval)

    def cancel_job(self, ref: JobRef) -> Job:
        """Ask the API to stop a job, and read what became of it."""
        return self.client.cancel_job(ref)


def _configured(check: Callable[[str], str], given: str) -> str:
    try:
        return check(given)
    except ConfigurationError as error:
        raise ValueError(str(error)) from None
