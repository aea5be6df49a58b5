"""Fixtures of the distributed tests. Without the services these skip and say what lacks; the gate lets none skip."""

from __future__ import annotations

import sys
from pathlib import Path

import crawl_world
import dagster as dg
import pytest
import services

# The tests of other folders that are run here once more.
sys.path[:0] = [str(Path(__file__).parents[1] / name) for name in ("polling", "crawl")]


@pytest.fixture(scope="session")
def services_are_installed():
    if lacking := services.missing():
        pytest.skip(f"the distributed tests need: {'; '.join(lacking)}")
    return True


@pytest.fixture(scope="session")
def postgres(services_are_installed):
    """A database; the environment by which deploy/dagster.yaml finds it."""
    assert services_are_installed
    with services.postgres() as env:
        yield env


@pytest.fixture(scope="session")
def instance(postgres, tmp_path_factory):
    """A Dagster instance on PostgreSQL, in place of the one on SQLite that these tests otherwise share."""
    settings = services.instance_settings(postgres, "apart")
    home = tmp_path_factory.mktemp("postgres-instance")
    with dg.DagsterInstance.local_temp(str(home), overrides=settings) as instance:
        yield instance


@pytest.fixture
def own_instance(instance):
    return instance


@pytest.fixture(scope="session")
def api():
    import polling_world  # noqa: PLC0415  # found by the path above

    with polling_world.status_server() as server:
        yield server


@pytest.fixture(scope="session")
def emulator(pages):
    with crawl_world.new_emulator(pages) as emulator:
        yield emulator
