from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polymarket._internal.hmac import build_hmac_signature
from py_clob_client_v2.signing.hmac import build_hmac_signature as build_hmac_signature_v2

from tests.support.user_channel_frames import CREDENTIALS, SECRETS
from venue.auth import Credentials, l2_headers, secret_bytes

NOW_S = 1_764_672_963


@given(raw=st.binary(min_size=1, max_size=64), now_s=st.integers(0, 10**11), padded=st.booleans())
def test_the_signature_is_the_official_clients(raw: bytes, now_s: int, padded: bool) -> None:
    secret = base64.urlsafe_b64encode(raw).decode()
    credentials = Credentials(
        address=CREDENTIALS.address,
        key="key",
        secret=secret if padded else secret.rstrip("="),
        passphrase="phrase",
    )
    headers = l2_headers(credentials, "GET", "/data/trades", now_s)
    assert headers == {
        "POLY_ADDRESS": CREDENTIALS.address,
        "POLY_API_KEY": "key",
        "POLY_PASSPHRASE": "phrase",
        "POLY_TIMESTAMP": str(now_s),
        "POLY_SIGNATURE": build_hmac_signature(
            secret=credentials.secret, timestamp=now_s, method="GET", path="/data/trades"
        ),
    }
    assert headers["POLY_SIGNATURE"] == build_hmac_signature_v2(
        secret, str(now_s), "GET", "/data/trades"
    )


def test_both_alphabets_of_base64_are_taken_and_nothing_else() -> None:
    raw = bytes(range(255, 200, -1))
    assert secret_bytes(base64.b64encode(raw).decode()) == raw
    assert secret_bytes(base64.urlsafe_b64encode(raw).decode()) == raw
    for wrong in ("a b", "a", "é" * 4, "a$bc"):
        with pytest.raises(ValueError, match=r"not base64|ASCII"):
            secret_bytes(wrong)


def test_credentials_do_not_show_themselves() -> None:
    shown = f"{CREDENTIALS} {CREDENTIALS!r} {[CREDENTIALS]}"
    assert CREDENTIALS.address in shown
    assert not any(secret in shown for secret in SECRETS)
    said = CREDENTIALS.without(f"you sent {' and '.join(SECRETS)}")
    assert said == "you sent *** and *** and ***"


def _as_html(text: str) -> str:
    return "".join(f"&#x{ord(each):x};" for each in text)


@pytest.mark.parametrize(
    "spelled",
    [
        str,
        str.upper,
        lambda text: json.dumps(text).replace("/", r"\/"),
        lambda text: json.dumps(json.dumps(text).replace("/", r"\/")),
        lambda text: "".join(f"\\u{ord(each):04X}" for each in text),
        lambda text: quote(text, safe=""),
        lambda text: quote(text, safe="").lower(),
        lambda text: quote(quote(text, safe=""), safe=""),
        lambda text: text[:3] + quote(text[3:], safe="/"),
        html.escape,
        _as_html,
    ],
)
def test_credentials_are_blotted_out_in_whatever_spelling(spelled: Callable[[str], str]) -> None:
    ours = msgspec.structs.replace(CREDENTIALS, secret="a/b+c==", passphrase='p/"&\\q%r<')
    parts = (ours.key, ours.secret, ours.passphrase)
    said = f"you sent {' and '.join(map(spelled, parts))}"
    assert not any(spelled(part) in ours.without(said) for part in parts)
    assert ours.without(said).count("***") == 3
    assert ours.without_bytes(said.encode() + b"\xff") == ours.without(said).encode() + b"\xff"
