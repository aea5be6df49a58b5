"""The tables of settings name every setting that there is, and no other."""

import inspect
import re

import pytest
from blocks import pages

import thunderbit_dagster

MAKERS = (
    "AssetColumn",
    "Changes",
    "Crawl",
    "Distill",
    "DynamicUrls",
    "Extract",
    "ParquetStore",
    "Schedule",
    "Sitemap",
    "ThunderbitResource",
    "UrlFile",
    "build_crawl_definitions",
)
FOUND_OUT = {"declared_at"}
_TABLE = re.compile(r"^\| `(?P<maker>\w+)\(\.\.\.\)` \|.*\n(?P<rows>(?:\|.*\n)+)", re.MULTILINE)
_FIRST_CELL = re.compile(r"^\| ([^|]*) \|", re.MULTILINE)

TABLES = [
    (found["maker"], [name for cell in _FIRST_CELL.findall(found["rows"]) for name in re.findall(r"`(\w+)`", cell)])
    for page in pages()
    for found in _TABLE.finditer(page.read_text(encoding="utf-8"))
]


def settings_of(maker):
    return set(inspect.signature(getattr(thunderbit_dagster, maker)).parameters) - FOUND_OUT


def test_each_has_one_table():
    assert sorted(maker for maker, _ in TABLES) == sorted(MAKERS)


@pytest.mark.parametrize(("maker", "named"), TABLES, ids=[maker for maker, _ in TABLES])
def test_a_table_names_each_setting_once_and_no_other(maker, named):
    assert sorted(named) == sorted(settings_of(maker))


def test_whatever_is_made_of_settings_is_among_them():
    """A class or a builder that is new in the package's face needs a table, too."""
    not_made_by_users = {"JobRef", "Partition", "ThunderbitCrawlComponent", "ThunderbitParquetIOManager"}
    classes = {name for name in thunderbit_dagster.__all__ if inspect.isclass(getattr(thunderbit_dagster, name))}
    face = {name for name in classes if not issubclass(getattr(thunderbit_dagster, name), BaseException)}
    builders = {name for name in thunderbit_dagster.__all__ if name.startswith("build_")}
    assert (face | builders) - not_made_by_users == set(MAKERS)
