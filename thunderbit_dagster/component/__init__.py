"""The component for ``dg``: crawls in YAML."""

from thunderbit_dagster.component.crawl_component import ThunderbitCrawlComponent

__all__ = ["ThunderbitCrawlComponent"]
