"""No secret is in what a crawl leaves behind."""

import dagster as dg
from crawl_world import one_partition, resource

from thunderbit_dagster import Distill
from thunderbit_dagster.emulator import Rule

KEY = "tb_c0ffee00c0ffee00c0ffee00c0ffee00"
WEBHOOK_SECRET = "whsec-canary-4711"
COOKIE = "session=cookie-canary-4711"


def test_the_key_the_webhook_secret_and_the_headers_are_nowhere_a_crawl_writes(
    *, line, pages, spoiled, own_instance, tmp_path, monkeypatch, capfd
):
    monkeypatch.setenv("CANARY_KEY", KEY)
    monkeypatch.setenv("CANARY_SECRET", WEBHOOK_SECRET)
    emulator = spoiled(
        Rule("status", method="POST", route="/batch/*", nth=(1,), status=402),
        Rule("status", method="GET", route="/batch/*", nth=(1,), status=400),
        api_key=KEY,
    )
    thunderbit = resource(
        emulator,
        api_key=dg.EnvVar("CANARY_KEY"),
        webhook_url=f"{pages.origin}/hook",
        webhook_secret=dg.EnvVar("CANARY_SECRET"),
    )
    request = Distill(headers={"Cookie": COOKIE})
    docs = line(
        one_partition([*pages.urls(2), *pages.urls(1, "missing")], request=request),
        emulator=emulator,
        instance=own_instance,
        thunderbit=thunderbit,
    )
    assert not docs.submit().success
    assert docs.submit().success
    docs.until_jobs_end()
    docs.tick()
    [run] = docs.tick_and_launch()
    assert run.success
    shown = "".join(capfd.readouterr()) + repr(thunderbit) + str(thunderbit) + repr(docs.crawl) + (docs.cursor or "")
    shown += repr(resource(emulator)) + repr(resource(emulator).client)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" for path in files)
    assert any(path.suffix == ".parquet" for path in files)
    for secret in (KEY, KEY.removeprefix("tb_"), WEBHOOK_SECRET, COOKIE):
        assert secret not in shown
        assert [path for path in files if secret.encode() in path.read_bytes()] == []
