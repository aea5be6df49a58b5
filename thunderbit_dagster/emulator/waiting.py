"""Time limits and cancelling that hold on every Python version.

Python 3.10 can lose a cancellation that arrives while a connection is being made, so it is repeated until it works.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import TypeVar

_T = TypeVar("_T")
_AGAIN_SECONDS = 0.05


async def within(seconds: float, work: Coroutine[object, object, _T]) -> _T:
    """What `work` returns, if it does so in time.

    Raises:
        asyncio.TimeoutError: It did not, and has been cancelled.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait((task,), timeout=seconds)
    finally:
        await stop((task,))
    if task.cancelled():
        raise asyncio.TimeoutError
    return task.result()


async def stop(tasks: "Iterable[asyncio.Task[_T]]") -> None:
    """Cancel tasks and return when they have ended, however they end."""
    stopped = tuple(tasks)
    while running := {task for task in stopped if not task.done()}:
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=_AGAIN_SECONDS)
    for task in stopped:
        if not task.cancelled():
            task.exception()  # seen; asyncio would complain about one that nobody looks at
