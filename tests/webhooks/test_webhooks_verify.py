"""What is believed of a delivery: decisions over plain values, and two schemes checked against openssl."""

import base64
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from webhook_support import payload

from thunderbit_dagster.api.errors import ProtocolError
from thunderbit_dagster.api.signatures import read_secrets, sign, sign_legacy
from thunderbit_dagster.ledger.records import Notified
from thunderbit_dagster.webhooks.verify import DeliveryRules, DeliveryVerdict, Seen, judge_delivery, read_delivery

NOW = 1_790_000_000.0
STAMP = "1790000000000"
BODY = '{"id":"batch_42","jobType":"batch_extract","status":"COMPLETED","note":"é✓"}'.encode()
VECTORS = [
    # secret, timestamp, body, base64 of timestamp and body, hex of the body
    (
        "k",
        "1",
        b"{}",
        "PdSbJZPQ+aNJ6eccS94+K4YsK+QAP+m0uoEzICkxAVg=",
        "add853b103fbcc936a194f9eb15e29c4ff08af6e47d5d1bca4f20218e31e4fff",
    ),
    (
        "sécret",
        STAMP,
        BODY,
        "R4Pto9JWJBm5SwfIEu2FAYWoEJleIujDONeFjUa5r1Q=",
        "c8687014aa1da08ed1f9ff56ea3fb5e92762f33715540aa1f13f5196614832de",
    ),
    (
        "x" * 200,
        STAMP,
        b"\x00\xff\r\n" * 50,
        "SG2ZLnto6qB1hgnWCadgXyrE3en7jbwzcXuWazwuZpk=",
        "e925680219cdaa8b2d82144e537cdf3888df77b5bc1bb93625b298c7e9bdb33f",
    ),
]

secrets = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20)
bodies = st.binary(max_size=200)


def openssl(secret: str, message: bytes) -> bytes:
    """HMAC-SHA256 by a program that is not ours."""
    key = f"hexkey:{secret.encode().hex()}"
    command = ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", key, "-binary"]
    return subprocess.run(command, input=message, stdout=subprocess.PIPE, check=True).stdout


def verdict(rules, body=BODY, signature="", timestamp=STAMP, now=NOW):
    return judge_delivery(rules, body, signature=signature, timestamp=timestamp, now=now)


@pytest.mark.parametrize(("secret", "timestamp", "body", "current", "legacy"), VECTORS)
def test_signatures_of_both_schemes_are_those_of_openssl(secret, timestamp, body, current, legacy):
    of_both = base64.b64encode(openssl(secret, timestamp.encode() + b"." + body)).decode()
    of_body = openssl(secret, body).hex()
    assert (current, legacy) == (of_both, of_body)
    now = int(timestamp) / 1000
    known = DeliveryRules(secrets=(secret,))
    assert verdict(known, body, f"sha256={of_both}", timestamp, now) is DeliveryVerdict.GENUINE
    old = DeliveryRules(secrets=(secret,), legacy=True)
    assert verdict(old, body, f"sha256={of_body}", timestamp, now) is DeliveryVerdict.GENUINE


@given(secrets, bodies)
def test_one_scheme_is_believed_never_both(secret, body):
    current, legacy = sign(secret, STAMP, body), sign_legacy(secret, body)
    assert verdict(DeliveryRules(secrets=(secret,)), body, legacy) is DeliveryVerdict.FORGED
    assert verdict(DeliveryRules(secrets=(secret,), legacy=True), body, current) is DeliveryVerdict.FORGED


@given(secrets, bodies, st.data())
def test_a_body_altered_in_any_place_is_forged(secret, body, data):
    altered = bytearray(body or b"x")
    place = data.draw(st.integers(0, len(altered) - 1))
    altered[place] ^= data.draw(st.integers(1, 255))
    for rules, signature in (
        (DeliveryRules(secrets=(secret,)), sign(secret, STAMP, body)),
        (DeliveryRules(secrets=(secret,), legacy=True), sign_legacy(secret, body)),
    ):
        assert verdict(rules, body, signature) is DeliveryVerdict.GENUINE
        assert verdict(rules, bytes(altered) if body else b"x", signature) is DeliveryVerdict.FORGED


@given(st.text(max_size=80), st.text(max_size=30), bodies)
def test_whatever_stands_in_the_headers_no_text_is_believed(signature, timestamp, body):
    assert verdict(DeliveryRules(secrets=("s3cret",)), body, signature, timestamp) is DeliveryVerdict.FORGED
    assert (
        verdict(DeliveryRules(secrets=("s3cret",), legacy=True), body, signature, timestamp) is DeliveryVerdict.FORGED
    )


@pytest.mark.parametrize("legacy", [False, True])
def test_while_secrets_rotate_both_are_believed_and_no_third(legacy):
    rules = DeliveryRules(secrets=("new", "old"), legacy=legacy)

    def of(secret):
        return sign_legacy(secret, BODY) if legacy else sign(secret, STAMP, BODY)

    judged = [verdict(rules, signature=of(secret)) for secret in ("new", "old", "older", "new,old")]
    assert judged == [DeliveryVerdict.GENUINE, DeliveryVerdict.GENUINE, DeliveryVerdict.FORGED, DeliveryVerdict.FORGED]


@pytest.mark.parametrize("skew", [-1, 1])
@pytest.mark.parametrize(
    ("seconds", "tolerance", "expected"),
    [
        (0, 2700.0, DeliveryVerdict.GENUINE),
        (43 * 60, 2700.0, DeliveryVerdict.GENUINE),  # the last retry, not signed anew
        (2700, 2700.0, DeliveryVerdict.GENUINE),
        (2701, 2700.0, DeliveryVerdict.STALE),
        (61, 60.0, DeliveryVerdict.STALE),
    ],
)
def test_a_timestamp_counts_within_the_tolerance_either_way(skew, seconds, tolerance, expected):
    rules = DeliveryRules(secrets=("k",), tolerance=tolerance)
    assert verdict(rules, signature=sign("k", STAMP, BODY), now=NOW + skew * seconds) is expected


@pytest.mark.parametrize("timestamp", ["", "soon", "-5", "1e12", "٣", "9" * 30])
def test_a_signed_timestamp_that_is_no_time_is_not_believed(timestamp):
    assert verdict(DeliveryRules(secrets=("k",)), signature=sign("k", timestamp, BODY), timestamp=timestamp) in (
        DeliveryVerdict.STALE,
        DeliveryVerdict.FORGED,
    )


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"secrets": ()},
        {"secrets": ("",)},
        {"secrets": ("a",), "unsigned": True},
        {"secrets": ("a", "b", "c")},
        {"secrets": ("a",), "tolerance": 0.0},
    ],
)
def test_rules_that_would_let_anybody_in_by_accident_are_refused(settings):
    with pytest.raises(ValueError, match=r"secret|tolerance"):
        DeliveryRules(**settings)


def test_secrets_are_not_shown():
    assert "hush" not in repr(DeliveryRules(secrets=("hush",)))


@pytest.mark.parametrize(
    ("text", "expected"), [("", ()), ("a", ("a",)), (" new , old ", ("new", "old")), ("a,,a,", ("a",))]
)
def test_a_setting_holds_one_secret_or_two(text, expected):
    assert read_secrets(text) == expected


@pytest.mark.parametrize(
    "intent", [None, "", "../../x", "0123456789abcdeg", "0123456789abcdef0", "\uff10123456789abcdef"]
)
def test_only_what_looks_like_an_intent_is_taken_for_one(intent):
    [call] = read_delivery(payload("b"), intent=intent, legacy=False, now=NOW)
    assert call == Notified(job="distill/b", status="COMPLETED", intent_id=None, at=NOW)


def test_the_kind_of_job_is_read_from_the_payload_or_in_the_older_scheme_both_are_told():
    [call] = read_delivery(BODY, intent="0123456789abcdef", legacy=False, now=NOW)
    assert (call.job, call.intent_id) == ("extract/batch_42", "0123456789abcdef")
    older = b'{"id": "b", "status": "FAILED"}'
    assert [call.job for call in read_delivery(older, intent=None, legacy=True, now=NOW)] == ["distill/b", "extract/b"]
    with pytest.raises(ProtocolError):
        read_delivery(older, intent=None, legacy=False, now=NOW)


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["COMPLETED", "FAILED"])), max_size=60))
def test_the_newest_calls_are_remembered_and_no_more_than_the_limit(calls):
    seen = Seen(5)
    for job, status in calls:
        call = Notified(job=job, status=status, at=NOW)
        if call not in seen:
            seen.add(call)
        assert call in seen
        assert len(seen) <= 5
