import textwrap
from contextlib import ExitStack

import pytest
from dagster.components.testing import create_defs_folder_sandbox

from thunderbit_dagster import ThunderbitCrawlComponent

TYPE = "type: thunderbit_dagster.ThunderbitCrawlComponent\n"


class Project:
    """A `dg` project in a temporary folder."""

    def __init__(self, sandbox, stack):
        self.sandbox = sandbox
        self.root = sandbox.project_root
        self._stack = stack

    def write(self, path, text):
        file = self.sandbox.defs_folder_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text), encoding="utf-8")
        return file

    def instance(self, attributes, folder="docs"):
        """An instance of the component, given its attributes."""
        text = TYPE + "attributes:\n" + textwrap.indent(textwrap.dedent(attributes), "  ")
        return self.write(f"{folder}/defs.yaml", text)

    def tree(self):
        return self._stack.enter_context(self.sandbox.build_component_tree())

    def component(self, attributes):
        self.instance(attributes)
        return self.tree().get_all_components(ThunderbitCrawlComponent)[0]

    def crawl(self, settings):
        """The only crawl of an instance, given its settings beside `name` and `request`."""
        given = textwrap.dedent(settings).strip()
        if "request:" not in given:
            given += "\nrequest: {type: distill}"
        text = textwrap.indent(given, "    ")
        (crawl,) = self.component(f"crawls:\n  - name: docs\n{text}").crawls
        return crawl

    def definitions(self, attributes=None):
        if attributes is not None:
            self.instance(attributes)
        return self.tree().build_defs()

    def error(self, attributes):
        """What loading says."""
        self.instance(attributes)
        with pytest.raises(Exception) as caught:  # noqa: PT011 - Dagster wraps the error in one of its own
            self.tree().build_defs()
        chain = [caught.value]
        while chain[-1].__cause__ is not None:
            chain.append(chain[-1].__cause__)
        return str(chain[-1])


@pytest.fixture
def project(monkeypatch):
    for name in ("THUNDERBIT_API_KEY", "THUNDERBIT_BASE_URL", "THUNDERBIT_DATA_URI", "THUNDERBIT_REQUESTS_PER_MINUTE"):
        monkeypatch.delenv(name, raising=False)
    with ExitStack() as stack:
        yield Project(stack.enter_context(create_defs_folder_sandbox()), stack)
