"""`ThunderbitResource` alone, in an asset of the user's own."""

import dagster as dg
import pytest
from crawl_world import resource
from ports import free_port

from thunderbit_dagster import Distill, Extract, ThunderbitResource
from thunderbit_dagster.emulator import Emulator


def materialize(asset, instance, thunderbit):
    run = dg.materialize([asset], instance=instance, resources={"thunderbit": thunderbit})
    [event] = run.get_asset_materialization_events()
    return {name: value.value for name, value in event.materialization.metadata.items()}


def test_one_page_is_distilled_and_extracted_in_anyones_asset(instance, emulator, pages):
    [url] = pages.urls(1)

    @dg.asset
    def my_page(thunderbit: ThunderbitResource) -> dg.MaterializeResult:
        page = thunderbit.distill(url)
        found = thunderbit.extract(url, Extract(schema={"type": "object", "properties": {"title": {"type": "string"}}}))
        return dg.MaterializeResult(metadata={"markdown": page.markdown, "rows": [dict(row) for row in found.data]})

    metadata = materialize(my_page, instance, resource(emulator))
    assert metadata["markdown"].startswith("# Page /ok/")
    assert metadata["rows"][0]["title"].startswith("Page /ok/")


def test_a_batch_job_is_submitted_read_streamed_and_iterated_in_anyones_asset(instance, emulator, pages):
    urls = pages.urls(30)

    @dg.asset
    def my_batch(thunderbit: ThunderbitResource) -> dg.MaterializeResult:
        job = thunderbit.submit_distill(urls, Distill(links=True))
        streamed = [row.url for row in thunderbit.stream_rows(job.ref, interval=0.01)]
        seen = thunderbit.get_job(job.ref)
        rows = list(thunderbit.iter_rows(job.ref))
        return dg.MaterializeResult(
            metadata={
                "streamed": sorted(streamed),
                "status": seen.job.status.value,
                "rows of a look": len(seen.rows),
                "iterated": [row.url for row in rows],
            }
        )

    metadata = materialize(my_batch, instance, resource(emulator))
    assert metadata == {
        "streamed": sorted(urls),
        "status": "COMPLETED",
        "rows of a look": 1,
        "iterated": urls,
    }


def test_a_job_is_cancelled_in_anyones_asset(instance, pages, spoiled):
    emulator: Emulator = spoiled(hold=True)
    urls, schema = pages.urls(2), {"type": "object", "properties": {"title": {"type": "string"}}}

    @dg.asset
    def my_cancelled_job(thunderbit: ThunderbitResource) -> dg.MaterializeResult:
        job = thunderbit.submit_extract(urls, Extract(schema=schema))
        ended = thunderbit.cancel_job(job.ref)
        again = thunderbit.cancel_job(job.ref)
        return dg.MaterializeResult(metadata={"status": ended.status.value, "again": again.status.value})

    assert materialize(my_cancelled_job, instance, resource(emulator)) == {"status": "CANCELLED", "again": "CANCELLED"}
    assert emulator.credits_left == 1_000_000


def test_the_connections_are_closed_after_the_run(instance, emulator, pages):
    [url] = pages.urls(1)
    opened = []

    @dg.asset
    def my_closed_page(thunderbit: ThunderbitResource) -> None:
        thunderbit.distill(url)
        opened.append(thunderbit.client)

    dg.materialize([my_closed_page], instance=instance, resources={"thunderbit": resource(emulator)})
    assert opened[0]._http.is_closed


@pytest.mark.parametrize("url", ["http://redis:6379", "redis://", "redis:6379", "redis://[", ""])
def test_a_budget_that_is_not_in_redis_is_refused_where_it_is_set(url):
    with pytest.raises(ValueError, match="budget_url"):
        ThunderbitResource(api_key="tb_0", budget_url=url)


def test_the_password_of_the_budget_is_not_shown():
    thunderbit = ThunderbitResource(api_key="tb_0", budget_url="redis://:swordfish@redis:6379/2")
    assert "swordfish" not in repr(thunderbit)
    with pytest.raises(ValueError, match="Redis") as refused:
        ThunderbitResource(api_key="tb_0", budget_url="http://:swordfish@redis:6379/2")
    assert "swordfish" not in str(refused.value)


def test_a_redis_that_is_gone_leaves_the_budget_of_the_machine(emulator, pages, caplog):
    thunderbit = resource(emulator, budget_url=f"redis://127.0.0.1:{free_port()}/0")
    job = thunderbit.submit_distill(pages.urls(1))
    thunderbit.client.close()
    assert job.ref.id
    assert "this machine counts alone" in caplog.text
