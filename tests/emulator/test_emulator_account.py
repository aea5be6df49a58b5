"""Keys, requests per minute, slots and credits."""

import asyncio
from itertools import pairwise

import httpx
import pytest
from emulator_support import Api, Start, TargetSite
from hypothesis import given
from hypothesis import strategies as st

from thunderbit_dagster.api.codes import PLANS, JobKind, Plan
from thunderbit_dagster.emulator import ApiKey, Dialect, Emulator, EmulatorSettings, Faults, KeyState
from thunderbit_dagster.emulator.account import RateWindow, Slots
from thunderbit_dagster.emulator.errors import EmulatorError
from thunderbit_dagster.emulator.options import PageOptions
from thunderbit_dagster.emulator.store import EmulatorStore
from thunderbit_dagster.emulator.worker import Engine

OTHER = "tb_" + "f" * 32


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "API_KEY_MISSING"),
        ("Bearer", "API_KEY_MISSING"),
        ("Bearer tb_short", "API_KEY_INVALID_FORMAT"),
        ("Basic tb_" + "0" * 32, "API_KEY_INVALID_FORMAT"),
        ("Bearer tb_" + "0" * 32, "API_KEY_NOT_FOUND"),
        ("Bearer tb_" + "1" * 32, "API_KEY_REVOKED"),
        ("Bearer tb_" + "2" * 32, "API_KEY_DISABLED"),
        ("Bearer tb_" + "3" * 32, "API_KEY_EXPIRED"),
    ],
)
def test_a_key_that_is_not_good_answers_401_with_its_reason(start: Start, header: str | None, code: str):
    states = (KeyState.REVOKED, KeyState.DISABLED, KeyState.EXPIRED)
    keys = [ApiKey(f"tb_{str(number) * 32}", state) for number, state in enumerate(states, 1)]
    api = start(keys=keys)
    del api.http.headers["Authorization"]
    headers = {} if header is None else {"Authorization": header}

    assert api.code("GET", "/batch/distill/x", headers=headers) == (401, code)


def test_no_key_is_shown_by_settings_or_errors():
    emulator = Emulator(api_key=OTHER, keys=[ApiKey("tb_" + "e" * 32)])

    assert OTHER not in repr(emulator.settings)
    assert "e" * 32 not in repr(emulator.settings)
    with pytest.raises(ValueError, match="32 lower-case") as caught:
        Emulator(api_key="tb_SECRET")
    assert "SECRET" not in str(caught.value)


def test_every_answer_carries_the_window_and_the_limit_answers_429(start: Start):
    now = [1_000_000.25]
    api = start(plan="free", clock=lambda: now[0])

    answers = [api.http.get("/batch/distill/nope") for _ in range(11)]

    assert [answer.status_code for answer in answers] == [404] * 10 + [429]
    assert [int(answer.headers["X-RateLimit-Remaining"]) for answer in answers] == [*range(9, -1, -1), 0]
    assert {answer.headers["X-RateLimit-Limit"] for answer in answers} == {"10"}
    assert answers[-1].json()["error"]["code"] == "RATE_LIMIT_EXCEEDED"
    reset = int(answers[-1].headers["X-RateLimit-Reset"])
    now[0] = reset
    assert api.http.get("/batch/distill/nope").status_code == 404


def test_refused_and_unknown_requests_carry_the_window_too(api: Api):
    for method, path in (("GET", "/nothing"), ("PUT", "/distill")):
        assert "X-RateLimit-Reset" in api.http.request(method, path).headers
    api.http.headers["Authorization"] = "Bearer x"
    assert "X-RateLimit-Reset" in api.http.get("/batch/distill/x").headers


@given(st.lists(st.floats(0, 40), min_size=1, max_size=80), st.integers(1, 5))
def test_no_window_of_a_minute_lets_more_through_than_the_limit(gaps: list[float], limit: int):
    now = [0.0]
    window = RateWindow(limit, lambda: now[0])
    passed: dict[float, int] = {}
    for gap in gaps:
        now[0] += gap
        state = window.take()
        passed[state.reset] = passed.get(state.reset, 0) + state.allowed
        assert 0 <= state.remaining <= limit
        assert now[0] < state.reset <= now[0] + 60

    assert max(passed.values()) <= limit
    resets = sorted(passed)
    assert all(later - earlier >= 60 for earlier, later in pairwise(resets))


def test_a_clock_that_steps_back_opens_a_new_window():
    now = [1_000.0]
    window = RateWindow(1, lambda: now[0])
    assert window.take().allowed
    now[0] = 10.0
    assert window.take().allowed


def test_jobs_beyond_the_slots_wait_their_turn(start: Start, site: TargetSite):
    api = start(plan=Plan("two", 10_000, 2), hold=True)
    urls = site.pages(2)
    jobs = [api.submit(urls) for _ in range(4)]
    api.until(jobs[1], lambda job: job["status"] == "PROCESSING")

    assert [api.read(job)["status"] for job in jobs] == ["PROCESSING", "PROCESSING", "PENDING", "PENDING"]

    api.http.delete(f"/batch/distill/{jobs[0]}")
    api.until(jobs[2], lambda job: job["status"] == "PROCESSING")
    assert api.read(jobs[3])["status"] == "PENDING"

    api.emulator.release()
    assert [api.finished(job)["status"] for job in jobs[1:]] == ["COMPLETED"] * 3


def test_a_synchronous_call_gives_up_when_no_slot_comes_free():
    async def wait() -> str:
        store = EmulatorStore(None)
        engine = Engine(EmulatorSettings(plan=Plan("one", 10_000, 1)), store)
        (account,) = engine.accounts.values()
        options = PageOptions().model_copy(update={"timeout": 10})
        async with account.slots:
            with pytest.raises(EmulatorError) as caught:
                await engine.one_page(account, JobKind.DISTILL, "http://127.0.0.1/", options)
        assert engine.credits_free(account) == 600
        await engine.close()
        store.close()
        return caught.value.code

    assert asyncio.run(wait()) == "REQUEST_TIMEOUT"


@given(st.lists(st.sampled_from(["join", "leave", "give up"]), max_size=30), st.integers(1, 3))
def test_slots_go_to_whoever_waits_longest_and_none_is_lost(moves: list[str], size: int):
    async def play() -> None:
        slots, inside, waiting = Slots(size), [], []
        for move in moves:
            if move == "join":
                waiting.append(asyncio.ensure_future(slots.acquire()))
            elif move == "leave" and inside:
                inside.pop(0)
                slots.release()
            elif move == "give up" and waiting:
                waiting.pop().cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            done = [task for task in waiting if task.done()]
            assert done == waiting[: len(done)]
            inside, waiting = inside + done, waiting[len(done) :]
            assert len(inside) == min(size, len(inside) + len(waiting))
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    asyncio.run(play())


def test_plans_are_the_documented_ones():
    for name, plan in PLANS.items():
        with Emulator(plan=name) as emulator:
            answer = httpx.get(f"{emulator.base_url}/batch/distill/x")
            assert int(answer.headers["X-RateLimit-Limit"]) == plan.requests_per_minute


def test_credits_are_spent_on_success_only(start: Start, site: TargetSite):
    api = start(credits=100)

    job = api.run([*site.pages(3), site.origin + "/missing"])

    assert (job["completed"], job["failed"], job["creditsUsed"]) == (3, 1, 3)
    assert api.emulator.credits_left == 97
    assert api.code("POST", "/distill", json={"url": site.origin + "/missing"}) == (422, "SCRAPE_TARGET_NOT_FOUND")
    assert api.http.post("/distill", json={"url": site.page("/x")}).is_success
    assert api.emulator.credits_left == 96


def test_an_llm_format_costs_four_when_it_returns_something(start: Start, site: TargetSite):
    api = start(credits=100)
    url = site.page("/tides", text="The tide rises twice a day. A harbour pilot reads the tide table each morning.")

    def cost(question: str) -> int:
        before = api.emulator.credits_left
        formats = ["markdown", {"type": "question", "question": question}]
        assert api.http.post("/distill", json={"url": url, "formats": formats}).is_success
        return before - api.emulator.credits_left

    assert cost("How often does the tide rise?") == 5
    assert cost("Quantum chromodynamics lattice?") == 1


def test_a_job_that_cannot_be_paid_is_refused_and_open_jobs_count(start: Start, site: TargetSite):
    api = start(credits=30, hold=True)
    api.submit(site.pages(20))

    assert api.code("POST", "/batch/distill", json={"urls": site.pages(11)}) == (402, "INSUFFICIENT_CREDITS")
    assert api.code("POST", "/distill", json={"url": site.page("/x"), "formats": [{"type": "summary"}] * 3})[0] == 402
    api.submit(site.pages(10))
    api.emulator.release()


def test_credits_may_run_out_midway_by_dialect(start: Start, site: TargetSite):
    api = start(credits=3, faults=Faults(dialect=Dialect(insufficient_credits="midway")))

    job = api.run(site.pages(5))

    assert (job["completed"], job["failed"], job["creditsUsed"]) == (3, 2, 3)
    codes = {row["error"]["code"] for row in job["results"] if row["status"] == "FAILED"}
    assert codes == {"INSUFFICIENT_CREDITS"}
    assert api.emulator.credits_left == 0
    assert api.code("POST", "/batch/distill", json={"urls": site.pages(1)})[0] == 402


def test_keys_of_one_account_share_and_accounts_do_not(start: Start, site: TargetSite):
    api = start(plan="free", keys=[ApiKey(OTHER)])
    job = api.submit(site.pages(1))
    other = Api(api.emulator, OTHER)

    assert other.code("GET", f"/batch/distill/{job}") == (404, "JOB_NOT_FOUND")
    assert other.code("DELETE", f"/batch/distill/{job}") == (404, "JOB_NOT_FOUND")
    assert other.http.get("/batch/distill/x").headers["X-RateLimit-Remaining"] == "7"
    other.http.close()

    shared = start(keys=[ApiKey(OTHER, account="us"), ApiKey("tb_" + "a" * 32, account="us")])
    first, second = Api(shared.emulator, OTHER), Api(shared.emulator, "tb_" + "a" * 32)
    assert second.finished(first.submit(site.pages(1)))["status"] == "COMPLETED"
    first.http.close()
    second.http.close()
