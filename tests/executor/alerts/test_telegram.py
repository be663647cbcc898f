"""Telegram's commands, against a server of our own (`tests.support.http_sink`)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from executor.alerts.commands import PhoneCommands
from executor.alerts.sending import AlertMetrics
from executor.alerts.services import TelegramBot
from executor.alerts.telegram import NoAnswerError, TelegramCommands, halt_reason_of
from executor.alerts.watched_accounts import WatchedAccounts
from functions.core.account import TRADING_HALTED
from functions.handlers.control import halt_reason
from functions.settings import LimitSettings
from tests.executor.alerts.seen_builders import NOW_MS
from tests.support.fake_ports import MemoryStore
from tests.support.http_sink import CHAT, TOKEN, HttpSink, http_sink, until


class Phone:
    """A bot, its chat, and two accounts."""

    def __init__(self, sink: HttpSink) -> None:
        self.sink = sink
        self.stores = {name: MemoryStore(name=name) for name in ("one", "two")}
        self.metrics = AlertMetrics()
        self.numbers: dict[str, int] = {}
        accounts = WatchedAccounts(LimitSettings(strategies="one=made_up,two=made_up"))
        accounts.stores.update(self.stores)
        self.commands = PhoneCommands(accounts, lambda: ["DISK NEARLY FULL"], lambda: NOW_MS)

    def bot(self) -> TelegramCommands:
        """As a process that has just started has it."""
        return TelegramCommands(
            TelegramBot(SecretStr(TOKEN), frozenset({CHAT})),
            self.commands,
            self.metrics,
            self.numbers.get,
            self.numbers.__setitem__,
            api=self.sink.url,
        )

    async def poll(self, bot: TelegramCommands | None = None) -> None:
        async with aiohttp.ClientSession() as session:
            await (bot or self.bot()).poll(session)

    def halted(self) -> list[str]:
        """The reasons."""
        items = [store.item for store in self.stores.values()]
        return [item.halt_reason for item in items if item and item.trading == TRADING_HALTED]

    def answers(self) -> list[str]:
        """What the chat was told."""
        assert all(each["chat_id"] == CHAT for each in self.sink.messages)
        return [each["text"] for each in self.sink.messages]


@pytest.fixture
async def phone(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Phone]:
    monkeypatch.setattr("functions.settings.known_names", lambda: ("made_up",))
    async with http_sink() as sink:
        yield Phone(sink)


async def test_halt_stops_every_account_and_answers_when_it_has(phone: Phone) -> None:
    phone.sink.say("/halt I do not like this", date=time.time())
    await phone.poll()
    assert phone.halted() == ["Telegram: I do not like this"] * 2
    (answer,) = phone.answers()
    assert answer.startswith("HALTED: one\nHALTED: two\n")
    assert "executor resume" in answer


@pytest.mark.parametrize("text", ["/halt", "/HALT@my_bot", "/halt \x07\u200b", "/halt\n"])
async def test_halt_needs_no_reason(phone: Phone, text: str) -> None:
    phone.sink.say(text, date=time.time())
    await phone.poll()
    assert phone.halted() == ["Telegram, without a reason"] * 2


def test_any_text_is_a_reason() -> None:
    for text in ("x" * 5_000, "a\nb\x00c", "\u2028", "", "é" * 300):
        assert halt_reason(halt_reason_of(text))


async def test_a_halt_of_which_nobody_knows_says_so(phone: Phone) -> None:
    phone.stores["two"].failures["halt"] = 99
    phone.sink.say("/halt now", date=time.time())
    with pytest.MonkeyPatch.context() as quick:
        quick.setattr("executor.alerts.commands.TRY_AGAIN_S", 0.0)
        await phone.poll()
    (answer,) = phone.answers()
    assert "HALTED: one" in answer
    assert "NOT KNOWN whether two is halted" in answer
    assert "Send /halt again." in answer


async def test_a_halt_that_comes_late_still_halts_and_a_status_is_not_answered(
    phone: Phone,
) -> None:
    long_ago = time.time() - 20 * 3_600
    phone.sink.say("/status", date=long_ago)
    phone.sink.say("/halt late", date=long_ago)
    await phone.poll()
    assert phone.halted() == ["Telegram: late"] * 2
    assert len(phone.answers()) == 1


async def test_status_says_each_account_and_what_is_wrong(phone: Phone) -> None:
    phone.sink.say("/status", date=time.time())
    await phone.poll()
    (answer,) = phone.answers()
    assert answer.splitlines() == [
        "PAPER one-paper: NOT READABLE: it has not been reached yet",
        "PAPER two-paper: NOT READABLE: it has not been reached yet",
        "! DISK NEARLY FULL",
    ]


async def test_resume_is_never_done(phone: Phone) -> None:
    for text in ("/halt x", "/resume", "/resume@my_bot one", "resume", "/start"):
        phone.sink.say(text, date=time.time())
    await phone.poll()
    assert phone.halted() == ["Telegram: x"] * 2
    assert [answer.split(":")[0] for answer in phone.answers()[1:3]] == [
        "Trading is resumed at the machine only"
    ] * 2
    assert phone.answers()[3].startswith("/status shows")


async def test_strangers_are_neither_heard_nor_answered_nor_written_down(phone: Phone) -> None:
    for number in range(3):
        phone.sink.say(f"/halt stranger {number}", chat=CHAT + 1, date=time.time())
    with capture_logs() as logs:
        await phone.poll()
    assert phone.halted() == []
    assert phone.answers() == []
    assert phone.metrics.commands.labels("stranger")._value.get() == 3
    assert [line["event"] for line in logs] == ["telegram_stranger"]
    assert "stranger 0" not in str(logs)


async def test_an_update_is_confirmed_after_it_was_executed(phone: Phone) -> None:
    phone.sink.say("/halt x", date=time.time())
    bot = phone.bot()
    await phone.poll(bot)
    assert phone.sink.confirmed == []
    await phone.poll(bot)
    assert phone.sink.confirmed == [1]


async def test_what_was_executed_is_not_again_after_a_crash(phone: Phone) -> None:
    phone.sink.say("/halt x", date=time.time())
    await phone.poll()
    store = phone.stores["one"]
    assert await store.resume(await store.account())
    phone.sink.updates[0]["update_id"] = 1  # Telegram has not heard that it was
    await phone.poll()  # by the next process
    assert phone.halted() == ["Telegram: x"]  # two's alone


async def test_an_update_that_comes_twice_is_executed_once(phone: Phone) -> None:
    phone.sink.say("/status", date=time.time())
    phone.sink.updates *= 2  # in one answer, whatever was confirmed
    await phone.poll()
    assert len(phone.answers()) == 1


async def test_updates_of_other_kinds_are_passed_over(phone: Phone) -> None:
    phone.sink.updates += [
        {"update_id": 1, "edited_message": {}},
        {"update_id": 2, "message": {"chat": "x"}},
        {"update_id": 3},
    ]
    phone.sink.say("/halt x", date=time.time(), number=4)
    await phone.poll()
    assert len(phone.halted()) == 2
    assert list(phone.numbers.values()) == [4]


@pytest.mark.parametrize(
    ("answer", "why", "waits_s"),
    [
        ((200, "<html>"), "HTTP 200, and no answer of Telegram's", 0),
        ((200, '{"ok": true, "result": {}}'), "its answer is not Telegram's", 0),
        ((200, '{"ok": true, "result": [1, {}]}'), "its answer is not Telegram's", 0),
        ((200, '{"ok": false}'), "HTTP 200", 0),
        ((502, "<html>"), "HTTP 502, and no answer of Telegram's", 0),
        ((401, '{"ok": false}'), "HTTP 401: the bot's token is refused", 300),
        ((409, '{"ok": false}'), "HTTP 409: somebody else asks for this bot's messages", 60),
        ((429, '{"ok": false, "parameters": {"retry_after": 7}}'), "HTTP 429", 7),
        ((429, '{"ok": false, "parameters": {"retry_after": 9e9}}'), "HTTP 429", 300),
    ],
)
async def test_what_is_not_an_answer_of_telegrams_is_waited_out(
    phone: Phone, answer: tuple[int, str], why: str, waits_s: float
) -> None:
    phone.sink.telegram_answer = answer
    with pytest.raises(NoAnswerError) as failed:
        await phone.poll()
    assert (str(failed.value), failed.value.wait_s) == (why, waits_s)


async def test_a_server_that_is_gone_shows_no_token_and_is_said_once(
    phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executor.alerts.telegram.WAIT_MIN_S", 0.01)
    monkeypatch.setattr("executor.alerts.telegram.WAIT_MAX_S", 0.01)
    bot = phone.bot()
    bot._base = f"http://127.0.0.1:1/bot{TOKEN}"
    with capture_logs() as logs:
        task = asyncio.create_task(bot.run())
        await asyncio.sleep(0.2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert [line["event"] for line in logs] == ["telegram_not_asked"]
    assert logs[0]["why"] == "not reached (ClientConnectorError)"
    assert TOKEN.partition(":")[2] not in str(logs)


async def test_a_halt_is_obeyed_while_polling(phone: Phone) -> None:
    task = asyncio.create_task(phone.bot().run())
    try:
        await until(lambda: len(phone.sink.requests) > 1)
        phone.sink.say("/halt now", date=time.time())
        await until(lambda: len(phone.answers()) == 1)
        assert len(phone.halted()) == 2
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
