"""Run by the Python of a fresh environment: the installed package crawls a few pages of the bundled site."""

import tempfile
from pathlib import Path

import dagster as dg

import thunderbit_dagster as td
from thunderbit_dagster.emulator import Emulator
from thunderbit_dagster.emulator.site import Site

assert all(getattr(td, name) for name in td.__all__)
assert "site-packages" in str(td.__file__)

folder = Path(tempfile.mkdtemp())
with Site() as site, Emulator(plan="pro", allow_origins=[site.base_url]) as emulator:
    pages = [f"{site.base_url}/guides/{name}" for name in ("alerts", "backups", "no-such-page")]
    crawl = td.Crawl(name="docs", urls={"guides": pages, "nothing": pages[2:]}, request=td.Distill(metadata=True))
    thunderbit = td.ThunderbitResource(
        api_key=emulator.api_key, base_url=emulator.base_url, requests_per_minute=100, max_credits_per_run=10
    )
    store = td.ParquetStore(folder)
    definitions = td.build_crawl_definitions([crawl], thunderbit=thunderbit, store=store)
    dg.Definitions.validate_loadable(definitions)
    with dg.DagsterInstance.local_temp() as instance:
        for key, expected in {"guides": (2, 1), "nothing": (0, 1)}.items():
            done = dg.materialize(
                [*(definitions.assets or []), *(definitions.asset_checks or [])],
                instance=instance,
                resources=definitions.resources,
                partition_key=key,
            )
            assert done.success
            assert {check.check_name: check.passed for check in done.get_asset_check_evaluations()}["conservation"]
            rows = tuple(store.read("docs", table, {"urls": key}).num_rows for table in ("succeeded", "failed"))
            assert rows == expected, rows
