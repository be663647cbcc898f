from __future__ import annotations

import logging
from pathlib import Path

import pytest

from executor.answers import done
from tests.support.certificates import contexts
from tests.support.raw_websocket import RawWebsockets
from venue.channel_checks import first_word
from venue.errors import VenueUnreachableError


def test_nothing_is_said_beside_the_answer_when_a_websocket_is_refused_with_a_long_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server, _ = contexts(tmp_path, "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "127.0.0.1.crt"))

    async def asked() -> str:
        page = b"HTTP/1.1 403 Forbidden\r\nServer: x\r\n\r\n" + b"<" * 100_000
        async with RawWebsockets(answer=page).open(server) as listening:
            with pytest.raises(VenueUnreachableError) as raised:
                await first_word(listening.url, "hello")
            return str(raised.value)

    assert "HTTP 403" in done(asked())
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []
