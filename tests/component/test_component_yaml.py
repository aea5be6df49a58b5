"""YAML says what Python says."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime, timedelta, timezone

import dagster as dg
import pytest
from pydantic import BaseModel

from thunderbit_dagster import (
    Changes,
    Crawl,
    Distill,
    Extract,
    ParquetStore,
    Partition,
    Schedule,
    ThunderbitCrawlComponent,
    ThunderbitResource,
    UrlFile,
    build_crawl_definitions,
)
from thunderbit_dagster.component.schema import CrawlShape
from thunderbit_dagster.starter.environment import EMULATOR_KEY, emulator_base_url
from thunderbit_dagster.urls import AssetColumn, DynamicUrls, Sitemap

FULL = """
crawls:
  - name: docs
    urls:
      guides: ["https://example.com/a", "https://example.com/b"]
      reference: {url_file: reference.txt}
    request: {type: distill, metadata: false, timeout: 9000, include_tags: [main], headers: {Accept-Language: de}}
    cadence: {type: daily, start_date: "2026-11-01", timezone: Europe/Berlin, end_offset: 1}
    schedule: false
    max_partitions_per_run: 7
    job_deadline: {hours: 2, minutes: 30}
    cancel_on_deadline: true
    batch_size: 20
    max_credits_per_partition: 400
    success_rate: [0.9, 0.5]
    changes: {confirm: 2, ignore: ["Weather: .*"], ordered_hosts: [charts.example]}
    description: The documentation.
    group: web
    owners: ["team:search"]
    tags: {domain: docs}
    freshness: never
  - name: prices
    urls: ["https://example.com/c"]
    request:
      type: extract
      schema: {type: object, properties: {price: {type: number}}}
    shards: 3
thunderbit: {api_key: "{{ env.THUNDERBIT_API_KEY }}", requests_per_minute: 100, max_credits_per_day: 5000}
store: {base_uri: "s3://bucket/crawls"}
sensor_interval_seconds: 15
sensor_tick_seconds: 8.0
schedule_status: running
"""


def in_python(folder):
    docs = Crawl(
        name="docs",
        urls={
            "guides": ["https://example.com/a", "https://example.com/b"],
            "reference": UrlFile(folder / "reference.txt"),
        },
        request=Distill(metadata=False, timeout=9000, include_tags=("main",), headers={"Accept-Language": "de"}),
        cadence=dg.DailyPartitionsDefinition("2026-11-01", timezone="Europe/Berlin", end_offset=1),
        schedule=False,
        max_partitions_per_run=7,
        job_deadline=timedelta(hours=2, minutes=30),
        cancel_on_deadline=True,
        batch_size=20,
        max_credits_per_partition=400,
        success_rate=(0.9, 0.5),
        changes=Changes(confirm=2, ignore=["Weather: .*"], ordered_hosts=["charts.example"]),
        description="The documentation.",
        group="web",
        owners=["team:search"],
        tags={"domain": "docs"},
        freshness="never",
    )
    schema = {"type": "object", "properties": {"price": {"type": "number"}}}
    prices = Crawl(name="prices", urls=["https://example.com/c"], request=Extract(schema=schema), shards=3)
    thunderbit = ThunderbitResource(
        api_key=dg.EnvVar("THUNDERBIT_API_KEY"), requests_per_minute=100, max_credits_per_day=5000
    )
    return [docs, prices], thunderbit


def test_yaml_gives_the_same_objects_as_python(project):
    component = project.component(FULL)
    crawls, thunderbit = in_python(project.sandbox.defs_folder_path / "docs")
    assert component.crawls == crawls
    assert component.thunderbit == thunderbit
    assert component.store == ParquetStore("s3://bucket/crawls")


def test_yaml_gives_the_same_definitions_as_python(project):
    crawls, thunderbit = in_python(project.sandbox.defs_folder_path / "docs")
    python = build_crawl_definitions(
        crawls,
        thunderbit=thunderbit,
        store=ParquetStore("s3://bucket/crawls"),
        sensor_interval_seconds=15,
        sensor_tick_seconds=8.0,
        schedule_status=dg.DefaultScheduleStatus.RUNNING,
    ).get_repository_def()
    project.instance(FULL)
    tree = project.tree()
    (component,) = tree.get_all_components(ThunderbitCrawlComponent)
    # Not through the tree, which adds where in the YAML a job comes from.
    yaml = component.build_defs(tree.load_context).get_repository_def()
    assert yaml.job_names == python.job_names
    for name in python.job_names:
        theirs, ours = (dg.serialize_value(one.get_job(name).get_job_snapshot()) for one in (python, yaml))
        assert ours == theirs
    sensors = [{(one.name, one.minimum_interval_seconds) for one in both.sensor_defs} for both in (python, yaml)]
    assert sensors[0] == sensors[1]
    assert "thunderbit_jobs" in {name for name, _ in sensors[0]}
    assert set(yaml.asset_graph.asset_check_keys) == set(python.asset_graph.asset_check_keys)
    assert [one.name for one in yaml.schedule_defs] == [one.name for one in python.schedule_defs]


def test_every_setting_of_a_crawl_can_be_said():
    assert set(CrawlShape.model_fields) == {field.name for field in fields(Crawl) if field.compare}


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("false", False),
        ('"0 6 * * 1-5"', "0 6 * * 1-5"),
        ("{cron: 0 6 * * *, timezone: Europe/Berlin}", Schedule("0 6 * * *", "Europe/Berlin")),
        ("{spread: {hours: 6}, catch_up: 3}", Schedule(spread=timedelta(hours=6), catch_up=3)),
    ],
)
def test_every_kind_of_schedule(project, schedule, expected):
    cadence = 'cadence: {type: daily, start_date: "2026-11-01"}'
    urls = "urls: {a: [https://example.com/a], b: [https://example.com/b]}"
    assert project.crawl(f"{urls}\n{cadence}\nschedule: {schedule}").schedule == expected


@pytest.mark.parametrize(("past", "expected"), [("refuse", "refuse"), ("{days: 2}", timedelta(days=2))])
def test_every_kind_of_past_dates(project, past, expected):
    cadence = 'cadence: {type: daily, start_date: "2026-11-01"}'
    assert project.crawl(f"urls: [https://example.com/]\n{cadence}\npast_dates: {past}").past_dates == expected


@pytest.mark.parametrize(
    ("cadence", "expected"),
    [
        (
            '{type: hourly, start_date: "2026-11-01-00:00", minute_offset: 5}',
            dg.HourlyPartitionsDefinition("2026-11-01-00:00", minute_offset=5),
        ),
        (
            '{type: weekly, start_date: "2026-11-01", day_offset: 1, hour_offset: 6}',
            dg.WeeklyPartitionsDefinition("2026-11-01", day_offset=1, hour_offset=6),
        ),
        ('{type: monthly, start_date: "2026-11-01"}', dg.MonthlyPartitionsDefinition("2026-11-01")),
        (
            '{type: cron, start_date: 2026-11-02, cron_schedule: "0 6 * * 1-5", fmt: "%Y-%m-%d"}',
            dg.TimeWindowPartitionsDefinition(start="2026-11-02", cron_schedule="0 6 * * 1-5", fmt="%Y-%m-%d"),
        ),
        ("\"{{ dg.DailyPartitionsDefinition('2026-11-01') }}\"", dg.DailyPartitionsDefinition("2026-11-01")),
    ],
)
def test_every_kind_of_cadence(project, cadence, expected):
    assert project.crawl(f"urls: [https://example.com/]\ncadence: {cadence}").cadence == expected


def test_values_from_the_environment_and_from_templates(project, monkeypatch):
    monkeypatch.setenv("SITE", "https://example.org")
    monkeypatch.setenv("BATCH", "25")
    crawl = project.crawl("""
        urls: ["{{ env.SITE }}/a"]
        batch_size: "{{ env.BATCH }}"
        job_deadline: "{{ datetime.timedelta(hours=3) }}"
        request: {type: distill, question: "1984"}
    """)
    assert crawl.urls == ["https://example.org/a"]
    assert crawl.batch_size == 25
    assert crawl.job_deadline == timedelta(hours=3)
    assert crawl.request.question == "1984", "text without a template stays text"


class TestSources:
    def test_a_url_file_lies_beside_the_yaml(self, project):
        project.write("docs/urls.txt", "https://example.com/1\n# no\nhttps://example.com/2\n")
        crawl = project.crawl("urls: {url_file: urls.txt}\nshards: 2")
        read = [url for key in crawl.url_keys for url in crawl.read_urls(crawl.partition(key))]
        assert sorted(read) == ["https://example.com/1", "https://example.com/2"]

    def test_a_function_beside_the_yaml_is_called_when_a_run_starts(self, project):
        project.write("docs/__init__.py", "")
        project.write(
            "docs/pages.py",
            """
            def pages(partition, section, count=1):
                return [f"https://example.com/{section}/{partition.key}/{n}" for n in range(count)]
            """,
        )
        crawl = project.crawl("""
            urls:
              guides: {python: .pages.pages, arguments: {section: guides, count: 2}}
              python: ["https://www.python.org/"]
        """)
        assert crawl.read_urls(Partition("guides", {"urls": "guides"})) == [
            "https://example.com/guides/guides/0",
            "https://example.com/guides/guides/1",
        ]
        assert crawl.read_urls(Partition("python", {"urls": "python"})) == ["https://www.python.org/"]

    def test_a_function_of_an_installed_package(self, project):
        crawl = project.crawl(
            "urls: {python: thunderbit_dagster.starter.crawls.demo_pages, arguments: {group: changelog}}"
        )
        assert len(crawl.read_urls(Partition(None))) > 1

    def test_a_sitemap(self, project):
        crawl = project.crawl("""
            urls:
              sitemap: https://example.com/sitemap.xml
              since: 2026-11-01T00:00:00Z
              include: ["/docs/*"]
              max_urls: 9
              headers: {Accept-Language: de}
        """)
        assert crawl.urls == Sitemap(
            "https://example.com/sitemap.xml",
            since=datetime(2026, 11, 1, tzinfo=timezone.utc),
            include=["/docs/*"],
            max_urls=9,
            headers={"Accept-Language": "de"},
        )

    def test_the_changes_of_the_last_days_in_a_sitemap(self, project):
        crawl = project.crawl("urls: {news: {sitemap: https://example.com/sitemap.xml, since: {days: 7}}}")
        assert crawl.urls == {"news": Sitemap("https://example.com/sitemap.xml", since=timedelta(days=7))}

    def test_the_output_of_another_asset(self, project):
        crawl = project.crawl("urls: {asset: catalog/pages, column: link, as_type: builtins.list}")
        assert crawl.urls == AssetColumn("catalog/pages", column="link", as_type=list)
        assert crawl.upstream == [dg.AssetKey(["catalog", "pages"])]

    def test_url_partitions_that_come_and_go(self, project):
        project.write("docs/__init__.py", "")
        project.write("docs/pages.py", "def pages(partition):\n    return ['https://example.com/' + partition.urls]\n")
        crawl = project.crawl("urls: {dynamic: customers, python: .pages.pages}")
        assert isinstance(crawl.urls, DynamicUrls)
        assert crawl.urls.name == "customers"
        assert crawl.read_urls(Partition("acme", {"urls": "acme"})) == ["https://example.com/acme"]
        assert project.definitions().get_repository_def().get_job("docs_submit").partitions_def.name == "customers"

    def test_a_source_made_by_a_template_variable(self, project):
        project.write(
            "docs/vars.py",
            """
            import dagster as dg
            from thunderbit_dagster import UrlFile

            @dg.template_var
            def listed():
                return UrlFile("somewhere.txt")
            """,
        )
        project.write("docs/__init__.py", "")
        file = project.instance('crawls:\n  - {name: docs, urls: "{{ listed }}", request: {type: distill}}\n')
        file.write_text(file.read_text() + "template_vars_module: .vars\n")
        (component,) = project.tree().get_all_components(ThunderbitCrawlComponent)
        assert component.crawls[0].urls == UrlFile("somewhere.txt")


class Product(BaseModel):
    name: str
    price: float


def test_a_pydantic_model_stands_for_the_schema(project):
    project.write("docs/__init__.py", "")
    project.write(
        "docs/schemas.py",
        """
        from pydantic import BaseModel

        class Product(BaseModel):
            name: str
            price: float
        """,
    )
    crawl = project.crawl("""
        urls: ["https://example.com/"]
        request: {type: extract, schema: .schemas.Product, timeout: 100000, summary: true}
    """)
    assert crawl.request == Extract(schema=Product, timeout=100_000, summary=True)


class TestResource:
    def test_without_a_key_the_emulator_serves(self, project):
        resource = project.definitions("crawls: []").resources["thunderbit"]
        assert (resource.api_key, resource.base_url) == (EMULATOR_KEY, emulator_base_url(8710))

    def test_a_key_in_the_environment_serves_without_being_named(self, project, monkeypatch):
        monkeypatch.setenv("THUNDERBIT_API_KEY", "tb_" + "1" * 32)
        resource = project.definitions("crawls: []\nthunderbit: {max_credits_per_run: 9}").resources["thunderbit"]
        assert isinstance(resource.api_key, dg.EnvVar)
        assert resource.max_credits_per_run == 9
        assert not resource.is_local

    def test_a_key_that_is_named_never_falls_back_to_the_emulator(self, project):
        attributes = 'crawls: []\nthunderbit: {api_key: "{{ env.SOME_KEY }}"}'
        resource = project.definitions(attributes).resources["thunderbit"]
        assert not resource.is_local
        with pytest.raises(Exception, match="SOME_KEY"):
            resource.process_config_and_initialize()

    def test_a_relative_store_begins_at_the_root_of_the_project(self, project):
        assert project.component("crawls: []\nstore: {base_uri: data/web}").store == ParquetStore(
            project.root / "data" / "web"
        )

    def test_an_empty_variable_is_not_the_root_of_the_project(self, project, monkeypatch):
        monkeypatch.setenv("THUNDERBIT_DATA_URI", "")
        io = project.definitions(TestSeveralInstances.ONE)
        assert str(project.root / "data") in str(
            [spec.metadata for asset in io.assets if isinstance(asset, dg.AssetsDefinition) for spec in asset.specs]
        )
        monkeypatch.setenv("THUNDERBIT_DATA_URI", " ")
        assert "THUNDERBIT_DATA_URI: ParquetStore: `base_uri` must be text" in project.error("crawls: []")


def test_a_name_may_be_a_template(project, monkeypatch):
    attributes = "crawls:\n  - {name: 'docs_{{ env.STAGE }}', urls: ['https://example.com/'], request: {type: distill}}"
    monkeypatch.setenv("STAGE", "dev")
    assert "docs_dev_submit" in project.definitions(attributes).get_repository_def().job_names
    monkeypatch.setenv("STAGE", "a-b")
    assert "should match pattern" in project.error(attributes)
    monkeypatch.delenv("STAGE")
    assert "environment variable STAGE is not set" in project.error(attributes)


class TestExecutor:
    CRAWL = "crawls:\n  - {{name: {0}, urls: {{a: ['https://example.com/']}}, request: {{type: distill}}}}\n"
    GIVEN = """
        import dagster as dg

        own = dg.multiprocess_executor.configured({"max_concurrent": 3}, name="own")
        """

    def write(self, project):
        project.write("one/__init__.py", "")
        project.write("one/executors.py", self.GIVEN)

    @pytest.mark.parametrize("path", [".executors.own", "{module}.executors.own"])
    def test_one_in_python_runs_the_jobs_of_the_whole_project(self, project, path):
        self.write(project)
        path = path.format(module=f"{project.sandbox.project_name}.defs.one")
        project.instance(self.CRAWL.format("one") + f"executor: {path}\n", "one")
        project.instance(self.CRAWL.format("two"), "two")
        repository = project.definitions().get_repository_def()
        jobs = [repository.get_job(name) for name in repository.job_names]
        assert len(jobs) > 6
        assert {job.executor_def.name for job in jobs} == {"own"}

    def test_without_one_the_jobs_run_in_the_process_of_their_run(self, project):
        repository = project.definitions(self.CRAWL.format("one")).get_repository_def()
        assert repository.get_job("one_submit").executor_def.name == "in_process"

    @pytest.mark.parametrize(("path", "said"), [("os.sep", "not an ExecutorDefinition"), ("os.no", "no attribute")])
    def test_anything_else_is_told_with_its_line(self, project, path, said):
        error = project.error(self.CRAWL.format("one") + f"executor: {path}\n")
        assert said in error
        assert "defs.yaml:5" in error


class TestSeveralInstances:
    ONE = "crawls:\n  - {name: one, urls: ['https://example.com/1'], request: {type: distill}}\n"
    TWO = "crawls:\n  - {name: two, urls: ['https://example.com/2'], request: {type: distill}}\n"

    def test_one_sensor_and_one_resource_serve_them_all(self, project):
        project.instance(self.ONE, "one")
        project.instance(self.TWO + "thunderbit: {requests_per_minute: 7}\nsensor_interval_seconds: 11\n", "two")
        definitions = project.definitions()
        repository = definitions.get_repository_def()
        (sensor,) = repository.sensor_defs
        assert sensor.minimum_interval_seconds == 11
        assert {job.name for job in sensor.jobs} >= {"one_collect", "two_collect"}
        assert definitions.resources["thunderbit"].requests_per_minute == 7
        assert {key.path[0] for key in repository.asset_graph.get_all_asset_keys()} == {"one", "two"}

    def test_documents_of_one_file_are_instances(self, project):
        one = project.instance(self.ONE)
        two = one.read_text().replace("name: one", "name: two")
        one.write_text(one.read_text() + "---\n" + two)
        assert len(project.definitions().get_repository_def().sensor_defs) == 1

    def test_those_that_contradict_each_other_are_refused(self, project):
        project.instance(self.TWO + "thunderbit: {requests_per_minute: 7}", "two")
        error = project.error(self.ONE + "thunderbit: {requests_per_minute: 8}")
        assert "`thunderbit` holds for the whole project" in error
        assert "one" in error
        assert "two" in error

    def test_a_name_is_given_once_in_a_project(self, project):
        project.instance(self.ONE, "two")
        assert "repeated: one" in project.error(self.ONE)

    def test_one_in_python_belongs_to_them(self, project):
        project.instance(self.TWO, "two")
        project.write(
            "one/component.py",
            """
            import dagster as dg
            from thunderbit_dagster import Crawl, Distill, ThunderbitCrawlComponent

            @dg.component_instance
            def load(context: dg.ComponentLoadContext) -> ThunderbitCrawlComponent:
                return ThunderbitCrawlComponent(
                    crawls=[Crawl(name="one", urls=["https://example.com/"], request=Distill())]
                )
            """,
        )
        (sensor,) = project.definitions().get_repository_def().sensor_defs
        assert {job.name for job in sensor.jobs} >= {"one_collect", "two_collect"}


def specs(definitions):
    assets = [one for one in definitions.assets if isinstance(one, dg.AssetsDefinition)]
    return {spec.key.to_user_string(): spec for asset in assets for spec in asset.specs}


class TestTranslation:
    CRAWL = "crawls:\n  - {name: docs, urls: {a: ['https://example.com/1']}, request: {type: distill}}\n"

    def test_attributes_of_the_assets(self, project):
        shown = specs(
            project.definitions(
                self.CRAWL
                + """
translation:
  key_prefix: [web, crawled]
  group_name: websites
  owners: ["team:search", "ann@example.com"]
  tags: {tier: gold, crawl: "{{ crawl.name }}"}
  kinds: [web]
  metadata: {runbook: https://example.com/runbook}
  description: "{{ asset }}: {{ spec.description }}"
"""
            )
        )
        assert set(shown) == {f"web/crawled/docs/{asset}" for asset in ("submissions", "succeeded", "failed")}
        spec = shown["web/crawled/docs/succeeded"]
        assert spec.group_name == "websites"
        assert list(spec.owners) == ["team:search", "ann@example.com"]
        assert spec.tags["tier"] == "gold"
        assert spec.tags["crawl"] == "docs"
        assert {"web", "parquet"} <= spec.kinds
        assert spec.metadata["runbook"] == "https://example.com/runbook"
        assert spec.description.startswith("succeeded: ")
        assert [dep.asset_key.to_user_string() for dep in spec.deps] == ["web/crawled/docs/submissions"]

    def test_a_subclass_may_change_any_asset(self, project):
        project.write(
            "own.py",
            """
            import dagster as dg
            from thunderbit_dagster import Crawl, ThunderbitCrawlComponent

            class OwnCrawls(ThunderbitCrawlComponent):
                def get_asset_spec(self, spec: dg.AssetSpec, crawl: Crawl) -> dg.AssetSpec:
                    spec = super().get_asset_spec(spec, crawl)
                    return spec.replace_attributes(key=["own", *spec.key.path], code_version=crawl.name)
            """,
        )
        file = project.instance(self.CRAWL + "translation: {key_prefix: web}\n".replace("web", "[web]"))
        name = f"{project.sandbox.project_name}.defs.own.OwnCrawls"
        file.write_text(file.read_text().replace("thunderbit_dagster.ThunderbitCrawlComponent", name))
        shown = specs(project.definitions())
        assert set(shown) == {f"own/web/docs/{asset}" for asset in ("submissions", "succeeded", "failed")}
        assert shown["own/web/docs/failed"].code_version == "docs"


def test_a_translated_crawl_goes_all_the_way(project, pages, emulator, own_instance, tmp_path):
    """From YAML to rows, over HTTP."""
    urls = pages.urls(3)
    definitions = project.definitions(f"""
        crawls:
          - name: docs
            urls: {{all: {urls}}}
            request: {{type: distill}}
        thunderbit: {{api_key: "{emulator.api_key}", base_url: "{emulator.base_url}", requests_per_minute: 100000}}
        store: {{base_uri: "{tmp_path}/data"}}
        translation: {{key_prefix: [web]}}
    """)
    job = definitions.get_repository_def().get_implicit_global_asset_job_def()
    assert job.execute_in_process(instance=own_instance, partition_key="all").success
    rows = ParquetStore(tmp_path / "data").read("docs", "succeeded", {"urls": "all"})
    assert rows["url"].to_pylist() == urls
    assert own_instance.get_materialized_partitions(dg.AssetKey(["web", "docs", "succeeded"])) == {"all"}
