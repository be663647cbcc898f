from __future__ import annotations

import pytest

from feeder.settings import UserFeederSettings
from runtime.settings import load_settings
from tests.support.user_channel_frames import CREDENTIALS, SECRETS

GIVEN = {
    "API_KEY": CREDENTIALS.key,
    "API_SECRET": CREDENTIALS.secret,
    "API_PASSPHRASE": CREDENTIALS.passphrase,
    "API_ADDRESS": CREDENTIALS.address,
}


@pytest.fixture(autouse=True)
def _only_the_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in UserFeederSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in GIVEN.items():
        monkeypatch.setenv(name, value)


def test_the_defaults_are_the_real_venue() -> None:
    settings = load_settings(UserFeederSettings)
    assert settings.user_ws_url == "wss://ws-subscriptions-clob.polymarket.com/ws/user"
    assert settings.clob_url == "https://clob.polymarket.com"
    assert settings.nats_url == "nats://127.0.0.1:4222"
    assert (settings.metrics_host, settings.metrics_port) == ("127.0.0.1", 9103)
    assert settings.credentials() == CREDENTIALS


def test_settings_do_not_show_secrets() -> None:
    settings = load_settings(UserFeederSettings)
    shown = f"{settings} {settings!r} {settings.model_dump()} {settings.model_dump_json()}"
    assert not any(secret in shown for secret in SECRETS)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("API_KEY", "", "Field required"),
        ("API_KEY", "with space", "not plain text without spaces"),
        ("API_PASSPHRASE", "two\nlines", "not plain text without spaces"),
        ("API_PASSPHRASE", "é", "not plain text without spaces"),
        ("API_SECRET", "not*base64", "not base64"),
        ("API_ADDRESS", "0x12", "not an address"),
        ("API_ADDRESS", CREDENTIALS.address + "0", "not an address"),
        ("API_KEY", "11" * 32, "looks like a signing key"),
        ("API_PASSPHRASE", "0x" + "11" * 32, "looks like a signing key"),
        ("USER_WS_URL", "https://example.test", "wss://host"),
        ("CLOB_URL", "clob.polymarket.com", "https://host"),
        ("NATS_URL", "127.0.0.1:4222", "nats://host"),
        ("METRICS_PORT", "http", "integer"),
        ("PRIVATE_KEY", "0x" + "11" * 32, "must not hold a signing key"),
    ],
)
def test_a_bad_variable_is_refused_in_one_line_that_names_it(
    name: str,
    value: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as refused:
        load_settings(UserFeederSettings)
    assert refused.value.code == 2
    line = capsys.readouterr().err
    assert line.startswith(f"cannot start: {name.upper()}: ")
    assert said in line
    assert line.count("\n") == 1
    assert not value or value not in line


def test_an_empty_private_key_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIVATE_KEY", "")
    assert load_settings(UserFeederSettings).private_key is None
