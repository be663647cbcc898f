"""Who of a system's processes gets which variable."""

from __future__ import annotations

from pathlib import Path

import pytest

from feeder.settings import FeederSettings, MarketChannelSettings, UserFeederSettings
from functions.settings import ScheduleSettings, WorkerSettings
from local.data_folder import DataFolder
from local.plan import SystemPlan, VenueUrls
from local.services import (
    FEEDER_VARIABLES,
    PUBLISHED_BIDS,
    USER_FEEDER_VARIABLES,
    Service,
    looking_env,
    names_of,
    services_of,
)
from runtime.settings import EnvironmentSettings

NATS_URL = "nats://127.0.0.1:4223"
SECRETS = {
    **{name: f"secret {name}" for name in ("PRIVATE_KEY", "API_KEY", "API_SECRET")},
    **{name: f"secret {name}" for name in ("API_PASSPHRASE", "ALERT_URLS", "HEARTBEAT_URL")},
    "CONSOLE_TOKEN": "secret CONSOLE_TOKEN",
}
VARIABLES = {
    **SECRETS,
    **{"WALLET": "0x1", "API_ADDRESS": "0x2", "STRATEGIES": "mine", "SERIES": "eth-15m"},
    **{"SIZE_USD": "7", "SETTLE_EVERY_S": "20", "MAX_BOOK_AGE_MS": "900"},
    # Nothing of a cloud's, of another nats-server's, or of nobody's reaches a process.
    **{"AWS_SECRET_ACCESS_KEY": "secret", "NATS_PASSWORD": "secret", "LD_PRELOAD": "x"},
    **{"STREAM_REPLICAS": "3", "STATE": "dynamodb", "EXECUTION": "live", "CLOB_URL": "http://x"},
}
VENUE = VenueUrls(
    clob="https://clob.example:444/",
    gamma="https://gamma.example",
    market_ws="wss://ws.example/market",
    user_ws="wss://ws.example/user",
)


def plan(tmp_path: Path, execution: str = "paper", **changed: object) -> SystemPlan:
    return SystemPlan(
        data=DataFolder(path=tmp_path, lock=-1),
        execution=execution,  # type: ignore[arg-type]
        variables={**VARIABLES, **changed.pop("variables", {})},  # type: ignore[dict-item]
        venue=VENUE,
        **changed,  # type: ignore[arg-type]
    )


def services(of: SystemPlan) -> dict[str, Service]:
    return {each.name: each for each in services_of(of, NATS_URL)}


def test_the_processes_of_a_system_in_their_order(tmp_path: Path) -> None:
    assert list(services(plan(tmp_path, workers=2))) == [
        *("recorder", "feeder", "worker-1", "worker-2", "schedule", "console", "alerts"),
    ]
    assert list(services(plan(tmp_path, "live"))) == [
        *("recorder", "feeder", "user-feeder", "worker-1", "schedule", "console", "alerts"),
    ]
    bare = plan(
        tmp_path,
        variables={"ALERT_URLS": "", "HEARTBEAT_URL": ""},
        console_port=None,
        recording_bytes_max=0,
    )
    assert list(services(bare)) == ["feeder", "worker-1", "schedule"]


@pytest.mark.parametrize(
    ("name", "holders"),
    [
        ("PRIVATE_KEY", {"worker-1", "schedule"}),
        ("API_KEY", {"user-feeder", "schedule"}),
        ("API_SECRET", {"user-feeder", "schedule"}),
        ("API_PASSPHRASE", {"user-feeder", "schedule"}),
        ("ALERT_URLS", {"alerts"}),
        ("HEARTBEAT_URL", {"alerts"}),
        ("CONSOLE_TOKEN", {"console"}),
    ],
)
def test_a_secret_is_held_by_those_who_need_it(
    name: str, holders: set[str], tmp_path: Path
) -> None:
    value = VARIABLES[name]
    live = services(plan(tmp_path, "live")).values()
    assert {each.name for each in live if value in each.env.values()} == holders
    assert not any(value in " ".join(each.arguments) + repr(each) for each in live)
    signing = name.startswith(("PRIVATE", "API"))
    paper = services(plan(tmp_path)).values()
    assert {each.name for each in paper if value in each.env.values()} == (
        set() if signing else holders
    )


def test_each_gets_what_it_reads_and_the_supervisors_word_counts(tmp_path: Path) -> None:
    of = plan(tmp_path)
    state = f"sqlite:///{tmp_path}/state.sqlite"
    known = services(of)
    assert known["worker-1"].env == {
        **{"STRATEGIES": "mine", "SIZE_USD": "7", "MAX_BOOK_AGE_MS": "900"},
        **{"STATE": state, "EXECUTION": "paper", "NATS_URL": NATS_URL, "METRICS_PORT": "0"},
        **{"CLOB_URL": VENUE.clob, "GAMMA_URL": VENUE.gamma},
    }
    assert known["feeder"].env == {
        **{"SERIES": "eth-15m", "MAX_BOOK_AGE_MS": "900"},
        **{"NATS_URL": NATS_URL, "METRICS_PORT": "0", "CLOB_URL": VENUE.clob},
        **{"GAMMA_URL": VENUE.gamma, "MARKET_WS_URL": VENUE.market_ws},
    }
    assert known["schedule"].env["SETTLE_EVERY_S"] == "20"
    assert known["console"].env["EXECUTOR_DATA"] == str(tmp_path)
    assert known["console"].env["CONSOLE_PORT"] == "8765"
    for each in known.values():
        assert not {"AWS_SECRET_ACCESS_KEY", "NATS_PASSWORD", "LD_PRELOAD"} & each.env.keys()


def test_what_is_stored_by_then_counts_when_a_worker_starts_again(tmp_path: Path) -> None:
    known = services(plan(tmp_path))
    worker, again = known["worker-1"], known["worker-1"].seeded()
    assert worker.env.keys() - again.env.keys() == {"SIZE_USD", "MAX_BOOK_AGE_MS"}
    assert known["feeder"].seeded() == known["feeder"]


def test_what_others_look_with_is_no_secret(tmp_path: Path) -> None:
    env = looking_env(plan(tmp_path, "live"), NATS_URL)
    assert not [value for value in env.values() if "secret" in value]
    assert (env["STATE"], env["NATS_URL"]) == (f"sqlite:///{tmp_path}/state.sqlite", NATS_URL)
    assert (env["STRATEGIES"], env["EXECUTION"], env["SERIES"]) == ("mine", "live", "eth-15m")
    assert VENUE.origin == "https://clob.example:444"


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        (FeederSettings, FEEDER_VARIABLES | {PUBLISHED_BIDS}),
        (MarketChannelSettings, FEEDER_VARIABLES - {"MAX_BOOK_AGE_MS"}),
        (UserFeederSettings, USER_FEEDER_VARIABLES | {"PRIVATE_KEY"}),  # which it refuses
    ],
)
def test_the_feeders_variables_are_named_here(
    kind: type[EnvironmentSettings], named: frozenset[str]
) -> None:
    """This room imports no feeder, so a new variable of theirs has to be named by hand."""
    assert names_of(kind) == named


def test_what_the_supervisor_keeps_back_is_no_setting_of_an_account() -> None:
    read = names_of(WorkerSettings) | names_of(ScheduleSettings)
    assert {"STRATEGIES", "GROUP", "SIZE_USD", "BOOK_PROOF", "REDEEM", "DAILY_SPEND_CAP_USD"} < read
    assert not {"STATE", "NATS_URL", "STATE_TABLE", "AWS_REGION"} & read
