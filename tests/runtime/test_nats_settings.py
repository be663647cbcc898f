"""Where messages travel, as whom, in how many copies: what is refused, and who uses it."""

from __future__ import annotations

from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import pytest
from pydantic_settings import BaseSettings

from feeder.books import service as book_service
from feeder.fills import service as fill_service
from feeder.settings import FeederSettings, UserFeederSettings
from functions import worker
from functions.handlers.verify_markets import MarketVerifier
from functions.settings import WorkerSettings
from functions.worker_clock import WorkerClock
from functions.worker_metrics import WorkerMetrics
from runtime.nats_settings import NatsSettings
from runtime.settings import load_settings
from tests.support.fake_ports import MemoryStore, ScriptedClob, ScriptedExchange
from tests.support.hot_path import opened_account
from tests.support.user_channel_frames import CREDENTIALS

WORD = "e5b4c3d2a1"
GIVEN = {"NATS_USER": "feeder", "NATS_PASSWORD": WORD}


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (FeederSettings, UserFeederSettings, WorkerSettings):
        for name in kind.model_fields:
            monkeypatch.delenv(name.upper(), raising=False)


def test_by_default_nobody_is_told_who_we_are_and_there_is_one_copy() -> None:
    settings = load_settings(NatsSettings)
    assert (settings.nats_login(), settings.stream_replicas) == (None, 1)


def test_a_login_and_three_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**GIVEN, "STREAM_REPLICAS": "3"}.items():
        monkeypatch.setenv(name, value)
    settings = load_settings(NatsSettings)
    login = settings.nats_login()
    assert login is not None
    assert (login.user, login.password.get_secret_value()) == ("feeder", WORD)
    assert settings.stream_replicas == 3
    assert WORD not in f"{login} {login!r} {settings} {settings!r} {settings.model_dump_json()}"


@pytest.mark.parametrize("kind", [NatsSettings, FeederSettings, WorkerSettings])
@pytest.mark.parametrize(
    ("env", "told"),
    [
        ({"NATS_USER": "feeder"}, "NATS_USER is set and NATS_PASSWORD is missing"),
        ({"NATS_PASSWORD": WORD}, "NATS_PASSWORD is set and NATS_USER is missing"),
        (
            {**GIVEN, "NATS_URL": f"nats://a:{WORD}@h:4222"},
            "NATS_URL carries a user, and NATS_USER",
        ),
        ({**GIVEN, "NATS_URL": f"nats://{WORD}@h:4222"}, "NATS_URL carries a user, and NATS_USER"),
        ({"STREAM_REPLICAS": "2"}, "STREAM_REPLICAS: Input should be 1 or 3"),
        ({"STREAM_REPLICAS": WORD}, "STREAM_REPLICAS: Input should be 1 or 3"),
    ],
)
def test_what_does_not_go_together_is_one_line(
    kind: type[BaseSettings],
    env: dict[str, str],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as refused:
        load_settings(kind)
    assert refused.value.code == 2
    line = capsys.readouterr().err
    assert told in line
    assert line.count("\n") == 1
    assert WORD not in line


class Reached(BaseException):
    """Nothing in between may take it for an error."""


def recorded(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> dict[str, Any]:
    """What a process connects with, and how many replicas it declares; then it ends."""
    seen: dict[str, Any] = {}

    async def connect(_: str, __: str, login: Any) -> Any:
        seen["login"] = login
        if module is worker:  # its store comes next
            raise Reached
        return MagicMock(close=close)

    async def close() -> None:
        pass

    async def declare(_: Any, __: Any, replicas: int) -> None:
        seen["replicas"] = replicas
        raise Reached

    monkeypatch.setattr(module, "connect", connect)
    monkeypatch.setattr(module, "declare_stream", declare)
    return seen


SETTINGS: dict[str, Any] = {
    "nats_user": "u",
    "nats_password": WORD,
    "stream_replicas": 3,
    "metrics_port": 0,
}


async def test_feeders_connect_as_told_and_declare_as_told(monkeypatch: pytest.MonkeyPatch) -> None:
    api = {f"api_{name}": getattr(CREDENTIALS, name) for name in CREDENTIALS.__struct_fields__}
    for module, settings in (
        (book_service, FeederSettings(**SETTINGS)),
        (fill_service, UserFeederSettings(**SETTINGS, **api)),
    ):
        seen = recorded(monkeypatch, module)
        with pytest.raises(Reached):
            await module.serve(settings)  # type: ignore[arg-type]
        assert seen == {"login": settings.nats_login(), "replicas": 3}


async def test_a_worker_connects_as_told_and_declares_as_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = WorkerSettings(**SETTINGS)
    seen = recorded(monkeypatch, worker)
    with pytest.raises(Reached):
        await worker.serve(settings, "w")
    with pytest.raises(Reached):
        metrics = WorkerMetrics()
        await worker.run_worker(
            settings,
            "w",
            MagicMock(),
            opened_account(MemoryStore(), ScriptedExchange([])),
            verifier=MarketVerifier(ScriptedClob(), metrics),
            clock=WorkerClock(1_000, metrics),
            metrics=metrics,
        )
    assert seen == {"login": settings.nats_login(), "replicas": 3}
