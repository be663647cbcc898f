"""Which accounts one worker serves, and under which strategy: what STRATEGIES says. Pure.

    STRATEGIES=book_imbalance_crypto,shadow=book_imbalance_crypto@paper,./mine.py:MyStrategy@paper
               entry: [account=]strategy[@paper|@live]

An account is the limits, claims, cooldowns and P&L of one strategy, on paper or live; paper never
shares one with live, so `-paper` is appended to its name there. The accounts of one worker are a
group: all workers of a group share the books.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Final, Literal, TypeAlias, get_args

import msgspec

ACCOUNTS_MAX: Final = 50
"""Each has connections, consumers and metrics of its own."""
NAME_LENGTH_MAX: Final = 64
FILE_LENGTH_MAX: Final = 1_000
PAPER_SUFFIX: Final = "-paper"

Execution: TypeAlias = Literal["paper", "live"]
_EXECUTIONS: Final[tuple[Execution, ...]] = get_args(Execution)
# What may stand in a NATS subject (`protocol.subjects`).
_NAME: Final = re.compile(f"[A-Za-z0-9_-]{{1,{NAME_LENGTH_MAX - len(PAPER_SUFFIX)}}}")
_FILE: Final = re.compile(r"(?P<path>[^,=\0]+)\.py(?::(?P<class_name>[A-Za-z_][A-Za-z0-9_]*))?")
_WORDS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WANTED: Final = (
    f"names of at most {NAME_LENGTH_MAX - len(PAPER_SUFFIX)} letters, digits, hyphens and "
    "underscores are wanted: [account=]strategy[@paper|@live], where the strategy may be a file, "
    "too: ./file.py:Class"
)
_WANTED_AFTER_AT: Final = "after @ stands paper or live, and nothing else: strategy@paper"


class AccountEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One account that is served."""

    account: str
    """As it is stored: with `-paper` on paper."""
    strategy: str
    """A strategy's name, or `./file.py:Class`, or `./file.py` with one class in it."""
    execution: Execution

    @property
    def live(self) -> bool:
        """Whether its orders go to the venue."""
        return self.execution == "live"


def parse_strategies(
    text: str, execution: Execution, check: Callable[[str], None] = lambda _: None
) -> tuple[AccountEntry, ...]:
    """The accounts in the order in which they are named; `execution` where an entry names none.

    `check` raises ValueError for a strategy that there is not. Raises ValueError with one sentence.
    It names an entry by its number: what is in the wrong variable may be a secret.
    """
    parts = text.split(",")
    if len(parts) > ACCOUNTS_MAX:
        raise ValueError(f"{len(parts)} accounts; a worker serves at most {ACCOUNTS_MAX}")
    entries: dict[str, AccountEntry] = {}
    for number, part in enumerate(parts, 1):
        try:
            entry = _entry(part.strip(), execution)
            check(entry.strategy)
        except ValueError as error:
            raise ValueError(f"entry {number}: {error}" if len(parts) > 1 else str(error)) from None
        if entry.account in entries:
            raise ValueError(
                f"entry {number}: a second account {entry.account}; give it a name of its own: "
                "name=strategy"
            )
        entries[entry.account] = entry
    return tuple(entries.values())


def is_file(strategy: str) -> bool:
    """Whether a strategy is named by its file, `./file.py:Class`."""
    return _FILE.fullmatch(strategy) is not None


def books_consumer(entries: Sequence[AccountEntry], group: str) -> str:
    """The durable name under which all workers of these accounts share the books.

    Workers that serve other accounts must not share one: a book that one of them has taken, the
    others never see.
    """
    if len(entries) == 1:
        return entries[0].account
    names = "\n".join(sorted(entry.account for entry in entries))
    return f"{group}-{hashlib.sha256(names.encode()).hexdigest()[:8]}"


def chosen(entries: Sequence[AccountEntry], account: str | None) -> AccountEntry:
    """The entry of this account, or the only one there is. Raises ValueError with one sentence."""
    names = ", ".join(entry.account for entry in entries)
    if account is None:
        if len(entries) == 1:
            return entries[0]
        raise ValueError(f"STRATEGIES names {len(entries)} accounts, say which one: {names}")
    found = [entry for entry in entries if entry.account == account]
    if not found:
        raise ValueError(f"STRATEGIES names no such account; there is: {names}")
    return found[0]


def _words_of(file: re.Match[str]) -> str:
    """How an account is called by default that is of a file: as its class, or as the file."""
    name = file["class_name"] or file["path"].rpartition("/")[2]
    return _WORDS.sub("_", name).lower()


def _entry(text: str, execution: Execution) -> AccountEntry:
    if not text:
        raise ValueError("it is empty")
    account, given, rest = text.partition("=")
    rest = rest if given else text
    strategy, _, mode = rest.rpartition("@")
    named = next((each for each in _EXECUTIONS if each == mode), None)
    if not strategy or named is None:
        strategy, named = rest, execution
    file = _FILE.fullmatch(strategy)
    if not (file and len(strategy) <= FILE_LENGTH_MAX and strategy.isprintable()):
        if _NAME.fullmatch(strategy) is None:
            raise ValueError(_WANTED_AFTER_AT if "@" in strategy else _WANTED)
        file = None
    if not given:
        account = strategy if file is None else _words_of(file)
    if _NAME.fullmatch(account) is None:
        raise ValueError(_WANTED)
    if account.endswith(PAPER_SUFFIX):
        raise ValueError(f"no name ends with {PAPER_SUFFIX}: on paper that is appended")
    return AccountEntry(
        account=account if named == "live" else account + PAPER_SUFFIX,
        strategy=strategy,
        execution=named,
    )
