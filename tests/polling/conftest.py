import sys
from pathlib import Path

import polling_world
import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

sys.path.append(str(Path(__file__).parents[1] / "crawls"))
import crawl_world


@pytest.fixture(scope="session", autouse=True)
def _own_budget(tmp_path_factory):
    """Request budgets apart from those of the machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("THUNDERBIT_STATE_DIR", str(tmp_path_factory.mktemp("budget")))
        patch.delenv("THUNDERBIT_API_KEY", raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def _unsynced_sqlite():
    """Dagster's databases are files as ever, but no commit waits for the disk."""

    def relax(connection, _):
        connection.execute("PRAGMA synchronous=OFF")

    event.listen(Engine, "connect", relax)
    yield
    event.remove(Engine, "connect", relax)


@pytest.fixture(scope="session")
def api():
    """A quick API of its own process, shared by tests: read `asked` before relying on it."""
    with polling_world.status_server() as server:
        yield server


@pytest.fixture(scope="session")
def instance(tmp_path_factory):
    """A Dagster instance on disk, shared by tests: each has crawls of its own."""
    with polling_world.new_instance(tmp_path_factory.mktemp("dagster")) as instance:
        yield instance


@pytest.fixture(scope="session")
def pages():
    with crawl_world.Pages().serving() as pages:
        yield pages


@pytest.fixture
def line(instance, pages, tmp_path):
    """Makes code locations of one crawl, each with an emulator of its own with the given faults."""
    running = []

    def make(crawl, *rules, hold=False):
        faults = crawl_world.Faults(rules=rules)
        emulator = crawl_world.new_emulator(pages, faults=faults, hold=hold).__enter__()
        running.append(emulator)
        return crawl_world.Line(instance, emulator, tmp_path, [crawl], crawl_world.resource(emulator))

    yield make
    for emulator in running:
        emulator.__exit__(None, None, None)
