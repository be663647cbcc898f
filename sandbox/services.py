"""The services of a run: which module, with which environment. Who starts them is another matter.

Secrets travel in `env`, never in arguments, which anybody may list.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from eth_account import Account
from hexbytes import HexBytes
from polymarket import AsyncSecureClient

from functions.core.group import AccountEntry, Execution, parse_strategies
from local.services import RECORDER, Service
from sandbox.audit_input import STRATEGY
from sandbox.dynamodb import CREDENTIALS_ENV, decision_table_of
from sandbox.simulator.wallets import deposit_wallet_of
from venue.trading.official_client import environment

STATE_TABLE = "sandbox-state"
WITHOUT_CERTIFICATES = {"SSL_CERT_DIR": str(Path(__file__).parent)}
"""There is no TLS on loopback, and reading those that come with the HTTP clients takes a good part
of a start's processor time."""
SEVERAL = f"{STRATEGY},order_flow_imbalance,shadow={STRATEGY}@paper"
"""Two that trade with one wallet, and one beside them on paper."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What is run; times scale with `speed`."""

    speed: int = 10
    markets: int = 6
    workers: int = 2
    execution: Execution = "live"
    strategies: str = STRATEGY
    """The accounts that are traded (`functions.core.group`)."""
    max_positions: int = 8
    min_orders: int = 0
    balance_usd: int = 1_000
    retuned: bool = False
    """Whether configurations are changed while it runs. Then no variable may name a setting that
    changes: a process that starts later would be refused."""
    record: Path | None = None
    """Where the run's history is recorded."""

    @property
    def accounts(self) -> tuple[AccountEntry, ...]:
        """Those that are traded. Raises ValueError."""
        return parse_strategies(self.strategies, self.execution)

    @property
    def live(self) -> bool:
        """Whether any of them trades at the simulated venue."""
        return any(each.live for each in self.accounts)

    @property
    def cooldown_s(self) -> float:
        """An account's 300 s, at this speed."""
        return 300 / self.speed

    @property
    def cooldown_ms(self) -> int:
        """As the workers round it."""
        return round(self.cooldown_s * 1000)

    @property
    def min_time_to_close_s(self) -> float:
        """An account's 300 s, at this speed."""
        return 300 / self.speed


@dataclasses.dataclass(frozen=True, kw_only=True)
class Addresses:
    """Where the servers of a run are."""

    nats_url: str
    dynamodb_url: str
    venue_url: str
    series: tuple[str, ...]


def _account_env(options: Options, dynamodb_url: str) -> dict[str, str]:
    """Whose account, and where it is."""
    return {
        **CREDENTIALS_ENV,
        "STATE_TABLE": STATE_TABLE,
        "DECISION_TABLE": decision_table_of(STATE_TABLE),
        "AWS_ENDPOINT_URL_DYNAMODB": dynamodb_url,
        "STRATEGIES": options.strategies,
        "EXECUTION": options.execution,
    }


def _limits_env(options: Options) -> dict[str, str]:
    positions = {} if options.retuned else {"MAX_POSITIONS": str(options.max_positions)}
    return {
        **positions,
        "COOLDOWN_S": str(options.cooldown_s),
        "MIN_TIME_TO_CLOSE_S": str(options.min_time_to_close_s),
        # A sped-up run lives through many days' trading in one.
        "DAILY_SPEND_CAP_USD": str(options.balance_usd),
        "DAILY_LOSS_LIMIT_USD": str(options.balance_usd),
    }


def looking_line(options: Options, dynamodb_url: str, nats_url: str) -> str:
    """What a person pastes into another terminal to look at the running account; no secret."""
    env = {
        **_account_env(options, dynamodb_url),
        "NATS_URL": nats_url,  # where workers are told of a new configuration
        **_limits_env(options),
    }
    return "export " + " ".join(f"{name}={value}" for name, value in env.items())


def recorder(options: Options, at: Addresses) -> Service:
    """What takes down frames, books, decisions and configurations; it needs no key.

    It is to be up before the others, and to stop after them: then it has all of it.
    """
    out = str(options.record)
    return Service(
        name=RECORDER,
        module="executor",
        arguments=("record", "--books", "--out", out, "--series", ",".join(at.series)),
        started_event="history_followed",
        env={
            **_account_env(options, at.dynamodb_url),
            "NATS_URL": at.nats_url,
            **_market_env(at),
        },
    )


def _market_env(at: Addresses) -> dict[str, str]:
    """Where the markets are."""
    websocket = at.venue_url.replace("http://", "ws://")
    return {"GAMMA_URL": at.venue_url, "MARKET_WS_URL": f"{websocket}/ws/market"}


async def services(options: Options, at: Addresses) -> list[Service]:
    """Market feeder, workers, scheduled functions and, live, the user feeder, in start order.

    Makes a throw-away key, and its API key at the simulated venue, which funds the deposit wallet
    of whoever logs in.
    Raises polymarket.errors.PolymarketError.
    """
    websocket = at.venue_url.replace("http://", "ws://")
    key = Account.create()
    wallet = deposit_wallet_of(key.address)
    private_key = HexBytes(key.key).to_0x_hex()
    listening = {"NATS_URL": at.nats_url, "METRICS_PORT": "0", **WITHOUT_CERTIFICATES}
    trading = {
        **WITHOUT_CERTIFICATES,
        **_account_env(options, at.dynamodb_url),
        "METRICS_PORT": "0",
        "CLOB_URL": at.venue_url,
        "GAMMA_URL": at.venue_url,
        "PRIVATE_KEY": private_key,
        "WALLET": wallet,
    }
    limits = _limits_env(options)
    market_feeder = Service(
        name="feeder",
        module="feeder",
        started_event="feeder_started",
        env={
            **listening,
            **_market_env(at),
            "CLOB_URL": at.venue_url,
            "SERIES": ",".join(at.series),
        },
    )
    workers = [
        Service(
            name=f"worker-{number}",
            module="functions.worker",
            started_event="worker_started",
            env={**listening, **trading, **limits},
        )
        for number in range(1, options.workers + 1)
    ]
    schedule = Service(
        name="schedule",
        module="functions.schedule",
        started_event="schedule_started",
        env=trading,
    )
    if not options.live:  # the venue reports no trades of paper orders
        return [market_feeder, *workers, schedule]
    client = await AsyncSecureClient.create(
        private_key=private_key,
        wallet=wallet,
        environment=environment(at.venue_url, at.venue_url),
    )
    credentials = client.credentials
    await client.close()
    user_feeder = Service(
        name="user-feeder",
        module="feeder",
        arguments=("user",),
        started_event="user_feeder_started",
        env={
            **listening,
            "CLOB_URL": at.venue_url,
            "USER_WS_URL": f"{websocket}/ws/user",
            "API_KEY": credentials.key,
            "API_SECRET": credentials.secret,
            "API_PASSPHRASE": credentials.passphrase,
            "API_ADDRESS": key.address,
            "WALLET": wallet,
        },
    )
    return [market_feeder, user_feeder, *workers, schedule]
