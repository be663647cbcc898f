"""The view of decisions, over HTTP."""

from __future__ import annotations

import asyncio
import html
import time
from pathlib import Path
from typing import Any

import msgspec
import nats
import pytest

from executor.console import decision_search, decisions
from executor.console.decision_days import STEPS
from executor.console.decisions import DecisionsView
from executor.console.nats_now import NatsNow
from feeder.recording.format import Decided, payload
from functions.core.account import utc_day
from functions.core.claim import ClaimFill, ClaimState, Finality
from local.status import SystemStatus
from protocol.decision import Decision, Timeline, decode_decision, encode_decision
from tests.support import made_history as made
from tests.support.account_builders import make_claim, make_decision
from tests.support.console_app import ConsoleApp, console_app
from tests.support.fake_ports import MemoryStore
from tests.support.servers import NatsServer

NAME = "one-paper"
SCRIPT = "<script>alert(1)</script>"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def a_store(*decisions: Decision, name: str = NAME) -> MemoryStore:
    store = MemoryStore(name=name)
    for each in decisions:
        store.logged[each.decided_at_ms, each.decision_id] = each
    return store


def serving(*stores: MemoryStore, **more: Any) -> Any:
    named = {each.account_name: each for each in stores}
    strategies = ",".join(f"{name.removesuffix('-paper')}=book_imbalance_crypto" for name in named)
    return console_app(DecisionsView, stores=named, strategies=strategies, run_views=True, **more)


def d(number: int, **changes: Any) -> Decision:
    return make_decision(number, **{"strategy": NAME, **changes})


async def shown(console: ConsoleApp, wanted: str, path: str = "/events/decisions") -> str:
    element = "decisions-detail" if "id=" in path else "decisions-table"
    return await console.shown(path, element, wanted)


async def test_the_log_is_shown_and_foreign_text_is_text() -> None:
    store = a_store(
        d(1, slug=SCRIPT, reason=SCRIPT, text=SCRIPT, outcome=SCRIPT, worker=SCRIPT),
        d(2, result="executed", reason="matched", numbers={SCRIPT: 1.0}),
    )
    async with serving(store) as console:
        table = await shown(console, "matched")
        assert html.escape(SCRIPT) in table
        for path in (
            "/decisions",
            "/decisions?market=%3Cscript%3E&reason=%3Cscript%3Ealert(1)%3C/script%3E",
            f"/decisions/day/{utc_day(now_ms())}",
            "/decisions/d1",
            "/decisions/d2",
        ):
            text = await console.page(path)
            assert SCRIPT not in text, path
            assert html.escape(SCRIPT) in text, path


async def test_pages_and_filters_are_links_and_forms() -> None:
    store = a_store(*(d(number) for number in range(1, 121)), d(500, reason="halted"))
    async with serving(store) as console:
        await shown(console, "halted")
        text = await console.page("/decisions")
        assert text.count("<tr>") == 51  # with the head
        assert 'href="?page=1"' in text
        text = await console.page("/decisions?page=2")
        assert text.count("<tr>") == 22
        assert 'rel="next"' not in text
        text = await console.page("/decisions?reason=halted")
        assert text.count("<tr>") == 2
        assert "halted" in text
        assert "No decision is like that." in await console.page("/decisions?market=eth")
        assert await console.page("/decisions?page=1000000000000&account=%00")


async def test_ten_thousand_of_a_day_are_read_as_far_as_a_page_needs() -> None:
    day_ms = now_ms() - 86_400_000
    store = a_store(*(d(n, decided_at_ms=day_ms - n) for n in range(10_000)))
    rare = d(9_000, decided_at_ms=day_ms - 9_000, reason="rare")
    store.logged[rare.decided_at_ms, rare.decision_id] = rare
    limits = []
    read = store.decisions

    async def noted(day: str, limit: int) -> list[Decision]:
        limits.append(limit)
        return await read(day, limit)

    store.decisions = noted  # type: ignore[method-assign]
    day = utc_day(day_ms - 9_999)
    async with console_app(
        DecisionsView, stores={NAME: store}, strategies="one=book_imbalance_crypto"
    ) as console:
        if utc_day(day_ms) != day:
            pytest.skip("the day has just changed")
        assert (await console.page(f"/decisions/day/{day}")).count("<tr>") == 51
        assert limits == [STEPS[0]]
        assert "rare" in await console.page(f"/decisions/day/{day}?reason=rare")
        assert limits == [*STEPS]
        await console.page(f"/decisions/day/{day}?page=3")
        assert limits == [*STEPS], "what was read is not read again"
        text = await console.page(f"/decisions/d9999?account={NAME}&day={day}")
        assert "d9999" in text


async def test_rows_that_an_account_has_not_told_leave_no_gap() -> None:
    """Of 250 rows of each account those of the one reach back 0.25 s; the other's are older."""
    begun_ms = 1_790_000_000_000
    busy = a_store(*(d(n, decided_at_ms=begun_ms + n) for n in range(400)))
    older = [d(n, decided_at_ms=begun_ms - n, strategy="two-paper") for n in range(1, 121)]
    quiet = a_store(*older, name="two-paper")
    async with console_app(
        DecisionsView,
        stores={NAME: busy, "two-paper": quiet},
        strategies="one=book_imbalance_crypto,two=book_imbalance_crypto",
    ) as console:
        day = utc_day(begun_ms)
        text = await console.page(f"/decisions/day/{day}?page=4")
        assert "d199" in text
        assert 'rel="next"' in text
        assert "two-paper</td>" not in await console.page(f"/decisions/day/{day}?page=5")
        text = await console.page(f"/decisions/day/{day}?page=8")
        assert text.count("two-paper</td>") == 50


@pytest.mark.parametrize(
    "path",
    [
        "/decisions/day/2026-02-30",
        "/decisions/day/x",
        "/decisions/day/..%2f..%2fetc",
        "/decisions/..%2f..%2fetc%2fpasswd",
        "/decisions/a%00b",
        f"/decisions/{'a' * 129}",
        "/decisions/unknown?account=one-paper&day=2026-01-01",
        "/decisions/unknown?account=../../x&day=%3Cscript%3E",
    ],
)
async def test_what_there_is_not_is_not_found(path: str) -> None:
    async with serving(a_store()) as console:
        await console.page(path, 404)


async def test_a_log_that_does_not_answer_is_said_and_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decisions, "TRY_AGAIN_S", 0.5)
    store = a_store(d(1))
    store.failures["decisions"] = 1
    async with serving(store) as console:
        assert "injected" in await shown(console, "the decision log was not read")
        assert console.views[0].data_at_ms() == 0, "nothing is current that was not read"
        await shown(console, "cooldown")


async def test_a_decision_appears_when_it_is_published(nats_server: NatsServer) -> None:
    store = a_store(d(1))
    nc = await nats.connect(nats_server.url)
    try:
        async with serving(store, nats=NatsNow(nats_server.url, nc)) as console:
            await shown(console, "cooldown")
            await nc.publish(f"decision.{NAME}", b"{}")
            await nc.publish(
                f"decision.{NAME}", encode_decision(d(3, reason="long")) + b" " * 70_000
            )
            fresh = d(2, decided_at_ms=now_ms(), reason="fresh")
            await nc.publish(f"decision.{NAME}", encode_decision(fresh))
            table = await shown(console, "fresh")
            assert "long" not in table
            assert "2 messages on decision.* could not be read." in table
            assert console.views[0].data_at_ms() == 0, "nobody knows whether NATS answers"
            console.shared.books.answered_at_ms = 17
            assert console.views[0].data_at_ms() == 17
    finally:
        await nc.close()


async def test_a_claim_is_told_with_its_evidence_as_it_moves() -> None:
    answered_ns = now_ms() * 10**6
    decision = d(
        1, result="executed", reason="matched", intent_id="intent-m1", order_id="0xo", state="open"
    )
    claim = make_claim(
        intent_id="intent-m1",
        state=ClaimState.OPEN,
        by_intent=True,
        text=SCRIPT,
        reported_spend_e6=1_100_000,
        reported_size_e6=2_000_000,
        filled_spend_e6=1_100_000,
        filled_size_e6=2_000_000,
        timeline=Timeline(answered_at_ns=answered_ns),
        fills={SCRIPT: ClaimFill(standing=Finality.PROVISIONAL, price_e4=5_500, size_e6=2_000_000)},
    )
    store = a_store(decision)
    store._put_claim(claim)
    async with serving(store) as console:
        await shown(console, "matched")
        text = await console.page("/decisions/d1")
        assert SCRIPT not in text
        for told in (
            "Its claim is <strong>open</strong>, by the account as it is now.",
            "claimed: 1.10 USD at most, at 0.55 at most",
            "answered: bought 2.00 shares for 1.10 USD",
            "fill: 2.00 shares at 0.55, provisional: it may still fail",
            "no recording is being written",
            "No recording holds its book",
            "Not known: no recording holds the books after it.",
        ):
            assert told in text, told
        settled = msgspec.structs.replace(
            claim,
            state=ClaimState.SETTLED,
            version=3,
            settled_at_ms=now_ms(),
            payout_e6=2_000_000,
            pnl_e6=861_500,
        )
        await store.move(settled, claim)
        await store.put_ledger(settled)
        await store.forget(settled)
        console.views[0]._details._known["d1"].read_at_ms = 0
        detail = await shown(console, "<strong>settled</strong>", "/events/decisions?id=d1")
        assert "by the ledger as it is now" in detail
        assert "settled: paid 2.00 USD, P&amp;L +0.86 USD" in detail


def a_status(recording: Path) -> SystemStatus:
    return SystemStatus(
        pid=1,
        started_at_ms=1,
        written_at_ms=now_ms(),
        execution="paper",
        environment={},
        venue="http://127.0.0.1",
        recording=str(recording),
        processes=(),
    )


async def test_a_recording_shows_book_gate_and_markouts(tmp_path: Path) -> None:
    records = made.history()
    made.write(tmp_path, records)
    decision = decode_decision(payload(next(r for r in records if isinstance(r, Decided))))
    decision = msgspec.structs.replace(decision, memory_versions="", memory_digest="")
    async with console_app(
        DecisionsView,
        stores={made.ACCOUNT: a_store(decision, name=made.ACCOUNT)},
        strategies=f"{made.ACCOUNT}@live",
        wallet="0x" + "11" * 20,
        run_views=True,
    ) as console:
        console.status[0] = a_status(tmp_path)
        path = f"/decisions/{decision.decision_id}?account={made.ACCOUNT}&day="
        day = utc_day(decision.decided_at_ms)
        text = await console.page(path + day)
        assert "Searching in the recording" in text
        detail = await shown(
            console, "could look back on", f"/events/decisions?id={decision.decision_id}"
        )
        assert "Decided again by the code at hand: the same." in detail
        assert "imbalance_min 0.3" in detail
        assert "by the venue&#39;s clock" in detail or "by the venue's clock" in detail
        assert '<th scope="row">10 s</th>' in detail
        assert "the recording ends before" in detail


async def test_searches_come_one_after_the_other_and_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, most, go_on = 0, 0, asyncio.Event()

    async def read(arguments: Any) -> tuple[int, bytes, str]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await go_on.wait()
        running -= 1
        return 3, b"", "it is not there"

    monkeypatch.setattr(decision_search, "_read", read)
    searches = decision_search.DecisionSearches(lambda: str(tmp_path), (), now_ms)
    task = asyncio.create_task(searches.run())
    asked = [searches.ask(d(1))]
    await asyncio.sleep(0)
    asked += [searches.ask(d(number)) for number in range(2, 14)]
    assert searches.ask(d(1)) is asked[0]
    refused = [each for each in asked if each.why_not]
    assert [each.why_not for each in refused] == ["8 others wait: try again later"] * 4
    go_on.set()
    async with asyncio.timeout(30):
        while any(each.searching for each in asked):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    assert most == 1
    assert asked[0].why_not == "it is not there"
    for number in range(100, 200):
        searches.ask(d(number))
    assert len(searches._known) <= decision_search.KEPT_MAX + 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_search_that_hangs_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decision_search, "SEARCH_TIMEOUT_S", 0.1)
    fifo = tmp_path / "part-000001-20231114T000000Z.jsonl.gz"
    fifo.write_bytes(b"\x1f\x8b" + b"\0" * 10)
    searches = decision_search.DecisionSearches(lambda: str(tmp_path), (), now_ms)
    task = asyncio.create_task(searches.run())
    search = searches.ask(d(1))
    async with asyncio.timeout(20):
        while search.searching:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    assert search.why_not == "the recording was not read within 0.1 s"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
