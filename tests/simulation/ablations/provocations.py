"""How the world behaves so that a missing safeguard shows."""

from __future__ import annotations

from decimal import Decimal

from tests.simulation.faults import ACCOUNT, Faults


def calm(faults: Faults) -> None:
    """Only what the provocation names goes wrong."""
    faults.off()
    faults.loss_limit_usd = faults.spend_cap_usd = Decimal(100)
    faults.kill_every_s = 1e9
    faults.halts = faults.stranger = faults.wallets = False
    faults.tunes = False
    faults.alone()
    faults.ahead_ms = 0


def silent_venue(faults: Faults) -> None:
    faults.venue.lost_answer = 0.6


def unanswered(faults: Faults) -> None:
    """Nobody hears what became of an order for longer than a cooldown."""
    calm(faults)
    faults.venue.lost_answer = 0.9
    faults.venue.event_lost = 1.0
    faults.venue.blind = 1.0
    faults.venue.blind_s = (40.0, 44.0)
    faults.series = ("btc-240s", "eth-240s")


def late_orders(faults: Faults) -> None:
    faults.venue.late = 0.5
    faults.venue.lag_s = (0.0, 8.0)


def very_late_orders(faults: Faults) -> None:
    faults.venue.very_late = 0.5
    faults.kill_every_s = 20.0


def blind_reads(faults: Faults) -> None:
    """Orders land late, nobody hears of them, and reads show them much later."""
    calm(faults)
    faults.venue.late = 0.9
    faults.venue.blind = 1.0
    faults.venue.event_lost = 1.0
    faults.reconcile_every_s = 2.0


def eager_reconcilers(faults: Faults) -> None:
    blind_reads(faults)
    faults.reconcile_every_s = 1.0


def ahead(faults: Faults) -> None:
    """One schedule takes what has just begun for over, in windows that outlast a minute."""
    calm(faults)
    faults.ahead_ms = 1_500_000
    faults.series = ("btc-240s", "eth-60s")
    faults.spared = ("schedule-2",)


def ahead_of_late_orders(faults: Faults) -> None:
    """One schedule takes an order that is on its way for one that never arrived."""
    blind_reads(faults)
    faults.ahead_ms = 60_000


def strangers(faults: Faults) -> None:
    """Our own reconciler gets no answer for a while, another account's gets its own."""
    calm(faults)
    faults.stranger = True
    faults.venue.lost_answer = 0.7
    faults.venue.event_lost = 1.0
    faults.venue.read_fails = 1.0
    faults.reconcile_every_s = 5.0


def strange_redeemers(faults: Faults) -> None:
    """Winnings were asked for in vain, and another account's settlement looks for them."""
    calm(faults)
    faults.stranger = True
    faults.venue.read_fails = 0.5


def two_wallets(faults: Faults) -> None:
    """Two wallets of one signer enter the same markets."""
    calm(faults)
    faults.wallets = True
    faults.venue.reverts = 0.3
    faults.series = ("btc-240s", "eth-60s")


def siblings(faults: Faults) -> None:
    """Two accounts enter the same markets with one wallet, and nothing goes wrong."""
    calm(faults)
    faults.sibling = faults.apart = faults.calm = True
    faults.venue.lag_s = (0.0, 0.0)
    faults.series = ("btc-60s", "eth-60s")


def suspended(faults: Faults) -> None:
    faults.kill_every_s = 1.0
    faults.pauses = 1.0
    faults.dynamodb.slow = 0.5


def deaf(faults: Faults) -> None:
    """Nothing is told on the user channel, not even in the end."""
    faults.venue.lost_answer = 0.5
    faults.venue.very_late = 0.3
    faults.venue.event_lost = 1.0
    faults.deaf = True


def mute_records(faults: Faults) -> None:
    """The venue's records do not answer about orders and trades, not even in the end."""
    faults.venue.lost_answer = 0.5
    faults.venue.event_lost = 0.0
    faults.venue.partial = 0.0  # whether that was all, only the records say
    faults.mute = True
    faults.kill_every_s = 2.0
    faults.spared = ("user",)


def deadly(faults: Faults) -> None:
    faults.kill_every_s = 2.0


def lossy_store(faults: Faults) -> None:
    faults.dynamodb.lost_reply = 0.3
    faults.dynamodb.late = 0.1


def foreign_answers(faults: Faults) -> None:
    """Somebody stands between us and the store, and answers in its place."""
    calm(faults)
    faults.dynamodb.foreign = 0.2


def retrying_store(faults: Faults) -> None:
    calm(faults)
    faults.dynamodb.retried = 0.5


def crowd(faults: Faults) -> None:
    """Several workers see the same book, and the store is slow."""
    faults.nats.duplicate = 0.3
    faults.dynamodb.slow = 0.3


def few_entries(faults: Faults) -> None:
    """Signals outlast cooldowns, and a window takes one entry."""
    calm(faults)
    faults.max_entries = 1
    faults.series = ("btc-240s", "eth-60s")


def entries_that_buy_nothing(faults: Faults) -> None:
    calm(faults)
    faults.venue.no_match = 0.5
    faults.series = ("btc-240s", "eth-60s")


def refusing(faults: Faults) -> None:
    faults.venue.rate_limited = 0.5
    faults.venue.locked = 0.3


def failing_trades(faults: Faults) -> None:
    faults.venue.failed = 0.6


def busy(faults: Faults) -> None:
    """Everything that makes several parties change one claim at once."""
    faults.kill_every_s = 5.0
    faults.venue.failed = 0.3
    faults.venue.event_twice = 0.5
    faults.venue.delayed = 0.5
    faults.dynamodb.slow = 0.3
    faults.dynamodb.straggler = 0.3
    faults.dynamodb.late = 0.2


def both_sweep(faults: Faults) -> None:
    """Nobody hears of orders that land very late but two reconcilers, at the same moment."""
    calm(faults)
    faults.venue.very_late = 0.9
    faults.venue.event_lost = 1.0
    faults.dynamodb.latency_s = (0.05, 0.4)
    faults.series = ("btc-240s", "eth-240s", "sol-240s", "xrp-240s")


def halting_in_vain(faults: Faults) -> None:
    """Halts follow each other, and what a person's command sends may arrive much later."""
    calm(faults)
    faults.halts = True
    faults.dynamodb.straggler = 0.5
    faults.dynamodb.late_s = (0.1, 5.0)


def tuning(faults: Faults) -> None:
    """Limits are lowered and raised while claims are under way, and the store is slow."""
    calm(faults)
    faults.tunes = True
    faults.dynamodb.slow = 0.3
    faults.nats.duplicate = 0.3
    faults.series = ("btc-240s", "eth-240s", "sol-240s", "xrp-240s")


def grouped(faults: Faults) -> None:
    """Two accounts may have two orders at stake together, and want more."""
    faults.sibling = True
    faults.exposure_max_usd = Decimal("2.2")
    faults.loss_limit_usd = faults.spend_cap_usd = Decimal(100)


def losing(faults: Faults) -> None:
    """An account that may lose less than an order spends, and goes on."""
    calm(faults)
    faults.loss_limit_usd = Decimal("0.5")
    faults.series = ("btc-30s", "eth-30s", "sol-30s", "xrp-30s")


def losing_together(faults: Faults) -> None:
    """Two accounts may lose one order together, and each on its own as much as it likes."""
    calm(faults)
    faults.sibling = True
    faults.collective_loss_usd = Decimal("0.5")
    faults.series = ("btc-30s", "eth-30s", "sol-30s", "xrp-30s")


def tuning_together(faults: Faults) -> None:
    """The limits of a group are lowered and raised while claims of two accounts are under way."""
    calm(faults)
    faults.sibling = faults.tunes = True
    faults.exposure_max_usd = Decimal("4.4")
    faults.dynamodb.slow = 0.3
    faults.series = ("btc-240s", "eth-240s", "sol-240s", "xrp-240s")


def shadowed(faults: Faults) -> None:
    """A strategy trades live and, with other parameters, on paper."""
    calm(faults)
    faults.shadow = True


def raising(faults: Faults) -> None:
    """The strategy that is asked first always raises; two others are asked after it."""
    calm(faults)
    faults.sibling = faults.shadow = True
    faults.third = False
    faults.raises = {ACCOUNT: 1.0}


def halting(faults: Faults) -> None:
    faults.halts = True


def misnaming(faults: Faults) -> None:
    """Listings give outcomes the wrong tokens for a while; orders take a while to be signed."""
    calm(faults)
    faults.misnamed = 0.9
    faults.venue.cold = 0.5
    faults.venue.market_unread = 0.3


def full_disk(faults: Faults) -> None:
    """Every other line of the log cannot be written, and the venue refuses the account."""
    calm(faults)
    faults.venue.rate_limited = 0.5
    faults.log_unwritable = 0.5


def rivals(faults: Faults) -> None:
    """Two feeders, and orders that take a while to be signed."""
    calm(faults)
    faults.rivals = True
    faults.venue.cold = 0.9
