from __future__ import annotations

import pytest

from venue.wire.order_answer import Rejected, RejectReason, Unknown, refusal

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
