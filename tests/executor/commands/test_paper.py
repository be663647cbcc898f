"""What `executor paper` refuses before anything is started, and what it hands to the supervisor."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from executor.commands.paper import (
    RefusedError,
    Wanted,
    check,
    check_port,
    only,
    plan_of,
)
from executor.local_defaults import STORE_VARIABLES
from local.plan import SystemPlan
from local.services import services_of

VENUE = "http://127.0.0.1:1"
KEY = "0x" + "1" * 64


def planned(
    folder: Path, execution: Any = "paper", *, venue: str | None = VENUE, **environment: str
) -> SystemPlan:
    wanted = Wanted(execution=execution, data=folder, venue=venue, console_port=0, record_gb=1.0)
    return plan_of(wanted, environment)


def refusal(folder: Path, execution: Any = "paper", **environment: str) -> str:
    with pytest.raises(RefusedError) as refused:
        check(planned(folder, execution, **environment))
    assert not list(folder.iterdir())
    text = str(refused.value)
    assert "\n" not in text
    return text


def test_another_venue_is_all_endpoints(tmp_path: Path) -> None:
    venue = planned(tmp_path, venue="https://here:8/").venue
    assert (venue.clob, venue.gamma) == ("https://here:8", "https://here:8")
    assert (venue.market_ws, venue.user_ws) == ("wss://here:8/ws/market", "wss://here:8/ws/user")


def test_without_one_it_is_what_the_variables_say(tmp_path: Path) -> None:
    venue = planned(tmp_path, venue=None, CLOB_URL="http://mine").venue
    assert venue.clob == "http://mine"
    assert venue.gamma == "https://gamma-api.polymarket.com"
    assert venue.market_ws.startswith("wss://")


@pytest.mark.parametrize("venue", ["here", "ftp://here", "http://u:p@here", "http://here/path"])
def test_a_venue_that_is_none_is_refused(tmp_path: Path, venue: str) -> None:
    with pytest.raises(RefusedError, match=r"^--venue: "):
        planned(tmp_path, venue=venue)


@pytest.mark.parametrize("name", ["what?", "~nobody.s"])
def test_a_folder_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(RefusedError, match=r"^--data: "):
        planned(Path(name))


def test_with_nothing_set_all_is_well(tmp_path: Path) -> None:
    worker = check(planned(tmp_path))
    assert [entry.account for entry in worker.entries] == ["book_imbalance_crypto-paper"]
    assert worker.state == f"sqlite:///{tmp_path}/state.sqlite"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"SIZE_USD": "hunter2"}, "SIZE_USD: "),
        ({"RECONCILE_EVERY_S": "hunter2"}, "RECONCILE_EVERY_S: "),
        ({"SERIES": "hunter2"}, "SERIES: names as btc-15m"),
        ({"CONSOLE_HOST": "203.0.113.1"}, "CONSOLE_HOST: other machines"),
        ({"ALERT_URLS": "hunter2://hunter2"}, "ALERT_URLS"),
        ({"STRATEGIES": "no_such"}, "STRATEGIES: no such strategy; there is: "),
        ({"STRATEGIES": "./none.py:None"}, "STRATEGIES: account none-paper: "),
        ({"STRATEGIES": "a=book_imbalance_crypto@live"}, "STRATEGIES: an account is live"),
        ({"EXECUTION": "live"}, "EXECUTION is set, and not to paper: unset it"),
        ({"STATE": "sqlite:///hunter2.sqlite"}, "STATE names another store than"),
        ({"STATE": "dynamodb"}, "STATE names another store than"),
    ],
)
def test_what_a_process_would_refuse_is_refused_before_anything_is_there(
    tmp_path: Path, environment: dict[str, str], says: str
) -> None:
    text = refusal(tmp_path, **environment)
    assert says in text
    assert "hunter2" not in text


def test_each_mistake_is_said_once(tmp_path: Path) -> None:
    text = refusal(tmp_path, SIZE_USD="x", SERIES="x", DAILY_LOSS_LIMIT_USD="x")
    assert [text.count(name) for name in ("SIZE_USD", "SERIES", "DAILY_LOSS_LIMIT_USD")] == [1] * 3


def test_live_needs_its_variables_and_a_live_account(tmp_path: Path) -> None:
    assert refusal(tmp_path, "live").startswith("PRIVATE_KEY and WALLET: `executor live` needs")
    assert refusal(tmp_path, "live", PRIVATE_KEY=KEY).startswith("WALLET: `executor live` needs it")
    everything = {"PRIVATE_KEY": KEY, "WALLET": "0x" + "2" * 40}
    assert check(planned(tmp_path, "live", **everything)).live
    everything["STRATEGIES"] = "book_imbalance_crypto@paper"
    assert "no account is live" in refusal(tmp_path, "live", **everything)
    assert "not to live" in refusal(tmp_path, "live", EXECUTION="paper")


def test_what_is_of_no_process_here_is_not_asked(tmp_path: Path) -> None:
    """Another deployment's NATS and tables are not used, so nothing of them can be wrong."""
    check(planned(tmp_path, NATS_URL="x", NATS_USER="x", AWS_REGION="?", METRICS_PORT="x"))


def test_a_strategy_of_ones_own_is_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = "one=./mine.py:Mine@paper,book_imbalance_crypto"
    variables = planned(tmp_path, STRATEGIES=told).variables
    assert variables["STRATEGIES"] == f"one={tmp_path}/mine.py:Mine@paper,book_imbalance_crypto"
    assert planned(tmp_path, STRATEGY="order_flow_imbalance").variables == {
        "STRATEGIES": "order_flow_imbalance"
    }


def test_a_recording_is_none_or_not_too_small(tmp_path: Path) -> None:
    def limited(record_gb: float) -> SystemPlan:
        wanted = Wanted(
            execution="paper", data=tmp_path, venue=VENUE, console_port=0, record_gb=record_gb
        )
        return plan_of(wanted, {})

    with pytest.raises(RefusedError, match=r"--record-gb: 0\.1 at least"):
        check(limited(0.05))
    (recorder,) = [
        each for each in services_of(limited(0.5), "nats://127.0.0.1:1") if each.name == "recorder"
    ]
    assert recorder.arguments[-2:] == ("--max-gb", "0.5")
    check(limited(0))
    names = [each.name for each in services_of(limited(0), "nats://127.0.0.1:1")]
    assert "recorder" not in names


def test_no_secret_is_in_what_others_look_with(tmp_path: Path) -> None:
    from local.services import looking_env  # noqa: PLC0415 - beside its only use

    secrets = {
        "PRIVATE_KEY": KEY,
        "API_KEY": "hunter2",
        "API_SECRET": "hunter2",
        "API_PASSPHRASE": "hunter2",
        "ALERT_URLS": "hunter2",
        "HEARTBEAT_URL": "hunter2",
        "CONSOLE_TOKEN": "hunter2",
        "NATS_PASSWORD": "hunter2",
        "AWS_SECRET_ACCESS_KEY": "hunter2",
    }
    shown = looking_env(planned(tmp_path, "live", WALLET="0x" + "2" * 40, **secrets), "nats://h:1")
    assert not shown.keys() & secrets.keys()
    assert "hunter2" not in str(shown)
    assert KEY not in str(shown)
    assert any(name in shown for name in STORE_VARIABLES)


def test_a_port_that_is_taken_is_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(RefusedError, match=rf"^--console-port {port}: Address already in use"):
            check_port(port)
    check_port(0)


def test_the_environment_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIZE_USD", "3")
    before = dict(os.environ)
    with pytest.raises(ValueError, match="x"), only({"SERIES": "y"}):
        assert dict(os.environ) == {"SERIES": "y"}
        raise ValueError("x")
    assert dict(os.environ) == before
