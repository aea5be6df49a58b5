"""A step that is executed a second time while the first execution may still be at work.

Queues such as Celery's hand a step to another worker when they take the first one for dead, and Dagster starts a run
again when the process of the first is gone, though its step may run on elsewhere. Two rules keep both from sending:
a step sends nothing once its run is over, and one that follows another waits until that one is silent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from thunderbit_dagster.api.errors import WithheldError
from thunderbit_dagster.runs.partitions import Step
from thunderbit_dagster.runs.reexecution import PARENT_RUN_TAG
from thunderbit_dagster.runs.signals import sleep

SILENT_SECONDS = 30.0
"""An execution that wrote no event for so long is taken for dead."""
LOOK_SECONDS = 1.0


def require_unfinished(context: Step) -> None:
    """Refuse to send for a run that is over or deleted.

    An intent is in the event log before this is asked, and whoever goes on after a run that is over reads the log after
    its end: so one of the two always sees the other.

    Raises:
        WithheldError: the run was deleted, or has ended, as Dagster does when it takes the run for dead.
    """
    run = context.instance.get_run_by_id(context.run.run_id)
    if run is None:
        raise WithheldError(f"run {context.run.run_id} was deleted while it was submitting")
    if run.is_finished:
        raise WithheldError(f"run {run.run_id} is over ({run.status.value}), and another may be sending these URLs")


@dataclass
class EarlierExecutions:
    """The executions that this one may follow: of the same step, and of the run that its run repeats.

    ``tag`` is the run tag that says whether a run is submitting, and ``sending`` its value while it does.
    """

    context: Step
    tag: str
    sending: str
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = sleep
    silent_seconds: float = field(default_factory=lambda: SILENT_SECONDS)

    def outwait(self) -> None:
        """Return when none of them is submitting any more, or all are silent."""
        runs = self._submitting()
        if not runs:
            return
        self.context.log.info("This step was started before; waiting until that execution has ended or is silent")
        seen, since = self._newest(runs), self.monotonic()
        while self._submitting() and self.monotonic() - since < self.silent_seconds:
            self.sleep(LOOK_SECONDS)
            if (newest := self._newest(runs)) != seen:
                seen, since = newest, self.monotonic()

    def _submitting(self) -> list[str]:
        ids = {self.context.run.run_id, self.context.run.tags.get(PARENT_RUN_TAG)}
        runs = [self.context.instance.get_run_by_id(run_id) for run_id in ids if run_id]
        return [run.run_id for run in runs if run is not None and run.tags.get(self.tag) == self.sending]

    def _newest(self, runs: Sequence[str]) -> list[int]:
        found = [self.context.instance.get_records_for_run(run_id, limit=1, ascending=False).records for run_id in runs]
        return [records[0].storage_id for records in found if records]
