"""Several feeders on one lease table while everything fails: never two for one series.

What is simulated: clocks that start anywhere and run up to 2% differently, wall clocks that jump,
pauses between any two steps, requests and answers that are lost, writes that land at any later
time, reads of old versions, a table that is lost or damaged, feeders that die and start. What is
not: revisions that repeat (the bucket's first revision is random).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import count

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from feeder.core.leases import (
    SETTLED_TRIES,
    LeaseHolder,
    LeaseTable,
    LeaseTableError,
    decode_table,
    encode_table,
)

LEASE_S = 1.0
MARGIN_S = 0.1
SERIES = ("s1", "s2", "s3")


@dataclass
class Request:
    """A read that was answered, or the write that follows it."""

    revision: int
    payload: bytes
    landed: bool | None = None
    """Of a write: None while it is under way, then whether it was accepted."""


@dataclass
class Feeder:
    """A holder and its machine's clocks."""

    holder: LeaseHolder
    clock_offset_s: float
    clock_rate: float
    wall_offset_ms: int = 0
    fit: bool = True
    read: Request | None = None
    write: Request | None = None
    alive: bool = True

    def now_s(self, true_ms: int) -> float:
        return self.clock_offset_s + true_ms / 1000 * self.clock_rate

    def wall_ms(self, true_ms: int) -> int:
        return max(0, 1_000_000 + true_ms + self.wall_offset_ms)


@dataclass
class Store:
    """One key, changed by compare-and-set on its revision."""

    ids: count[int] = field(default_factory=count)
    versions: list[Request] = field(default_factory=list)
    """Of this incarnation."""
    revision: int = 0
    epoch_max: int = -1
    """The highest in the versions since the last loss."""
    losses: int = 0

    def newest(self) -> Request:
        if not self.versions:
            self.put(encode_table(LeaseTable(f"table {next(self.ids)}")))
        return self.versions[-1]

    def put(self, payload: bytes) -> None:
        self.revision += 1
        self.versions.append(Request(self.revision, payload))

    def lose(self) -> None:
        self.versions.clear()
        self.revision += 1_000_000
        self.forget()

    def forget(self) -> None:
        self.epoch_max = -1
        self.losses += 1

    def land(self, write: Request) -> None:
        write.landed = bool(self.versions) and self.versions[-1].revision == write.revision
        if write.landed:
            self.put(write.payload)
            self.epoch_max = max(self.epoch_max, decode_table(write.payload).epoch_max)


class Leases(RuleBasedStateMachine):
    feeders = Bundle("feeders")

    def __init__(self) -> None:
        super().__init__()
        self.true_ms = 0
        self.store = Store()
        self.everybody: list[Feeder] = []
        self.late: list[Request] = []
        """Writes whose sender has given up, and which may still land."""
        self.last: dict[str, tuple[int, str]] = {}
        """Series -> epoch and owner, of who last published it."""

    @initialize(target=feeders, first=st.sampled_from((0, 5, SETTLED_TRIES)))
    def begin(self, first: int) -> MultipleResults[Feeder]:
        """One owns everything, and another one has just come or has its part already."""
        one, other = self.another(5000.0, 2), self.another(0.0, -2)
        self.undisturbed(one, 250, 6)
        for _ in range(first):
            self.all_renew([one, other])
        return multiple(one, other)

    # --- a try, step by step; time may pass between any two

    @rule(target=feeders, offset_s=st.sampled_from((0.0, 5000.0)), slow=st.integers(-10, 10))
    def start(self, offset_s: float, slow: int) -> Feeder:
        return self.another(offset_s, slow)

    def another(self, offset_s: float, slow: int) -> Feeder:
        holder = LeaseHolder(f"f{len(self.everybody)}", SERIES, LEASE_S, MARGIN_S)
        feeder = Feeder(holder, offset_s, 1 + slow / 1000)
        self.everybody.append(feeder)
        return feeder

    @rule(feeder=feeders, age=st.sampled_from((0, 0, 0, 0, 1, 3)))
    def ask(self, feeder: Feeder, age: int) -> None:
        if feeder.alive:
            self._give_up(feeder)
            feeder.holder.begin(feeder.now_s(self.true_ms))
            self.store.newest()
            feeder.read = self.store.versions[max(0, len(self.store.versions) - 1 - age)]

    @rule(feeder=feeders)
    def propose(self, feeder: Feeder) -> None:
        if feeder.alive and feeder.read is not None:
            try:
                table = decode_table(feeder.read.payload)
            except LeaseTableError:
                table = LeaseTable(f"instead {next(self.store.ids)}")
            now_s, wall_ms = feeder.now_s(self.true_ms), feeder.wall_ms(self.true_ms)
            proposed = feeder.holder.propose(table, now_s, wall_ms, feeder.fit)
            feeder.write = Request(feeder.read.revision, encode_table(proposed))
            feeder.read = None

    @rule(feeder=feeders)
    def land(self, feeder: Feeder) -> None:
        if feeder.write is not None and feeder.write.landed is None:
            self.store.land(feeder.write)

    @rule(feeder=feeders)
    def answer(self, feeder: Feeder) -> None:
        if feeder.alive and feeder.write is not None and feeder.write.landed is not None:
            if feeder.write.landed:
                feeder.holder.written(feeder.now_s(self.true_ms))
            feeder.write = None

    # --- what may happen

    @rule(ms=st.sampled_from((1, 20, 100, 250, 250, 500, 900, 1_000, 5_000)))
    def advance(self, ms: int) -> None:
        # In steps: whoever is entitled in between must be alone, too.
        for _ in range(10 if ms >= 100 else 1):
            self.true_ms += ms // 10 if ms >= 100 else ms
            self.never_two()

    @rule(
        feeder=feeders,
        ms=st.sampled_from((1, 100, 250)),
        rounds=st.sampled_from((1, 4, SETTLED_TRIES)),
    )
    def undisturbed(self, feeder: Feeder, ms: int, rounds: int) -> None:
        """Long enough for what takes long."""
        for _ in range(rounds):
            self.true_ms += ms
            self.round_of(feeder)
            self.never_two()

    @rule(feeder=feeders, other=feeders, rounds=st.sampled_from((1, 4, 8)), lost=st.booleans())
    def slow_answer(self, feeder: Feeder, other: Feeder, rounds: int, lost: bool) -> None:
        """A write lands, and its sender hears of it late or never; another feeder goes on."""
        self.ask(feeder, 0)
        self.propose(feeder)
        self.land(feeder)
        for _ in range(rounds if feeder is not other else 0):
            self.true_ms += 250
            self.round_of(other)
            self.never_two()
        if lost:
            self._give_up(feeder)
        else:
            self.answer(feeder)
            self.never_two()

    @rule(feeder=feeders)
    def give_up(self, feeder: Feeder) -> None:
        self._give_up(feeder)

    def _give_up(self, feeder: Feeder) -> None:
        """Request or answer are lost, or time was up; a write may land later."""
        if feeder.write is not None and feeder.write.landed is None:
            self.late.append(feeder.write)
        feeder.read = feeder.write = None

    @rule(drawn=st.data())
    def land_late(self, drawn: st.DataObject) -> None:
        if self.late:
            index = drawn.draw(st.integers(0, len(self.late) - 1))
            self.store.land(self.late.pop(index))

    @rule(feeder=feeders, ms=st.sampled_from((-100_000, -500, 500, 10_000_000)))
    def jump(self, feeder: Feeder, ms: int) -> None:
        feeder.wall_offset_ms += ms

    @rule(feeder=feeders)
    def sicken_or_recover(self, feeder: Feeder) -> None:
        feeder.fit = not feeder.fit

    @rule(whole=st.booleans())
    def lose(self, whole: bool) -> None:
        if whole:
            self.store.lose()
        else:
            self.store.put(b"{}")
            self.store.forget()

    @rule(feeder=consumes(feeders))
    def kill(self, feeder: Feeder) -> None:
        self._give_up(feeder)
        feeder.alive = False

    @rule(feeder=consumes(feeders))
    def stop(self, feeder: Feeder) -> None:
        self._give_up(feeder)
        feeder.holder.leave()
        self.round_of(feeder)
        feeder.alive = False

    # --- what must hold

    @invariant()
    def never_two(self) -> None:
        feeder_of = {feeder.holder.feeder_id: feeder for feeder in self.everybody}
        for series in SERIES:
            entitled = [
                (epoch, feeder.holder.feeder_id)
                for feeder in self.everybody
                if feeder.alive
                and (epoch := feeder.holder.epoch(series, feeder.now_s(self.true_ms))) is not None
            ]
            assert len(entitled) <= 1, f"{series}: {entitled}"
            for epoch, owner in entitled:
                last_epoch, last_owner = self.last.get(series, (-1, ""))
                if owner == last_owner:
                    assert epoch >= last_epoch
                elif epoch <= last_epoch:
                    # Where a table was lost, one who never saw it has only the wall clock to go by,
                    # which may also name the very millisecond that it named before.
                    assert self.store.losses
                    known = feeder_of[owner].holder._observer.epoch_max
                    assert max(self.store.epoch_max, known) <= max(epoch, last_epoch - 1)
                self.last[series] = epoch, owner

    def teardown(self) -> None:
        """Failures stop: soon everything has an owner, shares are fair, and nothing moves."""
        living = [feeder for feeder in self.everybody if feeder.alive]
        if not living:
            return
        for feeder in living:
            feeder.fit = True
        rounds = int(2 * LEASE_S / 0.25) + SETTLED_TRIES + 6
        for _ in range(rounds):
            self.all_renew(living)
        owners = self.owners()
        assert owners.keys() == set(SERIES)
        assert "" not in owners.values()
        loads = Counter(owners.values())
        shares = [loads[feeder.holder.feeder_id] for feeder in living]
        assert sum(shares) == len(SERIES)
        assert max(shares) - min(shares) <= 1
        for _ in range(5):
            self.all_renew(living)
            assert self.owners() == owners
            for series, owner in owners.items():
                (feeder,) = (each for each in living if each.holder.feeder_id == owner)
                assert feeder.holder.epoch(series, feeder.now_s(self.true_ms)) is not None

    def all_renew(self, living: list[Feeder]) -> None:
        self.true_ms += 250
        for feeder in living:
            self.round_of(feeder)
            self.never_two()

    def round_of(self, feeder: Feeder) -> None:
        """A try without trouble."""
        self.ask(feeder, 0)
        self.propose(feeder)
        self.land(feeder)
        self.answer(feeder)

    def owners(self) -> dict[str, str]:
        table = decode_table(self.store.newest().payload)
        return {name: lease.owner for name, lease in table.series.items()}


TestLeases = Leases.TestCase
TestLeases.settings = settings(max_examples=40, stateful_step_count=40)
