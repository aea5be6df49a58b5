"""What the tests of crawls stand on: pages, emulators, Dagster instances, and code locations."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import crawl_world
import pytest
from quick_dagster import quick_dagster

from thunderbit_dagster.collection import collect


@pytest.fixture(scope="session", autouse=True)
def _own_budget(tmp_path_factory):
    """Request budgets apart from those of the machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("THUNDERBIT_STATE_DIR", str(tmp_path_factory.mktemp("budget")))
        patch.delenv("THUNDERBIT_API_KEY", raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_pause():
    """Reading a job again takes no time here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collect, "REREAD_SECONDS", 0.0)
        yield


@pytest.fixture(scope="session", autouse=True)
def _quick_dagster():
    """Dagster's databases are files as ever, but stay open."""
    with quick_dagster():
        yield


@pytest.fixture(scope="session")
def end_later():
    """Ends a server that is no longer needed; uvicorn takes a tenth of a second, for which no test waits."""
    ending = []
    with ThreadPoolExecutor(4) as threads:
        yield lambda server: ending.append(threads.submit(server.__exit__, None, None, None))
    for one in ending:
        one.result()


@pytest.fixture(scope="session")
def pages():
    with crawl_world.Pages().serving() as pages:
        yield pages


@pytest.fixture(scope="module")
def instance(tmp_path_factory):
    """A Dagster instance on disk, shared by the tests of a module: each has crawls of its own."""
    with crawl_world.new_instance(tmp_path_factory.mktemp("dagster"), spare=True) as instance:
        yield instance


@pytest.fixture
def own_instance(tmp_path):
    """A Dagster instance on disk for one test, with the storage that Dagster has by default."""
    home = tmp_path / "dagster"
    home.mkdir()
    with crawl_world.new_instance(home) as instance:
        yield instance


@pytest.fixture(scope="session")
def emulator(pages):
    """An emulator without faults, shared by tests: none may leave it held."""
    with crawl_world.new_emulator(pages) as emulator:
        yield emulator


@pytest.fixture
def spoiled(pages, end_later):
    """Makes emulators with faults or limits of their own; each is an account of its own, since its origin is."""
    running = []

    def make(*rules, faults=None, **options):
        faults = faults or crawl_world.Faults(rules=rules)
        options.setdefault("api_key", f"tb_{uuid4().hex}")  # ports come again, keys do not
        running.append(crawl_world.new_emulator(pages, faults=faults, **options).__enter__())
        return running[-1]

    yield make
    for emulator in running:
        end_later(emulator)


@pytest.fixture
def line(instance, emulator, tmp_path):
    """Makes code locations of crawls, of mappings, and of lists, which become the partition `all`."""

    def declare(urls):
        if isinstance(urls, crawl_world.Crawl):
            return urls
        return crawl_world.crawl(urls) if isinstance(urls, dict) else crawl_world.one_partition(urls)

    def make(*crawls, emulator=emulator, instance=instance, thunderbit=None, on_lost_reply="wait", **options):
        made = [declare(one) for one in crawls]
        thunderbit = thunderbit or crawl_world.resource(emulator, on_lost_reply=on_lost_reply)
        return crawl_world.Line(instance, emulator, tmp_path, made, thunderbit, **options)

    return make


@pytest.fixture
def held(emulator):
    """The shared emulator with no page finishing until released, and released at the end."""
    emulator.hold_pages()
    yield emulator
    emulator.release()
