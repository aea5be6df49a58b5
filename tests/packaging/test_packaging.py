"""The script that looks into wheel and sdist notices what is missing, foreign or misnamed."""

import importlib.util
import io
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INFO = "thunderbit_dagster-1.0.dist-info"
METADATA = """\
Metadata-Version: 2.4
Name: thunderbit-dagster
License-Expression: Apache-2.0
Description-Content-Type: text/markdown
Provides-Extra: bench
Provides-Extra: check
Provides-Extra: dev
Provides-Extra: distributed
Provides-Extra: polars
Provides-Extra: redis
Provides-Extra: emulator
Provides-Extra: test
Provides-Extra: webhooks
Requires-Dist: dagster<2,>=1.13

# thunderbit_dagster
"""


@pytest.fixture(scope="module")
def packaging():
    spec = importlib.util.spec_from_file_location("packaging_script", ROOT / "scripts" / "packaging.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def wheel(packaging, tmp_path):
    """Makes a wheel; without arguments, one that is right."""

    def make(*, without=(), extra=(), metadata=METADATA, entries=None):
        names = [*(name for name in packaging.IN_WHEEL if name not in without), *extra]
        file = tmp_path / "made.whl"
        with zipfile.ZipFile(file, "w") as archive:
            for name in names:
                archive.writestr(name, "")
            archive.writestr(f"{INFO}/METADATA", metadata)
            archive.writestr(f"{INFO}/entry_points.txt", entries or f"{packaging.SCRIPT}\n{packaging.REGISTRY}\n")
        return list(packaging.wheel_faults(file))

    return make


@pytest.fixture
def sdist(packaging, tmp_path):
    """Makes an sdist; without arguments, one that is right."""

    def make(*, without=(), extra=(), tracked=()):
        file = tmp_path / "made.tar.gz"
        with tarfile.open(file, "w:gz") as archive:
            for name in [*(name for name in packaging.IN_SDIST if name not in without), *extra]:
                archive.addfile(tarfile.TarInfo(f"thunderbit_dagster-1.0/{name}"), io.BytesIO())
        return list(packaging.sdist_faults(file, tracked))

    return make


def test_what_is_right_has_no_faults(wheel, sdist):
    assert wheel() == []
    assert sdist() == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"without": ["thunderbit_dagster/py.typed"]}, "py.typed"),
        ({"extra": ["tests/conftest.py"]}, "has tests/conftest.py"),
        ({"metadata": METADATA.replace("Apache-2.0", "MIT")}, "License-Expression"),
        ({"metadata": METADATA.replace("Provides-Extra: dev\n", "")}, "the extras are"),
        ({"metadata": METADATA.replace("dagster<2,>=1.13", "rich")}, "rich has no lower bound"),
        ({"metadata": METADATA.replace("# thunderbit_dagster", "")}, "not the README"),
        ({"entries": "[console_scripts]\n"}, "thunderbit-dagster = "),
    ],
)
def test_a_wheel_with_a_fault_is_noticed(wheel, change, fault):
    assert any(fault in told for told in wheel(**change))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"without": ["LICENSE"]}, "lacks LICENSE"),
        ({"tracked": ["docs/new.md"]}, "lacks docs/new.md"),
        ({"extra": ["data/x"]}, "has data/x"),
        ({"extra": ["tests/__pycache__/a.pyc"]}, "__pycache__"),
    ],
)
def test_an_sdist_with_a_fault_is_noticed(sdist, change, fault):
    assert any(fault in told for told in sdist(**change))


def test_the_running_python_is_found_and_an_impossible_one_is_not(packaging):
    assert packaging.find_python(sys.version_info[1]) == Path(sys.executable)
    assert packaging.find_python(99) is None
