"""``dg scaffold defs thunderbit_dagster.ThunderbitCrawlComponent docs``: an instance that works at once."""

import json
import re
from string import Template

import dagster as dg
from pydantic import BaseModel, Field

DEMO_URLS = (
    "http://127.0.0.1:8711/guides/access-tokens",
    "http://127.0.0.1:8711/guides/backups",
    "http://127.0.0.1:8711/guides/alerts",
)
DEMO_REMARK = "Pages of the demo site, which `thunderbit-dagster site` serves. Put your own here."


class CrawlScaffoldParams(BaseModel):
    """Options of the scaffolder; without URLs it takes some of the demo site."""

    name: str | None = Field(default=None, description="The crawl's name; the default is that of the folder.")
    urls: list[str] = Field(default_factory=list, description="A URL to crawl; may be repeated.")
    url_file: str | None = Field(default=None, description="A text file beside the YAML with one URL a line.")


YAML = Template("""\
type: $type

attributes:
  crawls:
    - name: $name # the assets are $name/submissions, $name/succeeded and $name/failed
      # A list of URLs, a mapping of lists whose keys become URL partitions, or where URLs come from at run time:
      #   url_file: urls.txt                              one URL a line, beside this file
      #   sitemap: https://example.com/sitemap.xml        the pages that a site lists
      #   python: my_project.urls.pages                   a function that returns them
      urls:
$urls
      request:
        type: distill # Markdown; `extract` with a `schema` gives rows of data
        metadata: true
      # cadence: # a second dimension of partitions, and a schedule that submits each new date
      #   type: daily
      #   start_date: "$date"
      #   timezone: Europe/Berlin

  # What follows holds for the whole project: state it in one instance.
  # Where the Parquet goes; by default the folder `data` of the project. Or s3://, gs://, az://.
  # store:
  #   base_uri: s3://my-bucket/crawls
  # Without a key, the emulator on this machine answers: `thunderbit-dagster emulator`.
  # thunderbit:
  #   api_key: "{{ env.THUNDERBIT_API_KEY }}" # Dagster stores the name of the variable, never the key
  #   requests_per_minute: 100 # your plan's limit: free 10, pro 100, enterprise 1000

  # The assets of this instance:
  # translation:
  #   group_name: websites
  #   owners: ["team:search"]
""")
PYTHON = Template("""\
${header}import dagster as dg
from thunderbit_dagster import Crawl, Distill, ThunderbitCrawlComponent$imported


@dg.component_instance
def load(context: dg.ComponentLoadContext) -> ThunderbitCrawlComponent:
    # Without a key, the emulator on this machine answers: `thunderbit-dagster emulator`. With one, give
    # thunderbit=ThunderbitResource(api_key=dg.EnvVar("THUNDERBIT_API_KEY")).
    return ThunderbitCrawlComponent(
        crawls=[
            Crawl(
                name=$name,
                urls=$urls,
                request=Distill(metadata=True),
            ),
        ],
    )
""")


class CrawlScaffolder(dg.Scaffolder[CrawlScaffoldParams]):
    """Writes ``defs.yaml`` or ``component.py``."""

    @classmethod
    def get_scaffold_params(cls) -> type[CrawlScaffoldParams]:
        """The options of the command."""
        return CrawlScaffoldParams

    def scaffold(self, request: dg.ScaffoldRequest[CrawlScaffoldParams]) -> None:
        """Write the instance into its folder."""
        folder = request.target_path.parent if request.append else request.target_path
        name = request.params.name or re.sub(r"\W+", "_", folder.name)
        if request.scaffold_format == "python":
            (request.target_path / "component.py").write_text(_python(name, request.params), encoding="utf-8")
            return
        text = YAML.substitute(type=request.type_name, name=name, urls=_yaml_urls(request.params), date="2026-11-01")
        file = request.target_path if request.append else request.target_path / "defs.yaml"
        with file.open("a" if request.append else "w", encoding="utf-8") as yaml:
            yaml.write(f"---\n{text}" if request.append else text)


def _yaml_urls(params: CrawlScaffoldParams) -> str:
    if params.url_file:
        return f"        url_file: {json.dumps(params.url_file)}"
    listed = "\n".join(f"        - {json.dumps(url)}" for url in params.urls or DEMO_URLS)
    return listed if params.urls else f"        # {DEMO_REMARK}\n{listed}"


def _python(name: str, params: CrawlScaffoldParams) -> str:
    if params.url_file:
        urls, imported = f"UrlFile(Path(__file__).with_name({json.dumps(params.url_file)}))", ", UrlFile"
    else:
        urls, imported = json.dumps(list(params.urls or DEMO_URLS)), ""
    header = "from pathlib import Path\n\n" if params.url_file else ""
    return PYTHON.substitute(header=header, name=json.dumps(name), urls=urls, imported=imported)
