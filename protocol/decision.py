"""`Decision`: what became of one signal, as published on `decision.<strategy>`."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from protocol.bounds import (
    AmountE6,
    Count,
    EpochMs,
    EpochNs,
    Id,
    Name,
    PriceE4,
    Ratio,
    Text,
    Ticks,
    Versions,
)
from protocol.market import MarketInfo, check_market
from protocol.side import Side
from protocol.snapshot import UNDECODABLE, ProtocolError
from protocol.text import encoded


class Timeline(msgspec.Struct, kw_only=True):
    """Wall-clock nanoseconds at which each stage of the hot path ended; 0 = never reached."""

    received_at_ns: EpochNs = 0
    published_at_ns: EpochNs = 0
    delivered_at_ns: EpochNs = 0
    decided_at_ns: EpochNs = 0
    signed_at_ns: EpochNs = 0
    claimed_at_ns: EpochNs = 0
    answered_at_ns: EpochNs = 0
    resolved_at_ns: EpochNs = 0


STAGES: Final = (
    ("publish", "received_at_ns", "published_at_ns"),
    ("deliver", "published_at_ns", "delivered_at_ns"),
    ("decide", "delivered_at_ns", "decided_at_ns"),
    ("sign", "decided_at_ns", "signed_at_ns"),
    ("claim", "signed_at_ns", "claimed_at_ns"),
    ("post", "claimed_at_ns", "answered_at_ns"),
    ("resolve", "answered_at_ns", "resolved_at_ns"),
)
"""Name, where it begins, where it ends; in the order in which they happen."""


def stages_ns(timeline: Timeline) -> dict[str, int]:
    """How long each stage took, of those whose begin and end are known."""
    took: dict[str, int] = {}
    for name, begin, end in STAGES:
        begin_ns, end_ns = getattr(timeline, begin), getattr(timeline, end)
        if begin_ns and end_ns:
            took[name] = end_ns - begin_ns
    return took


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One signal outcome: executed, or refused and why.

    A refusal that repeats inside one cooldown is not published again; the next decision of that
    market and reason carries the number in `repeats`.
    """

    decision_id: Id
    strategy: Id
    worker: Name
    condition_id: Name
    slug: Name
    outcome: Name
    token_id: Name
    result: Literal["executed", "refused"]
    reason: Name
    """`matched`, `delayed`, ... for an executed one; a refusal's reason from its closed set."""
    numbers: dict[Name, float] = {}
    """The strategy's reasons, by name."""
    edge_after_costs_ticks: Ticks = 0.0
    """What a share was worth beyond ask and fee: by the strategy's own estimate, or by the mid."""
    imbalance: Ratio = 0.0
    """The only reason of older versions, which read no decision without it."""
    signal_price_e4: PriceE4
    max_price_e4: PriceE4
    spend_e6: AmountE6
    decided_at_ms: EpochMs
    timeline: Timeline
    side: Side = Side.BUY
    intent_id: Name = ""
    order_id: Name = ""
    state: Name = ""
    """The claim's state afterwards: open, released, unknown; empty when nothing was claimed."""
    filled_spend_e6: AmountE6 = 0
    filled_size_e6: AmountE6 = 0
    fee_e6: AmountE6 = 0
    text: Text = ""
    repeats: Count = 0
    config_version: Count = 0
    """The configuration under which it was decided; 0: from before there were any."""
    asked_at_ms: EpochMs = 0
    """The moment that gate and strategy were asked with; 0: from before it was recorded.
    `decided_at_ms` is a little later."""
    memory_rows: Count = 0
    """How many books the strategy could look at, the one that it decided on among them."""
    memory_digest: Name = ""
    """Which ones (`strategies.memory.digest_of`)."""
    memory_versions: Versions = ""
    """The same spelled out, and which book was decided on (`strategies.seen_books`); empty: from
    before it was told, or read from the decision table, which does not keep it."""
    market: MarketInfo | None = None
    """The market as it was traded, where the CLOB's word is stricter than the listing in the book;
    None: as in the book, or read from the decision table."""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Decision)


def encode_decision(decision: Decision) -> bytes:
    """One JSON object, UTF-8."""
    return encoded(_encoder.encode, decision)


def decode_decision(payload: bytes) -> Decision:
    """Inverse of `encode_decision`. Raises ProtocolError naming the missing or malformed field."""
    try:
        decision = _decoder.decode(payload)
    except UNDECODABLE as error:
        raise ProtocolError(f"decision: {error}") from error
    if decision.market is not None:
        try:
            check_market(decision.market)
        except ValueError as error:
            raise ProtocolError(f"decision: $.market.{error}") from error
    return decision
