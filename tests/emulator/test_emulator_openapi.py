"""The emulator keeps to the API's description, whatever it is sent."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from emulator_support import ROOMY, Start, TargetSite
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import CHECKS
from schemathesis.core.transport import Response

from thunderbit_dagster.emulator import DEMO_KEY, Dialect, Emulator, Faults

DESCRIPTION = Path(__file__).parents[1] / "contract" / "thunderbit-openapi.yaml"
schema = schemathesis.openapi.from_path(DESCRIPTION)
FIELDS = {"type": "object", "properties": {"title": {"type": "string"}}}

# Pages that are not there, schemas without a field and empty questions are refused, which it leaves open.
NOT_CHECKED = {"positive_data_acceptance"}


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    faults = Faults(dialect=Dialect(invalid_urls="request"))  # the description says what is a URL
    with Emulator(plan=ROOMY, credits=10**9, faults=faults, resolve=lambda _host, _port: ["10.0.0.1"]) as emulator:
        yield emulator.base_url


@schema.parametrize()
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_answers_keep_to_the_description(case: schemathesis.Case, base_url: str):
    case.call_and_validate(
        base_url=base_url,
        headers={"Authorization": f"Bearer {DEMO_KEY}"},
        excluded_checks=[check for check in CHECKS.get_all() if check.__name__ in NOT_CHECKED],
    )


def test_the_answers_of_a_jobs_whole_life_keep_to_the_description(start: Start, site: TargetSite):
    api = start(hold=True)
    urls = [*site.pages(3), site.origin + "/missing", "no url"]

    def keeps(method: str, path: str, where: str | None = None, **body: object) -> dict:
        answer = api.http.request(method, where or path, json=body or None)
        schema[path][method].validate_response(Response.from_any(answer))
        return answer.json()

    for kind, more in (("distill", {"include": ["metadata", "html", "links"]}), ("extract", {"schema": FIELDS})):
        one, some = f"/batch/{kind}", f"/batch/{kind}/{{id}}"
        job = keeps("POST", one, urls=urls, **more)["data"]["id"]
        keeps("GET", some, f"{one}/{job}")
        api.emulator.release(2)
        api.until(job, lambda found: found["completed"] + found["failed"] == 2, kind)
        keeps("GET", some, f"{one}/{job}")
        keeps("DELETE", some, f"{one}/{job}")
        assert keeps("GET", some, f"{one}/{job}")["data"]["status"] == "CANCELLED"
        keeps("DELETE", some, f"{one}/{job}")
        keeps("GET", some, f"{one}/unknown")
    api.emulator.release()
    done = api.run(urls, formats=["markdown", "links", "images"])
    assert keeps("GET", "/batch/distill/{id}", f"/batch/distill/{done['id']}")["data"]["completed"] == 3
    formats = ["markdown", "images", {"type": "summary"}, {"type": "highlights", "query": "words"}]
    assert keeps("POST", "/distill", url=urls[0], include=["metadata"], formats=formats)["success"]
    assert keeps("POST", "/extract", url=urls[0], schema=FIELDS)["success"]
    assert not keeps("POST", "/distill", url=urls[3])["success"]
