"""One environment: what is opened once, what is opened again, what ends an invocation and how."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from structlog.testing import capture_logs

from functions.aws import entry_points
from functions.aws import environment as environment_module
from functions.aws.environment import Done, Function, FunctionError
from functions.ports import StoreError
from tests.support.dynamodb_engines import dynamodb_server, one_sdk_session, state_table
from tests.support.lambda_runtime import CREDENTIALS_SECRET, KEY_SECRET, Secrets, environment

__all__ = ["dynamodb_server", "one_sdk_session", "state_table"]

SECRET = "0x" + "5e" * 32
WALLET = "0x" + "11" * 20
RECONCILE = (entry_points.open_reconcile, entry_points.work_reconcile)
SETTLE = (entry_points.open_settle, entry_points.work_settle)
CONTROL = (entry_points.open_control, entry_points.work_control)
GOOD = '{"key": "k-1", "secret": "c2VjcmV0", "passphrase": "p-1", "address": "' + WALLET + '"}'


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment_module, "configure_logging", lambda **_: None)


class Desk:
    """Counts what is opened and closed; `works` is what the next invocations do."""

    def __init__(self) -> None:
        self.opened = self.closed = 0
        self.fails: Exception | None = None
        self.loops: set[int] = set()
        self.work = "well"

    async def opening(self, stack: AsyncExitStack) -> int:
        if self.fails is not None:
            raise self.fails
        self.opened += 1
        stack.callback(self._close)
        return self.opened

    def _close(self) -> None:
        self.closed += 1

    async def done(self, opened: int, event: object, until_s: float) -> Done:
        self.loops.add(id(asyncio.get_running_loop()))
        match self.work:
            case "hangs":
                await asyncio.Event().wait()
            case "breaks":
                raise ZeroDivisionError("a defect, with " + SECRET)
            case "leaves a task":
                self.left = asyncio.create_task(asyncio.Event().wait())
        return Done(result={"opened": opened, "event": event}, healthy=self.work != "unwell")

    def function(self) -> Function[int]:
        return Function("desk", self.opening, self.done)


async def test_what_is_open_serves_every_invocation_on_one_loop(quiet: None) -> None:
    desk = Desk()
    async with environment(desk.function()) as env:
        assert await env.invoke(1) == {"opened": 1, "event": 1}
        assert await env.invoke(2) == {"opened": 1, "event": 2}
        assert (desk.opened, desk.closed, len(desk.loops)) == (1, 0, 1)
    assert desk.closed == 1


async def test_an_opening_that_fails_is_not_kept(quiet: None) -> None:
    desk = Desk()
    desk.fails = StoreError("STATE_TABLE: there is no such table")
    async with environment(desk.function()) as env:
        with capture_logs() as logs, pytest.raises(FunctionError) as failed:
            await env.invoke()
        assert str(failed.value) == "desk: STATE_TABLE: there is no such table"
        assert failed.value.__cause__ is None
        assert [(line["event"], line["error"]) for line in logs] == [
            ("failed", "STATE_TABLE: there is no such table")
        ]
        desk.fails = None
        assert (await env.invoke())["opened"] == 1


@pytest.mark.parametrize("work", ["unwell", "hangs", "breaks"])
async def test_what_something_failed_with_is_opened_anew(quiet: None, work: str) -> None:
    desk = Desk()
    desk.work = work
    async with environment(desk.function()) as env:
        if work == "unwell":
            await env.invoke()
        else:
            with pytest.raises(FunctionError):
                await env.invoke(remaining_s=environment_module.SPARE_S + 0.05)
        assert (desk.opened, desk.closed) == (1, 1)
        desk.work = "well"
        assert (await env.invoke())["opened"] == 2


async def test_an_invocation_ends_before_the_cloud_ends_it(quiet: None) -> None:
    desk = Desk()
    desk.work = "hangs"
    async with environment(desk.function()) as env:
        with pytest.raises(FunctionError, match=r"^desk: not done within 0\.2 s$"):
            await env.invoke(remaining_s=environment_module.SPARE_S + 0.2)
        with pytest.raises(FunctionError, match="not done"):
            await env.invoke(remaining_s=0)  # not even begun


async def test_there_is_time_to_tidy_up_before_the_cloud_ends_it() -> None:
    assert 2 * environment_module.CLOSE_S <= environment_module.SPARE_S - 0.5


async def test_a_defect_is_an_alarm_and_one_short_exception(quiet: None) -> None:
    desk = Desk()
    desk.work = "breaks"
    async with environment(desk.function()) as env:
        with capture_logs() as logs, pytest.raises(FunctionError) as failed:
            await env.invoke()
    assert str(failed.value) == "desk: ZeroDivisionError"
    assert [line["log_level"] for line in logs] == ["critical"]


async def test_nothing_is_left_running(quiet: None) -> None:
    desk = Desk()
    desk.work = "leaves a task"
    async with environment(desk.function()) as env:
        await env.invoke()
        assert desk.left.cancelled()


# -- configuration and secrets -------------------------------------------------------------------


LIVE = {"EXECUTION": "live", "WALLET": WALLET}
REDEEM = {**LIVE, "REDEEM": "true", "PRIVATE_KEY_SECRET": KEY_SECRET}


@pytest.mark.parametrize(
    ("parts", "env", "told"),
    [
        (CONTROL, {"PRIVATE_KEY": SECRET}, "PRIVATE_KEY: this process must not hold a signing key"),
        (RECONCILE, {"PRIVATE_KEY": SECRET}, "PRIVATE_KEY: this process must not hold"),
        (SETTLE, {"PRIVATE_KEY": SECRET}, "PRIVATE_KEY: this process must not hold"),
        (CONTROL, {"STRATEGY": SECRET}, "STRATEGY: names of at most 58 letters"),
        (CONTROL, {"STRATEGIES": "none"}, "STRATEGIES: no such strategy"),
        (CONTROL, {"DAILY_LOSS_LIMIT_USD": SECRET}, "DAILY_LOSS_LIMIT_USD: "),
        (CONTROL, {"AWS_ENDPOINT_URL_DYNAMODB": "nowhere"}, "AWS_ENDPOINT_URL_DYNAMODB: not a URL"),
        (CONTROL, {"CLOUDWATCH_STAGE": "Prod!"}, "CLOUDWATCH_STAGE: "),
        (RECONCILE, {"RECONCILE_EVERY_S": "0"}, "RECONCILE_EVERY_S: "),
        (RECONCILE, {"AWS_REGION": "no region"}, "AWS_REGION: a name as eu-west-1"),
        (RECONCILE, {"STATE_TABLE": "missing"}, "STATE_TABLE: there is no table missing"),
        (SETTLE, {"STATE_TABLE": "missing"}, "STATE_TABLE: there is no table missing"),
        (RECONCILE, {"EXECUTION": "live"}, "EXECUTION=live needs API_CREDENTIALS_"),
        (
            RECONCILE,
            {"EXECUTION": "live", "API_CREDENTIALS_SECRET": "x"},
            "EXECUTION=live needs WALLET",
        ),
        (
            RECONCILE,
            {**LIVE, "API_CREDENTIALS_SECRET": "nobody"},
            "API_CREDENTIALS_SECRET: Secrets Manager refuses to tell it: ResourceNotFoundException",
        ),
        (
            SETTLE,
            {**LIVE, "REDEEM": "true"},
            "REDEEM=true needs PRIVATE_KEY_SECRET (it sends transactions)",
        ),
        (
            SETTLE,
            {**REDEEM, "PRIVATE_KEY_SECRET": "nobody"},
            "PRIVATE_KEY_SECRET: Secrets Manager refuses to tell it: ResourceNotFoundException",
        ),
        (
            SETTLE,
            REDEEM,
            "PRIVATE_KEY_SECRET: not a signing key (32 bytes: 64 hex digits, with or without 0x)",
        ),
        (
            RECONCILE,
            {"STATE": "sqlite:///tmp/state.sqlite"},
            "STATE: a function of the cloud has no disk: only dynamodb works here",
        ),
        (
            RECONCILE,
            {**LIVE, "API_CREDENTIALS_SECRET": "x", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"},
            "API_CREDENTIALS_SECRET: Secrets Manager in eu-west-1 cannot be asked: ",
        ),
    ],
)
async def test_a_mistake_is_one_line_that_names_the_variable(
    deployed: pytest.MonkeyPatch,
    secrets: Secrets,
    parts: tuple[object, object],
    env: dict[str, str],
    told: str,
) -> None:
    secrets.texts[KEY_SECRET] = "not a key at all"
    for name, value in env.items():
        deployed.setenv(name, value)
    async with environment(Function("f", *parts)) as one:  # type: ignore[arg-type]
        with capture_logs() as logs, pytest.raises(FunctionError) as failed:
            await one.invoke(remaining_s=30)
    assert str(failed.value).startswith(f"f: {told}")
    assert "\n" not in str(failed.value)
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["failed"]
    assert not any(hidden in f"{logs} {failed.value}" for hidden in (SECRET, "not a key at all"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the secret holds no text"),
        (None, "the secret holds no text"),
        ("s3cr3t", "Invalid JSON"),
        ('["s3cr3t"]', ""),
        ('{"key": "s3cr3t"}', "SECRET: Field required; PASSPHRASE: Field required; ADDRESS: "),
        (GOOD.replace("k-1", "s3cr3t with space"), "KEY: not plain text without spaces"),
        (GOOD.replace("c2VjcmV0", "s3cr3t!"), "SECRET: not base64"),
        (GOOD.replace(WALLET, "s3cr3t"), "ADDRESS: "),
        (GOOD.replace(WALLET, "0x" + "22" * 20), "WALLET is not a wallet of this signer"),
    ],
)
async def test_api_credentials_that_are_none_are_not_shown(
    deployed: pytest.MonkeyPatch, secrets: Secrets, text: object, told: str
) -> None:
    secrets.texts[CREDENTIALS_SECRET] = text
    for name, value in {**LIVE, "API_CREDENTIALS_SECRET": CREDENTIALS_SECRET}.items():
        deployed.setenv(name, value)
    async with environment(Function("f", *RECONCILE)) as env:
        with capture_logs() as logs, pytest.raises(FunctionError) as failed:
            await env.invoke()
    assert str(failed.value).startswith("f: API_CREDENTIALS_SECRET: ")
    assert told in str(failed.value)
    assert "s3cr3t" not in f"{logs} {failed.value}"
    assert len(logs) == 1
