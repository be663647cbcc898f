"""Which trades may be missing on the stream: from when on they have to be fetched.

1. What counts as covered is what the *stream* has acknowledged, not what was received.
2. A debt ("everything since T must be fetched") only ever grows until a fetch that began after the
   last addition has been acknowledged whole. So a fetch that fails half-way, or a second loss of
   the connection meanwhile, forgets nothing, whatever newer trades arrived in between.
3. A trade that is neither confirmed nor failed is not covered yet: its next status may be what was
   missed. But only for a day, and for the newest 10,000 trades: what is older is found by
   reconciliation.
"""

from __future__ import annotations

from typing import Final

from protocol.fill import Fill, TradeStatus

# Trades come in the order of events, not of match times, and the venue's reads lag by seconds.
OVERLAP_S: Final = 60
# A trade is confirmed within minutes.
NOT_FINAL_S_MAX: Final = 24 * 3600
TRADES_MAX: Final = 10_000
_FINAL_STATUSES: Final = (TradeStatus.CONFIRMED, TradeStatus.FAILED)


class MissingTrades:
    """`since_s`: where a feeder that has just started begins to look, epoch seconds."""

    def __init__(self, since_s: int) -> None:
        self._newest_s = since_s + OVERLAP_S
        self._not_final: dict[str, int] = {}
        """Trade id -> match time in epoch seconds."""
        self._final: dict[str, None] = {}
        """Final trades: a late or repeated earlier status does not reopen them."""
        self._owed_from_s: int | None = since_s
        self._complete = False

    @property
    def owed_from_s(self) -> int | None:
        """From when on trades have to be fetched, epoch seconds; None when nothing is missing."""
        return self._owed_from_s

    def acknowledged(self, fill: Fill, now_s: int) -> None:
        """The stream has this fill."""
        # A time in the future, by a mistake of the venue's, must not hide what really comes next.
        matched_s = min(fill.matched_at_ms // 1000, now_s)
        self._newest_s = max(self._newest_s, matched_s)
        if fill.status in _FINAL_STATUSES:
            self._not_final.pop(fill.trade_id, None)
            self._final[fill.trade_id] = None
        elif fill.trade_id not in self._final:
            self._not_final[fill.trade_id] = matched_s
        for trades in (self._not_final, self._final):
            if len(trades) > TRADES_MAX:
                del trades[next(iter(trades))]

    def interrupted(self) -> None:
        """A new connection: whatever happened since the last known trade may have been missed."""
        oldest_s = min(self._not_final.values(), default=self._newest_s)
        self._owe(max(min(oldest_s, self._newest_s), self._newest_s - NOT_FINAL_S_MAX))

    def dropped(self, fill: Fill) -> None:
        """This fill was received and could not be kept."""
        self._owe(fill.matched_at_ms // 1000)

    def begin_fetch(self) -> int | None:
        """What a fetch that begins now has to ask for; afterwards `fetched`."""
        self._complete = True
        return self._owed_from_s

    def fetched(self) -> None:
        """Everything the fetch brought is acknowledged: the debt is paid, unless it grew."""
        if self._complete:
            self._owed_from_s = None

    def _owe(self, from_s: int) -> None:
        owed_s = max(0, from_s - OVERLAP_S)
        self._owed_from_s = owed_s if self._owed_from_s is None else min(self._owed_from_s, owed_s)
        self._complete = False
