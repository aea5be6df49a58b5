"""The rules of one call to the API, without input or output.

A call is a generator, a flow, that yields what it wants done (`Acquire`, `Send`, `Sleep`, ...) and receives
the result. The synchronous and the asynchronous client only carry these out, so both keep the same rules.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from uuid import uuid4

from thunderbit_dagster.api.budget import RateLimit
from thunderbit_dagster.api.codes import TARGET_CODES
from thunderbit_dagster.api.effects import (
    Acquire,
    Answer,
    Call,
    Effect,
    Exhaust,
    Failure,
    Flow,
    Forget,
    Observe,
    Reply,
    Send,
    Sleep,
)
from thunderbit_dagster.api.error_answers import (
    Redact,
    api_error,
    meant_status,
    not_read,
    protocol_error,
    redactor,
    refused,
    transport_error,
)
from thunderbit_dagster.api.errors import ApiError, BudgetExceededError, ProtocolError, ThunderbitError
from thunderbit_dagster.api.parsing import decode_json, read_refusal
from thunderbit_dagster.api.retry import (
    TOO_MANY_REQUESTS,
    Event,
    GiveUp,
    Outcome,
    RetryPolicy,
    Wait,
    decide,
    reset_after,
    retry_after,
)

log = logging.getLogger("thunderbit_dagster.api")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CallRules:
    """What every flow needs to know.

    Attributes:
        retry: Bounds on repeating.
        max_wait: Seconds to wait for the request budget at most, in one call.
        clock: Gives the Unix epoch in seconds.
        jitter: Gives a random number from 0 to 1.
        secrets: Values that no message may repeat.
    """

    retry: RetryPolicy
    max_wait: float
    clock: Callable[[], float]
    jitter: Callable[[], float]
    secrets: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Success(Generic[T]):
    """An attempt that brought what was asked for."""

    value: T


@dataclass(frozen=True, slots=True)
class Fault:
    """An attempt that did not: the exception to raise unless it is repeated."""

    error: ThunderbitError
    outcome: Outcome


def exchange(rules: CallRules, call: Call, read: Callable[[object], T], *, slot_taken: bool = False) -> Flow[T]:
    """Send a request until it succeeds or repeating is neither safe nor allowed.

    Args:
        rules: The bounds.
        call: The request.
        read: Turns the decoded body of a 2xx answer into the result; raises ProtocolError when it cannot.
        slot_taken: The first attempt has its slot of the request budget already.

    Raises:
        ThunderbitError: What the last attempt came to, or BudgetExceededError.
    """
    redact = redactor((*rules.secrets, *call.secrets))
    began, slept, queued = rules.clock(), 0.0, 0.0
    attempt = 0
    while True:
        attempt += 1
        if attempt > 1 or not slot_taken:
            queued += yield from slot(rules)
        reply = yield from _sent(call)
        yield from _learn(reply)
        result = interpret(call, reply, read, redact, rules.clock())
        if isinstance(result, Success):
            return result.value
        elapsed = max(slept, rules.clock() - began - queued)  # the clock may step back
        verdict = decide(call.safety, attempt, result.outcome, rules.retry, elapsed=elapsed, jitter=rules.jitter())
        yield from _close_window(rules, result, verdict)
        if isinstance(verdict, GiveUp):
            raise result.error
        log.info("%s %s: %s; again in %.1f s", call.method, call.path, result.error, verdict.seconds)
        yield Sleep(verdict.seconds)
        slept += verdict.seconds


def interpret(
    call: Call, reply: Answer | Failure, read: Callable[[object], T], redact: Redact, now: float
) -> Success[T] | Fault:
    """What one attempt came to; `now` is the Unix epoch in seconds."""
    if isinstance(reply, Failure):
        return Fault(transport_error(call, reply), Outcome(reply.event))
    if reply.refused:
        return Fault(not_read(call, reply), Outcome(Event.NOT_READ, reply.status))
    outcome = Outcome(Event.ANSWERED, reply.status, retry_after(reply.headers, now), reset_after(reply.headers, now))
    if not 200 <= reply.status < 300:  # noqa: PLR2004
        return Fault(api_error(call, reply, outcome, redact), outcome)
    if call.method == "DELETE":  # whatever it says: the job is read again
        return Success(read(None))
    return _read(call, reply, outcome, read, redact)


def _read(
    call: Call, answer: Answer, outcome: Outcome, read: Callable[[object], T], redact: Redact
) -> Success[T] | Fault:
    try:
        body = decode_json(answer.content or b"{}")
        said = read_refusal(body)
        if said is None:
            return Success(read(body))
    except ProtocolError as problem:
        unreadable = Outcome(Event.UNREADABLE, answer.status)
        return Fault(protocol_error(call, answer, problem, redact), unreadable)
    meant = Outcome(Event.ANSWERED, meant_status(said, answer.status), outcome.retry_after, outcome.reset_after)
    return Fault(refused(call, answer, meant, said, redact), meant)


def slot(rules: CallRules) -> Flow[float]:
    """Wait for a slot of the request budget; the seconds waited.

    Raises:
        BudgetExceededError: None becomes free in time.
    """
    ticket, waited = uuid4().hex, 0.0
    while True:
        wait = yield from _asked(ticket)
        if wait <= 0:
            return waited
        if waited + wait > rules.max_wait:
            yield Forget(ticket)
            raise BudgetExceededError(wait, rules.max_wait)
        yield Sleep(wait)
        waited += wait


def _learn(reply: Answer | Failure) -> Flow[None]:
    if isinstance(reply, Answer):
        yield Observe(RateLimit.from_headers(reply.headers))


def _close_window(rules: CallRules, fault: Fault, verdict: Wait | GiveUp) -> Flow[None]:
    """After 429 for the account's own limit, hold back everybody; a throttling page holds back nobody."""
    error = fault.error
    if fault.outcome.status != TOO_MANY_REQUESTS or (isinstance(error, ApiError) and error.code in TARGET_CODES):
        return
    told = fault.outcome.told
    wait = told if told is not None else (verdict.seconds if isinstance(verdict, Wait) else 0.0)
    yield Exhaust(rules.clock() + wait)


def _asked(ticket: str) -> Generator[Effect, Reply, float]:
    reply = yield Acquire(ticket)
    if isinstance(reply, float | int):
        return reply
    raise TypeError(f"the reply to Acquire is a {type(reply).__name__}")


def _sent(call: Call) -> Generator[Effect, Reply, Answer | Failure]:
    reply = yield Send(call)
    if isinstance(reply, Answer | Failure):
        return reply
    raise TypeError(f"the reply to Send is a {type(reply).__name__}")
