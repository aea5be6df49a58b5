"""What `dg scaffold` writes works at once."""

from __future__ import annotations

import re

import pytest
import yaml

from thunderbit_dagster import ThunderbitCrawlComponent, UrlFile
from thunderbit_dagster.emulator.site import urls as site_urls


def scaffold(project, folder="docs", scaffold_format="yaml", **params):
    return project.sandbox.scaffold_component(
        ThunderbitCrawlComponent, folder, scaffold_params=params, scaffold_format=scaffold_format
    )


def crawl_of(project):
    tree = project.tree()
    assert tree.build_defs().get_repository_def()
    (component,) = tree.get_all_components(ThunderbitCrawlComponent)
    (crawl,) = component.crawls
    return crawl


@pytest.mark.parametrize("scaffold_format", ["yaml", "python"])
def test_without_options_it_crawls_pages_of_the_demo_site(project, scaffold_format):
    scaffold(project, "my-docs", scaffold_format)
    crawl = crawl_of(project)
    assert crawl.name == "my_docs"
    assert set(crawl.urls) <= {url for group in site_urls("http://127.0.0.1:8711").values() for url in group}


@pytest.mark.parametrize("scaffold_format", ["yaml", "python"])
def test_with_urls(project, scaffold_format):
    given = ["https://example.com/?q=a: b", 'https://example.com/"#x']
    scaffold(project, scaffold_format=scaffold_format, urls=given, name="other")
    crawl = crawl_of(project)
    assert (crawl.name, list(crawl.urls)) == ("other", given)


@pytest.mark.parametrize("scaffold_format", ["yaml", "python"])
def test_with_a_url_file(project, scaffold_format):
    folder = scaffold(project, scaffold_format=scaffold_format, url_file="urls.txt")
    assert crawl_of(project).urls == UrlFile(folder / "urls.txt")


def test_every_line_that_is_commented_out_can_be_taken_in(project):
    file = scaffold(project) / "defs.yaml"
    lines = file.read_text().splitlines()
    # Sentences, and the places of URLs that stand in for the list.
    prose = re.compile(r"\s*# .*(\.|run time:|instance:|beside this file|a site lists|that returns them)$")
    text = "\n".join(re.sub(r"^( *)# ", r"\1", line) for line in lines if not prose.match(line))
    file.write_text(text)
    attributes = yaml.safe_load(text)["attributes"]
    assert set(attributes) == {"crawls", "store", "thunderbit", "translation"}
    assert "cadence" in attributes["crawls"][0]
    assert project.definitions().get_repository_def().schedule_defs
