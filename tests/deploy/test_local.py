"""The local deployment's pure parts. The whole of it is a step of CI: it takes minutes."""

from __future__ import annotations

import asyncio

import pytest

from deploy.local.stack import reason_of
from deploy.local.steps import Progress, StepError, comparable, lost, trade_line, url_event
from deploy.local.system import still_listening
from functions.core.claim import ClaimState
from tests.support.account_builders import make_open

OSLS_FAILURE = """
Deploying streaming-executor to stage local (eu-west-1)

x Stack streaming-executor-local failed to deploy (10s)
Environment: linux, node 20.20.2, osls 4.3.1 (local)

Error:
UPDATE_FAILED: RateAlarm (AWS::CloudWatch::Alarm)
Metric math is not supported.

View the full error: https://example.invalid/
"""


def test_a_failed_deployment_is_told_in_one_line() -> None:
    assert reason_of(OSLS_FAILURE) == (
        "UPDATE_FAILED: RateAlarm (AWS::CloudWatch::Alarm) Metric math is not supported."
    )


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("", "it said nothing"),
        ("a\n\nlast words\n\n", "last words"),
        ("Error:\n", "it said nothing"),
        ("Error:\nno such file\nat async open (x.js)\n", "no such file"),
    ],
)
def test_output_without_an_error_paragraph_still_gives_a_reason(output: str, reason: str) -> None:
    assert reason_of(output) == reason


def test_what_a_second_deployment_lost_is_named() -> None:
    before = {"ACCOUNT": {"trading": {"S": "halted"}}, "TRADE#1": {"v": {"N": "1"}}}
    after = {"ACCOUNT": {"trading": {"S": "enabled"}}, "TRADE#2": {"v": {"N": "1"}}}
    assert lost(before, after) == ["ACCOUNT differs", "TRADE#1 is gone", "TRADE#2 is new"]
    assert lost(before, before) == []


def test_a_settled_row_is_told_with_market_price_and_profit() -> None:
    row = make_open(
        "m1",
        slug="btc-updown-15m-1",
        state=ClaimState.SETTLED,
        filled_size_e6=2_000_000,
        filled_spend_e6=1_100_000,
        payout_e6=2_000_000,
        pnl_e6=860_000,
    )
    assert trade_line(row) == (
        "btc-updown-15m-1 Up: 2.00 shares at 0.550, paid 2.00 USD, P&L after fees +0.8600 USD"
    )


def test_only_cooldowns_may_change_by_time_alone() -> None:
    item = {"sk": {"S": "ACCOUNT"}, "cooldowns": {"M": {}}, "claims": {"M": {}}}
    assert comparable(item) == {"sk": {"S": "ACCOUNT"}, "claims": {"M": {}}}


async def test_a_step_that_takes_too_long_ends_by_itself_and_has_a_name() -> None:
    progress = Progress(lambda _: None)
    with pytest.raises(StepError, match=r"not done within 0\.01 s"):
        async with progress.step("waiting for what never comes", 0.01):
            await asyncio.Event().wait()
    assert progress.doing == "waiting for what never comes"


def test_lines_of_the_story_carry_the_seconds() -> None:
    said: list[str] = []
    Progress(said.append).say("deployed")
    assert said == ["   0.0 s  deployed"]


def test_an_event_is_what_a_function_url_hands_over() -> None:
    event = url_event("POST", "/halt", {"reason": "why"})
    context = event["requestContext"]
    assert context["http"] == {"method": "POST", "path": "/halt"}
    assert context["authorizer"]["iam"]["userArn"].startswith("arn:aws:iam::")
    assert (event["rawPath"], event["body"], event["isBase64Encoded"]) == (
        "/halt",
        '{"reason": "why"}',
        False,
    )
    assert "body" not in url_event("GET", "/status")


async def test_what_still_listens_is_found() -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        assert await still_listening([url]) == [url]
    assert await still_listening([url]) == []
