from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from loopback import Clock, Face, Service

settings.register_profile("loopback", deadline=None)  # machines under load are slow now and then
settings.load_profile("loopback")


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Budgets that a test leaves to the client are not shared with other tests or runs."""
    monkeypatch.setenv("THUNDERBIT_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service() -> Iterator[Service]:
    with Service().running() as running:
        yield running


@pytest.fixture
def make_face(service: Service, clock: Clock) -> Iterator[Callable[..., Face]]:
    made: list[Face] = []

    def make(**options: object) -> Face:
        base_url = options.pop("base_url", service.base_url)
        made.append(Face(base_url, clock, **options))
        return made[-1]

    yield make
    for face in made:
        face.client.close()


@pytest.fixture
def face(make_face: Callable[..., Face]) -> Face:
    return make_face()
