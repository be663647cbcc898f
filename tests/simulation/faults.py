"""How badly everything behaves in one seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from tests.simulation.dynamodb import DynamoFaults
from tests.simulation.jetstream import NatsFaults
from tests.simulation.venue import VenueFaults

ACCOUNT: Final = "book_imbalance_crypto"
SIBLING: Final = "sibling"
"""The other account of the wallet."""
SHADOW: Final = "shadow-paper"
ACCOUNTS: Final = (ACCOUNT, SIBLING, SHADOW)


@dataclass
class Faults:
    """How badly everything behaves; drawn per seed, so that some seeds are nearly calm."""

    venue: VenueFaults
    dynamodb: DynamoFaults
    nats: NatsFaults
    kill_every_s: float
    halts: bool
    loss_limit_usd: Decimal
    spend_cap_usd: Decimal
    deaf: bool = False
    """The user channel never says a word, not even when everything else is well again."""
    series: tuple[str, ...] = ("btc-30s", "eth-30s", "sol-60s", "xrp-240s")
    pauses: float = 0.3
    """Of what happens to processes: they are suspended rather than killed."""
    spared: tuple[str, ...] = ()
    """Processes to which nothing happens."""
    reconcile_every_s: float = 10.0
    mute: bool = False
    """The venue's records of orders and trades never answer."""
    max_entries: int | None = None
    """Entries that a market's window takes."""
    stranger: bool = False
    """One schedule has the credentials of another account, which the venue takes for good ones: it
    shows it nothing of ours, and never fails to."""
    wallets: bool = False
    """One worker and one schedule have another wallet of the same signer: as while it changes, but
    for ever."""
    sibling: bool = False
    """Another account trades with the same wallet."""
    apart: bool = False
    """The sibling has a worker and a schedule of its own."""
    shadow: bool = False
    """Another account trades on paper beside them."""
    raises: dict[str, float] = field(default_factory=dict)
    """By account: on what share of its books its strategy raises."""
    exposure_max_usd: Decimal | None = None
    """What all accounts of a group may have at stake together."""
    collective_loss_usd: Decimal | None = None
    """What they may lose together in a day."""
    calm: bool = False
    """Nothing fails that could make a position look wrong: then none may."""
    third: bool = True
    """There is a third worker."""
    rivals: bool = False
    """There are two feeders, which take the lease from each other."""
    misnamed: float = 0.0
    """Per market: for a while its listing gives each outcome the other one's token."""
    log_unwritable: float = 0.0
    """Of the log's lines: no process can write them."""
    tunes: bool = False
    """Somebody changes limits of accounts and groups again and again."""
    ahead_ms: int = 0
    """The clock of one schedule is ahead of everybody else's."""

    @property
    def collective(self) -> bool:
        """Whether the accounts' groups have limits."""
        return (self.exposure_max_usd or self.collective_loss_usd) is not None

    def alone(self) -> None:
        """There is one account, and no group has limits."""
        self.sibling = self.apart = self.shadow = False
        self.third = True
        self.raises = {}
        self.exposure_max_usd = self.collective_loss_usd = None

    def off(self) -> None:
        """From now on nothing fails, but for what is broken for good."""
        self.venue.off()
        self.dynamodb.off()
        self.nats.off()
        self.misnamed = 0.0
        self.log_unwritable = 0.0
        self.venue.event_lost = float(self.deaf)


def draw_faults(rng: random.Random) -> Faults:
    """Each fault is absent in half of the seeds; the others differ in how often it strikes."""

    def chance(most: float) -> float:
        return rng.choice([0.0, rng.uniform(0, most)])

    faults = Faults(
        venue=VenueFaults(
            not_sent=chance(0.1),
            lost_request=chance(0.2),
            lost_answer=chance(0.4),
            late=chance(0.2),
            very_late=chance(0.1),
            delayed=chance(0.3),
            never_matched=0.4,
            no_match=chance(0.3),
            partial=chance(0.3),
            failed=chance(0.3),
            restart=chance(0.1),
            rate_limited=chance(0.1),
            locked=chance(0.1),
            cold=chance(0.1),
            read_fails=chance(0.3),
            blind=chance(0.5),
            lag_s=(0.0, rng.choice([0.0, 2.0, 8.0])),
            event_lost=rng.choice([0.0, 0.3, 1.0]),
            event_twice=chance(0.3),
            event_late_s=(0.01, rng.choice([0.1, 5.0, 40.0])),
        ),
        dynamodb=DynamoFaults(
            slow=chance(0.05),
            throttled=chance(0.05),
            conflict=chance(0.05),
            refused=chance(0.05),
            lost_request=chance(0.05),
            lost_reply=chance(0.08),
            retried=chance(0.15),
            straggler=chance(0.05),
            late=chance(0.05),
            stale=chance(0.5),
        ),
        nats=NatsFaults(
            drop=chance(0.02), duplicate=chance(0.1), late=chance(0.1), disconnect=chance(0.002)
        ),
        kill_every_s=rng.choice([1e9, 20.0, 8.0, 3.0]),
        halts=rng.random() < 0.3,
        loss_limit_usd=Decimal(rng.choice(["1.5", "100"])),
        spend_cap_usd=Decimal(rng.choice(["5", "100"])),
        rivals=rng.random() < 0.5,
        max_entries=rng.choice([None, None, 1, 2]),
        misnamed=chance(0.3),
        log_unwritable=chance(0.5),
    )
    # Drawn last: so the seeds keep what they had before these were there.
    faults.dynamodb.foreign = chance(0.05)
    faults.venue.unresolved = chance(0.15)
    faults.venue.self_redeems = rng.choice([0.0, rng.uniform(0, 0.5), 1.0])
    faults.venue.reverts = chance(0.3)
    faults.venue.market_unread = chance(0.3)
    faults.stranger = rng.random() < 0.25
    faults.ahead_ms = rng.choice([0, 0, 60_000, 1_500_000, 90_000_000])
    faults.wallets = not faults.stranger and rng.random() < 0.3
    faults.sibling = faults.shadow = True
    faults.apart = rng.random() < 0.25
    faults.tunes = rng.random() < 0.4
    faults.third = faults.wallets or rng.random() < 0.3
    if rng.random() < 0.4:
        faults.raises = {rng.choice(ACCOUNTS): rng.choice([0.05, 0.5, 1.0])}
    if rng.random() < 0.3:
        faults.exposure_max_usd = Decimal(rng.choice(["2.2", "4.4", "100"]))
        faults.collective_loss_usd = rng.choice([None, Decimal("1.5"), Decimal("3")])
    return faults
