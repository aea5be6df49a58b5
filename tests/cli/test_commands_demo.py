"""The demo's last line is a command that works where it was typed; `dev` and `demo` share a folder, one at a time."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from streams import runner

from thunderbit_dagster.cli import main
from thunderbit_dagster.cli.dev.demo import next_command
from thunderbit_dagster.cli.workspace import OWN_SETTINGS, Workspace, own_settings, ui_url

ROOT = Path(__file__).parents[2]
DATA = Path("data")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder to work in, with nothing set."""
    for name in OWN_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def installed(place, monkeypatch):
    """A virtual environment with the program in it; says how the program is called."""
    script = place / ".venv" / "bin" / "thunderbit-dagster"
    script.parent.mkdir(parents=True)
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")

    def called(argument, *, on_path=False):
        if on_path:
            monkeypatch.setenv("PATH", f"{script.parent}:/usr/bin:/bin")
        monkeypatch.setattr(sys, "argv", [argument, "demo"])

    return called


def test_on_the_path_the_program_is_called_by_its_name(installed, place):
    installed(str(place / ".venv/bin/thunderbit-dagster"), on_path=True)
    assert next_command(DATA, None) == "thunderbit-dagster dev --demo"


def test_off_the_path_it_is_called_as_it_was(installed):
    installed(".venv/bin/thunderbit-dagster")
    assert next_command(DATA, None) == ".venv/bin/thunderbit-dagster dev --demo"


def test_another_installation_on_the_path_is_not_the_one(installed, place, monkeypatch):
    installed(".venv/bin/thunderbit-dagster")
    other = place / "other"
    other.mkdir()
    shutil.copy(place / ".venv/bin/thunderbit-dagster", other)
    monkeypatch.setenv("PATH", str(other))
    assert next_command(DATA, None) == ".venv/bin/thunderbit-dagster dev --demo"


def test_as_a_module_it_is_called_by_its_python(installed):
    installed(str(ROOT / "thunderbit_dagster" / "cli" / "__main__.py"))
    assert next_command(DATA, None) == f"{sys.executable} -m thunderbit_dagster.cli dev --demo"


def test_folder_and_list_of_urls_are_named_when_they_are_not_the_usual_ones(installed):
    installed(".venv/bin/thunderbit-dagster")
    words = ".venv/bin/thunderbit-dagster dev --demo --dir 'my data' --urls urls.txt"
    assert next_command(Path("my data"), Path("urls.txt")) == words


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
@pytest.mark.parametrize(("given", "then"), [([], "make dev"), (["URLS=urls.txt"], "make dev URLS=urls.txt")])
def test_make_demo_leads_to_make_dev_which_takes_the_same_list(given, then):
    def lines(target):
        return subprocess.run(
            ["make", "-n", target, *given], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout

    assert f"--dev-command '{then}'" in lines("demo")
    assert ("dev --urls urls.txt" in lines("dev")) == bool(given)


@pytest.mark.parametrize("name", OWN_SETTINGS)
def test_a_setting_that_would_lead_dev_away_from_the_demo_is_noticed(place, monkeypatch, name):
    assert own_settings() == []
    monkeypatch.setenv(name, "something")
    (place / ".env").touch()
    assert own_settings() == [name, ".env"]


@pytest.mark.parametrize("command", ["dev", "demo"])
def test_two_of_them_do_not_work_in_one_folder(place, command):
    with Workspace(place / "data").in_use() as ports:
        refused = runner().invoke(main, [command])
    assert refused.exit_code == 1
    assert f"is running in {place / 'data'}, with its UI on {ui_url(ports)}. Stop it first" in refused.stderr
    assert not (place / "data" / "logs").exists()
    with Workspace(place / "data").in_use():
        pass  # free again


def test_dev_shows_either_the_demo_or_a_file(place):
    (place / "definitions.py").touch()
    refused = runner().invoke(main, ["dev", "--demo", "-f", "definitions.py"])
    assert refused.exit_code == 2
    assert "use only one of them" in refused.stderr
