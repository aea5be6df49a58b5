import sys
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

sys.path.insert(0, str(Path(__file__).parent.parent / "crawls"))

import crawl_world


@pytest.fixture(scope="session", autouse=True)
def _own_budget(tmp_path_factory):
    """Request budgets apart from those of the machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("THUNDERBIT_STATE_DIR", str(tmp_path_factory.mktemp("budget")))
        patch.delenv("THUNDERBIT_API_KEY", raising=False)
        yield


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch):
    """Reading a job again takes no time here."""
    monkeypatch.setattr("thunderbit_dagster.collection.collect.REREAD_SECONDS", 0.0)


@pytest.fixture(scope="session", autouse=True)
def _unsynced_sqlite():
    """Dagster's databases are files as ever, but no commit waits for the disk."""

    def relax(connection, _):
        connection.execute("PRAGMA synchronous=OFF")

    event.listen(Engine, "connect", relax)
    yield
    event.remove(Engine, "connect", relax)


@pytest.fixture(scope="session")
def pages():
    with crawl_world.Pages().serving() as pages:
        yield pages


@pytest.fixture(scope="session")
def instance(tmp_path_factory):
    """A Dagster instance on disk, shared by tests: each has crawls and an account of its own."""
    with crawl_world.new_instance(tmp_path_factory.mktemp("dagster"), spare=True) as instance:
        yield instance


@pytest.fixture
def emulator_of(pages):
    """Makes emulators; each is an account of its own, since its origin is."""
    running = []

    def make(*rules, faults=None, **options):
        faults = faults or crawl_world.Faults(rules=rules)
        running.append(crawl_world.new_emulator(pages, faults=faults, **options).__enter__())
        return running[-1]

    yield make
    for emulator in running:
        emulator.__exit__(None, None, None)


@pytest.fixture
def line(instance, emulator_of, tmp_path):
    """Makes code locations on an account of their own, with the caps of the resource as options."""

    def make(*crawls, emulator=None, instance=instance, **options):
        emulator = emulator or emulator_of()
        thunderbit = crawl_world.resource(emulator, **options)
        return crawl_world.Line(instance, emulator, tmp_path, crawls, thunderbit)

    return make
