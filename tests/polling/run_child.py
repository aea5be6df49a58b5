"""Runs in a process of their own, as the daemon launches them.

One a line, as JSON; each says that it is ready, begins on a further line, and tells how it ended.
"""

import json
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "shared"))
import crawl_world

from thunderbit_dagster import ThunderbitResource
from thunderbit_dagster.runs import lock


def run(spec) -> None:
    lock.WAIT_SECONDS = spec["wait_seconds"]
    thunderbit = ThunderbitResource(
        api_key=spec["key"], base_url=spec["base_url"], requests_per_minute=crawl_world.PLENTY
    )
    crawl = crawl_world.crawl(spec["urls"], name=spec["name"])
    with crawl_world.new_instance(Path(spec["home"]), spare=True) as instance:
        line = crawl_world.Line(instance, NoEmulator, Path(spec["root"]), [crawl], thunderbit)
        print("ready", flush=True)  # noqa: T201
        sys.stdin.readline()
        run = getattr(line, spec["job"])(*spec["keys"])
    failures = [event.step_failure_data.user_failure_data for event in run.all_events if event.is_step_failure]
    said = failures[0].description if failures and failures[0] else ""
    print(json.dumps({"success": run.success, "run_id": run.run_id, "said": said}), flush=True)  # noqa: T201


class NoEmulator:
    """It is in the other process."""

    jobs = ()
    requests = ()


if __name__ == "__main__":
    for spec in sys.stdin:
        run(json.loads(spec))
