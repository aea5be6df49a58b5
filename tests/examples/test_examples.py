"""Each example loads without the network, and its main line runs against emulator and demo site."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import crawl_world
import dagster as dg
import duckdb
import pytest
from click.testing import CliRunner
from ports import free_port

from thunderbit_dagster.cli import main
from thunderbit_dagster.definitions import builds
from thunderbit_dagster.emulator.site import Site

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = sorted(file.parent.name for file in EXAMPLES.glob("*/definitions.py"))
OFFLINE = """
import sys
def forbid(event, arguments):
    if event in ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto"):
        raise SystemExit(f"{event} {arguments[1:]}")
sys.addaudithook(forbid)
import dagster as dg
import definitions
# Dagster refuses a file with several.
[defs] = [value for value in vars(definitions).values() if isinstance(value, dg.Definitions)]
assert defs.get_repository_def().get_sensor_def("thunderbit_jobs")
print("loaded")
"""


@pytest.fixture
def port():
    """Where the demo site is, in any of its revisions."""
    return free_port()


@pytest.fixture
def place(tmp_path, monkeypatch, port):
    """An empty folder to work in, the emulator as account, and a Dagster instance."""
    origin = f"http://127.0.0.1:{port}"
    monkeypatch.chdir(tmp_path)
    for name in ("API_KEY", "DATA_URI", "WEBHOOK_URL"):
        monkeypatch.delenv(f"THUNDERBIT_{name}", raising=False)
    with (
        crawl_world.Emulator(plan=crawl_world.WIDE, credits=10_000, allow_origins=(origin,)) as emulator,
        crawl_world.new_instance(tmp_path, spare=True) as instance,
    ):
        monkeypatch.setenv("THUNDERBIT_DEMO_SITE", origin)
        monkeypatch.setenv("THUNDERBIT_BASE_URL", emulator.base_url)
        yield Place(tmp_path, origin, emulator, instance)


class Place:
    """Where an example is run."""

    def __init__(self, root, origin, emulator, instance):
        self.root, self.origin, self.emulator, self.instance = root, origin, emulator, instance

    def load(self, name):
        """The module of an example, and a line that drives its crawl as the daemon would."""
        spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / name / "definitions.py")
        module = importlib.util.module_from_spec(spec)
        noted = []
        token = builds.set(noted)
        try:
            spec.loader.exec_module(module)
        finally:
            builds.reset(token)
        line = crawl_world.Line(self.instance, self.emulator, self.root, noted[0].crawls, noted[0].thunderbit)
        line.store = noted[0].store
        return module, line

    def materialize(self, asset, key):
        return dg.materialize([asset], instance=self.instance, partition_key=key, run_config=crawl_world.QUIET)


def crawl(line, *keys):
    """Submit, tick, collect: nothing waits in a run."""
    assert line.submit(*keys).success
    line.until_jobs_end()
    collected = line.tick_and_launch()
    assert collected
    assert all(run is not None and run.success for run in collected)


@pytest.mark.parametrize("name", NAMES)
def test_it_loads_without_the_network(name, tmp_path):
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", OFFLINE],
        cwd=EXAMPLES / name,
        env={"PATH": "", "HOME": str(tmp_path), "PYTHONPATH": str(EXAMPLES.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.stdout.strip(), ended.returncode) == ("loaded", 0), ended.stderr


def test_every_example_is_described():
    assert NAMES == ["docs_rag", "product_catalogue", "url_archive"]
    text = (EXAMPLES / "README.md").read_text()
    assert all(f"({name}/README.md)" in text for name in NAMES)


def test_the_catalogue_reports_what_changed_between_two_days(place, port):
    module, line = place.load("product_catalogue")
    days = line.crawl.partitions_def.get_partition_keys()[-2:]
    for revision, day in enumerate(days, 1):
        with Site(revision=revision, port=port):
            crawl(line, day)
        done = place.materialize(module.changes, day)
        assert done.success
    report = {row["url"].rpartition("/")[2]: row["change"] for row in done.output_for_node("changes")}
    assert report == {"tg-1-radar-gauge": "changed", "drying-capsules": "changed", "tide-clock": "gone"}


def test_a_page_that_could_not_be_fetched_has_not_vanished(place):
    module, _ = place.load("product_catalogue")
    before = {"a": "1", "b": "1", "c": "1", "d": "1"}
    kinds = module.compare(before, {"a": "1", "b": "2", "e": "1"}, unreadable={"c"})
    assert kinds == {"a": "unchanged", "b": "changed", "c": "unknown", "d": "gone", "e": "new"}


def test_the_documentation_becomes_chunks_whose_ids_stay(place, port):
    module, line = place.load("docs_rag")
    with Site(port=port):
        crawl(line, "guides")
    assert place.materialize(module.chunks, "guides").success
    [(pages, chunks, ids, longest)] = duckdb.sql(
        "select count(distinct url), count(*), count(distinct chunk_id), max(length(text)) "
        "from read_parquet('data/docs/chunks/**/*.parquet')"
    ).fetchall()
    assert pages == len(line.store.read("docs", "succeeded", {"urls": "guides"}))
    assert chunks == ids > pages
    assert longest < 3 * module.LONGEST
    again = module.chunks_of("u", "# A\n\none\n\n# B\n\ntwo")
    changed = module.chunks_of("u", "# A\n\none\n\n# B\n\nthree")
    assert again[0]["chunk_id"] == changed[0]["chunk_id"]
    assert again[1]["chunk_id"] != changed[1]["chunk_id"]


def test_the_archive_packs_months_and_shards_into_one_job(place, port, monkeypatch):
    listed = [line for line in (EXAMPLES / "url_archive" / "urls.txt").read_text().splitlines() if line[:1] != "#"]
    monkeypatch.setenv("ARCHIVE_URLS", str(place.root / "urls.txt"))
    (place.root / "urls.txt").write_text("\n".join(listed).replace("http://127.0.0.1:8711", place.origin))
    monkeypatch.setenv("DAGSTER_HOME", str(place.root))
    (place.root / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    file = str(EXAMPLES / "url_archive" / "definitions.py")
    planned = CliRunner().invoke(main, ["plan", "-f", file, "--partitions", "2026-01-01*,2026-03-01*", "--json"])
    assert planned.exit_code == 0, planned.output
    assert f'"to_send": {2 * len(listed)}' in planned.stdout
    _, line = place.load("url_archive")
    with Site(port=port):
        crawl(line, "2026-01-01|shard-0", "2026-03-01|shard-3")
    assert len(line.jobs) == 1
    found = line.store.scan("archive", "succeeded").to_table(columns=["url", "date", "urls"]).to_pylist()
    assert {row["date"] for row in found} == {"2026-01-01", "2026-02-01", "2026-03-01"}
    assert len(found) == 3 * len(listed)
