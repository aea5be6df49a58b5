import itertools

import pytest

from thunderbit_dagster.storage.store import ParquetStore

_names = itertools.count()


@pytest.fixture(params=["local", "memory"])
def store(request, tmp_path):
    if request.param == "local":
        return ParquetStore(tmp_path / "data")
    return ParquetStore(f"memory://test-{next(_names)}")


@pytest.fixture
def local(tmp_path):
    return ParquetStore(tmp_path / "data")
