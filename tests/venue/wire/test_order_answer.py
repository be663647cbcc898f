from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from venue.wire.order_answer import (
    Accepted,
    Answer,
    Rejected,
    RejectReason,
    Unknown,
    read_success,
    refusal,
)

MAKER = "maker address not allowed, please use the deposit wallet flow"
OURS = "0x" + "ab" * 32
OTHER = "0x" + "cd" * 32


@pytest.mark.parametrize(
    ("status", "text", "reason"),
    [
        (
            400,
            "no orders found to match with FAK order. FAK orders are partially filled or killed "
            "if no match is found.",
            RejectReason.NO_MATCH,
        ),
        (
            400,
            "order couldn't be fully filled. FOK orders are fully filled or killed.",
            RejectReason.FOK_NOT_FILLED,
        ),
        (400, "not enough balance / allowance: ...", RejectReason.NOT_ENOUGH_BALANCE),
        (
            400,
            f"order {OURS} is invalid. Price (0.305) breaks minimum tick size rule: 0.01",
            RejectReason.BAD_TICK,
        ),
        (
            400,
            f"order {OURS} is invalid. Size (1) lower than the minimum: 5",
            RejectReason.BELOW_MINIMUM,
        ),
        (
            400,
            "invalid amount for a marketable BUY order ($0.5), min size: $1",
            RejectReason.BELOW_MINIMUM,
        ),
        (400, "the orderbook 123 does not exist", RejectReason.MARKET_CLOSED),
        (401, "Unauthorized/Invalid api key", RejectReason.UNAUTHORIZED),
        (403, "Trading restricted in your region", RejectReason.GEOBLOCKED),
        (425, "", RejectReason.ENGINE_RESTARTING),
        (429, "Too Many Requests", RejectReason.RATE_LIMITED),
        (503, "Trading is currently disabled. Check the site", RejectReason.TRADING_DISABLED),
    ],
)
def test_known_words_of_the_venue_are_proof(status: int, text: str, reason: RejectReason) -> None:
    assert refusal(status, text, OURS) == Rejected(reason=reason, text=text)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (400, f"order {OURS} is invalid. Duplicated."),  # seen before: it may have filled
        (400, "order match delayed due to market conditions"),  # it may still match
        (400, "context canceled"),  # the venue turns internal errors of this name into a 400
        (400, "something new"),
        (400, "error matching order against the orderbook : context canceled"),
        (400, "not enough balance / allowance: context canceled"),
        (400, "the orderbook service is unavailable"),
        (404, "no orders found to match with FAK order"),
        (401, "unauthorized: upstream"),
        (404, "order not found"),
        (408, "timeout"),
        (500, "could not run the execution"),
        (500, "no orders found to match with FAK order"),  # a 500 proves nothing, whatever it says
        (502, "bad gateway"),
        (503, "upstream connect error"),
        (504, ""),
    ],
)
def test_everything_else_is_unknown(status: int, text: str) -> None:
    answer = refusal(status, text, OURS)
    assert isinstance(answer, Unknown)
    assert not answer.alarm
    assert text in answer.text


def test_words_about_another_order_prove_nothing_and_alarm() -> None:
    text = f"order {OTHER} is invalid. Price (0.3) breaks minimum tick size rule: 0.01"
    answer = refusal(400, text, OURS)
    assert isinstance(answer, Unknown)
    assert answer.alarm


def test_our_order_id_is_recognised_in_any_case() -> None:
    text = (
        f"order {OURS.upper().replace('0X', '0x')} is invalid. Size (1) lower than the minimum: 5"
    )
    assert isinstance(refusal(400, text, OURS), Rejected)


@pytest.mark.parametrize("code", ["post_only_mode", "cancel_only", "restarting"])
def test_a_503_that_names_a_code_alone_is_proof_and_another_status_is_not(code: str) -> None:
    answer = refusal(503, "unreadable response body", OURS, code)
    assert isinstance(answer, Rejected)
    assert answer.reason is RejectReason.TRADING_DISABLED
    assert isinstance(refusal(500, "unreadable response body", OURS, code), Unknown)
    assert isinstance(refusal(503, "unreadable response body", OURS, "overloaded"), Unknown)
    assert isinstance(refusal(503, "context canceled", OURS, code), Unknown)


# ---- answers of status 200 ----------------------------------------------------------------------

SPEND_E6, SIZE_E6 = 1_100_000, 2_115_384
KILLED = (
    "no orders found to match with FAK order. "
    "FAK orders are partially filled or killed if no match is found."
)


def success(**bent: Any) -> dict[str, Any]:
    """A match as the venue answers it; `...` as a value removes the field."""
    body = {
        "success": True,
        "errorMsg": "",
        "orderID": OURS,
        "status": "matched",
        "makingAmount": "1.1",
        "takingAmount": "2.2",
        "transactionsHashes": None,
        "tradeIDs": ["t1"],
    }
    return {key: value for key, value in (body | bent).items() if value is not ...}


def read(body: object) -> Answer:
    return read_success(json.dumps(body).encode(), OURS, SPEND_E6, SIZE_E6)


MATCHED = Accepted(status="matched", spend_e6=1_100_000, size_e6=2_200_000, trade_ids=("t1",))


@pytest.mark.parametrize(
    "bent",
    [
        {},
        {"errorMsg": ...},
        {"errorMsg": None},
        {"transactionsHashes": ...},
        {"transactionsHashes": []},
        {"transactionsHashes": {}},
        {"transactionsHashes": "0xbb"},
        {"transactionsHashes": [None, {"hash": 1}]},
        {"errorMsg": False},
        {"errorMsg": []},
        {"errorMsg": " "},
        {"error": None},
        {"error": ""},
        {"status": "MATCHED"},
        {"status": "ORDER_STATUS_MATCHED"},
        {"orderID": OURS.upper().replace("X", "x")},
        {"makingAmount": 1.1, "takingAmount": 2.2},
        {"makingAmount": "1.100000", "takingAmount": "2.200000"},
        {"news": {"a": [1]}},
    ],
)
def test_a_match_is_read_whatever_the_venue_leaves_out(bent: dict[str, Any]) -> None:
    assert read(success(**bent)) == MATCHED


@pytest.mark.parametrize("trade_ids", [None, [], ..., "", "t1", {}, 0, {"id": "t1"}, [None, ""]])
def test_a_match_without_trade_ids_is_a_match(trade_ids: object) -> None:
    answer = read(success(tradeIDs=trade_ids))
    assert answer == Accepted(status="matched", spend_e6=1_100_000, size_e6=2_200_000)


def test_a_unit_unspent_is_a_full_fill_and_a_cent_is_not() -> None:
    for making, status in (("1.099999", "matched"), ("1.09", "partly_matched")):
        answer = read(success(makingAmount=making))
        assert isinstance(answer, Accepted)
        assert answer.status == status


@pytest.mark.parametrize("status", ["live", "delayed"])
@pytest.mark.parametrize("amount", ["", None, "0", 0, ...])
def test_an_order_without_a_fill_yet_has_empty_amounts(status: str, amount: object) -> None:
    body = success(status=status, makingAmount=amount, takingAmount=amount, tradeIDs=None)
    assert read(body) == Accepted(status=status, spend_e6=0, size_e6=0)


def test_a_kill_in_its_own_words_is_proof_and_with_a_fill_it_is_not() -> None:
    nothing = {"makingAmount": "", "takingAmount": "", "tradeIDs": None}
    killed = success(success=False, errorMsg=KILLED, status="", **nothing)
    assert read(killed) == Rejected(reason=RejectReason.NO_MATCH, text=KILLED)
    assert isinstance(read(killed | {"errorMsg": f"{KILLED} Or so."}), Unknown)
    assert isinstance(read(killed | {"tradeIDs": ["t1"]}), Unknown)
    assert isinstance(read(killed | {"takingAmount": "1"}), Unknown)
    assert isinstance(read(killed | {"transactionsHashes": ["0xbb"]}), Unknown)
    assert isinstance(read(killed | {"success": True}), Unknown)
    for status in ("matched", "live", "delayed", "unmatched"):
        assert isinstance(read(killed | {"status": status}), Unknown)
    assert isinstance(read(killed | {"errorMsg": KILLED.upper()}), Unknown)
    assert isinstance(read(killed | {"orderID": None, "status": None}), Rejected)
    assert isinstance(read(killed | {"errorMsg": KILLED.rstrip(".")}), Rejected)
    assert isinstance(read(killed | {"errorMsg": None, "error": KILLED}), Rejected)


def test_a_200_that_says_no_success_in_the_words_of_a_refusal_is_one() -> None:
    nothing: dict[str, Any] = {"makingAmount": "", "takingAmount": None, "tradeIDs": None}
    no: dict[str, Any] = {"success": False, "status": "", "orderID": "", "errorMsg": MAKER}
    answer = read(success(**nothing, **no))
    assert isinstance(answer, Rejected)
    assert answer.reason is RejectReason.MAKER_NOT_ALLOWED
    for bent in (
        {"success": ...},
        {"success": None},
        {"success": "false"},
        {"status": "live"},
        {"status": "placed"},
        {"tradeIDs": ["t1"]},
        {"errorMsg": "could not run the execution"},
        {"errorMsg": {"error": MAKER}},
        {"error": "something else"},
        {"orderID": OTHER},
    ):
        assert isinstance(read(success(**(nothing | no | bent))), Unknown)


def test_trade_ids_that_are_none_spoil_no_answer() -> None:
    answer = read(success(tradeIDs=[None, "t1", 7]))
    assert isinstance(answer, Accepted)
    assert answer.trade_ids == ("t1",)


def test_more_shares_than_the_money_buys_at_the_lowest_price_are_implausible() -> None:
    answer = read(success(takingAmount="99999999"))
    assert isinstance(answer, Unknown)
    assert answer.implausible


@pytest.mark.parametrize(
    "bent",
    [
        {"success": False},
        {"success": ...},
        {"success": "true"},
        {"success": 1},
        {"orderID": 7},
        {"status": ["matched"]},
        {"errorMsg": {"code": 1}},
        {"error": "delayed by the weather"},
        {"status": "unmatched"},
        {"status": "MATCHED!"},
        {"status": ...},
        {"orderID": ""},
        {"orderID": ...},
        {"errorMsg": "not enough balance / allowance for the rest"},
        {"makingAmount": "-1"},
        {"makingAmount": "1E+40"},
        {"makingAmount": "NaN"},
        {"makingAmount": "1.0000001"},
        {"makingAmount": True},
    ],
)
def test_any_other_success_is_unknown(bent: dict[str, Any]) -> None:
    answer = read(success(**bent))
    assert isinstance(answer, Unknown)
    assert not answer.alarm


@pytest.mark.parametrize(
    "bent",
    [
        {"takingAmount": "0"},
        {"takingAmount": ""},
        {"makingAmount": ""},
        {"makingAmount": None},
        {"makingAmount": "1.2", "takingAmount": "2.4"},
        {"takingAmount": "1.9"},
    ],
)
def test_amounts_that_cannot_be_of_this_order_are_unknown_and_implausible(
    bent: dict[str, Any],
) -> None:
    answer = read(success(**bent))
    assert isinstance(answer, Unknown)
    assert answer.implausible
    assert not answer.alarm


@pytest.mark.parametrize(
    "bent",
    [{"orderID": OTHER}, {"success": False, "orderID": "", "errorMsg": f"{OTHER}: {MAKER}"}],
)
def test_an_answer_about_another_order_is_unknown_and_alarms(bent: dict[str, Any]) -> None:
    answer = read(success(**bent))
    assert isinstance(answer, Unknown)
    assert answer.alarm


@given(st.binary())
def test_no_bytes_are_an_answer(body: bytes) -> None:
    assert isinstance(read_success(body, OURS, SPEND_E6, SIZE_E6), Unknown)
