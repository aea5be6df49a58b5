"""Promise 10: a bot wall in place of a page is no content, no change and no removal."""

import pytest

from thunderbit_dagster.changes.quarantine import LONGEST, QUARANTINED_FROM, score_page, wall_rules

PAGE = "# Pump\n\nPrice: {} EUR\n\n" + "A pump for harbours, with a hose of ten metres and a steel case.\n" * 9
WALLS = {
    "wall-vendor": "# site.example\n\nPerformance & security by Cloudflare\n\nCloudflare Ray ID: 7d3f9a2b1c4e5f60",
    "wall-human": "# Nur ein Moment\n\nBitte bestätigen Sie, dass Sie ein Mensch sind.",
    "wall-denied": "# Accès refusé\n\nVous n'avez pas le droit de voir cette page.",
    "busy": "# 429\n\nToo many requests. Try again later.",
    "maintenance": "# メンテナンス中\n\nしばらくお待ちください。",
    "login": "# Log in to continue\n\n[Forgot your password?](/forgot)",
    "gone": "# Oops!\n\nThe page you are looking for could not be found.",
    "shell": "You need to enable JavaScript to run this app.",
}
PAGES = {
    "a tutorial on walls": "# How to pass a captcha\n\n" + "A captcha asks whether you are a robot. " * 60,
    "a price": "# Pump\n\n12 EUR, in stock",
    "a changelog": "# 1.4.2\n\n- Fixed: the search answers quicker\n- New: export as CSV",
    "a login article": "# Log in with keys\n\n" + "Users sign in with a key that they keep at home. " * 30,
}


@pytest.mark.parametrize(("rule", "text"), WALLS.items())
def test_each_kind_of_wall_is_found_and_named(rule, text):
    score = score_page(text)
    assert score.is_quarantined
    assert rule in score.rules


@pytest.mark.parametrize("text", PAGES.values(), ids=PAGES)
def test_pages_are_left_alone(text):
    assert not score_page(text).is_quarantined


def test_consent_counts_with_its_buttons():
    words = "# Cookies\n\nWe and our partners use cookies."
    assert score_page(words).value < QUARANTINED_FROM
    assert score_page(f"{words}\n\n[Accept all](#) [Reject all](#)").rules == ("consent", "consent-button")


def test_only_short_texts_count_and_markup_does_not():
    wall = WALLS["wall-human"]
    assert score_page(f"{wall}\n\n" + f"[ ](/{'x' * 400})\n" * 10).is_quarantined
    assert not score_page(wall + "\n\nWords of a page." * LONGEST).is_quarantined


def test_every_rule_has_an_id_of_its_own_and_says_why():
    rules = wall_rules()
    assert len({rule.id for rule in rules}) == len(rules)
    assert all(rule.why and rule.weight > 0 and rule.longest <= LONGEST for rule in rules)


def test_a_wall_for_a_day_is_quarantined_and_the_page_stands(docs):
    site = docs(removed_after=1)
    site.collect(1, {"pump": PAGE.format(12), "rope": PAGE.format(3)})
    site.collect(2, {"pump": WALLS["wall-vendor"], "rope": PAGE.format(4)})
    site.collect(3, {"pump": PAGE.format(12), "rope": PAGE.format(4)})
    assert site.statuses(2) == {"pump": "quarantined", "rope": "changed"}
    row = site.rows(2)["pump"]
    assert (row["quarantine_score"], row["quarantine_rules"], row["diff"]) == (3.0, "wall-vendor", None)
    assert site.statuses(3) == {"pump": "unchanged", "rope": "unchanged"}
    assert site.rows(3)["pump"]["base_date"] == "2026-11-01"


def test_a_page_behind_a_wall_from_the_first_day_is_new_once_it_comes(docs):
    site = docs()
    site.collect(1, {"pump": WALLS["login"]})
    site.collect(2, {"pump": PAGE.format(12)})
    assert site.statuses(1) == {"pump": "quarantined"}
    assert site.statuses(2) == {"pump": "new"}


def test_a_page_that_shrinks_needs_less_to_be_quarantined(docs):
    """The page of a cookie policy says what a consent wall says, and is one's content."""
    site = docs()
    consent = "We and our partners use cookies."
    for day in (1, 2, 3):
        site.collect(day, {"pump": PAGE.format(12), "policy": consent})
    site.collect(4, {"pump": consent, "policy": consent})
    assert site.statuses(4) == {"pump": "quarantined", "policy": "unchanged"}
    assert site.rows(4)["pump"]["quarantine_rules"] == "consent, shrunk"
    assert site.rows(4)["policy"]["quarantine_score"] == 2


def test_trusted_hosts_are_never_quarantined(docs):
    site = docs(trusted_hosts=["site.example"])
    site.collect(1, {"sign-in": WALLS["login"]})
    assert site.statuses(1) == {"sign-in": "new"}
