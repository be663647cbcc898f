"""Text that has no UTF-8 leaves a process as text that has some."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from feeder.core.leases import Lease, LeaseTable, encode_table
from feeder.recording.format import Listed, encode_record
from functions.adapters.dynamodb.items import claim_attribute, decision_item
from protocol.decision import decode_decision, encode_decision
from protocol.fill import decode_fill, encode_fill
from protocol.snapshot import decode_snapshot, encode_snapshot
from protocol.text import whole
from tests.support.message_builders import decision, market_info, snapshot
from tests.support.trading_builders import a_claim, a_fill

HALF = "before \ud800 after \udcff"
SHOWN = "before \\ud800 after \\udcff"


def test_only_halves_change() -> None:
    assert whole(HALF) == SHOWN
    for text in ("", "plain \x00\n", "größer \U0001f600", "\\ud800"):
        assert whole(text) == text


MARKET = msgspec.structs.replace(market_info(), slug=HALF)


@pytest.mark.parametrize(
    ("encode", "message"),
    [
        (encode_decision, msgspec.structs.replace(decision(), text=HALF, worker=HALF)),
        (encode_fill, msgspec.structs.replace(a_fill(), trade_id=HALF)),
        (encode_snapshot, msgspec.structs.replace(snapshot(), market=MARKET)),
        (encode_table, LeaseTable(table_id=HALF, series={HALF: Lease(owner=HALF, epoch=1)})),
        (encode_record, Listed(at_ns=1, mono_ns=1, market=MARKET)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_every_message_can_be_encoded(encode: Callable[[Any], bytes], message: Any) -> None:
    payload = encode(message)
    assert SHOWN in json.dumps(json.loads(payload), ensure_ascii=False).replace("\\\\", "\\")
    if encode is encode_decision:
        assert decode_decision(payload).text == SHOWN
    elif encode is encode_fill:
        assert decode_fill(payload).trade_id == SHOWN
    elif encode is encode_snapshot:
        assert decode_snapshot(payload) == msgspec.structs.replace(
            message, market=msgspec.structs.replace(MARKET, slug=SHOWN)
        )


def texts_of(attribute: Any) -> list[str]:
    if isinstance(attribute, dict):
        return [text for each in attribute.items() for part in each for text in texts_of(part)]
    return [attribute] if isinstance(attribute, str) else []


def test_every_item_can_be_stored() -> None:
    for item in (
        claim_attribute(a_claim(text=HALF, slug=HALF)),
        decision_item(msgspec.structs.replace(decision(), text=HALF)),
    ):
        texts = texts_of(item)
        assert SHOWN in texts
        assert all(text.encode() for text in texts if text)
