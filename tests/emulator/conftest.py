"""Fixtures: the site, and emulators that may fetch it."""

from collections.abc import Callable, Iterator

import pytest
from emulator_support import ROOMY, Api, Start, TargetSite
from hypothesis import settings

from thunderbit_dagster.emulator import Emulator

settings.register_profile("emulator", deadline=None)  # machines under load are slow now and then
settings.load_profile("emulator")


@pytest.fixture
def site() -> Iterator[TargetSite]:
    target = TargetSite()
    yield target
    target.close()


@pytest.fixture
def start(site: TargetSite, end_later: Callable[[Emulator], None]) -> Iterator[Start]:
    """Starts emulators that may fetch the site; they end with the test."""
    running: list[Api] = []

    def begin(**settings: object) -> Api:
        settings = {"plan": ROOMY, "credits": 100_000, "allow_origins": (site.origin,), **settings}
        api = Api(Emulator(**settings).__enter__())
        running.append(api)
        return api

    yield begin
    for api in running:
        api.http.close()
        end_later(api.emulator)


@pytest.fixture
def api(start: Start) -> Api:
    return start()
