"""The step that submits: its run, its crawl, its account, and where its records go."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import dagster as dg

from thunderbit_dagster.api.client import ThunderbitClient, normal_origin
from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.ledger.event_log import LedgerReader
from thunderbit_dagster.ledger.owner import Owner, owner_of
from thunderbit_dagster.resource import ThunderbitResource
from thunderbit_dagster.runs.partitions import Step
from thunderbit_dagster.urls import CheckedUrls, check_urls


@dataclass(frozen=True)
class SubmitStep:
    """A step of ``submissions``; ``store_uri`` is where its rows will be published."""

    context: Step
    crawl: Crawl
    store_uri: str
    thunderbit: ThunderbitResource

    @property
    def client(self) -> ThunderbitClient:
        return self.thunderbit.client

    @property
    def run_id(self) -> str:
        return self.context.run.run_id

    @property
    def reader(self) -> LedgerReader:
        """The crawl's records in the event log."""
        return LedgerReader(self.context.instance, self.crawl)

    @cached_property
    def request(self) -> str:
        """The fingerprint of what is asked for each page."""
        return self.crawl.request.fingerprint()

    @cached_property
    def origin(self) -> str:
        """The address of the API, as it is compared."""
        return normal_origin(self.thunderbit.base_url)

    @cached_property
    def owner(self) -> Owner:
        """Whose the run's submissions are."""
        return replace(owner_of(self.context.run, self.store_uri), origin=self.origin)

    def report(self, event: dg.AssetObservation) -> None:
        """Write an event that outlives the run."""
        self.context.instance.report_runless_asset_event(event)

    def check(self, urls: Iterable[str]) -> CheckedUrls:
        """Which URLs of a list can be sent, as the crawl and the account want them."""
        return check_urls(urls, allow_private=self.thunderbit.is_local, fragments=self.crawl.fragments)
