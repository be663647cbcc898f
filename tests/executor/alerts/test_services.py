"""The services: which URLs are taken, how a message arrives, and that nothing shows a URL."""

from __future__ import annotations

import asyncio
import json
import logging
import time

import pytest
from pydantic import SecretStr

from executor.alerts.services import (
    AlertService,
    ServiceError,
    services_in,
    silence_libraries,
    telegram_bots,
)
from tests.support.http_sink import CHAT, TOKEN, http_sink
from tests.support.smtp_sink import smtp_sink

SECRET = "pAsSwOrD-of-mine"


def one(url: str) -> AlertService:
    (service,) = services_in(SecretStr(url))
    return service


async def sent(service: AlertService) -> str | None:
    return await asyncio.to_thread(service.send, "HALTED: PAPER x", "why <b>\nwhat", alarm=True)


@pytest.mark.parametrize(
    ("urls", "said"),
    [
        (f"json://h/{SECRET} foo://{SECRET}", "ALERT_URLS: the 2nd is no service that apprise"),
        (SECRET, "ALERT_URLS: the 1st is no service that apprise knows"),
        (f"tgram://{SECRET}/5", r"ALERT_URLS: the 1st \(Telegram\) has something missing or malfo"),
        (f"tgram://123:{SECRET}", r"the 1st \(Telegram\) names no chat: tgram://TOKEN/CHAT_ID is"),
        ("json://h, syslog://", r"the 2nd \(Syslog\) shows on this machine only"),
        ("dbus://", r"the 1st \(DBus Notification\) shows on this machine only"),
        (f"xmpp://u:{SECRET}@h", r"the 1st \(XMPP\) needs another package: see https://"),
        (" , ", "1 to 20 URLs are wanted"),
        (" ".join([f"json://h/{SECRET}"] * 21), "1 to 20 URLs are wanted"),
    ],
)
def test_a_url_that_cannot_be_used_is_one_line_without_it(
    urls: str, said: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ServiceError, match=said) as refused:
        services_in(SecretStr(urls))
    shown = f"{refused.value}{caplog.text}{''.join(capfd.readouterr())}"
    assert SECRET not in shown
    assert "\n" not in str(refused.value)


def test_services_show_their_names_alone() -> None:
    service = one(f"mailto://me:{SECRET}@localhost?to=a@b.cc&from=c@d.ee")
    assert service.label == "E-Mail (1st of ALERT_URLS)"
    assert SECRET not in repr(service)


async def test_a_webhook_gets_the_message() -> None:
    async with http_sink() as sink:
        assert await sent(one(f"json://127.0.0.1:{sink.port}/hook/{SECRET}")) is None
        ((path, body),) = sink.requests
    told = json.loads(body)
    assert path == f"/hook/{SECRET}"
    assert (told["title"], told["message"]) == ("HALTED: PAPER x", "why <b>\nwhat")
    assert told["type"] == "warning"


async def test_a_mail_arrives() -> None:
    async with smtp_sink() as sink:
        url = f"mailto://127.0.0.1:{sink.port}?to=you@example.com&from=me@example.com"
        assert await sent(one(url)) is None
        (mail,) = sink.mails
    assert "Subject: HALTED: PAPER x" in mail
    assert "why" in mail


async def test_telegram_gets_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    from apprise.plugins.telegram import NotifyTelegram  # noqa: PLC0415 - apprise takes a second

    service = one(f"tgram://{TOKEN}/{CHAT}/-100777/@channel")
    (bot,) = telegram_bots((service, service))
    assert (bot.token.get_secret_value(), bot.chats) == (TOKEN, {CHAT, -100777})
    async with http_sink() as sink:
        monkeypatch.setattr(NotifyTelegram, "notify_url", f"{sink.url}/bot")
        assert await sent(service) is None
        assert [each["chat_id"] for each in sink.messages] == [-100777, CHAT, "@channel"]
        assert "HALTED: PAPER x" in sink.messages[0]["text"]
        assert "why &lt;b&gt;" in sink.messages[0]["text"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((500, "<html>oops</html>"), "it answered HTTP 500"),
        ((401, SECRET), "it answered HTTP 401"),
        ((302, ""), "it answered HTTP 302"),
    ],
)
async def test_a_service_that_refuses_says_no_more_than_its_status(
    answer: tuple[int, str],
    said: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    async with http_sink() as sink, http_sink() as elsewhere:
        sink.answer, sink.headers = answer, {"Location": f"{elsewhere.url}/{SECRET}"}
        service = one(f"json://me:{SECRET}@127.0.0.1:{sink.port}/{SECRET}")
        why = await sent(service)
        assert why == said
        assert not elsewhere.requests
    assert SECRET not in f"{why}{caplog.text}{''.join(capfd.readouterr())}"


async def test_a_service_that_is_not_there_or_never_answers() -> None:
    said = "it cannot be reached, or did not answer in time"
    assert await sent(one(f"json://127.0.0.1:1/{SECRET}")) == said
    async with http_sink() as sink:
        sink.delay_s = 30
        began_s = time.monotonic()
        assert await sent(one(f"json://127.0.0.1:{sink.port}/?rto=0.2")) == said
        assert time.monotonic() - began_s < 20


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    from runtime.proxies import ignore_proxies  # noqa: PLC0415 - it changes the environment

    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    ignore_proxies()
    async with http_sink() as sink:
        assert await sent(one(f"json://127.0.0.1:{sink.port}/")) is None


def test_libraries_say_nothing_of_requests(caplog: pytest.LogCaptureFixture) -> None:
    silence_libraries()
    for name in ("urllib3.connectionpool", "apprise", "requests", "paho", "py.warnings"):
        logging.getLogger(name).critical("POST /bot%s", TOKEN)
    assert TOKEN not in caplog.text
