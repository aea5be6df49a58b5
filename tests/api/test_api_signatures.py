"""Webhook signatures against the openssl command, and everything a forger might try."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thunderbit_dagster.api import is_fresh, sign, sign_legacy, verify

SECRET, TIMESTAMP = "placeholder-secret", "1767600070000"
BODY = '{"id":"batch_3","status":"COMPLETED","note":"grün"}'.encode()
CURRENT = "sha256=uXFsoie0PJpWkuM/gd1W5jcnOUlF3Zd/Ub5u52jW+Wo="
LEGACY = "sha256=d534649eb7ba6143ac00f5e58ecd4f49a1f6bbb4ae0e0b923e2f5348ef2c4c87"


def openssl(message: bytes) -> bytes:
    command = ["openssl", "dgst", "-sha256", "-hmac", SECRET, "-binary"]
    return subprocess.run(command, input=message, capture_output=True, check=True).stdout


def accepted(
    signature: str, *, secrets: object = SECRET, body: bytes = BODY, timestamp: str = TIMESTAMP, **more
) -> bool:
    return verify(secrets, body, signature=signature, timestamp=timestamp, **more)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")
@pytest.mark.parametrize("body", [BODY, b"", b"\x00\xff\r\n"])
def test_both_schemes_agree_with_openssl(body: bytes) -> None:
    current = base64.b64encode(openssl(TIMESTAMP.encode() + b"." + body)).decode()
    assert sign(SECRET, TIMESTAMP, body) == f"sha256={current}"
    assert sign_legacy(SECRET, body) == f"sha256={openssl(body).hex()}"


def test_fixed_vectors() -> None:
    assert sign(SECRET, TIMESTAMP, BODY) == CURRENT
    assert sign_legacy(SECRET, BODY) == LEGACY


def test_the_current_scheme_is_accepted_and_its_text_has_44_characters() -> None:
    assert accepted(CURRENT)
    assert re.fullmatch(r"sha256=[A-Za-z0-9+/]{43}=", CURRENT)


def test_the_older_scheme_needs_a_switch() -> None:
    assert not accepted(LEGACY)
    assert accepted(LEGACY, allow_legacy=True)
    assert accepted(LEGACY, allow_legacy=True, timestamp="")
    assert accepted(CURRENT, allow_legacy=True)


@pytest.mark.parametrize(
    "change",
    [
        {"body": BODY + b" "},
        {"timestamp": "1767600070001"},
        {"timestamp": ""},
        {"secrets": "another"},
        {"secrets": ""},
        {"secrets": []},
        {"secrets": ["", "another"]},
    ],
)
def test_anything_altered_is_refused(change: dict) -> None:
    assert not accepted(CURRENT, **change)


@pytest.mark.parametrize(
    "signature", ["", "sha256=", CURRENT[7:], CURRENT.upper(), CURRENT + "\n", "sha256=ü", "\udcff"]
)
def test_anything_else_is_refused(signature: str) -> None:
    assert not accepted(signature)
    assert not accepted(signature, allow_legacy=True)


def test_an_empty_secret_signs_nothing() -> None:
    forged = sign("", TIMESTAMP, BODY)
    assert not accepted(forged, secrets="")
    assert not accepted(sign_legacy("", BODY), secrets=[""], allow_legacy=True)


def test_two_secrets_are_valid_while_one_replaces_the_other() -> None:
    assert accepted(CURRENT, secrets=["new", SECRET])
    assert accepted(CURRENT, secrets=(SECRET, "new"))


@given(st.text(min_size=1), st.integers(0, 10**15).map(str), st.binary())
def test_what_is_signed_is_accepted(secret: str, timestamp: str, body: bytes) -> None:
    assert verify(secret, body, signature=sign(secret, timestamp, body), timestamp=timestamp)


@given(st.text(), st.text())
def test_no_header_breaks_verification(signature: str, timestamp: str) -> None:
    assert not accepted(signature, timestamp=timestamp)
    is_fresh(timestamp, now=0)


def test_freshness_is_symmetric_and_strict_about_the_text() -> None:
    at = int(TIMESTAMP) / 1000
    assert is_fresh(TIMESTAMP, now=at + 300)
    assert is_fresh(TIMESTAMP, now=at - 300)
    assert not is_fresh(TIMESTAMP, now=at + 300.1)
    assert not is_fresh(TIMESTAMP, now=at - 300.1)
    assert is_fresh(TIMESTAMP, now=at + 900, tolerance=1000)
    for text in ("", "soon", "-1", "1.5", "²", "9" * 400):
        assert not is_fresh(text, now=at)
