"""What must hold of a world, each as a sentence for every time that it does not.

`always` looks at every state that the table was ever in and at every order that reached the venue;
`at_rest` compares the venue's truth with the state once nothing fails any more. Neither asks the
code under test anything but how to read an item.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from functions.adapters.dynamodb.items import account_of, claim_of
from functions.core import lifecycle, pruning
from functions.core.account import Account, utc_day
from functions.core.claim import Claim, ClaimFill, ClaimState
from protocol.fee import taker_fee_e6
from protocol.fill import Fill, TradeStatus
from protocol.units import SIZE_SCALE, cost_e6
from tests.simulation.books import FEE
from tests.simulation.endings import (
    SOON_MS,
    alarms,
    false_mismatches,
    false_strangers,
    redemptions,
    repeated_requests,
)
from tests.simulation.entries import (
    States,
    by_intent,
    counts,
    entries,
    limits_of_markets,
    rhythm,
)
from tests.simulation.groups import groups_always, groups_at_rest, wallets_at_rest
from tests.simulation.tuning import limits_of_versions
from tests.simulation.venue import SimOrder
from tests.simulation.world import ACCOUNT, SHADOW, World

SPEND_E6 = 1_100_000
RANKS = ("provisional", "failed", "confirmed")
ACCOUNT_KEY = (f"STRATEGY#{ACCOUNT}", "ACCOUNT")
"""Of the one account that is there in every seed."""


def violations(world: World) -> list[str]:
    """Everything that is wrong; empty when all is well."""
    return [*always(world), *at_rest(world)]


def always(world: World) -> Iterator[str]:
    """What must have held at every moment, failures or not."""
    for error in world.sim.errors:
        yield f"unhandled in {error.process}: {error.what}: {error.exception!r}"
    for order_id in world.unclaimed_posts:
        yield f"[1] order {order_id} reached the venue without a durable claim"
    if world.venue.oldest_book_ms > world.settings().max_book_age_ms:
        yield f"[6] an order was posted on a book {world.venue.oldest_book_ms} ms old"
    for order_id in world.venue.on_superseded:
        yield f"[6] {order_id} was claimed on a book of a feeder that was known to be replaced"
    for order_id in world.venue.on_misnamed:
        yield f"[6] {order_id} was posted by a listing that the CLOB contradicts"
    for order_id, times in (Counter(world.venue.arrivals) + world.paper.posts).items():
        if times > 1:
            yield f"[3] order {order_id} reached the venue {times} times"
    histories = [_history(world, name) for name in world.accounts]
    accounts = [[account for _, account in states] for states in histories]
    yield from groups_always(world)
    yield from world.strategies.violations()
    yield from repeated_requests(world, accounts)
    yield from false_mismatches(world)
    yield from false_strangers(world)
    for name, states in zip(world.accounts, histories, strict=True):
        yield from _always_of(world, name, states)


def _history(world: World, name: str) -> States:
    key = (f"STRATEGY#{name}", "ACCOUNT")
    return [
        (change.at_ns, account_of(change.after))
        for change in world.dynamodb.history
        if change.key == key and change.after is not None
    ]


def _always_of(world: World, name: str, states: States) -> Iterator[str]:
    """Of one account."""
    accounts = [account for _, account in states]
    yield from _wasted(world, accounts)
    if name == SHADOW:
        yield from _on_paper(world, accounts)
    yield from rhythm(accounts)
    yield from counts(states)
    versions = limits_of_versions(world, name)
    for before, (at_ns, after) in zip(accounts, states[1:], strict=False):
        yield from entries(world, before, after, at_ns, name, versions)
        yield from _places(after)
        yield from _changes(before, after)
        yield from _releases(world, before, after, at_ns)
        yield from _settlements(world, before, after, at_ns)


def _wasted(world: World, accounts: list[Account]) -> Iterator[str]:
    """Where nothing but lost replies of the store went wrong, every claim is followed by a POST."""
    if world.kills or set(world.dynamodb.struck) - {"retried"}:
        return
    texts: dict[str, str] = {}
    for account in accounts:
        for claim in account.claims.values():
            texts[claim.order_id] = texts.get(claim.order_id, "") + claim.text
    late = {order_id for order_id, text in texts.items() if "too_late" in text}
    for order_id in sorted(texts.keys() - late - world.venue.attempted - world.paper.posts.keys()):
        yield f"[waste] {order_id} was claimed, and nobody posted it"


def _on_paper(world: World, accounts: list[Account]) -> Iterator[str]:
    """What is claimed on paper never reaches the venue."""
    ordered = {claim.order_id for account in accounts for claim in account.claims.values()}
    for order_id in sorted(ordered & (world.venue.attempted | set(world.venue.arrivals))):
        yield f"[paper] {order_id} was posted to the venue"


def _places(account: Account) -> Iterator[str]:
    """Every claim stands once, where it is looked for; under its market only while unresolved."""
    for intent_id, places in Counter(c.intent_id for c in account.claims.values()).items():
        if places > 1:
            yield f"[lost] intent {intent_id} stands in {places} places"
    for slot, claim in account.claims.items():
        resolved = claim.state not in (ClaimState.CLAIMED, ClaimState.UNKNOWN)
        if slot != (claim.intent_id if resolved else claim.condition_id):
            yield f"[2] {claim.order_id}, which is {claim.state}, stands under {slot}"


def _changes(before: Account, after: Account) -> Iterator[str]:
    """Every change of a claim counts its version up by one, and takes no evidence away."""
    known, left = by_intent(before), by_intent(after)
    for slot, now in after.claims.items():
        gone = before.claims.get(slot)
        if gone is not None and gone.intent_id not in left:
            yield f"[lost] {now.order_id} took the place of {gone.order_id}"
    for claim in after.claims.values():
        seen = known.get(claim.intent_id)
        if seen is None or seen == claim:
            continue
        if claim.version != seen.version + 1:
            yield f"[version] {claim.order_id} went from {seen.version} to {claim.version}"
        elif not seen.fills.keys() <= claim.fills.keys():
            yield f"[version] {claim.order_id} forgot trades"
        for trade_id, fill in claim.fills.items():
            told = seen.fills.get(trade_id)
            if told is not None and RANKS.index(fill.standing) < RANKS.index(told.standing):
                yield f"[5] {trade_id} went from {told.standing} back to {fill.standing}"


def _releases(world: World, before: Account, after: Account, at_ns: int) -> Iterator[str]:
    """Invariant 4: nothing that the venue has, or will get in reasonable time, is given up."""
    at_ms = at_ns // 1_000_000
    known = by_intent(before)
    for claim in after.claims.values():
        seen = known.get(claim.intent_id)
        if claim.state is not ClaimState.RELEASED or seen is None or seen.state is claim.state:
            continue
        order = world.venue.orders.get(claim.order_id)
        if order is None or claim.order_id in world.venue.given_up_late:
            continue
        live = [
            trade
            for trade in order.trades
            if not any(s is TradeStatus.FAILED for _, s in trade.history)
        ]
        bought = [trade for trade in live if trade.history[0][0] <= at_ms]
        if bought:
            yield f"[4] {claim.order_id} was released ({claim.text}) although it had bought"
        elif live:
            yield f"[4] {claim.order_id} was released ({claim.text}) and bought later"


def _settlements(world: World, before: Account, after: Account, at_ns: int) -> Iterator[str]:
    """Nothing is settled while the venue may still take it back."""
    known = by_intent(before)
    for claim in after.claims.values():
        seen = known.get(claim.intent_id)
        if claim.state is not ClaimState.SETTLED or seen is None or seen.state is claim.state:
            continue
        order = world.venue.orders.get(claim.order_id)
        for trade in () if order is None else order.trades:
            told = trade.at(at_ns // 1_000_000)
            if told is None or told.status not in (TradeStatus.CONFIRMED, TradeStatus.FAILED):
                yield f"[5] {claim.order_id} was settled while {trade.fill.trade_id} was not final"


def at_rest(world: World) -> Iterator[str]:
    """What must hold once nothing fails and everybody had time."""
    held: dict[str, Claim] = {}
    for name in world.accounts:
        items = world.dynamodb.partition(f"STRATEGY#{name}")
        account = next(account_of(item) for item in items if item["sk"]["S"] == "ACCOUNT")
        rows = [claim_of(item) for item in items if item["sk"]["S"].startswith("TRADE#")]
        everything = [*rows, *account.claims.values()]
        yield from _at_rest_of(world, name, account, rows)
        yield from limits_of_markets(world, {claim.order_id for claim in everything})
        if name == SHADOW:
            yield from _recorded_on_paper(world, everything)
        else:
            held |= {claim.order_id: claim for claim in everything}
    for order in world.venue.orders.values():
        yield from _recorded(order, held.get(order.order_id))
    yield from wallets_at_rest(world, held.values())
    yield from groups_at_rest(world)
    for claim in held.values():
        if claim.order_id not in world.venue.orders and claim.filled_size_e6:
            yield f"[5] {claim.order_id} is recorded as bought, the venue does not know it"


def _at_rest_of(world: World, name: str, account: Account, rows: list[Claim]) -> Iterator[str]:
    """Of one account."""
    for claim in account.claims.values():
        if world.venue.mute and not _holds(world, claim):
            continue  # nobody can tell: whether that is all, only the records say
        if claim.state is not ClaimState.OPEN:
            yield f"[4] {claim.order_id} is still {claim.state}"
        elif claim.market_end_ms < world.sim.now_ms - 60_000:
            yield from _leak(world, claim)
    yield from _everybody_is_somewhere(world, name, account, rows)
    for row in rows:
        yield from _settled(world, row)
    yield from _books(account, rows, [*rows, *account.claims.values()])
    # A minute in a seed's run, twenty of them in stories; pruned every ten seconds.
    long_ago = f"{world.sim.now_ms - pruning.WINDOW_KEPT_MS - 30_000:015d}"
    for window in account.entries:
        if window < long_ago and not world.venue.mute:  # a run that fails prunes nothing
            yield f"[leak] the entries of {window} are still counted"
    if name != SHADOW:
        yield from redemptions(world, account, rows)
    yield from _days(account, [*rows, *account.claims.values()])


def _leak(world: World, claim: Claim) -> Iterator[str]:
    """A market that the venue never resolves keeps its slot, and a person is told why."""
    if claim.condition_id not in world.venue.unresolved:
        yield f"[leak] {claim.order_id} is still open long after its market's end"
        return
    over_ms = world.sim.now_ms - claim.market_end_ms
    told = any(claim.order_id in each for each in alarms(world, "claims_unsettled", "claims"))
    if over_ms > lifecycle.UNSETTLED_AFTER_MS + SOON_MS and not told:
        yield f"[leak] {claim.order_id} is never settled, and nobody is told"


def _holds(world: World, claim: Claim) -> bool:
    order = world.venue.orders.get(claim.order_id)
    return order is not None and bool(order.live)


def _everybody_is_somewhere(
    world: World, name: str, account: Account, rows: list[Claim]
) -> Iterator[str]:
    """No claim that was ever written is lost, and none is in two places."""
    ever: set[str] = set()
    for _, state in _history(world, name):
        ever |= {claim.intent_id for claim in state.claims.values()}
    places = Counter(claim.intent_id for claim in (*account.claims.values(), *rows))
    for intent_id in sorted(ever):
        if places[intent_id] == 0:
            yield f"[lost] intent {intent_id} is neither in the account nor in the ledger"
    live = {claim.intent_id for claim in account.claims.values()}
    for row in rows:
        if row.intent_id in live and not row.ended:
            yield f"[ledger] {row.order_id} has a row although it never ended"


def _recorded(order: SimOrder, claim: Claim | None) -> Iterator[str]:
    """Invariants 4 and 5: what the venue holds is what we hold, to the share."""
    if claim is None:
        if order.trades:
            yield f"[5] order {order.order_id} traded and is not recorded anywhere"
        return
    if claim.filled_size_e6 != order.live_size_e6:
        yield (
            f"[5] {claim.order_id} ({claim.state}): recorded {claim.filled_size_e6}e-6 shares, "
            f"the venue has {order.live_size_e6}e-6"
        )
    spend_e6 = sum(cost_e6(t.fill.price_e4, t.fill.size_e6) for t in order.live)
    if abs(claim.filled_spend_e6 - spend_e6) > 5:
        yield f"[5] {claim.order_id}: recorded {claim.filled_spend_e6}, spent {spend_e6}"


def _recorded_on_paper(world: World, claims: list[Claim]) -> Iterator[str]:
    """A paper order has bought what its exchange said; nothing if its worker died before that."""
    for claim in claims:
        bought_e6 = world.paper.bought_e6.get(claim.order_id, 0)
        if claim.filled_size_e6 not in (0, bought_e6):
            yield (
                f"[paper] {claim.order_id}: recorded {claim.filled_size_e6}e-6 shares, "
                f"its exchange gave {bought_e6}e-6"
            )


def _settled(world: World, row: Claim) -> Iterator[str]:
    """A settled row's P&L, computed from the venue's truth; on paper from its own fills."""
    if row.state is ClaimState.RELEASED:
        if row.pnl_e6 or row.filled_size_e6:
            yield f"[pnl] {row.order_id} is released with money"
        return
    order = world.venue.orders.get(row.order_id)
    bought: list[Fill | ClaimFill] = (
        [*row.fills.values()] if order is None else [trade.fill for trade in order.live]
    )
    _, payouts = world.venue.payouts(world.markets[row.condition_id])
    size_e6 = sum(each.size_e6 for each in bought)
    payout_e6 = size_e6 * payouts[row.token_id] // SIZE_SCALE
    fee_e6 = sum(taker_fee_e6(FEE, each.price_e4, each.size_e6) for each in bought)
    pnl_e6 = payout_e6 - row.filled_spend_e6 - fee_e6
    if row.pnl_e6 != pnl_e6:
        yield f"[pnl] {row.order_id}: {row.pnl_e6} in the ledger, {pnl_e6} at the venue"


def _books(account: Account, rows: list[Claim], everything: list[Claim]) -> Iterator[str]:
    """The account's sums are the sums of its claims."""
    live = {claim.intent_id for claim in account.claims.values()}
    booked = sum(row.pnl_e6 for row in rows if row.intent_id not in live)
    booked += sum(claim.pnl_e6 for claim in account.claims.values())
    if sum(account.pnl_e6.values()) != booked:
        yield f"[pnl] the account says {sum(account.pnl_e6.values())}, its claims {booked}"
    newest = {claim.intent_id: claim for claim in everything}  # live ones come last
    # Not by the code's own word: nothing for what was released, what the venue took for what is
    # settled, and all of it for what is still live.
    reserved = sum(
        claim.filled_spend_e6 if claim.state is ClaimState.SETTLED else SPEND_E6
        for claim in newest.values()
        if claim.state is not ClaimState.RELEASED
    )
    if sum(account.spent_e6.values()) != reserved:
        yield f"[spend] the account says {sum(account.spent_e6.values())}, its claims {reserved}"


def _days(account: Account, everything: list[Claim]) -> Iterator[str]:
    """P&L stands under the day on which it was settled, also while what was settled is open again,
    and nothing where it was taken back. What was settled twice is left out."""
    newest = {claim.intent_id: claim for claim in everything}.values()  # live ones come last
    if any(claim.came_back and claim.state is ClaimState.SETTLED for claim in newest):
        return
    expected: dict[str, int] = {}
    for claim in newest:
        if claim.pnl_e6:
            day = utc_day(claim.settled_at_ms)
            expected[day] = expected.get(day, 0) + claim.pnl_e6
    booked = {day: pnl_e6 for day, pnl_e6 in account.pnl_e6.items() if pnl_e6}
    if booked != {day: pnl_e6 for day, pnl_e6 in expected.items() if pnl_e6}:
        yield f"[pnl] booked by day {booked}, settled {expected}"
