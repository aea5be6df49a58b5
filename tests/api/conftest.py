from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import settings
from loopback import Clock, Face, Service

settings.register_profile("loopback", deadline=None)  # machines under load are slow now and then
settings.load_profile("loopback")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service() -> Iterator[Service]:
    with Service().running() as running:
        yield running


@pytest.fixture(params=["sync", "async"])
def make_face(request: pytest.FixtureRequest, service: Service, clock: Clock) -> Iterator[Callable[..., Face]]:
    made: list[Face] = []

    def make(**options: object) -> Face:
        base_url = options.pop("base_url", service.base_url)
        made.append(Face(request.param, base_url, clock, **options))
        return made[-1]

    yield make
    for face in made:
        face.close()


@pytest.fixture
def face(make_face: Callable[..., Face]) -> Face:
    return make_face()
