from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import ValidationError

from functions.core.fencing import BELIEF_MS
from functions.settings import ScheduleSettings, WorkerSettings
from protocol.book import Proof
from runtime.settings import load_settings

KEY = "0x" + "11" * 32
WALLET = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in WorkerSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_by_default_nobody_trades_and_everything_points_at_the_real_venue() -> None:
    settings = load_settings(WorkerSettings)
    assert settings.execution == "paper"
    assert settings.clob_url == "https://clob.polymarket.com"
    assert settings.limits().max_positions == 3
    assert settings.limits().cooldown_ms == 300_000
    assert settings.limits().daily_loss_limit_e6 == 20_000_000
    assert settings.limits().daily_spend_cap_e6 == 200_000_000
    assert settings.order_config().spend_e6 == 1_100_000
    assert settings.gate_config().proof_min is Proof.TOP


@pytest.mark.parametrize(
    ("state", "file", "place"),
    [
        ("dynamodb", None, "table streaming-executor-state at DynamoDB in eu-west-1"),
        ("sqlite:///state.sqlite", Path("state.sqlite"), "the store state.sqlite"),
        ("sqlite:////var/my data/s.sqlite", Path("/var/my data/s.sqlite"), "the store /var/my d"),
    ],
)
def test_the_store_is_dynamodb_or_a_file(
    state: str, file: Path | None, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE", state)
    settings = load_settings(WorkerSettings)
    assert settings.state_file == file
    assert settings.store_place.startswith(place)


@pytest.mark.parametrize(("told", "limit"), [("2", 2), ("", None)])
def test_entries_are_limited_where_that_is_asked_for(
    told: str, limit: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAX_ENTRIES_PER_MARKET", told)
    assert load_settings(WorkerSettings).limits().max_entries_per_market == limit


def test_the_proof_that_is_demanded_reaches_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOOK_PROOF", "checksum")
    assert load_settings(WorkerSettings).gate_config().proof_min is Proof.CHECKSUM


def test_the_fence_believes_at_least_as_long_as_a_book_may_be_acted_on() -> None:
    # What is delivered again after that is refused by its age.
    with pytest.raises(ValidationError):
        WorkerSettings(max_book_age_ms=BELIEF_MS + 1)


@pytest.mark.parametrize(
    ("env", "told"),
    [
        (
            {"STATE": "redis://"},
            "STATE: dynamodb is wanted, or a file on this machine",
        ),
        (
            {"STATE": "sqlite://host/x"},
            "STATE: dynamodb is wanted, or a file on this machine",
        ),
        ({"STATE": "sqlite:///"}, "STATE: dynamodb is wanted, or a file on this machine"),
        (
            {"STATE": "sqlite:///.."},
            "STATE: dynamodb is wanted, or a file on this machine",
        ),
        (
            {"STATE": "sqlite:///a/"},
            "STATE: after the slashes stands the name of a file",
        ),
        (
            {"STATE": "sqlite:///a?mode=ro"},
            "STATE: after the slashes stands the name of a file",
        ),
        ({"STRATEGY": "martingale"}, "STRATEGY: no such strategy; there is: book_imbalance_crypto"),
        (
            {"STRATEGIES": "book_imbalance_crypto,martingale"},
            "STRATEGIES: entry 2: no such strategy; there is: book_imbalance_crypto",
        ),
        (
            {"STRATEGIES": "book_imbalance_crypto,book_imbalance_crypto"},
            "STRATEGIES: entry 2: a second account book_imbalance_crypto-paper",
        ),
        ({"STRATEGIES": "book_imbalance_crypto,"}, "STRATEGIES: entry 2: it is empty"),
        ({"STRATEGIES": "x y=book_imbalance_crypto"}, "STRATEGIES: names of at most"),
        (
            {"STRATEGIES": "x=book_imbalance_crypto", "STRATEGY": "book_imbalance_crypto"},
            "STRATEGIES and STRATEGY differ: unset STRATEGY",
        ),
        ({"GROUP": "a b"}, "GROUP: at most 32 letters"),
        ({"MAX_POSITIONS": "many"}, "MAX_POSITIONS: "),
        ({"MAX_POSITIONS": "0"}, "MAX_POSITIONS: "),
        ({"MAX_ENTRIES_PER_MARKET": "0"}, "MAX_ENTRIES_PER_MARKET: "),
        ({"MAX_ENTRIES_PER_MARKET": "none"}, "MAX_ENTRIES_PER_MARKET: "),
        ({"SIZE_USD": "1.005"}, "SIZE_USD: the venue takes amounts in whole cents"),
        ({"SIZE_USD": "0.99"}, "SIZE_USD: "),  # the venue takes no order below 1 USD
        ({"SIZE_USD": "201"}, "SIZE_USD: more than DAILY_SPEND_CAP_USD"),
        ({"DAILY_SPEND_CAP_USD": "1.09"}, "SIZE_USD: more than DAILY_SPEND_CAP_USD"),
        ({"SIZE_USD": "5", "DAILY_SPEND_CAP_USD": "4.999999"}, "SIZE_USD: more than DAILY_SPEND"),
        ({"COLLECTIVE_EXPOSURE_MAX_USD": "1.09"}, "SIZE_USD: more than COLLECTIVE_EXPOSURE_MAX"),
        ({"COLLECTIVE_EXPOSURE_MAX_USD": "0"}, "COLLECTIVE_EXPOSURE_MAX_USD: "),
        ({"COLLECTIVE_DAILY_LOSS_LIMIT_USD": "inf"}, "COLLECTIVE_DAILY_LOSS_LIMIT_USD: "),
        ({"GROUP": "a group"}, "GROUP: at most 32 letters"),
        ({"DAILY_LOSS_LIMIT_USD": "NaN"}, "DAILY_LOSS_LIMIT_USD: "),
        ({"DAILY_SPEND_CAP_USD": "0"}, "DAILY_SPEND_CAP_USD: "),
        ({"COOLDOWN_S": "inf"}, "COOLDOWN_S: "),
        ({"PAPER_DELAY_MS": "30001"}, "PAPER_DELAY_MS: "),
        ({"EXECUTION": "yes"}, "EXECUTION: "),
        ({"EXECUTION": "live"}, "EXECUTION=live needs PRIVATE_KEY"),
        ({"EXECUTION": "live", "PRIVATE_KEY": KEY}, "EXECUTION=live needs WALLET"),
        ({"PRIVATE_KEY": "0xsecret"}, "PRIVATE_KEY: not a signing key"),
        ({"PRIVATE_KEY": KEY[:-1]}, "PRIVATE_KEY: not a signing key"),
        ({"WALLET": WALLET.replace("0x19E7", "0x19e7")}, "WALLET: mistyped"),
        ({"WALLET": "0xsecret"}, "WALLET: not an address"),
        ({"CLOB_URL": "clob.example"}, "CLOB_URL: not a URL"),
        ({"AWS_ENDPOINT_URL_DYNAMODB": "http://"}, "AWS_ENDPOINT_URL_DYNAMODB: not a URL"),
        ({"AWS_ENDPOINT_URL_STS": "secret"}, "AWS_ENDPOINT_URL_STS: not a URL"),
        ({"AWS_ENDPOINT_URL_SSO_OIDC": "secret"}, "AWS_ENDPOINT_URL_SSO_OIDC: not a URL"),
        (
            {"STATE_TABLE": "one", "DECISION_TABLE": "one"},
            "DECISION_TABLE: the same table as STATE",
        ),
        (
            {"STATE_TABLE": "streaming-executor-decisions"},
            "DECISION_TABLE: the same table as STATE_TABLE",
        ),
        (
            {
                "STATE_TABLE": "one",
                "DECISION_TABLE": "arn:aws:dynamodb:eu-west-1:123456789012:table/one",
            },
            "DECISION_TABLE: the same table as STATE_TABLE",
        ),
        ({"NATS_URL": "nats://user:secret/x@h:4222"}, "NATS_URL: not a URL"),
        ({"BOOK_PROOF": "none"}, "BOOK_PROOF: "),
        ({"METRICS_PORT": "70000"}, "METRICS_PORT: "),
    ],
)
def test_a_wrong_variable_is_named_on_one_line(
    env: dict[str, str],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        load_settings(WorkerSettings)
    assert ended.value.code == 2
    text = capsys.readouterr().err
    assert text.startswith("cannot start: ")
    assert told in text
    assert text.count("\n") == 1
    assert "secret" not in text
    assert KEY[2:-1] not in text


def test_an_order_may_be_all_that_a_day_may_spend() -> None:
    settings = WorkerSettings(size_usd=Decimal(1), daily_spend_cap_usd=Decimal(1))
    assert settings.limits().daily_spend_cap_e6 == settings.order_config().spend_e6


def test_paper_and_live_have_accounts_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings(WorkerSettings).account == "book_imbalance_crypto-paper"
    monkeypatch.setenv("EXECUTION", "live")
    monkeypatch.setenv("PRIVATE_KEY", KEY)
    monkeypatch.setenv("WALLET", WALLET)
    assert load_settings(WorkerSettings).account == "book_imbalance_crypto"


def test_one_worker_serves_several_accounts_each_with_settings_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EXECUTION", "live")
    monkeypatch.setenv("PRIVATE_KEY", KEY)
    monkeypatch.setenv("WALLET", WALLET)
    monkeypatch.setenv("STRATEGIES", "book_imbalance_crypto,shadow=book_imbalance_crypto@paper")
    settings = load_settings(WorkerSettings)
    assert settings.live
    each = settings.each()
    assert [(one.account, one.live, one.execution) for one in each] == [
        ("book_imbalance_crypto", True, "live"),
        ("shadow-paper", False, "paper"),
    ]
    assert settings.only("shadow-paper").account == "shadow-paper"
    assert [entry.account for entry in settings.entries] == [one.account for one in each]
    with pytest.raises(ValueError, match="say which one"):
        settings.only(None)


def test_live_accounts_among_others_need_a_key(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STRATEGIES", "a=book_imbalance_crypto,b=book_imbalance_crypto@live")
    with pytest.raises(SystemExit):
        load_settings(WorkerSettings)
    assert "needs PRIVATE_KEY" in capsys.readouterr().err


def test_the_earlier_name_of_the_variable_is_still_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRATEGY", "book_imbalance_crypto")
    assert load_settings(WorkerSettings).account == "book_imbalance_crypto-paper"
    monkeypatch.setenv("STRATEGIES", "book_imbalance_crypto")
    assert load_settings(WorkerSettings).account == "book_imbalance_crypto-paper"


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "")
    assert load_settings(WorkerSettings).aws_endpoint_url_dynamodb is None


def test_the_key_does_not_show_when_settings_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXECUTION", "live")
    monkeypatch.setenv("PRIVATE_KEY", KEY)
    monkeypatch.setenv("WALLET", WALLET)
    settings = load_settings(WorkerSettings)
    assert KEY[2:] not in f"{settings!r} {settings}"


def test_a_key_that_comes_with_a_files_line_end_is_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXECUTION", "live")
    monkeypatch.setenv("PRIVATE_KEY", f"{KEY}\n")
    monkeypatch.setenv("WALLET", WALLET)
    key = load_settings(WorkerSettings).private_key
    assert key is not None and key.get_secret_value() == KEY


def test_live_and_paper_are_groups_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings(ScheduleSettings).group_item == "group-paper"
    monkeypatch.setenv("GROUP", "mine")
    assert load_settings(WorkerSettings).group_item == "mine-paper"


def test_only_collective_limits_that_are_set_are_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings(WorkerSettings).collective_variables() == {}
    monkeypatch.setenv("COLLECTIVE_EXPOSURE_MAX_USD", "12.5")
    settings = load_settings(WorkerSettings)
    assert settings.collective_variables() == {"collective_exposure_max_usd": Decimal("12.5")}


def test_on_paper_nothing_is_redeemed() -> None:
    assert not ScheduleSettings(redeem=True).redeems
    live = {"execution": "live", "private_key": KEY, "wallet": WALLET}
    assert ScheduleSettings(redeem=True, **live).redeems  # type: ignore[arg-type]
    assert not ScheduleSettings(**live).redeems  # type: ignore[arg-type]
