"""Promise 3 without a daemon: an instance that lacks storages, as in a unit test, waits for its jobs and publishes."""

import threading
from unittest import mock

import dagster as dg
import pytest
from crawl_world import QUIET, crawl, one_partition

from thunderbit_dagster.collection import asset
from thunderbit_dagster.collection.wait import Waiter

EXECUTIONS = {
    "dg.materialize": lambda assets, resources, key: dg.materialize(
        assets, resources=resources, partition_key=key, run_config=QUIET
    ),
    "execute_in_process": lambda assets, resources, key: (
        dg.Definitions(assets, resources=resources)
        .resolve_implicit_global_asset_job_def()
        .execute_in_process(partition_key=key, run_config=QUIET)
    ),
    "an ephemeral instance": lambda assets, resources, key: dg.materialize(
        assets, resources=resources, partition_key=key, run_config=QUIET, instance=dg.DagsterInstance.ephemeral()
    ),
}


@pytest.fixture
def released_while_waited_for(held):
    """The pages finish once a run has begun to wait for its jobs; each wait is a short one."""

    def waiting(*arguments, **options):
        held.release()
        return Waiter(*arguments, **{**options, "sleep": lambda seconds: threading.Event().wait(min(seconds, 0.02))})

    with mock.patch.object(asset, "Waiter", waiting):
        yield held


@pytest.mark.parametrize("execute", EXECUTIONS.values(), ids=EXECUTIONS)
@pytest.mark.parametrize("partitioned", [True, False])
def test_jobs_that_take_a_while_are_waited_for(line, pages, released_while_waited_for, execute, *, partitioned):
    urls = pages.urls(3)
    docs = line(one_partition(urls) if partitioned else crawl(urls), emulator=released_while_waited_for)
    definitions = docs.definitions
    assets = [one for one in definitions.assets if isinstance(one, dg.AssetsDefinition)]
    assert execute(assets, definitions.resources, "all" if partitioned else None).success
    assert docs.urls("succeeded") == urls
    assert docs.posts == 1
