"""A key that can be recognised, looked for in all that Dagster keeps of a code location in YAML."""

from __future__ import annotations

import dagster as dg
import pytest

KEY = "tb_ca4a41ca4a41ca4a41ca4a41ca4a4100"
WEBHOOK_SECRET = "whsec-canary-9931"
COOKIE = "session=cookie-canary-9931"
SECRETS = (KEY, KEY.removeprefix("tb_"), WEBHOOK_SECRET, COOKIE)
ATTRIBUTES = """
crawls:
  - name: docs
    urls: {{a: ["https://example.com/"]}}
    request: {{type: distill, headers: {{Cookie: "{{{{ env.CANARY_COOKIE }}}}"}}}}
    cadence: {{type: daily, start_date: "2026-11-01"}}
thunderbit:
  api_key: {key}
  webhook_url: https://example.org/hook
  webhook_secret: "{{{{ env.CANARY_SECRET }}}}"
"""


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.setenv("CANARY_KEY", KEY)
    monkeypatch.setenv("CANARY_SECRET", WEBHOOK_SECRET)
    monkeypatch.setenv("CANARY_COOKIE", COOKIE)


def hits(text):
    return [secret for secret in SECRETS if secret in text]


@pytest.mark.parametrize("key", ['"{{ env.CANARY_KEY }}"', "\"{{ env('CANARY_KEY') }}\"", "'{{env.CANARY_KEY}}'"])
def test_nothing_that_dagster_keeps_of_a_project_holds_a_secret(project, key):
    attributes = ATTRIBUTES.format(key=key)
    component = project.component(attributes)
    definitions = project.definitions(attributes)
    location = definitions.get_repository_def()
    snapshots = "".join(dg.serialize_value(location.get_job(name).get_job_snapshot()) for name in location.job_names)
    assert "CANARY_KEY" in snapshots
    assert "CANARY_SECRET" in snapshots
    metadata = [spec.metadata for asset in definitions.assets for spec in asset.specs]
    assert hits(snapshots + repr(component) + str(component) + repr(definitions) + repr(metadata)) == []
    resource = definitions.resources["thunderbit"]
    assert (resource.api_key.get_value(), resource.webhook_secret.get_value()) == (KEY, WEBHOOK_SECRET)
    request = component.crawls[0].request
    assert isinstance(request.headers["Cookie"], dg.EnvVar)
    assert request.secrets() == (COOKIE,)


def test_the_header_of_a_sitemap_is_read_when_the_sitemap_is(project, monkeypatch):
    monkeypatch.delenv("SITEMAP_TOKEN", raising=False)
    urls = """
    urls:
      sitemap: https://example.com/sitemap.xml
      headers: {Authorization: "{{ env.SITEMAP_TOKEN }}", User-Agent: "{{ env('AGENT', 'robot') }}", X-Plain: plain}
    """
    headers = project.crawl(urls).urls.headers
    assert isinstance(headers["Authorization"], dg.EnvVar)
    assert {**headers, "Authorization": headers["Authorization"].env_var_name} == {
        "Authorization": "SITEMAP_TOKEN",
        "User-Agent": "robot",
        "X-Plain": "plain",
    }


def test_a_key_that_is_written_out_is_refused_without_being_repeated(project):
    error = project.error(ATTRIBUTES.format(key=KEY))
    said = "\n".join(line for line in error.splitlines() if " | " not in line)
    assert "`api_key` is written out" in said
    assert hits(said) == []


@pytest.mark.parametrize("name", ["api_kye", "apikey", "API_KEY", "token"])
def test_a_key_under_a_misspelled_name_is_not_repeated(project, name):
    error = project.error(ATTRIBUTES.format(key=KEY).replace("api_key", name))
    said = "\n".join(line for line in error.splitlines() if " | " not in line)
    assert f"`thunderbit` has no setting `{name}`" in said
    assert ("did you mean `api_key`?" in said) == (name in {"api_kye", "apikey"})
    assert hits(said) == []


def test_a_secret_of_a_template_variable_stays_the_name_of_a_variable(project):
    project.write("docs/__init__.py", "")
    project.write(
        "docs/vars.py",
        """
        import dagster as dg

        @dg.template_var
        def key():
            return dg.EnvVar("CANARY_KEY")
        """,
    )
    file = project.instance(ATTRIBUTES.format(key='"{{ key }}"'))
    file.write_text(file.read_text() + "template_vars_module: .vars\n")
    resource = project.definitions().resources["thunderbit"]
    assert isinstance(resource.api_key, dg.EnvVar)
    assert resource.api_key.env_var_name == "CANARY_KEY"
