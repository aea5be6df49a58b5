"""Every code block of the documentation runs, as a reader would run it.

The Python of a page runs from top to bottom in one namespace, in an empty folder, against an emulator; the demo site
stands in for https://example.com. What it declares is crawled, and the assets that a block defines are materialized.
"""

import re
from contextlib import ExitStack

import crawl_world
import dagster as dg
import pytest
import shell
from blocks import AFTER_A_CRAWL, NOT_RUN, REASON_LETTERS, ROOT, STAND_IN, blocks, commands, pages
from dagster.components.testing import create_defs_folder_sandbox

from thunderbit_dagster import AssetColumn, Crawl
from thunderbit_dagster.definitions import builds
from thunderbit_dagster.emulator.site import Site

ALL = [block for page in pages() for block in blocks(page)]
SHELL = ("bash", "console", "sh")
BESIDE = {
    "reference.txt": "https://example.com/reference/units\n",
    "pages.py": "from pydantic import BaseModel\n\n\n"
    "class Product(BaseModel):\n    name: str\n\n\n"
    "def products() -> list[str]:\n    return ['https://example.com/products/pi-hat']\n",
}
"""Files that the pages say lie beside an instance of the component."""
LANGUAGES = ("python", "yaml", *SHELL)


def of(*languages):
    return [block for block in ALL if block.language in languages and block.runs]


def pages_with(*languages):
    found = dict.fromkeys(block.page for block in of(*languages))
    return [pytest.param(page, id=str(page.relative_to(ROOT))) for page in found]


@pytest.fixture(scope="module")
def site():
    with Site() as site:
        yield site


@pytest.fixture(scope="module")
def account(site):
    with crawl_world.Emulator(
        plan=crawl_world.WIDE, credits=crawl_world.PLENTY, allow_origins=(site.base_url,)
    ) as emulator:
        yield emulator


@pytest.fixture
def reader(tmp_path, monkeypatch, site, account):
    """A reader's terminal: an empty folder, a Dagster instance, and the settings of an account."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    (tmp_path / "urls.txt").write_text(f"{site.base_url}/guides/alerts\n")
    monkeypatch.chdir(tmp_path)
    settings = {"API_KEY": account.api_key, "BASE_URL": account.base_url, "DEMO_SITE": site.base_url}
    for name in ("DATA_URI", "WEBHOOK_URL", "WEBHOOK_SECRET", "REQUESTS_PER_MINUTE"):
        monkeypatch.delenv(f"THUNDERBIT_{name}", raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(f"THUNDERBIT_{name}", value)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    with crawl_world.new_instance(tmp_path / "home", spare=True) as instance:
        yield Reader(tmp_path, site.base_url, account, instance)


class Reader:
    """Someone who copies a page's blocks, one after the other."""

    def __init__(self, folder, origin, account, instance):
        self.folder = folder
        self.origin = origin
        self.account = account
        self.instance = instance
        self.namespace = {"__name__": "page"}
        self.noted = []
        self.crawled = set()

    def code(self, block):
        """The text, with the demo site for example.com and the emulator for the real API."""
        own = f"ThunderbitResource(base_url={self.account.base_url!r}, "
        return block.text.replace(STAND_IN, self.origin).replace("ThunderbitResource(", own)

    def runs(self, block):
        """Execute a block, then crawl what it was told to, and materialize the assets it defines."""
        if block.note == AFTER_A_CRAWL:
            self.crawl()
        known = {id(value) for value in self.namespace.values()}
        token = builds.set(self.noted)
        try:
            exec(compile("\n" * block.line + self.code(block), str(block.page), "exec"), self.namespace)  # noqa: S102
        finally:
            builds.reset(token)
        new = [value for value in self.namespace.values() if id(value) not in known]
        for definitions in new:
            if isinstance(definitions, dg.Definitions):
                dg.Definitions.validate_loadable(definitions)
        self.materialize([value for value in new if isinstance(value, dg.AssetsDefinition)])

    def crawl(self):
        """The newest partitions of every crawl declared so far, submitted and collected."""
        for built in self.noted:
            for crawl in built.crawls:
                if crawl.name not in self.crawled and not crawl.is_dynamic:
                    self.crawled.add(crawl.name)
                    self.crawl_one(crawl, built.store)

    def crawl_one(self, crawl, store):
        thunderbit = crawl_world.resource(self.account)
        line = crawl_world.Line(self.instance, self.account, self.folder, [crawl], thunderbit)
        line.store = store
        for key in keys_of(crawl):
            result = line.materialize_all(*([key] if key else []))
            assert result.success, f"{crawl.name} {key}"
            checks = {check.check_name: check.passed for check in result.get_asset_check_evaluations()}
        assert checks["conservation"], f"{crawl.name} {key}"

    def materialize(self, assets):
        """Each asset, beside those that it may depend on."""
        declared = [value for value in self.namespace.values() if isinstance(value, dg.Definitions)]
        known = {asset.key: asset for one in declared for asset in one.assets or () if is_single(asset)}
        others = [asset for one in declared[-1:] for asset in one.assets or () if not is_single(asset)]
        resources = {name: value for one in declared for name, value in (one.resources or {}).items()}
        for asset in assets:
            partitions = asset.partitions_def
            done = dg.materialize(
                [*{**known, asset.key: asset}.values(), *others],
                selection=[asset],
                instance=self.instance,
                resources={**resources, "thunderbit": crawl_world.resource(self.account)},
                partition_key=partitions.get_partition_keys()[-1] if partitions else None,
                run_config=crawl_world.QUIET,
            )
            assert done.success


def is_single(asset):
    return isinstance(asset, dg.AssetsDefinition) and len(list(asset.keys)) == 1


def keys_of(crawl: Crawl):
    """Its newest date, of each URL partition that needs no other asset; [None] without partitions."""
    if crawl.partitions_def is None:
        return [None]
    sources = crawl.urls if isinstance(crawl.urls, dict) else {}
    urls = [key for key in crawl.url_keys if not isinstance(sources.get(key), AssetColumn)][:2]
    dates = crawl.cadence.get_partition_keys()[-1:] if crawl.cadence else []
    return [f"{date}|{key}" for date in dates for key in urls] or dates or urls


def test_there_are_blocks():
    assert len(ALL) > 40
    assert {block.language for block in ALL} <= set(LANGUAGES), [str(b) for b in ALL if b.language not in LANGUAGES]


def test_a_block_that_is_not_run_says_why():
    for block in ALL:
        letters = len(re.findall(r"[A-Za-z]", block.reason))
        assert block.runs or letters >= REASON_LETTERS, f"{block} is not run, without a reason"
        assert block.note in ("", AFTER_A_CRAWL) or block.note.startswith(NOT_RUN), f"{block}: {block.note!r}"


@pytest.mark.parametrize("page", pages_with("python"))
def test_python(page, reader):
    for block in blocks(page):
        if block.language == "python" and block.runs:
            reader.runs(block)
    reader.crawl()
    declared = [name for name, value in reader.namespace.items() if isinstance(value, dg.Definitions)]
    assert len(declared) <= 1, f"Dagster does not load a file with several Definitions: {', '.join(declared)}"


@pytest.mark.parametrize("block", [pytest.param(block, id=str(block)) for block in of("yaml")])
def test_yaml(block, reader, monkeypatch):
    assert block.text.startswith("type: thunderbit_dagster."), "only instances of the component are checked"
    with ExitStack() as stack:
        sandbox = stack.enter_context(create_defs_folder_sandbox())
        file = sandbox.defs_folder_path / "docs" / "defs.yaml"
        file.parent.mkdir()
        file.write_text(reader.code(block))
        for name, text in BESIDE.items():
            file.with_name(name).write_text(text)
        monkeypatch.chdir(sandbox.project_root)
        tree = stack.enter_context(sandbox.build_component_tree())
        dg.Definitions.validate_loadable(tree.build_defs())


@pytest.mark.parametrize("page", pages_with(*SHELL))
def test_commands_exist(page):
    for block in blocks(page):
        for command in commands(block) if block.language in SHELL and block.runs else []:
            assert shell.check(command) == "", f"{block}: {command}"


def test_a_wrong_command_is_noticed():
    wrong = {
        "thunderbit-dagster dance": "dance",
        "thunderbit-dagster plan --no-such-option": "--no-such-option",
        "dagster no-such-command": "no-such-command",
        "dg check nothing": "nothing",
        "dg scaffold defs thunderbit_dagster.Nothing docs": "thunderbit_dagster.Nothing",
        "make cake": "cake",
        "pip install 'thunderbit-dagster[cheese]'": "cheese",
        "export THUNDERBIT_NOTHING=1": "THUNDERBIT_NOTHING",
        "no-such-program": "no-such-program",
    }
    assert all(told in shell.check(command) for command, told in wrong.items())


def test_links_lead_somewhere():
    for page in pages():
        text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            path, _, anchor = target.partition("#")
            if "://" in target:
                continue
            file = (page.parent / path) if path else page
            assert file.exists(), f"{page.name}: {target}"
            if anchor:
                headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
                slugs = {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}
                assert anchor in slugs, f"{page.name}: {target}"
