"""What grows with markets and accounts inside a process, and in the items it writes. No network.

Feeder: a change and a round of upkeep by number of followed markets, and the memory of one more.
Worker: decoding and deciding on one book. Account: the item's size by claims. Leases: the table's
size by series and feeders.

Sizes of items are counted as DynamoDB does it for the types that are used here (Amazon DynamoDB
developer guide, "DynamoDB item sizes and formats"): UTF-8 bytes of names and texts; a number one
byte for two digits and one more; a map three bytes, and one for each entry.
"""

from __future__ import annotations

import statistics
import time
import tracemalloc
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import msgspec

from benchmarks.book_updates import _BEGIN_MS, _Feed
from feeder.core.leases import Lease, LeaseTable, Member, Standing, encode_table
from feeder.core.market.session_table import SessionTable
from functions.adapters.dynamodb.items import account_item, trade_key
from functions.core.account import NO_PAUSE, Account
from functions.core.claim import Claim, ClaimFill, ClaimState, Finality
from functions.core.gate import hold_reason_of
from functions.core.market_memories import MarketMemories
from functions.core.trade import trade_of
from functions.settings import WorkerSettings
from protocol.fee import FeeSchedule
from protocol.market import MarketInfo, Outcome
from protocol.series import parse_series
from protocol.snapshot import decode_snapshot, encode_snapshot
from strategies.builtin import BUILTIN
from strategies.interface import Signal
from venue.wire.market_channel import BookEvent, PriceChangeEvent, decode_frame

MARKETS: Final = (10, 100, 1_000)
CLAIMS: Final = (0, 1, 3, 10, 100)
LEASES: Final = ((5, 2), (1_000, 2), (1_000, 40), (100_000, 2), (100_000, 2_000))
"""(series, feeders)"""
WCU_BYTES: Final = 1_024
ITEM_BYTES_MAX: Final = 400 * 1_024
PARTITION_WCU_PER_S: Final = 1_000
_ROUNDS: Final = 5
_STRATEGY: Final = "book_imbalance_crypto"


def run() -> dict[str, float]:
    """All figures by name; the unit is at the end of each."""
    return {**feeder(_Feed(hashed=False)), **worker(_Feed(hashed=True)), **account(), **leases()}


def feeder(feed: _Feed) -> dict[str, float]:
    """Microseconds of CPU a change and a round of upkeep, and bytes of one more market."""
    books = [event for event in decode_frame(feed.first) if isinstance(event, BookEvent)]
    changes = [
        event
        for payload in feed.frames[:500]
        for event in decode_frame(payload)
        if isinstance(event, PriceChangeEvent)
    ]
    figures: dict[str, float] = {}
    for markets in MARKETS:
        if markets == MARKETS[0]:  # it makes everything slower
            tracemalloc.start()
        table = SessionTable([parse_series("btc-15m")])
        _follow(table, books, markets)
        if markets == MARKETS[0]:
            figures["feeder_kb_a_market"] = tracemalloc.get_traced_memory()[0] / 1024 / markets
            tracemalloc.stop()
        mine = [msgspec.structs.replace(event, market=_condition(0)) for event in changes]

        def apply(table: SessionTable = table, mine: list[PriceChangeEvent] = mine) -> None:
            for event in mine:
                table.apply(0, event, event.timestamp * 1_000_000)

        now_ms = changes[-1].timestamp

        def upkeep(table: SessionTable = table, now_ms: int = now_ms) -> None:
            table.take_due(now_ms)

        figures[f"feeder_change_us_at_{markets}"] = _us(apply) / len(changes)
        figures[f"feeder_upkeep_us_at_{markets}"] = _us(upkeep)
    return figures


def worker(feed: _Feed) -> dict[str, float]:
    """Microseconds of CPU to decode a book of 40 levels a side, and to decide on it."""
    table = feed.apply()
    (session,) = table
    snapshot = table.snapshot(session, _BEGIN_MS * 1_000_000, 1)
    assert snapshot is not None
    encoded = encode_snapshot(snapshot)
    strategy = BUILTIN[_STRATEGY]
    parameters, memories = strategy.Parameters(), MarketMemories()
    settings = WorkerSettings.model_construct(  # the defaults, whatever this shell has in it
        **{name: field.default for name, field in WorkerSettings.model_fields.items()}
    )
    gate, order = settings.gate_config(), settings.order_config()
    times, now_ms = 500, snapshot.published_at_ns // 1_000_000

    def decode() -> None:
        for _ in range(times):
            decode_snapshot(encoded)

    def decide() -> None:
        for _ in range(times):
            if hold_reason_of(snapshot, gate, now_ms) is not None:
                continue
            memories.note(snapshot)
            view = memories.view(snapshot, now_ms)
            if view is not None:
                signal = strategy.decide(view, parameters, now_ms)
                if isinstance(signal, Signal):
                    trade_of(signal, view, order)

    return {
        "worker_decode_us": _us(decode) / times,
        "worker_decide_us": _us(decide) / times,
        "book_bytes": float(len(encoded)),
    }


def account() -> dict[str, float]:
    """Bytes of the account item by claims, each with two fills, and what one write costs."""
    figures: dict[str, float] = {}
    for claims in CLAIMS:
        size = item_bytes(account_item(_STRATEGY, _account(claims)))
        figures[f"account_bytes_with_{claims}"] = size
        figures[f"account_wcu_with_{claims}"] = -(-size // WCU_BYTES)
    row = trade_key(_STRATEGY, _claim(1)) | {"claim": {"M": {}}}
    empty = figures["account_bytes_with_0"]
    a_claim = (figures["account_bytes_with_100"] - empty) / 100
    figures["account_bytes_a_claim"] = a_claim
    figures["account_claims_max"] = (ITEM_BYTES_MAX - empty) // a_claim
    figures["ledger_row_bytes"] = item_bytes(row) + a_claim
    return figures


def leases() -> dict[str, float]:
    """Bytes of the lease table, which each feeder reads and writes four times a second."""
    figures = {}
    for series, feeders in LEASES:
        names = [f"coin{number:06d}-15m" for number in range(series)]
        share = names[: max(1, series // max(1, feeders // 2))]  # two feeders for each group
        members = {
            f"ip-10-42-4-{number:06d}.eu-west-1-17-{number:08x}": Member(
                counter=345_600, series=tuple(share), standing=Standing.SETTLED
            )
            for number in range(feeders)
        }
        owners = list(members)
        table = LeaseTable(
            table_id="0" * 16,
            members=members,
            series={
                name: Lease(owner=owners[i % feeders], epoch=1_795_387_478_702)
                for i, name in enumerate(names)
            },
            epoch_max=1_795_387_478_702,
        )
        figures[f"lease_table_kb_{series}_series_{feeders}_feeders"] = (
            len(encode_table(table)) / 1e3
        )
    return figures


def item_bytes(item: dict[str, Any]) -> int:
    """Of an item in DynamoDB's notation."""
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def _value_bytes(attribute: dict[str, Any]) -> int:
    [(kind, value)] = attribute.items()
    if kind == "S":
        return len(value.encode())
    if kind == "N":
        return (len(value.lstrip("-").replace(".", "").strip("0")) + 1) // 2 + 1
    if kind == "M":
        return 3 + sum(1 + len(n.encode()) + _value_bytes(v) for n, v in value.items())
    return 1  # BOOL


def _us(batch: Callable[[], object]) -> float:
    """Median microseconds of CPU."""
    batch()
    taken = []
    for _ in range(_ROUNDS):
        begun = time.process_time_ns()
        batch()
        taken.append((time.process_time_ns() - begun) / 1_000)
    return statistics.median(taken)


def _condition(number: int) -> str:
    return f"0x{number:064x}"


def _follow(table: SessionTable, books: list[BookEvent], markets: int) -> None:
    """The same two books for each market, on both lines."""
    subscribed: set[str] = set()
    events: list[BookEvent] = []
    for number in range(markets):
        tokens = (
            [f"{each.asset_id[:-8]}{number:08d}" for each in books]
            if number
            else [each.asset_id for each in books]
        )
        table.follow(
            MarketInfo(
                condition_id=_condition(number),
                slug=f"btc-updown-15m-{number}",
                series="btc-15m",
                outcomes=(
                    Outcome(name="Up", token_id=tokens[0]),
                    Outcome(name="Down", token_id=tokens[1]),
                ),
                start_ms=_BEGIN_MS - 1_000,
                end_ms=_BEGIN_MS + 900_000,
                tick_size_e4=10,
                min_order_size_e6=5_000_000,
                fee=FeeSchedule(rate=Decimal("0.07"), exponent=1),
                neg_risk=False,
                accepting=True,
            ),
            now_ms=_BEGIN_MS,
        )
        events += [
            msgspec.structs.replace(event, market=_condition(number), asset_id=token)
            for event, token in zip(books, tokens, strict=True)
        ]
        subscribed.update(tokens)
    for line in (0, 1):
        table.connected(line, subscribed, _BEGIN_MS)
        for event in events:
            table.apply(line, event, _BEGIN_MS * 1_000_000)


def _account(claims: int) -> Account:
    return Account(
        trading="enabled",
        pause=NO_PAUSE,
        redeem={},
        claims={claim.slot: claim for claim in map(_claim, range(claims))},
        entries={_claim(n).window: 2 for n in range(claims)},
        cooldowns={_condition(n): 1_795_387_478_702 for n in range(2 * claims)},
        pnl_e6={f"2026-11-{day:02d}": -1_234_567 for day in range(15, 23)},
        spent_e6={f"2026-11-{day:02d}": 123_456_789 for day in range(15, 23)},
    )


def _claim(number: int) -> Claim:
    return Claim(
        intent_id=f"{number:032x}",
        attempt_id=f"{number:032x}",
        order_id=_condition(number),
        condition_id=_condition(number),
        slug="btc-updown-15m-1790000100",
        token_id=str(10**76 + number),
        outcome="Down",
        state=ClaimState.OPEN,
        version=3,
        max_price_e4=5_533,
        spend_e6=1_100_000,
        fee_rate="0.07",
        salt=str(10**14 + number),
        order_timestamp_ms=1_795_387_478_702,
        claimed_at_ms=1_795_387_478_711,
        market_end_ms=1_795_388_400_000,
        by_intent=True,
        counted=True,
        reported_spend_e6=1_099_999,
        reported_size_e6=1_987_654,
        filled_spend_e6=1_099_999,
        filled_size_e6=1_987_654,
        fee_e6=34_567,
        resolved_at_ms=1_795_387_478_999,
        fills={
            f"{n:08x}-0000-4000-8000-{number:012x}": ClaimFill(
                standing=Finality.CONFIRMED, price_e4=5_533, size_e6=993_827
            )
            for n in range(2)
        },
    )
