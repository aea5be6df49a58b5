"""Collects a crawl under a limit on file sizes, as on a full disk, and then without it. One argument: a JSON wish."""

from __future__ import annotations

import json
import logging
import resource as limits
import sys
from pathlib import Path

from kill_child import Account, Line, all_collected, declare, open_instance, resource

from thunderbit_dagster.ledger.event_log import LedgerReader

KEY = "a"


def main() -> None:
    logging.disable(logging.CRITICAL)
    wish = json.loads(sys.argv[1])
    root, account = Path(wish["root"]), Account(wish["base_url"], wish["api_key"])
    with open_instance(root) as instance:
        declared = declare(wish["lists"])
        line = Line(instance, account, root, [declared], resource(account))
        said = {"submitted": line.submit(KEY).success}
        _, most = limits.getrlimit(limits.RLIMIT_FSIZE)
        limits.setrlimit(limits.RLIMIT_FSIZE, (wish["limit"], most))
        run = line.collect(KEY)
        [failure] = [event for event in run.all_events if event.event_type_value == "STEP_FAILURE"]
        said["failure"] = failure.step_failure_data.user_failure_data.description
        said["left"] = [path.name for path in root.rglob("*.part")]
        said["rows"] = [row["url"] for row in line.rows("succeeded", urls=KEY)] if wish["published"] else []
        limits.setrlimit(limits.RLIMIT_FSIZE, (most, most))
        said["again"] = line.collect(KEY).success
        said["now"] = [row["url"] for row in line.rows("succeeded", urls=KEY)]
        said["collected"] = all_collected(LedgerReader(instance, declared), (KEY,))
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    main()
