"""When `GET /book` is asked for a token, and what one such request did.

1. Of a token one request is under way at a time; those that do not help come at growing intervals.
2. A market that is silent for longer than its usual pauses explain is asked for, too; as long as
   nothing has changed, more and more rarely. The venue changes both tokens of a market at once, so
   a request for either is one for both; unless one goes on without the other, which is silent then.
3. A silence about which a request tells nothing is asked about again soon. A market of which
   neither events nor answers have come for UNSEEN_AFTER_MS after such a request is unseen, once its
   silence is longer than its usual pauses explain: one that moves once a minute may well be silent.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import msgspec

from feeder.core.market.line_view import Troubles

REQUEST_WAIT_MIN_MS: Final = 200
REQUEST_WAIT_MAX_MS: Final = 10_000
# Silence of so many usual pauses is unusual; a request then is cheap, and no verdict.
PAUSE_FACTOR: Final = 8
SILENCE_MIN_MS: Final = 500
SILENCE_SLACK_MS: Final = 200
QUIET_WAIT_MAX_MS: Final = 30_000
UNSEEN_AFTER_MS: Final = 2_000
"""A request fails now and then; three or four in a row fit into this."""
UNSEEN_PAUSE_FACTOR: Final = 6
UNSEEN_SILENCE_MAX_MS: Final = 60_000
UNSEEN_AGAIN_MS: Final = 30_000
"""A quiet market whose requests fail costs its connections no more than one replacement in this."""


class RequestBackoff:
    """Of one token."""

    __slots__ = ("attempts", "next_ms", "under_way")

    def __init__(self) -> None:
        self.attempts = 0
        self.under_way = False
        self.next_ms = 0

    def due(self, now_ms: int) -> bool:
        """Whether a request may begin now."""
        return not self.under_way and now_ms >= self.next_ms

    def ended(self, success: bool, now_ms: int) -> None:
        """A request has brought what it was for, or has not."""
        self.under_way = False
        self.attempts = 0 if success else self.attempts + 1
        doublings = min(self.attempts, 10)  # bounded: an int shifted for ever grows for ever
        self.next_ms = now_ms + min(REQUEST_WAIT_MIN_MS << doublings, REQUEST_WAIT_MAX_MS)


class RequestOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a request did."""

    taken: int = 0
    """Books that were replaced by it."""
    refused: int = 0
    """Books in trouble that it could not mend."""
    behind: int = 0
    """Books that it shows to be late."""
    troubles: Troubles = ()
    offer: bool = False


class SilenceTimer:
    """Of whatever changes."""

    __slots__ = (
        "_due_ms",
        "_late_max_ms",
        "_pause_ms",
        "_requested_ms",
        "_unchanged",
        "changed_ms",
        "requests",
    )

    def __init__(self, late_max_ms: int, now_ms: int) -> None:
        self._late_max_ms = late_max_ms
        self.changed_ms = now_ms
        self._requested_ms = 0
        self._pause_ms = float(SILENCE_MIN_MS)
        self.requests = 0
        """Since the last change."""
        self._unchanged = 0
        """Of these, those that told something."""
        self._due_ms: float | None = None
        """When the silence is to be looked into, once that was asked."""

    def changed(self, now_ms: int) -> None:
        """There is something new to show."""
        self._pause_ms += (now_ms - self.changed_ms - self._pause_ms) / PAUSE_FACTOR
        self.changed_ms, self.requests, self._unchanged = now_ms, 0, 0
        self._due_ms = None

    def request_due(self, now_ms: int) -> bool:
        """Whether the silence is to be looked into now."""
        due_ms = self._due_ms
        if due_ms is None:
            longest_ms = self._late_max_ms + SILENCE_SLACK_MS
            pause_ms = min(max(PAUSE_FACTOR * self._pause_ms, SILENCE_MIN_MS), longest_ms)
            wait_ms = min(pause_ms * (1 << min(self._unchanged, 10)), QUIET_WAIT_MAX_MS)
            due_ms = self._due_ms = max(self.changed_ms, self._requested_ms) + wait_ms
        return now_ms >= due_ms

    def unusual(self, now_ms: int) -> bool:
        """Whether usual pauses do not explain the silence."""
        explained_ms = min(UNSEEN_PAUSE_FACTOR * self._pause_ms, UNSEEN_SILENCE_MAX_MS)
        return now_ms - self.changed_ms >= explained_ms

    def requested(self, now_ms: int) -> None:
        """A request has begun."""
        self._requested_ms = now_ms
        self.requests += 1
        self._unchanged += 1
        self._due_ms = None

    def failed(self) -> None:
        """It told nothing: the silence is as it was."""
        self._requested_ms = 0
        self._unchanged = max(0, self._unchanged - 1)
        self._due_ms = None


class BookRequestSchedule:
    """Of a market: when either of its tokens is asked for."""

    __slots__ = (
        "_backoffs",
        "_late_max_ms",
        "_market",
        "_tokens",
        "_unanswered_since_ms",
        "_unseen_taken_ms",
    )

    def __init__(self, tokens: Collection[str], late_max_ms: int, now_ms: int) -> None:
        self._late_max_ms = late_max_ms
        self._backoffs = {token_id: RequestBackoff() for token_id in tokens}
        self._unanswered_since_ms: int | None = None
        """When a request first told nothing since the market was last heard of."""
        self._unseen_taken_ms = 0
        self._begin_silence(now_ms)

    def _begin_silence(self, now_ms: int) -> None:
        self._market = SilenceTimer(self._late_max_ms, now_ms)
        self._tokens = {each: SilenceTimer(self._late_max_ms, now_ms) for each in self._backoffs}

    def changed(self, tokens: Collection[str], now_ms: int) -> None:
        """There is something new to show of these tokens."""
        self._market.changed(now_ms)
        for token_id in tokens:
            self._tokens[token_id].changed(now_ms)

    def may_begin(self, token_id: str, now_ms: int) -> bool:
        """Whether a request for this token may begin now."""
        return self._backoffs[token_id].due(now_ms)

    def begin(self, token_id: str, now_ms: int, *, needed: bool, usable: bool) -> bool:
        """Whether a request begins now: because a book needs it, or because one that can be used is
        silent."""
        begins = needed or (usable and self._silence_due(token_id, now_ms))
        self._backoffs[token_id].under_way = begins
        return begins

    def nothing_due(self, now_ms: int) -> bool:
        """Whether no request of a market without doubts would begin, and it is not unseen."""
        market = self._market
        if self._unanswered_since_ms is not None or market.request_due(now_ms):
            return False
        left_behind_ms = market.changed_ms - self._late_max_ms
        for own in self._tokens.values():
            if own.changed_ms <= left_behind_ms and own.request_due(now_ms):
                return False
        return True

    def heard(self) -> None:
        """An event came, or an answer that is not behind what is known."""
        self._unanswered_since_ms = None

    def unseen(self, now_ms: int, for_ms: int = UNSEEN_AFTER_MS) -> bool:
        """Whether requests have told nothing for so long while no event came."""
        since_ms = self._unanswered_since_ms
        return since_ms is not None and now_ms - since_ms >= for_ms and self._market.unusual(now_ms)

    def take_unseen(self, now_ms: int, for_ms: int) -> bool:
        """Whether it is unseen for so long, and was not found so in the last UNSEEN_AGAIN_MS."""
        if not self.unseen(now_ms, for_ms) or now_ms - self._unseen_taken_ms < UNSEEN_AGAIN_MS:
            return False
        self._unseen_taken_ms = now_ms
        return True

    def ended(self, token_id: str, success: bool, now_ms: int) -> None:
        """A request has brought what it was for, or has not."""
        self._backoffs[token_id].ended(success, now_ms)

    def told_nothing(self, token_id: str, now_ms: int) -> None:
        """A request brought no book, or an old one."""
        if self._unanswered_since_ms is None:
            self._unanswered_since_ms = now_ms
        self._market.failed()
        self._tokens[token_id].failed()

    def clock_set_back(self, now_ms: int) -> None:
        """What was noted of the future would hold requests up until then."""
        for backoff in self._backoffs.values():
            backoff.next_ms = min(backoff.next_ms, now_ms)
        self._unseen_taken_ms = min(self._unseen_taken_ms, now_ms)
        if self._unanswered_since_ms is not None:
            self._unanswered_since_ms = min(self._unanswered_since_ms, now_ms)
        self._begin_silence(now_ms)

    def _silence_due(self, token_id: str, now_ms: int) -> bool:
        market, own = self._market, self._tokens[token_id]
        left_behind = market.changed_ms - own.changed_ms >= self._late_max_ms
        turn = token_id == tuple(self._tokens)[market.requests % len(self._tokens)]
        if left_behind and own.request_due(now_ms):
            own.requested(now_ms)
        elif turn and market.request_due(now_ms):
            market.requested(now_ms)
        else:
            return False
        return True
