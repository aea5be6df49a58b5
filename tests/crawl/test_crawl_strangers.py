"""Promise 2: two code locations with one crawl name on one instance do not mix their URLs, rows and payments."""

from pathlib import Path

from crawl_world import Line, crawl, resource


def failure_of(run):
    [event] = [event for event in run.all_events if event.event_type_value == "STEP_FAILURE"]
    return event.step_failure_data.user_failure_data.description


def two_locations(line, pages, held, own_instance, tmp_path):
    """The same crawl name in two code locations with a store each."""
    ours = line(crawl({"all": pages.urls(2)}), instance=own_instance, thunderbit=resource(held))
    theirs = crawl({"all": pages.urls(3)}, name=ours.crawl.name)
    other = Line(own_instance, held, Path(tmp_path, "other"), [theirs], resource(held))
    return ours, other


def test_a_stranger_neither_joins_nor_collects_an_open_submission(line, pages, held, own_instance, tmp_path):
    ours, other = two_locations(line, pages, held, own_instance, tmp_path)
    held.hold_pages()
    assert ours.submit("all").success
    refused = other.submit("all")
    assert not refused.success
    assert ours.store.base_uri in failure_of(refused)
    assert "jobs claim" in failure_of(refused)
    assert ours.posts == 1
    held.release()
    ours.until_jobs_end()
    assert not other.tick_and_launch()
    assert not other.collect("all").success
    [run] = ours.tick_and_launch()
    assert run.success
    assert len(ours.rows("succeeded")) == 2
    assert not (Path(tmp_path) / "other" / "data").exists()


def test_what_is_collected_stands_in_nobodys_way(line, pages, held, own_instance, tmp_path):
    ours, other = two_locations(line, pages, held, own_instance, tmp_path)
    held.release()
    ours.through("all")
    other.through("all")
    assert len(ours.rows("succeeded")) == 2
    assert len(other.rows("succeeded")) == 3


def test_a_store_that_moves_within_a_known_location_takes_its_open_jobs_along():
    from thunderbit_dagster.ledger.owner import Owner  # noqa: PLC0415

    before = Owner("web", "file:///data")
    assert Owner("web", "s3://bucket").owns(before)
    assert not Owner("other", "file:///data").owns(before)
    assert Owner("", "file:///data").owns(before)
    assert not Owner("", "s3://bucket").owns(before)
    assert Owner("", "").owns(before)
