import crawl_world
import pytest


@pytest.fixture
def emulator_of(spoiled):
    """Makes emulators; each is an account of its own."""
    return spoiled


@pytest.fixture
def line(instance, emulator_of, tmp_path):
    """Makes code locations on an account of their own, with the caps of the resource as options."""

    def make(*crawls, emulator=None, instance=instance, **options):
        emulator = emulator or emulator_of()
        thunderbit = crawl_world.resource(emulator, **options)
        return crawl_world.Line(instance, emulator, tmp_path, crawls, thunderbit)

    return make
