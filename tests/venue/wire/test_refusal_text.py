"""What an answer that is no success says, and what of it is proof."""

from __future__ import annotations

import json
from typing import Any

import pytest

from venue.wire.order_answer import (
    Answer,
    HttpAnswer,
    Rejected,
    RejectReason,
    Unknown,
    read_answer,
)

OURS = "0x" + "ab" * 32
OTHER = "0x" + "cd" * 32
SPEND_E6, SIZE_E6 = 1_100_000, 2_115_384
MAKER = "maker address not allowed, please use the deposit wallet flow"


def answered(status: int, body: object, kind: str = "application/json", **more: str) -> Answer:
    encoded = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    answer = HttpAnswer(status=status, body=encoded, content_type=kind, **more)
    return read_answer(answer, OURS, SPEND_E6, SIZE_E6)


@pytest.mark.parametrize(
    ("status", "text", "reason"),
    [
        (400, MAKER, RejectReason.MAKER_NOT_ALLOWED),
        (400, "trading is disabled", RejectReason.TRADING_DISABLED),
        (503, "trading is disabled", RejectReason.TRADING_DISABLED),
        (400, "balance is not enough -> balance: 0", RejectReason.NOT_ENOUGH_BALANCE),
        (400, "not enough balance/allowance", RejectReason.NOT_ENOUGH_BALANCE),
        (400, "the orderbook 123 does not exist", RejectReason.MARKET_CLOSED),
        (400, "the exchange is in post-only mode", RejectReason.TRADING_DISABLED),
    ],
)
@pytest.mark.parametrize("said", ["{}", "{}.", " {} ", "error: {}!"])
@pytest.mark.parametrize("case", [str, str.upper, str.title, lambda t: t.replace(" ", "  ")])
@pytest.mark.parametrize(
    "form",
    [
        lambda t: {"error": t},
        lambda t: {"errorMsg": t, "success": False},
        lambda t: {"message": t},
        lambda t: {"error": {"message": t, "code": "bad_request"}},
        lambda t: {"data": {"errors": None, "error": [{"msg": t}]}},
        lambda t: {"error": "", "errorMsg": t, "orderID": "", "status": None},
    ],
)
def test_a_refusal_is_known_in_every_spelling(
    status: int, text: str, reason: RejectReason, said: str, case: Any, form: Any
) -> None:
    answer = answered(status, form(said.format(case(text))))
    assert isinstance(answer, Rejected)
    assert answer.reason is reason


@pytest.mark.parametrize("status", [400, 503])
@pytest.mark.parametrize(
    "body",
    [
        {"code": "post_only_mode", "retry_after_seconds": 100},
        {"code": "POST-ONLY"},
        {"code": "cancel_only"},
        {"code": "restarting", "error": None},
        {"code": "trading_disabled"},
        {"error": {"code": "cancel_only_mode"}},
        {"error": "post_only_mode"},
    ],
)
def test_a_code_alone_says_that_nothing_is_taken(status: int, body: dict[str, object]) -> None:
    answer = answered(status, body)
    assert isinstance(answer, Rejected)
    assert answer.reason is RejectReason.TRADING_DISABLED


@pytest.mark.parametrize(
    ("body", "header", "asked_ms"),
    [
        ({"code": "restarting"}, "", 0),
        ({"code": "restarting", "retry_after_seconds": 100}, "", 100_000),
        ({"code": "restarting", "retry_after_seconds": "1.5"}, "", 1_500),
        ({"error": {"code": "restarting", "retry_after_seconds": 3}}, "", 3_000),
        ({"code": "restarting", "retry_after_seconds": 100}, "7", 7_000),
        ({"code": "restarting", "retry_after_seconds": -1}, "", 0),
        ({"code": "restarting", "retry_after_seconds": True}, "nan", 0),
        ({"code": "restarting", "retry_after_seconds": 1e300}, "inf", 86_400_000),
        ({"code": "restarting"}, "172800", 86_400_000),
        ({"code": "restarting", "retry_after_seconds": None}, "Sun, 06 Nov 1994 08:49:37 GMT", 0),
    ],
)
def test_how_long_the_venue_asks_to_wait(body: object, header: str, asked_ms: int) -> None:
    answer = answered(503, body, retry_after=header)
    assert isinstance(answer, Rejected)
    assert answer.retry_after_ms == asked_ms


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500, 502, 503, 520])
@pytest.mark.parametrize("kind", ["text/html", "application/xhtml+xml", "text/plain", ""])
def test_a_page_proves_nothing_whatever_stands_in_it(status: int, kind: str) -> None:
    answer = answered(status, f"<html>{MAKER}; trading is disabled; invalid api key</html>", kind)
    assert isinstance(answer, Unknown)
    assert answer.concerns is (RejectReason.GEOBLOCKED if status == 403 else None)
    assert MAKER not in answer.text


@pytest.mark.parametrize("body", ["", "Forbidden", "{}", "[]", {"owner": "x"}])
@pytest.mark.parametrize("kind", ["text/plain", "application/json", ""])
def test_status_403_counts_only_with_a_text_in_the_venue_s_own_form(
    body: object, kind: str
) -> None:
    answer = answered(403, body, kind)
    assert isinstance(answer, Unknown)
    assert answer.concerns is RejectReason.GEOBLOCKED
    assert isinstance(answered(403, {"error": "Trading restricted in your region"}), Rejected)


@pytest.mark.parametrize(
    "broken", ["context cancelled", "deadline exceeded", "request timed out", "Timeout"]
)
def test_what_broke_on_the_way_is_no_refusal(broken: str) -> None:
    for status in (400, 403, 503):
        assert isinstance(answered(status, {"error": f"{MAKER}: {broken}"}), Unknown)


@pytest.mark.parametrize("status", [425, 429])
def test_statuses_that_the_venue_documents_count_with_any_body(status: int) -> None:
    for body in ("<html>slow down</html>", "", "{}", "[", {"error": "wait"}):
        assert isinstance(answered(status, body, "text/html"), Rejected)


@pytest.mark.parametrize("status", [400, 403, 425, 429, 503])
@pytest.mark.parametrize(
    "success",
    [
        {"success": True},
        {"success": "true"},
        {"status": "matched"},
        {"status": "DELAYED"},
        {"status": "unmatched"},
        {"tradeIDs": ["t1"]},
        {"transactionsHashes": ["0xbb"]},
        {"takingAmount": "0.1"},
        {"makingAmount": "x"},
    ],
)
def test_a_refusal_beside_anything_that_speaks_of_success_is_unknown(
    status: int, success: dict[str, object]
) -> None:
    assert isinstance(answered(status, {"error": "trading is disabled", **success}), Unknown)


@pytest.mark.parametrize(
    "body",
    [
        {"owner": "secret", "note": MAKER},  # an echo of the request
        [MAKER],
        MAKER,
        {"error": f"{MAKER}: context canceled"},
        {"error": MAKER, "detail": "upstream timeout"},
        {"error": f"order {OTHER}: {MAKER}"},
    ],
)
def test_what_may_be_somebody_else_s_words_proves_nothing(body: object) -> None:
    answer = answered(400, body)
    assert isinstance(answer, Unknown)
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    "body",
    [
        {"message": "Forbidden"},
        {"detail": "Blocked by policy"},
        {"code": "policy_violation"},
        {"error": {"message": "blocked"}},
        {"error": " "},
        {"data": {"error": "blocked"}},
    ],
)
def test_a_filter_s_json_with_status_403_proves_nothing(body: object) -> None:
    answer = answered(403, body)
    assert isinstance(answer, Unknown)
    assert answer.concerns is RejectReason.GEOBLOCKED


@pytest.mark.parametrize("end", ["context canceled", f"about {OTHER}"])
def test_the_end_of_a_long_text_counts_although_it_is_not_shown(end: str) -> None:
    text = f"not enough balance: {'x ' * 200}{end}"
    assert isinstance(answered(400, {"error": text}), Unknown)
    assert isinstance(answered(200, {"success": False, "errorMsg": text}), Unknown)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (MAKER, RejectReason.MAKER_NOT_ALLOWED),
        ("trading is disabled", RejectReason.TRADING_DISABLED),
        ("Trading restricted in your region", RejectReason.GEOBLOCKED),
    ],
)
def test_status_403_means_the_region_only_where_the_words_say_nothing_else(
    text: str, reason: RejectReason
) -> None:
    answer = answered(403, {"error": text})
    assert isinstance(answer, Rejected)
    assert answer.reason is reason


def test_a_text_of_the_venue_s_is_one_short_line() -> None:
    answer = answered(500, {"error": "a\nb\u2028c\x00" + "x" * 1000})
    assert isinstance(answer, Unknown)
    assert answer.text.isprintable()
    assert len(answer.text) < 400
