"""The shell blocks of each page run as they stand, in a shell each, with `dev`, `dg` and the servers as processes."""

import json
import os
import shutil

import pytest
from blocks import ROOT, STAND_IN, blocks, commands
from crawl_world import PLENTY, WIDE
from loopback_s3 import BUCKET, s3_server
from terminal import ELSEWHERE, Terminal
from test_docs_code import SHELL, pages_with

from thunderbit_dagster.emulator import Emulator
from thunderbit_dagster.emulator.site import Site

FOLLOWED = ROOT / "README.md"
"""Its section on `dg` is followed in tests/component/test_dg_project.py; the gate runs its `make` commands."""
FIRST = ROOT / "docs" / "getting-started.md"
"""Whose definitions a reader has who comes to a page without any."""
KEY = "tb_0123456789abcdef0123456789abcdef"
WEBHOOKS = "https://hooks.example.com"
S3 = "http://minio.example.com:9000"


def shell_pages():
    return [page for page in pages_with(*SHELL) if page.values[0] != FOLLOWED]


def typed(page):
    return [command for block in blocks(page) if block.language in SHELL and block.runs for command in commands(block)]


@pytest.fixture
def clean_env():
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("THUNDERBIT_", "DAGSTER_", "AWS_"))
    }
    return {**kept, "DAGSTER_DISABLE_TELEMETRY": "yes", "DG_CLI_SUPPRESS_UPDATE_CHECK": "1"}


@pytest.fixture
def terminal(tmp_path, clean_env):
    """A shell beside an account, which has an S3 server too; what the page says of both is true of them."""
    folder = tmp_path / "shell"
    home = folder / "home"
    home.mkdir(parents=True)
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with Site() as site, s3_server(tmp_path) as s3, Terminal(folder, clean_env) as terminal:
        receiver = f"http://127.0.0.1:{terminal.ports['8720']}"
        terminal.stand_ins |= {STAND_IN: site.base_url, WEBHOOKS: receiver, S3: s3}
        origins = (site.base_url, receiver)
        with Emulator(plan=WIDE, credits=PLENTY, allow_origins=origins, api_key=KEY) as account:
            terminal.env |= {"THUNDERBIT_BASE_URL": account.base_url, "THUNDERBIT_DEMO_SITE": site.base_url}
            terminal.stand_ins["ThunderbitResource("] = f"ThunderbitResource(base_url={account.base_url!r}, "
            yield terminal


def open_for(page, terminal):
    """What the reader of a page has by then: files, a Dagster instance, a key."""
    shutil.copytree(ROOT / "examples", terminal.folder / "examples")
    code = python_of(page)
    begun = code if "build_crawl_definitions(" in code else python_of(FIRST)
    terminal.write(begun)
    if not any(command.startswith("thunderbit-dagster dev") for command in typed(page)):
        terminal.env |= {"DAGSTER_HOME": str(terminal.folder / "home"), "THUNDERBIT_API_KEY": KEY}


def python_of(page):
    found = [block for block in blocks(page) if block.language == "python" and block.runs and not block.note]
    return "\n".join(block.text for block in found)


@pytest.mark.slow
@pytest.mark.parametrize("page", shell_pages())
def test_every_command_of_a_page_runs(page, terminal):
    open_for(page, terminal)
    for block in blocks(page):
        if block.language == "yaml" and terminal.project:
            file = terminal.project.package / "defs" / "docs" / "defs.yaml"
            file.write_text(terminal.says(block.text))
        for command in commands(block) if block.language in SHELL and block.runs else []:
            terminal.type(command)
    if "export" in page.read_text():
        settled(page, terminal)


def settled(page, terminal):
    """The settings that a page exports are the ones that the doctor needs."""
    on_s3 = S3 in page.read_text()
    if on_s3:
        terminal.write(python_of(FIRST).replace('"data/parquet"', f'"s3://{BUCKET}/parquet"'))
    report = json.loads(terminal.run(["thunderbit-dagster", "doctor", "--free", "--json"]))
    found = {check["check"]: check for check in report["checks"]}
    assert found["storage"]["status"] == "ok"
    assert ("s3://" in found["storage"]["seen"]) == on_s3


def test_what_is_not_run_here_is_little():
    words = {command.split()[0] for page in shell_pages() for command in typed(page.values[0])}
    assert words & set(ELSEWHERE) <= {"pip", "make", ".ci/run"}
    assert {"thunderbit-dagster", "dg", "export"} <= words
