"""What of an answer is not read in full proves nothing, and neither does what speaks of success
anywhere in it."""

from __future__ import annotations

import codecs
import gzip
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.venue.wire.test_order_answer import success
from venue.wire import refusal_text
from venue.wire.order_answer import (
    Accepted,
    Answer,
    HttpAnswer,
    Rejected,
    RejectReason,
    Unknown,
    read_answer,
)

OURS = "0x" + "ab" * 32
OTHER = "0x" + "cd" * 32
BALANCE = "not enough balance / allowance"
KILLED = "no orders found to match with FAK order. FAK orders are partially filled or killed if no match is found."  # noqa: E501 - the venue's words
REFUSALS = (400, 401, 403, 404, 425, 429, 503)


def answered(status: int, body: object, kind: str = "application/json") -> Answer:
    encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = HttpAnswer(status=status, body=encoded, content_type=kind)
    return read_answer(answer, OURS, 1_100_000, 2_115_384)


def nested(depth: int, inner: object, name: str = "a") -> object:
    for _ in range(depth):
        inner = {name: inner}
    return inner


def test_the_refusal_alone_is_proof() -> None:
    for body in ({"error": BALANCE}, {"error": nested(5, BALANCE)}, {"error": [BALANCE] * 20}):
        answer = answered(400, body)
        assert isinstance(answer, Rejected)
        assert answer.reason is RejectReason.NOT_ENOUGH_BALANCE


@pytest.mark.parametrize("status", REFUSALS)
@pytest.mark.parametrize("depth", [1, 5, 9, 40, 5_000])
@pytest.mark.parametrize(
    "taken_back", ["context canceled", "order is invalid. Duplicated.", "order match delayed"]
)
def test_what_takes_a_refusal_back_counts_however_deep_it_stands(
    status: int, depth: int, taken_back: str
) -> None:
    deep = '{"a":' * depth + f'"{taken_back}"' + "}" * depth  # deeper than json.dumps goes
    text = f'{{"error":"{BALANCE}","more":{deep}}}'
    assert isinstance(answered(status, text.encode()), Unknown)
    assert isinstance(answered(status, text.replace("more", "message").encode()), Unknown)


@pytest.mark.parametrize("status", REFUSALS)
@pytest.mark.parametrize("before", [0, 15, 16, 17, 300, 10_000])
@pytest.mark.parametrize("last", [{"message": "context canceled"}, {"status": "matched"}])
def test_what_takes_a_refusal_back_counts_however_late_it_stands(
    status: int, before: int, last: object
) -> None:
    errors = [{"message": BALANCE}] * before + [last]
    assert isinstance(answered(status, {"error": BALANCE, "errors": errors}), Unknown)
    fields = {f"field{n}": n for n in range(before)}
    assert isinstance(answered(status, {"error": BALANCE, **fields, "x": last}), Unknown)


def test_a_body_too_long_to_be_read_is_unknown_and_costs_nothing() -> None:
    body = b'{"error":"%s","pad":[%s]}' % (BALANCE.encode(), b"[]," * 5_000_000 + b"1")
    before_s = time.thread_time()
    for status in (200, *REFUSALS):
        assert isinstance(answered(status, body), Unknown)
    assert time.thread_time() - before_s < 0.5


@pytest.mark.parametrize("status", REFUSALS)
@pytest.mark.parametrize(
    "sign",
    [
        {"success": True},
        {"Success": "yes"},
        {"status": "filled"},
        {"status": "partially_matched"},
        {"status": "placed"},
        {"order": {"status": "ORDER_STATUS_LIVE"}},
        {"data": [{"success": True}]},
        {"orders": [{"orderID": OURS, "size_matched": "1.2"}]},
        {"size_matched": 1.2},
        {"sizeMatched": "x"},
        {"filledSize": "2"},
        {"takingAmount": [1]},
        {"making_amount": {"usd": "1.1"}},
        {"tradeIDs": {"a": "t1"}},
        {"associate_trades": ["t1"]},
        {"transactionHash": "0xbb"},
        {"result": {"trades": [{"id": "t1"}]}},
    ],
)
def test_a_sign_of_success_anywhere_makes_a_refusal_unknown(status: int, sign: Any) -> None:
    assert isinstance(answered(status, {"error": BALANCE, **sign}), Unknown)
    assert isinstance(answered(status, [sign]), Unknown)
    assert isinstance(answered(status, sign), Unknown)
    assert isinstance(answered(status, sign, "text/html"), Unknown)
    killed = {"success": False, "errorMsg": KILLED, "orderID": OURS}
    assert isinstance(answered(200, {**killed, **sign}), Unknown)


@pytest.mark.parametrize(
    "beside",
    [
        {"success": False, "status": "", "orderID": OURS, "tradeIDs": [], "takingAmount": "0"},
        {"status": 400, "success": None, "size_matched": "0.000000", "transactionsHashes": {}},
        {"status": "error", "trades": None},
        # An echo of the order.
        {"order": {"makerAmount": "1100000", "takerAmount": "2115384", "maker": "0x" + "1" * 40}},
        {"orderType": "FAK", "signature": "0x" + "5c" * 65, "hash": OTHER},
    ],
)
def test_what_says_nothing_beside_a_refusal_spoils_it_not(beside: dict[str, object]) -> None:
    assert isinstance(answered(400, {"error": BALANCE, **beside}), Rejected)


def test_an_order_id_that_is_not_ours_makes_a_refusal_unknown_and_alarms() -> None:
    for body in (
        {"error": BALANCE, "orderID": OTHER},
        {"error": {"msg": BALANCE, "order_id": OTHER}},
    ):
        answer = answered(400, body)
        assert isinstance(answer, Unknown)
        assert answer.alarm


@pytest.mark.parametrize(
    "body",
    [
        b'{"error":"order is invalid. Duplicated.","error":"%s"}',
        b'{"error":"%s","error":""}',
        b'{"error":{"a":1,"a":2},"message":"%s"}',
        b'{"success":true,"success":false,"error":"%s"}',
    ],
)
@pytest.mark.parametrize("status", REFUSALS)
def test_a_name_that_stands_twice_hides_something(status: int, body: bytes) -> None:
    assert isinstance(answered(status, body % BALANCE.encode()), Unknown)


def test_a_match_of_many_trades_is_a_match() -> None:
    ids = [f"{n:036}" for n in range(700)]
    answer = answered(200, success(tradeIDs=ids))
    assert isinstance(answer, Accepted)
    assert list(answer.trade_ids) == ids


def test_a_match_with_a_name_that_stands_twice_is_unknown() -> None:
    body = json.dumps(success()).encode()
    assert isinstance(answered(200, body), Accepted)
    assert isinstance(answered(200, body[:-1] + b',"takingAmount":"2.3"}'), Unknown)


@pytest.mark.parametrize("status", REFUSALS)
@pytest.mark.parametrize("kind", ["application/json", "text/plain", "", "application/octet-stream"])
@pytest.mark.parametrize(
    "body",
    [
        b'{"success":true,"orderID":"',
        b'{"error":"%s"' % BALANCE.encode(),
        b'{"error":"%s","n":NaN}' % BALANCE.encode(),
        b'{"error":"%s","n":%s}' % (BALANCE.encode(), b"9" * 5_000),
        b'{"error":"%s"} {"success":true}' % BALANCE.encode(),
        gzip.compress(b'{"success":true}', mtime=0),
        b"\xff" + BALANCE.encode(),
        json.dumps({"success": True}).encode("utf-16"),
        json.dumps({"success": True}).encode("utf-16-be"),
        json.dumps({"success": True}).encode("utf-32"),
        codecs.BOM_UTF8 + b'{"success":true}',
        BALANCE.encode() + b"." * 100_000,
    ],
)
def test_what_cannot_be_read_is_no_proof(status: int, kind: str, body: bytes) -> None:
    assert isinstance(answered(status, body, kind), Unknown)


def test_what_limits_requests_pauses_the_account_although_it_proves_nothing() -> None:
    for status, reason in ((425, RejectReason.ENGINE_RESTARTING), (429, RejectReason.RATE_LIMITED)):
        answer = answered(status, b'{"error":"slow')
        assert isinstance(answer, Unknown)
        assert answer.concerns is reason


def test_a_mark_of_the_byte_order_says_nothing() -> None:
    body = codecs.BOM_UTF8 + json.dumps(success()).encode()
    assert isinstance(answered(200, body), Accepted)


@given(st.sampled_from(REFUSALS), st.binary(), st.sampled_from(["", "text/html", "text/plain"]))
def test_any_bytes_are_an_answer(status: int, body: bytes, kind: str) -> None:
    assert isinstance(answered(status, body, kind), Unknown | Rejected)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
)


@given(_JSON.map(lambda each: json.dumps(each).encode()) | st.binary(max_size=8))
def test_whether_an_answer_is_read_in_full_is_one_question(body: bytes) -> None:
    assert refusal_text.read_in_full(body) is refusal_text.read_refusal(body, "", "").in_full


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(nested(depth, 1)).encode()
        for depth in (refusal_text._DEPTH_MAX - 1, refusal_text._DEPTH_MAX, 17, 40)
    ]
    + [
        json.dumps([[1]] * count).encode()
        for count in (refusal_text._PARTS_MAX, refusal_text._PARTS_MAX + 1)
    ]
    + [b'{"a":1,"a":1}', b'{"a":NaN}', b'\xef\xbb\xbf{"a":1}', b'{"a":"\xff"}', b"{}x"],
)  # fmt: skip
def test_and_so_it_is_at_each_bound(body: bytes) -> None:
    assert refusal_text.read_in_full(body) is refusal_text.read_refusal(body, "", "").in_full
