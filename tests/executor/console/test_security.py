"""Who gets in, and what is refused: each over HTTP, against a running console."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import pytest
from yarl import URL

from executor.console import security, service
from executor.console.health import HealthView
from executor.console.links import LINK_LASTS_MS, link_secret
from executor.console.sessions import SESSIONS_MAX, Sessions
from executor.console.settings import ConsoleSettings, drop_keys
from runtime.settings import load_settings
from tests.support.console_app import ConsoleApp, ScriptedView, console_app
from tests.support.fake_ports import MemoryStore

NAME = "one-paper"
ONE: dict[str, Any] = {"strategies": "one=book_imbalance_crypto"}
TOKEN = "a token that is long enough for anybody"


async def answer(
    console: ConsoleApp, method: str, path: str, **options: Any
) -> tuple[int, str, Any]:
    url = URL(f"{console.url}{path}", encoded=True)
    async with console.browser.request(method, url, allow_redirects=False, **options) as told:
        return told.status, await told.text(), told.headers


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost.:{port}"]
)
async def test_a_host_that_is_not_ours_is_refused(host: str) -> None:
    async with console_app(HealthView) as console:
        told = host.format(port=URL(console.url).port)
        for path in ("/health", "/static/style.css", "/events/health", "/nothing"):
            status, text, _ = await answer(console, "GET", path, headers={"Host": told})
            assert (status, "another name" in text) == (421, True)
        assert (await answer(console, "GET", "/health"))[0] == 200


async def test_localhost_is_ours_too() -> None:
    async with console_app(HealthView) as console:
        host = f"localhost:{URL(console.url).port}"
        assert (await answer(console, "GET", "/health", headers={"Host": host}))[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "null"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "OURS", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "OURS", "Sec-Fetch-Site": "same-site"},
        {"Origin": "https://proxy.example"},
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"},
    ],
    ids=str,
)
async def test_a_form_of_another_page_changes_nothing(headers: dict[str, str]) -> None:
    store = MemoryStore(name=NAME)
    async with console_app(HealthView, stores={NAME: store}, **ONE) as console:
        told = {name: text.replace("OURS", console.url) for name, text in headers.items()}
        status, text, _ = await answer(console, "POST", "/halt", headers=told, data={"account": ""})
        assert (status, "did not come from a page" in text) == (403, True)
        assert "halt" not in store.calls


async def test_a_form_comes_through_a_server_with_tls() -> None:
    store = MemoryStore(name=NAME)
    async with console_app(HealthView, stores={NAME: store}, **ONE) as console:
        headers = {"Origin": "https://proxy.example", "Sec-Fetch-Site": "same-origin"}
        form = {"account": ""}
        assert (await answer(console, "POST", "/halt", headers=headers, data=form))[0] == 303
        assert "halt" in store.calls


async def test_every_address_is_called_by_the_one_that_was_asked() -> None:
    every: dict[str, Any] = {"console_host": "0.0.0.0", "console_token": TOKEN}  # noqa: S104 - in a test
    async with console_app(HealthView, **every) as console:
        port = URL(console.url).port
        for host, wanted in ((f"127.0.0.2:{port}", 200), ("127.0.0.3", 421), (f"evil:{port}", 421)):
            url = f"http://127.0.0.2:{port}/open"
            async with console.browser.get(url, headers={"Host": host}) as told:
                assert told.status == wanted, host


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("kind", "body", "wanted"),
    [
        ("application/json", b'{"account": ""}', 415),
        ("text/plain", b"account=", 415),
        ("multipart/form-data; boundary=x", b"garbage", 415),
        (f"{FORM}; charset=bogus", b"account=", 415),
        (f"{FORM}; charset=utf-16", b"account=", 415),
        (FORM, b"account=\xff", 400),
        (FORM, b"&".join([b"a=1"] * 5_000), 413),
        (FORM, b"a" * 70_000, 413),
    ],
)
async def test_what_is_no_form_changes_nothing_and_is_no_defect(
    kind: str, body: bytes, wanted: int, caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryStore(name=NAME)
    async with console_app(HealthView, stores={NAME: store}, **ONE) as console:
        headers = {"Origin": console.url, "Content-Type": kind}
        status, _, _ = await answer(console, "POST", "/halt", headers=headers, data=body)
        assert status == wanted
        headers = {"Origin": console.url, "Content-Type": FORM, "Content-Encoding": "gzip"}
        assert (await answer(console, "POST", "/halt", headers=headers, data=b"no"))[0] == 400
    assert "halt" not in store.calls
    assert not caplog.records


async def said(console: ConsoleApp, request: bytes) -> bytes:
    """The first line that comes back on a connection of its own; empty: it was closed."""
    host, port = console.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request.replace(b"OURS", f"{host}:{port}".encode()))
    async with asyncio.timeout(30):
        answered = await reader.readline()
    writer.close()
    return answered


async def test_what_does_not_come_to_its_end_is_waited_for_within_bounds(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(security, "BODY_TIMEOUT_S", 0.05)
    monkeypatch.setattr(service, "IDLE_S", 0.05)
    async with console_app(HealthView, **ONE) as console:
        (cookie,) = console.browser.cookie_jar
        assert await said(console, b"GET /health HTTP/1.1\r\nHost: ") == b""
        assert await said(console, b"") == b""
        head = (
            f"POST /halt HTTP/1.1\r\nHost: OURS\r\nOrigin: http://OURS\r\nConnection: close\r\n"
            f"Cookie: {cookie.key}={cookie.value}\r\nContent-Length: 60000\r\n"
            f"Content-Type: {FORM}\r\n\r\naccount="
        )
        assert b"HTTP/1.1 408" in await said(console, head.encode())
        nonsense = b"GET /open/a-secret x HTTP/1.1\r\nCookie: \x00=another\r\n\r\n"
        assert b" 400 " in await said(console, nonsense)
    assert not caplog.records, "what a stranger sends is in no log"


async def test_connections_are_bounded_and_the_newest_gets_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service, "CONNECTIONS_MAX", 4)
    async with console_app(HealthView, **ONE) as console:
        host, port = console.url.removeprefix("http://").split(":")
        idle = [await asyncio.open_connection(host, int(port)) for _ in range(8)]
        assert await console.page("/health")
        async with asyncio.timeout(30):
            ended = await asyncio.gather(
                *(reader.read() for reader, _ in idle[:4]), return_exceptions=True
            )
        assert [each for each in ended if not isinstance(each, OSError)] in ([], [b""] * 4)
        for _, writer in idle:
            writer.close()


async def test_a_browser_that_was_not_let_in_sees_and_changes_nothing() -> None:
    store = MemoryStore(name=NAME)
    async with console_app(HealthView, stores={NAME: store}, let_in=False, **ONE) as console:
        for path in ("/", "/health", "/events/health", "/nothing"):
            status, text, _ = await answer(console, "GET", path)
            assert (status, NAME in text) == (401, False)
            assert "executor console --link" in text
        assert "not been let in" in await console.post("/halt", 401, account="")
        assert "halt" not in store.calls
        assert (await answer(console, "GET", "/static/style.css"))[0] == 200


async def test_a_foreign_cookie_lets_nobody_in() -> None:
    async with console_app(HealthView, let_in=False) as console:
        name = f"executor_console_{URL(console.url).port}"
        for cookie in ("", "x", secrets.token_urlsafe(32), "ü"):
            told = {"Cookie": f"{name}={cookie}"}
            assert (await answer(console, "GET", "/health", headers=told))[0] == 401


async def test_a_link_opens_once_and_sets_a_strict_cookie(
    capfd: pytest.CaptureFixture[str],
) -> None:
    async with console_app(HealthView, let_in=False) as console:
        link = f"/open/{link_secret(console.key, console.shared.now_ms())}"
        status, text, headers = await answer(console, "GET", link)
        assert (status, "Open the console" in text) == (200, True)
        cookie, *attributes = headers["Set-Cookie"].split("; ")
        assert set(attributes) == {"HttpOnly", "SameSite=Strict", "Path=/"}
        assert "Health" in await console.page("/health")
        status, text, headers = await answer(console, "GET", link)
        assert (status, "Set-Cookie" in headers) == (403, False)
        assert "was used before" in text
        assert "executor console --link" in text
    said = "".join(capfd.readouterr())
    assert link.rpartition("/")[2] not in said
    assert cookie.partition("=")[2] not in said


@pytest.mark.parametrize(
    "headers", [{"Sec-Purpose": "prefetch;prerender"}, {"Purpose": "prefetch"}], ids=str
)
async def test_fetching_a_link_ahead_does_not_use_it_up(headers: dict[str, str]) -> None:
    async with console_app(HealthView, let_in=False) as console:
        link = f"/open/{link_secret(console.key, console.shared.now_ms())}"
        assert (await answer(console, "GET", link, headers=headers))[0] == 403
        assert (await answer(console, "HEAD", link))[0] == 405
        assert (await answer(console, "GET", link))[0] == 200


async def test_links_that_are_old_early_or_foreign_do_not_open() -> None:
    at_ms = [1_700_000_000_000]
    async with console_app(HealthView, let_in=False, clock_ms=lambda: at_ms[0]) as console:
        fresh = link_secret(console.key, at_ms[0])
        for secret, sentence in (
            (link_secret(console.key, at_ms[0] - 1), "from before the console was started"),
            (link_secret(secrets.token_bytes(32), at_ms[0]), "not a link of this console"),
            (f"{fresh[:-4]}AAAA", "not a link of this console"),
            ("x", "not a link of this console"),
            ("%C3%BC", "not a link of this console"),
        ):
            status, text, _ = await answer(console, "GET", f"/open/{secret}")
            assert (status, sentence in text) == (403, True), text
        at_ms[0] += LINK_LASTS_MS + 1
        assert "older than ten minutes" in await console.page(f"/open/{fresh}", 403)


async def test_every_answer_says_what_a_browser_may_do() -> None:
    async with console_app(HealthView) as console:
        for path in ("/health", "/static/app.js", "/nothing", "/open/x", "/events/health", "/"):
            url = f"{console.url}{path}"
            async with console.browser.get(url, allow_redirects=False) as told:
                policy = told.headers["Content-Security-Policy"]
                assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
                assert "frame-ancestors 'none'; base-uri 'none'" in policy
                assert told.headers["X-Content-Type-Options"] == "nosniff"
                assert told.headers["Cache-Control"] == "no-store"
                assert "Server" not in told.headers


@pytest.mark.parametrize(
    "path",
    [
        "/static/../settings.py",
        "/static/%2e%2e/settings.py",
        "/static/..%2fsettings.py",
        "/static/%2fetc%2fpasswd",
        "/static/..%5csettings.py",
        "/static//etc/passwd",
        "/static/",
        "/static/style.css%00.py",
    ],
)
async def test_no_path_leads_out_of_the_static_files(path: str) -> None:
    async with console_app(HealthView) as console:
        status, text, _ = await answer(console, "GET", path)
        assert (status, "There is no such page" in text) == (404, True)


async def test_what_is_not_there_is_not_repeated() -> None:
    async with console_app(HealthView) as console:
        status, text, _ = await answer(console, "GET", "/<script>alert(1)</script>?q=<b>")
        assert (status, "script>" in text, "alert" in text) == (404, False, False)
        assert (await answer(console, "DELETE", "/health"))[0] == 403
        own = {"Origin": console.url}
        assert (await answer(console, "DELETE", "/health", headers=own))[0] == 405
        assert (await answer(console, "HEAD", "/events/health"))[0] == 405


async def test_requests_are_bounded() -> None:
    async with console_app(HealthView) as console:
        assert "too long" in await console.page(f"/health?q={'x' * 2_000}", 414)
        text = await console.post("/halt", 413, account="x" * 70_000)
        assert "more than the console takes" in text
        assert "no such page" in await console.post("/halt", 404, account="nobody")


async def test_a_read_only_console_changes_nothing_and_shows_no_button() -> None:
    store = MemoryStore(name=NAME)
    settings = {**ONE, "console_read_only": True}
    async with console_app(HealthView, stores={NAME: store}, **settings) as console:
        text = await console.page("/health")
        assert "<button" not in text
        assert "Read-only" in text
        for path in ("/halt", "/resume", "/health/doctor"):
            assert "is read-only" in await console.post(path, 403, account=NAME)
        assert "halt" not in store.calls


async def test_text_from_outside_is_shown_as_text() -> None:
    store = MemoryStore(name=NAME)
    await store.halt("<script>alert(1)</script>\"'")
    async with console_app(HealthView, stores={NAME: store}, **ONE) as console:
        page = await console.page("/health")
        part = await console.shown("/events/health", "console-accounts", "HALTED")
        for text in (page, part):
            assert "<script>alert" not in text
            assert "HALTED: &lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39;" in text


async def test_a_defect_of_a_page_is_a_sentence() -> None:
    async with console_app(ScriptedView, HealthView) as console:
        console.views[0].variables = None
        text = await console.page("/scripted", 500)
        assert ("has failed" in text, "Traceback" in text) == (True, False)
        await console.page("/health")


async def test_a_token_lets_in_and_another_does_not() -> None:
    async with console_app(HealthView, let_in=False, console_token=TOKEN) as console:
        assert "/open" in await console.page("/health", 401)
        assert 'type="password"' in await console.page("/open")
        assert "not the token" in await console.post("/open", 403, token=TOKEN[:-1])
        await console.page("/health", 401)
        status, _, _ = await answer(console, "POST", "/open", data={"token": TOKEN})
        assert status == 403  # from no page of ours
        assert "Open the console" in await console.post("/open", token=TOKEN)
        await console.page("/health")


def test_another_address_wants_a_token(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONSOLE_HOST", "0.0.0.0")  # noqa: S104 - refused
    with pytest.raises(SystemExit):
        load_settings(ConsoleSettings)
    assert "CONSOLE_HOST: other machines can reach" in capsys.readouterr().err
    monkeypatch.setenv("CONSOLE_TOKEN", "short-secret")
    with pytest.raises(SystemExit):
        load_settings(ConsoleSettings)
    said = capsys.readouterr().err
    assert "CONSOLE_TOKEN: at least 32" in said
    assert "short-secret" not in said
    monkeypatch.setenv("CONSOLE_TOKEN", TOKEN)
    assert load_settings(ConsoleSettings).console_url(5) == "http://127.0.0.1:5"


def test_the_accounts_keys_are_dropped_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIVATE_KEY", "not even a key")
    monkeypatch.setenv("API_SECRET", "x")
    assert drop_keys() == ["PRIVATE_KEY", "API_SECRET"]
    settings = load_settings(ConsoleSettings)
    assert settings.private_key is None
    assert drop_keys() == []


def test_sessions_are_bounded() -> None:
    sessions = Sessions()
    first, *others = [sessions.begin() for _ in range(SESSIONS_MAX + 1)]
    assert not sessions.knows(first)
    assert all(map(sessions.knows, others))
    assert not sessions.knows(None)


async def test_words_cannot_be_put_on_a_page_by_a_link() -> None:
    async with console_app(HealthView) as console:
        assert "Send your key" not in await console.page("/health?message=Send+your+key")
