"""Records with the signing key: bounded in time and size, whatever comes after the key is given."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path

import pytest
from aiohttp import web
from hexbytes import HexBytes

from functions import bootstrap
from functions.adapters.sqlite.schema import number
from functions.adapters.sqlite.store import SqliteStore
from functions.bootstrap import (
    MisconfiguredError,
    key_records,
    keyless_records,
    open_account,
    strategies_of,
    unopened_store,
)
from functions.ports import StoreError
from functions.settings import AccountSettings, ScheduleSettings
from sandbox.simulator import deposit_wallet_of
from tests.support.canned_venue import KEY, CannedVenue, canned_venue
from tests.support.fake_ports import NEW_ACCOUNT, MemoryStore
from tests.support.strategy_files import write_strategy
from venue.errors import VenueError, VenueUnreachableError
from venue.rest import ANSWER_BYTES_MAX
from venue.trading.official_client import bounded_call


def settings(venue: CannedVenue) -> ScheduleSettings:
    return ScheduleSettings(
        execution="live",
        private_key=HexBytes(KEY.key).to_0x_hex(),
        wallet=deposit_wallet_of(KEY.address),
        clob_url=venue.url,
        gamma_url=venue.url,
        redeem=True,
    )


def test_two_strategies_of_one_name_are_refused_and_one_of_two_accounts_is_not(
    tmp_path: Path,
) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    first, second = write_strategy(one), write_strategy(other, top="MINE = 1\n")
    found = strategies_of(AccountSettings(strategies=f"a={first},b={first}@live"))
    assert found["a-paper"] is found["b"]
    with pytest.raises(MisconfiguredError) as refused:
        strategies_of(AccountSettings(strategies=f"a={first},b={second}"))
    assert "a-paper and b-paper are both called mine" in str(refused.value)


def streams(venue: CannedVenue, path: str, chunk: bytes, every_s: float) -> None:
    """Answer without an end."""

    async def stream(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "application/json"})
        await answer.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await answer.write(chunk)
                await asyncio.sleep(every_s)
        return answer

    venue.answers[path] = stream  # type: ignore[assignment]  # a stream is an answer, too


async def test_the_records_are_those_of_the_key() -> None:
    async with canned_venue() as venue:
        venue.says("/deployed", {"deployed": True})
        records = await key_records(settings(venue))
        assert records.trader.signer == KEY.address.lower()
        await records.close()


@pytest.mark.parametrize("path", ["/auth/api-key", "/deployed"])
async def test_an_answer_that_trickles_in_is_not_waited_for_for_ever(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "LOG_IN_TIMEOUT_S", 0.5)
    async with canned_venue() as venue:
        streams(venue, path, b" ", 0.05)
        async with asyncio.timeout(30):
            with pytest.raises(VenueUnreachableError, match=r"no answer within 0\.5 s"):
                await key_records(settings(venue))


async def test_an_answer_without_end_is_given_up() -> None:
    async with canned_venue() as venue:
        streams(venue, "/deployed", b" " * (1 << 16), 0)
        with pytest.raises(VenueError, match=f"more than {ANSWER_BYTES_MAX} bytes"):
            await bounded_call("logging in", key_records(settings(venue)))


ODD: Iterable[str] = [
    "", "null", "[]", "{}", "7", '"yes"', '{"deployed":null}', '{"deployed":{}}', "<html>",
    '{"deployed":' + "9" * 5_000 + "}", "[" * 100_000, '{"deployed":"\\ud83d"}', '{"deployed":NaN}',
]  # fmt: skip


@pytest.mark.parametrize("status", [200, 204, 307, 401, 403, 429, 451, 503])
async def test_whatever_answers_after_the_key_is_given_is_one_line_to_try_again(
    status: int,
) -> None:
    async with canned_venue() as venue:
        # Each is a client of its own: all with a good and with a bad status, some with the others.
        odd = [*ODD] if status in (200, 503) else [*ODD][::5]
        for body in (*odd, json.dumps({"error": "Unauthorized/Invalid api key"})):
            venue.says_text("/deployed", body, status, "application/json")
            with pytest.raises(VenueError) as raised:
                await bounded_call("logging in", key_records(settings(venue)))
            assert "\n" not in str(raised.value)
            assert len(str(raised.value)) < 500


async def test_without_a_key_there_are_no_records_with_one() -> None:
    with pytest.raises(MisconfiguredError, match="PRIVATE_KEY"):
        await key_records(ScheduleSettings(execution="paper"))


async def test_api_credentials_of_another_signer_are_refused_before_anybody_is_asked() -> None:
    async with canned_venue() as venue:
        theirs = ScheduleSettings(
            execution="live",
            wallet=deposit_wallet_of("0x" + "22" * 20),
            clob_url=venue.url,
            gamma_url=venue.url,
            api_key="k-1",
            api_secret="c2VjcmV0",
            api_passphrase="p-1",
            api_address=KEY.address,
        )
        with pytest.raises(MisconfiguredError, match="API_ADDRESS: WALLET is not a wallet of this"):
            await keyless_records(theirs)
        assert venue.requests == []


# -- the account and its wallet ------------------------------------------------------------------

WALLET = KEY.address


def account_settings(execution: str, wallet: str | None = WALLET) -> AccountSettings:
    return AccountSettings(execution=execution, wallet=wallet)


async def test_an_account_that_is_opened_live_joins_its_wallet_and_one_on_paper_none() -> None:
    store = MemoryStore()
    store.item = None
    await open_account(store, account_settings("paper"))
    assert store.calls == ["open_account"]
    await open_account(
        store, account_settings("live", None)
    )  # `settle` of the cloud, unless it redeems
    assert await store.accounts_of_wallet(WALLET) == []
    for _ in range(2):
        assert await open_account(store, account_settings("live")) == NEW_ACCOUNT
    assert await store.accounts_of_wallet(WALLET.lower()) == ["strategy"]


async def test_an_account_that_cannot_join_its_wallet_is_not_opened() -> None:
    store = MemoryStore()
    store.failures["join_wallet"] = 1
    with pytest.raises(StoreError, match="join_wallet"):
        await open_account(store, account_settings("live"))


async def test_the_store_is_where_state_says_and_the_other_one_is_not_loaded(
    tmp_path: Path,
) -> None:
    program = """
        import asyncio, sys
        from functions.bootstrap import open_account, unopened_stores
        from functions.settings import AccountSettings

        async def main():
            settings = AccountSettings(strategies="a=fair_value@live,b=fair_value@paper")
            async with unopened_stores(settings) as stores:
                for one in settings.each():
                    account = await stores[one.account].open_account()
                    print(one.account, account.trading)

        asyncio.run(main())
        print(sorted({"aiobotocore", "botocore", "aiohttp"} & set(sys.modules)))
    """
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", textwrap.dedent(program)),
        cwd=Path(__file__).parents[2],
        env={"PATH": os.environ["PATH"], "STATE": f"sqlite:///{tmp_path / 's.sqlite'}"},
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await child.communicate()
    assert child.returncode == 0
    *accounts, loaded = told.decode().splitlines()
    assert accounts == ["a enabled", "b-paper enabled"]
    assert "botocore" not in loaded


@pytest.mark.parametrize(("entry", "synchronous"), [("@live", 2), ("@paper", 1)])
async def test_what_a_live_account_was_answered_survives_a_power_cut(
    tmp_path: Path, entry: str, synchronous: int
) -> None:
    settings = AccountSettings(
        state=f"sqlite:///{tmp_path / 's.sqlite'}", strategies=f"fair_value{entry}"
    )
    async with unopened_store(settings) as store:
        await store.open_account()
        assert isinstance(store, SqliteStore)
        told = await store._file.use("test", lambda sql: number(sql, "synchronous"))
        assert told == synchronous
