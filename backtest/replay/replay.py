"""`replay`: every logged decision of a recording made again, and compared with what was logged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from backtest.replay.all_books import AccountAnswers, AllBooks, digest_of_all
from backtest.replay.answers import (
    CannotAskError,
    DecidedTrade,
    Strategies,
    Unlike,
    differences_of,
    made_again,
)
from backtest.replay.history import (
    BookRead,
    ConfigurationRead,
    DecisionHistory,
    NotAgain,
    NotRemade,
    Remade,
    not_remade,
)
from feeder.recording.reader import Damage, RecordingReader

SHOWN_MAX: Final = 10
_HARMLESS: Final = frozenset({NotAgain.BEFORE_RECORDING, NotAgain.NOT_TOLD})
"""What lies in the past, and nothing that is missing now."""


class Different(msgspec.Struct, frozen=True, kw_only=True):
    """A decision that is another one now. Prices in 1e-4 USD, None for an empty side."""

    decision_id: str
    account: str
    strategy: str
    market: str
    asked_at_ms: int
    book: str
    """epoch:sequence"""
    book_received_at_ms: int
    up_bid_e4: int | None
    up_ask_e4: int | None
    down_bid_e4: int | None
    down_ask_e4: int | None
    config_version: int
    settings: str
    parameters: str
    """Of that version, as JSON."""
    unlike: list[Unlike]
    logged: DecidedTrade
    again: DecidedTrade | str
    """What to buy, or in words why nothing."""


class ReplayReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `executor replay --json` prints."""

    recording: str
    decisions: int
    """Logged ones, each once."""
    equal: int
    different: int
    differences: list[Different]
    """The first ten."""
    unlike: dict[str, int]
    """Of how many decisions each thing differs."""
    not_again: dict[str, int]
    """Those that could not be made again, by reason (`NotAgain`)."""
    not_again_first: list[NotRemade]
    """The first of each reason."""
    twice: int
    """Decisions that the recording has again."""
    repeats: int
    """Signals that were like a logged one shortly before: counted in it, and not compared."""
    books: int
    unreadable: int
    """Books, configurations and lines that are none."""
    first_unreadable: str
    damages: list[Damage]
    gaps: int
    """How often the recorder says itself that something was missed."""
    missed: list[str]
    """The first ten of them."""
    accounts: list[AccountAnswers]
    """All books decided again, of each account."""
    books_superseded: int
    books_before_configuration: int
    answers_digest: str
    """Of all answers to all books: of two versions of the code on one recording."""

    @property
    def again(self) -> int:
        """How many were made again."""
        return self.equal + self.different

    @property
    def missing(self) -> int:
        """How many could not be made again because something is missing or damaged."""
        return sum(count for why, count in self.not_again.items() if why not in _HARMLESS)

    @property
    def ok(self) -> bool:
        """Whether all that can be compared is equal, and nothing is missing."""
        return bool(self.equal) and not self.different and not self.missing


def replay(
    path: Path, strategies: Strategies, tell: Callable[[float], None] | None = None
) -> ReplayReport:
    """Read all of the recording once, in bounded memory. Raises RecordingError.

    `tell` is called now and then with the share that was read, from 0 to 1.
    """
    reader = RecordingReader(path, without_frames=True, tell=tell)
    history, books = DecisionHistory(reader), AllBooks(strategies)
    equal, differences, unlike = 0, list[Different](), Counter[str]()
    different, not_again, first = 0, Counter[str](), dict[NotAgain, NotRemade]()
    for event in history:
        if isinstance(event, BookRead):
            books.on_book(event)
            continue
        if isinstance(event, ConfigurationRead):
            books.on_configuration(event)
            continue
        result: NotRemade | Different | None = None
        if isinstance(event, Remade):
            result = compared(event, strategies)
            equal += result is None
        elif isinstance(event, NotRemade):
            result = event
        if isinstance(result, NotRemade):
            not_again[result.why] += 1
            first.setdefault(result.why, result)
        elif result is not None:
            different += 1
            unlike.update(each.name for each in result.unlike)
            if len(differences) < SHOWN_MAX:
                differences.append(result)
    accounts = books.result()
    return ReplayReport(
        recording=str(path),
        decisions=history.decisions,
        equal=equal,
        different=different,
        differences=differences,
        unlike=dict(unlike.most_common()),
        not_again={str(why): count for why, count in not_again.most_common()},
        not_again_first=list(first.values()),
        twice=history.twice,
        repeats=history.repeats,
        books=history.books,
        unreadable=history.unreadable + reader.unreadable_lines,
        first_unreadable=history.first_unreadable or reader.unreadable_line,
        damages=reader.damages,
        gaps=history.gaps,
        missed=history.missed,
        accounts=accounts,
        books_superseded=books.superseded,
        books_before_configuration=books.before_any,
        answers_digest=digest_of_all(accounts),
    )


def compared(remade: Remade, strategies: Strategies) -> Different | NotRemade | None:
    """None where the decision is the same again."""
    decision, snapshot, row = remade.decision, remade.snapshot, remade.row
    try:
        again = made_again(remade, strategies)
    except CannotAskError as error:
        return not_remade(decision, error.why, str(error))
    unlike = differences_of(remade, again)
    if not unlike:
        return None
    up, down = snapshot.up_and_down() or snapshot.books
    return Different(
        decision_id=decision.decision_id,
        account=decision.strategy,
        strategy=row.strategy,
        market=decision.slug,
        asked_at_ms=decision.asked_at_ms,
        book=f"{snapshot.epoch}:{snapshot.sequence}",
        book_received_at_ms=snapshot.received_at_ns // 1_000_000,
        up_bid_e4=up.best_bid_e4,
        up_ask_e4=up.best_ask_e4,
        down_bid_e4=down.best_bid_e4,
        down_ask_e4=down.best_ask_e4,
        config_version=row.version,
        settings=row.values,
        parameters=row.parameters,
        unlike=unlike,
        logged=DecidedTrade.of(decision),
        again=again,
    )
