"""Exceptions of the API client.

    ThunderbitError
     ├─ ConfigurationError              a bad argument; nothing was sent (also a ValueError)
     ├─ TransportError                  no usable answer arrived
     │   ├─ NotSentError                the request surely did not reach the service
     │   │   └─ WithheldError           it was not made: the caller was told to stop
     │   └─ ReplyLostError              the request may have reached the service
     │       └─ AnswerBrokenOffError    an answer began, and did not end
     ├─ ProtocolError                   the answer says success but cannot be read
     │   └─ AnswerNotReadError          it is too large, or takes too long
     ├─ DeadlineExceededError           a job was not over when the deadline of `stream_rows` passed
     ├─ BudgetExceededError             a request slot would be free only after `max_wait`
     └─ ApiError                        the service answered with an error
         ├─ BadRequestError             400, 413, 422
         │   └─ BatchSizeExceededError  too many URLs in one job
         ├─ AuthenticationError         401, 403
         ├─ InsufficientCreditsError    402
         ├─ JobNotFoundError            404, 410 of a job
         ├─ ConflictError               409, and 422 of a cancellation
         ├─ RateLimitedError            429
         ├─ ServerError                 5xx
         └─ TargetError                 the page asked for failed, not the service (synchronous calls)

No exception holds the API key, request headers or a request body.
"""

from __future__ import annotations

from collections.abc import Mapping


class ThunderbitError(Exception):
    """Base of everything the client raises on purpose.

    Attributes:
        may_have_arrived: True when a request that is not safe to repeat (a submit, a paid call) may have
            been accepted although this exception came in place of its answer. Repeating it may pay twice.
    """

    may_have_arrived: bool = False

    @property
    def maybe_accepted(self) -> bool:
        """True when the service may have accepted, and may bill, the request that raised this."""
        return self.may_have_arrived


class ConfigurationError(ThunderbitError, ValueError):
    """An argument is wrong; nothing was sent."""


class TransportError(ThunderbitError):
    """No usable answer: the network or the connection failed."""


class NotSentError(TransportError):
    """The request surely did not reach the service: refused, no address, no connection in time."""


class WithheldError(NotSentError):
    """The request was not made, since whoever wanted it was told to stop."""


class ReplyLostError(TransportError):
    """The connection broke or timed out after the request may have been sent.

    `maybe_accepted` is True for submits and paid calls, False for reads and cancellations, which are safe to
    repeat.
    """

    def __init__(self, message: str, *, may_have_arrived: bool = True) -> None:
        super().__init__(message)
        self.may_have_arrived = may_have_arrived


class AnswerBrokenOffError(ReplyLostError):
    """An answer began to arrive and broke off, or did not end in time."""


class ProtocolError(ThunderbitError):
    """The service reported success, but the body is not what the API documents.

    `maybe_accepted` is True when this was the answer to a submit: the job exists, its id is unreadable.
    """

    def __init__(self, message: str, *, may_have_arrived: bool = False) -> None:
        super().__init__(message)
        self.may_have_arrived = may_have_arrived


class AnswerNotReadError(ProtocolError):
    """The answer is larger, once unpacked, than `max_response_bytes`, or did not end in time: the rest was not read."""


class DeadlineExceededError(ThunderbitError, TimeoutError):
    """The job was not over in time. It goes on at the service, and what has finished may be billed."""


class BudgetExceededError(ThunderbitError):
    """No request slot becomes free within `max_wait` seconds; nothing was sent.

    Attributes:
        wait: Seconds until a slot is expected to be free.
        max_wait: Seconds the caller was ready to wait.
    """

    def __init__(self, wait: float, max_wait: float) -> None:
        super().__init__(wait, max_wait)
        self.wait = wait
        self.max_wait = max_wait

    def __str__(self) -> str:
        return f"the request budget has no free slot for {self.wait:.1f} s, and max_wait is {self.max_wait:.1f} s"


class ApiError(ThunderbitError):
    """The service answered with an error.

    Attributes:
        status: HTTP status.
        code: Error code of the API such as `INVALID_URL`, or `HTTP_<status>` when the body names none.
        message: The service's words, or an excerpt of at most 200 characters of a body that is not JSON.
        details: What the service adds, such as field to fault for `INVALID_PARAMETER`; empty when absent.
        request_id: The service's or a proxy's id of the request, when a header carries one.
        retry_after: Seconds the service asks to wait before another try, when it says so.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        details: Mapping[str, object] | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.message = message
        self.details: Mapping[str, object] = dict(details or {})
        self.request_id = request_id
        self.retry_after = retry_after

    def __str__(self) -> str:
        faults = "; ".join(f"{field}: {fault}" for field, fault in self.details.items())
        return f"{self.code} (HTTP {self.status}): {self.message}" + (f" [{faults}]" if faults else "")


class BadRequestError(ApiError):
    """The request is wrong; it fails again when repeated unchanged."""


class BatchSizeExceededError(BadRequestError):
    """Too many URLs in one job: split and submit again (some accounts take 50 for extract jobs)."""


class AuthenticationError(ApiError):
    """The API key is missing, unknown, revoked, disabled, expired or not allowed. Never repeated."""


class InsufficientCreditsError(ApiError):
    """The account is out of credits. Never repeated."""


class JobNotFoundError(ApiError):
    """No such job, or its results have expired."""


class ConflictError(ApiError):
    """The job's state does not allow this; read the job again."""


class RateLimitedError(ApiError):
    """The account's request limit is used up, and waiting for it would take longer than the policy allows."""


class ServerError(ApiError):
    """The service or something behind it failed. `maybe_accepted` is True when a submit or a paid call got
    this answer.
    """


class TargetError(ApiError):
    """The page asked for could not be read: too slow, unreachable, refused, empty. The service itself is
    well.
    """
