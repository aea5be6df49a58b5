"""Views of a single-page application, which differ only behind `#/` or `#!`, are pages of their own."""

import pytest
from crawl_world import crawl, one_partition
from hypothesis import given
from hypothesis import strategies as st

from thunderbit_dagster import Distill
from thunderbit_dagster.api.codes import RowStatus
from thunderbit_dagster.api.models import Row
from thunderbit_dagster.collection.reconcile import Reconciler
from thunderbit_dagster.urls import canonical_url, check_urls

ROUTES = ["#/lamps/1", "#/lamps/2", "#!/lamps/3", "#!lamps", ""]
PLACES = ["#top", "#lamp=1", "#:~:text=lamp", ""]


def views(pages, fragments):
    (page,) = pages.urls(1)
    return page, [page + fragment for fragment in fragments]


def through(docs):
    assert docs.submit().success
    docs.until_jobs_end()
    assert [run.success for run in docs.tick_and_launch()] == [True]


def fetched(pages, page):
    return pages.asked.count(page.removeprefix(pages.origin))


def stored(docs):
    return docs.rows("succeeded", urls="all")


@pytest.mark.parametrize(
    ("fragments", "setting", "pages_apart"),
    [
        (ROUTES, {}, 5),
        (PLACES, {}, 1),
        (ROUTES, {"fragments": "drop"}, 1),
        (PLACES, {"fragments": "keep"}, 4),
        (["#/a", "#/a", "#/a?b"], {}, 2),
        (["#/a", "#top", "#end"], {}, 2),
    ],
)
def test_each_page_is_fetched_once_and_each_url_has_its_row(line, pages, fragments, setting, pages_apart):
    page, urls = views(pages, fragments)
    docs = line(one_partition(urls, request=Distill(render_mode="full"), **setting))
    through(docs)
    rows = stored(docs)
    assert fetched(pages, page) == pages_apart
    assert sorted(row["url"] for row in rows) == sorted(urls)
    assert len({row["canonical_url"] for row in rows}) == pages_apart
    by_canonical = {row["canonical_url"]: row["final_url"] for row in rows}
    assert len(set(by_canonical.values())) == pages_apart
    wanted = {one.url for one in check_urls(urls, allow_private=True, fragments=docs.crawl.fragments).wanted}
    assert set(by_canonical.values()) == wanted


def test_views_are_spread_over_shards(pages):
    _, urls = views(pages, [f"#/lamps/{number}" for number in range(80)])
    cut = crawl(urls, shards=4)
    read = [cut.read_urls(cut.partition(key)) for key in cut.url_keys]
    assert all(read)
    assert sorted(url for shard in read for url in shard) == sorted(urls)
    together = crawl(urls, shards=4, fragments="drop")
    assert sorted(len(together.read_urls(together.partition(key))) for key in together.url_keys) == [0, 0, 0, 80]


@pytest.mark.parametrize(("before", "after"), [("drop", "keep"), ("keep", "drop")])
def test_a_setting_that_changes_while_jobs_are_open_pays_for_nothing_again(line, pages, held, before, after):
    _, urls = views(pages, ROUTES)
    first = one_partition(urls, fragments=before)
    assert line(first, emulator=held).submit().success
    docs = line(one_partition(urls, name=first.name, fragments=after), emulator=held)
    assert docs.submit().success
    assert docs.posts == 0
    held.release()
    docs.until_jobs_end()
    assert [run.success for run in docs.tick_and_launch()] == [True]
    assert sorted(row["url"] for row in stored(docs)) == sorted(urls)


def test_views_whose_key_changes_while_their_job_is_open_go_to_the_key_that_lists_them_now(line, pages, held):
    _, urls = views(pages, ROUTES)
    first = crawl({"old": urls, "other": pages.urls(1)})
    assert line(first, emulator=held).submit("old").success
    docs = line(crawl({"new": urls, "other": []}, name=first.name), emulator=held)
    assert docs.submit("new").success
    assert docs.posts == 0
    held.release()
    docs.until_jobs_end()
    assert all(run.success for run in docs.tick_and_launch())
    assert sorted(row["url"] for row in docs.rows("succeeded", urls="new")) == sorted(urls)


SITE = "https://example.org/app"


def taken(sent, *rows):
    reconciler = Reconciler(len(sent), dict(enumerate(sent)))
    return [reconciler.take(Row(url, index, RowStatus.SUCCEEDED)) for url, index in rows]


@given(st.permutations(range(3)), st.booleans())
def test_rows_of_views_are_told_apart_with_or_without_an_index(order, with_index):
    sent = [f"{SITE}#/{number}" for number in range(3)]
    assert taken(sent, *((sent[at], at if with_index else None) for at in order)) == order


def test_a_service_that_leaves_fragments_out_is_understood_by_the_index():
    sent = [f"{SITE}#/0", f"{SITE}#/1", "https://example.org/other"]
    assert taken(sent, (SITE, 1), (SITE, 0), ("https://example.org/other", 0)) == [1, 0, 2]


def test_without_an_index_the_only_view_of_a_page_is_found_and_one_of_several_is_not_guessed():
    assert taken([f"{SITE}#/0"], (SITE, None)) == [0]
    assert taken([f"{SITE}#/0", f"{SITE}#/1"], (SITE, None)) == [None]


@given(st.sampled_from(["routes", "keep", "drop"]), st.text("/!#a?=%é ", max_size=6))
def test_a_canonical_form_is_its_own(fragments, fragment):
    once = canonical_url(f"{SITE}#{fragment}", fragments)
    assert canonical_url(once, fragments) == once
    assert ("#" in once) <= (fragments == "keep" or (fragments == "routes" and fragment[:1] in ("/", "!")))
