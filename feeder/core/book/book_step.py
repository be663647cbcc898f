"""What one frame has made of a book; the other line's book may go the same step."""

from __future__ import annotations

import msgspec

from feeder.core.book.ladder import Sides
from feeder.core.book.trouble import Trouble
from venue.wire.market_channel import PriceChange


class BookStep(msgspec.Struct, frozen=True, gc=False):
    """Of a book that can be used, each of the frame's changes applied."""

    before: Sides
    changes: tuple[PriceChange, ...]
    after: Sides
    difference: Trouble | None
    """What of the best prices contradicts the venue's word in the last change."""
