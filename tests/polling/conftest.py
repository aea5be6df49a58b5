import crawl_world
import polling_world
import pytest


@pytest.fixture(scope="session")
def api():
    """A quick API of its own process, shared by tests: read `asked` before relying on it."""
    with polling_world.status_server() as server:
        yield server


@pytest.fixture
def line(instance, spoiled, tmp_path):
    """Makes code locations of one crawl, each with an emulator of its own with the given faults."""

    def make(crawl, *rules, hold=False):
        emulator = spoiled(*rules, hold=hold)
        return crawl_world.Line(instance, emulator, tmp_path, [crawl], crawl_world.resource(emulator))

    return make
