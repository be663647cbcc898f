"""Which feeder publishes which series: the lease table, and what one feeder makes of it.

All feeders share one small table, which is only ever changed by compare-and-set. A series is given
to one feeder, its owner, with an epoch that each of its snapshots carries.

1. A lease lasts from `begin`, called *before* the table is read, for `lease_s - margin_s` of the
   owner's own clock, and only if the write that followed is known to have succeeded.
2. Others take a series away only after they have seen its owner's counter unchanged for `lease_s`
   of their own clocks. They cannot see a counter before it is written, and it is written after
   `begin`: so their wait ends at least `margin_s` after the lease. No clocks are compared. A write
   of the owner in between makes theirs fail.
3. Every try has a counter of its own. A write that landed unnoticed followed by one with the same
   counter would be a renewal that nobody can see.
4. A series without an entry (a new table, a lost one, a damaged one) belongs to an owner nobody
   knows: it is taken after `lease_s` as well. Whoever still holds it writes itself back at once.
5. An owner that gives a series up stops before it proposes the table that says so.
6. A newly taken series gets an epoch above every epoch that the taker or the table has ever seen,
   and not below the wall clock. Members write into the table what they have seen, so after a loss
   of the table the clock only matters if all of them were lost, too.

So two feeders never hold a series at the same instant, whatever is lost, late or repeated. What is
*sent* is another matter: a process that is stopped between asking `epoch` and sending goes on when
it is continued, for all that is sent together, and its epoch lets the readers drop each of it.

Time is an argument: `now_s` of one clock of this feeder that never jumps and counts suspension,
`wall_ms` of the wall clock.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import IntEnum, StrEnum
from typing import Final

import msgspec

from protocol.bounds import COUNT_MAX, Count, Name
from protocol.snapshot import UNDECODABLE
from protocol.text import encoded

SETTLED_TRIES: Final = 20
"""Tries in a row (some five seconds) that a feeder is fit before others make room for it. One that
dies in its first seconds, or whose books come and go, takes nothing from anybody."""
_FREE: Final = ""


class LeaseTableError(ValueError):
    """A table that cannot be used; the text names the field."""


class Standing(IntEnum):
    """How much a feeder can be trusted with a series, by its own word."""

    UNFIT = 0
    """It has no books to show. It keeps a series only while nobody else is better."""
    FIT = 1
    SETTLED = 2


class Member(msgspec.Struct, frozen=True):
    """A feeder that takes part."""

    counter: Count
    """Grows with every try to write the table."""
    series: tuple[Name, ...]
    """The series it follows: it can own no other."""
    standing: Standing


class Lease(msgspec.Struct, frozen=True):
    """Who publishes one series."""

    owner: str
    """A member, or empty: free for anybody at once."""
    epoch: Count
    """Of the owner; of the last one when it is free."""


class LeaseTable(msgspec.Struct, frozen=True):
    """The shared table."""

    table_id: str
    """Random, given when it was made: what was known of a lost table says nothing about this."""
    members: dict[str, Member] = {}
    """By feeder id, which a process has for itself."""
    series: dict[str, Lease] = {}
    epoch_max: Count = 0
    """The highest epoch ever given, also to series that are no longer in the table."""

    def owned(self, feeder_id: str) -> dict[str, int]:
        """Epochs of a feeder's series."""
        return {name: each.epoch for name, each in self.series.items() if each.owner == feeder_id}


_decoder = msgspec.json.Decoder(LeaseTable)


def encode_table(table: LeaseTable) -> bytes:
    """One JSON object, UTF-8."""
    return encoded(msgspec.json.encode, table)


def decode_table(payload: bytes) -> LeaseTable:
    """Inverse of `encode_table`; unknown fields are ignored. Raises LeaseTableError."""
    try:
        return _decoder.decode(payload)
    except UNDECODABLE as error:
        raise LeaseTableError(f"lease table: {error}") from error


def balance(members: Mapping[str, Member], series: Mapping[str, Lease]) -> dict[str, str]:
    """Who should own each series (empty: nobody follows it), with as few changes as possible.

    Loads of settled feeders differ by one at most where everybody follows the same. Each feeder
    computes this by itself from the same table, and the result of a balanced table is that table:
    nothing goes to and fro.
    """
    owners = {name: each.owner for name, each in sorted(series.items())}
    loads = dict.fromkeys(sorted(members), 0)
    for owner in filter(None, owners.values()):
        loads[owner] += 1

    def best_for(name: str) -> str:
        followers = [each for each in loads if name in members[each].series]
        return min(followers, key=lambda it: (-members[it].standing, loads[it]), default=_FREE)

    # Each move leads to a better standing, or makes the loads of two settled ones more equal: so
    # there is a last one.
    moved = True
    while moved:
        moved = False
        for name, owner in owners.items():
            best = best_for(name)
            if best in (_FREE, owner):
                continue
            if owner != _FREE:
                sick = members[owner].standing < min(members[best].standing, Standing.FIT)
                room = members[best].standing == Standing.SETTLED and loads[owner] - loads[best] > 1
                if not (sick or room):
                    continue
                loads[owner] -= 1
            loads[best] += 1
            owners[name], moved = best, True
    return owners


def next_table(
    table: LeaseTable,
    feeder_id: str,
    member: Member | None,
    *,
    held: Mapping[str, int],
    dead: Collection[str],
    orphaned: Collection[str],
    epoch_max: int,
    wall_ms: int,
) -> LeaseTable:
    """What one feeder makes of the table.

    `member` is itself (None: it leaves), `held` its leases that have not run out, `dead` the
    members and `orphaned` the series without an entry that it has waited for long enough, and
    `epoch_max` the highest epoch it knows of.
    """
    members = {
        name: each for name, each in table.members.items() if name not in dead and name != feeder_id
    }
    if member is not None:
        members[feeder_id] = member
    series = {
        name: each if each.owner in members else Lease(_FREE, each.epoch)
        for name, each in table.series.items()
    }
    for name in orphaned:
        series.setdefault(name, Lease(_FREE, 0))
    if member is not None:
        for name, its_epoch in held.items():
            series.setdefault(name, Lease(feeder_id, its_epoch))
    epoch_max = max(epoch_max, table.epoch_max, *(each.epoch for each in series.values()))
    # Only a stranger's word is so high that there is none above it; the table stays readable.
    epoch = min(max(wall_ms, epoch_max + 1), COUNT_MAX)
    for name, owner in balance(members, series).items():
        now = series[name]
        if owner == _FREE and members:
            del series[name]  # nobody follows it any more
        elif now.owner == feeder_id != owner:
            series[name] = Lease(_FREE, now.epoch)
        elif now.owner == _FREE and owner == feeder_id:
            series[name] = Lease(feeder_id, epoch)
            epoch_max = epoch
    return LeaseTable(table.table_id, members, series, epoch_max)


class Observer:
    """What one feeder has seen of the table, and for how long."""

    def __init__(self, lease_s: float) -> None:
        self._lease_s = lease_s
        self._counters: dict[str, tuple[int, float]] = {}
        """Member -> counter and when it was first seen."""
        self._table_id = ""
        self._absent_since_s: dict[str, float] = {}
        """Followed series that this table has had no entry for."""
        self.epoch_max = 0
        """The highest epoch ever seen, of any series."""

    def observe(self, table: LeaseTable, follows: Collection[str], now_s: float) -> None:
        """The table has been read; `now_s` was taken after that (see invariant 2)."""
        counters = {}
        for feeder_id, member in table.members.items():
            known = self._counters.get(feeder_id)
            if known is None or known[0] != member.counter:
                known = member.counter, now_s
            counters[feeder_id] = known
        self._counters = counters
        if table.table_id != self._table_id:
            # A series may have been given away in one that came and went between two looks.
            self._table_id, self._absent_since_s = table.table_id, {}
        self._absent_since_s = {
            name: self._absent_since_s.get(name, now_s)
            for name in follows
            if name not in table.series
        }
        epochs = (each.epoch for each in table.series.values())
        self.epoch_max = max(self.epoch_max, table.epoch_max, *epochs)

    def dead(self, now_s: float) -> set[str]:
        """Members whose counter has not changed for `lease_s`."""
        return {
            feeder_id
            for feeder_id, (_, since_s) in self._counters.items()
            if now_s - since_s >= self._lease_s
        }

    def orphaned(self, now_s: float) -> set[str]:
        """Followed series that have had no entry for `lease_s`."""
        return {
            name
            for name, since_s in self._absent_since_s.items()
            if now_s - since_s >= self._lease_s
        }


class Change(StrEnum):
    """What became of a lease."""

    ACQUIRED = "acquired"
    RELEASED = "released"
    """Given up by itself, for another to take."""
    LOST = "lost"
    """Run out before it was renewed."""


class LeaseHolder:
    """The leases of one feeder. A try to renew them is `begin`, read the table, `propose`, write.

    A write that succeeded ends with `written`; one that was refused, lost or never answered ends
    with nothing: the next try begins. One try at a time.
    """

    def __init__(
        self, feeder_id: str, follows: Collection[str], lease_s: float, margin_s: float
    ) -> None:
        self.feeder_id = feeder_id
        self.held: dict[str, int] = {}
        """Series -> epoch. `epoch` says whether the time is up."""
        self.leaving = False
        self._follows = tuple(follows)
        self._lasts_s = lease_s - margin_s
        self._observer = Observer(lease_s)
        self._counter = self._fit_tries = 0
        self._begun_s = self._until_s = float("-inf")
        self._granted: dict[str, int] = {}
        """What the proposed table gives us."""
        self._changes: list[tuple[Change, str, int]] = []

    def epoch(self, series: str, now_s: float) -> int | None:
        """The epoch of a series that may be published at this instant, None for any other."""
        return self.held.get(series) if now_s < self._until_s else None

    def begin(self, now_s: float) -> None:
        """Call before the table is asked for."""
        self._begun_s = now_s

    def propose(self, table: LeaseTable, now_s: float, wall_ms: int, fit: bool) -> LeaseTable:
        """The table to write over the one that was read; call after reading it.

        `fit`: whether we have books to show at present.
        """
        self.expire(now_s)
        self._observer.observe(table, self._follows, now_s)
        self._counter += 1
        self._fit_tries = self._fit_tries + 1 if fit else 0
        standing = Standing.FIT if fit else Standing.UNFIT
        if self._fit_tries >= SETTLED_TRIES:
            standing = Standing.SETTLED
        proposed = next_table(
            table,
            self.feeder_id,
            None if self.leaving else Member(self._counter, self._follows, standing),
            held=self.held,
            dead=self._observer.dead(now_s),
            orphaned=self._observer.orphaned(now_s),
            epoch_max=self._observer.epoch_max,
            wall_ms=wall_ms,
        )
        self._observer.epoch_max = proposed.epoch_max
        self._granted = proposed.owned(self.feeder_id)
        self._drop(Change.RELEASED, self._granted)
        return proposed

    def written(self, now_s: float) -> None:
        """The proposed table is the table."""
        self.expire(now_s)
        self._until_s = self._begun_s + self._lasts_s
        if now_s >= self._until_s or self.leaving:
            return
        for series, epoch in self._granted.items():
            if series not in self.held:
                self.held[series] = epoch
                self._changes.append((Change.ACQUIRED, series, epoch))

    def expire(self, now_s: float) -> None:
        """Leases whose time is up are lost, also when they are renewed right after."""
        if now_s >= self._until_s:
            self._drop(Change.LOST, {})

    def leave(self) -> None:
        """Hold nothing from now on. The next try takes us out of the table."""
        self.leaving = True
        self._drop(Change.RELEASED, {})

    def take_changes(self) -> list[tuple[Change, str, int]]:
        """What happened since the last call, in order: (change, series, epoch)."""
        changes, self._changes = self._changes, []
        return changes

    def _drop(self, change: Change, kept: Mapping[str, int]) -> None:
        for series, epoch in tuple(self.held.items()):
            if kept.get(series) != epoch:
                del self.held[series]
                self._changes.append((change, series, epoch))
