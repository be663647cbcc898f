from __future__ import annotations

import pytest

from feeder.settings import FeederSettings
from protocol.book import PUBLISHED_LEVELS_MAX
from runtime.settings import load_settings

VARIABLES = (
    "NATS_URL",
    "MARKET_WS_URL",
    "GAMMA_URL",
    "CLOB_URL",
    "MAX_BOOK_AGE_MS",
    "PUBLISHED_BIDS",
    "SERIES",
    "METRICS_HOST",
    "METRICS_PORT",
)


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_the_defaults_are_the_real_venue() -> None:
    settings = load_settings(FeederSettings)
    assert settings.market_ws_url == "wss://ws-subscriptions-clob.polymarket.com/ws/market"
    assert settings.gamma_url == "https://gamma-api.polymarket.com"
    assert settings.clob_url == "https://clob.polymarket.com"
    assert settings.max_book_age_ms == 1_000
    assert settings.published_bids == PUBLISHED_LEVELS_MAX
    assert settings.nats_url == "nats://127.0.0.1:4222"
    assert [series.name for series in settings.series] == ["btc-15m"]
    assert (settings.metrics_host, settings.metrics_port) == ("127.0.0.1", 9101)


def test_series_are_a_comma_separated_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERIES", "btc-15m, eth-15m,btc-5m,btc-15m")
    settings = load_settings(FeederSettings)
    assert [series.name for series in settings.series] == ["btc-15m", "eth-15m", "btc-5m"]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SERIES", "btc-15m,bitcoin", "names as btc-15m"),
        ("SERIES", "btc-15m,", "names as btc-15m"),
        ("NATS_URL", "127.0.0.1:4222", "nats://host"),
        ("NATS_URL", "nats://127.0.0.1:nats", ""),
        ("NATS_URL", "nats://user:word@one,nats://user:word@two", "one URL is wanted"),
        ("MARKET_WS_URL", "https://example.test", "wss://host"),
        ("GAMMA_URL", "gamma-api.polymarket.com", "https://host"),
        ("CLOB_URL", "wss://clob.polymarket.com", "https://host"),
        ("MAX_BOOK_AGE_MS", "99", "100"),
        ("MAX_BOOK_AGE_MS", "10001", "10000"),
        ("MAX_BOOK_AGE_MS", "1s", "integer"),
        ("PUBLISHED_BIDS", "9", "10"),
        ("PUBLISHED_BIDS", "41", "40"),
        ("METRICS_PORT", "http", "integer"),
        ("METRICS_PORT", "65536", "65535"),
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
        load_settings(FeederSettings)
    assert refused.value.code == 2
    line = capsys.readouterr().err
    assert line.startswith(f"cannot start: {name}: ")
    assert said in line
    assert line.count("\n") == 1


def test_any_number_of_series_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERIES", ",".join(f"btc-{n}s" for n in range(1, 101)))
    assert len(load_settings(FeederSettings).series) == 100


def test_urls_are_taken_without_a_trailing_slash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOB_URL", "http://127.0.0.1:8080/")
    assert load_settings(FeederSettings).clob_url == "http://127.0.0.1:8080"
