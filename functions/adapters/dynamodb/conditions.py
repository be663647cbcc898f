"""What each write of the state table is conditional on, every part named before they are joined.

The claim's condition is where invariant 2 lives; `functions.core.account.refusal_of` is its pure
twin, and tests hold the two against each other.
"""

from __future__ import annotations

from typing import Final

# -- what a claim is conditional on --------------------------------------------------------------

# A person or the reconciler has not stopped this account. Also false when there is no item.
TRADING_IS_ENABLED: Final = "trading = :enabled"
# The venue has not asked for patience.
NOT_PAUSED: Final = "pause.until_ms <= :now"
# Nobody has changed the account's configuration since this trade was decided: a lowered limit binds
# every worker with its next claim. Also false on an item of an older version.
CONFIGURATION_IS_IN_FORCE: Final = "config_version = :config_version"
# At most one unresolved claim a market: it stands under the market until it is known what became of
# it. (An open one that stands there is of an older version, which held a market until its end.)
MARKET_IS_FREE: Final = "attribute_not_exists(claims.#market)"
# At most so many live claims at once, counted where it is decided and nowhere else.
POSITION_IS_LEFT: Final = "size(claims) < :max_positions"
# Whatever became of the market's last claim, its cooldown is over. Also what refuses a try of a
# claim that comes late, when the claim has long ended: `:now` is the time it was made at.
COOLDOWN_IS_OVER: Final = "(attribute_not_exists(cooldowns.#market) OR cooldowns.#market <= :now)"
# The market's window has not had all the entries that it may have.
ENTRY_IS_LEFT: Final = "(attribute_not_exists(entries.#window) OR entries.#window < :max_entries)"
# Today's loss has not reached the limit; whatever else but a number stands there: no entry.
LOSS_IS_WITHIN_LIMIT: Final = "(attribute_not_exists(pnl_e6.#today) OR pnl_e6.#today > :loss_floor)"
# This claim does not take today's spending above its cap.
SPEND_IS_WITHIN_CAP: Final = "(attribute_not_exists(spent_e6.#today) OR spent_e6.#today <= :room)"
# A group that counts this account's claims counts this one, too: a worker that has not heard of a
# group's limits claims nothing past them.
GROUP_COUNTS_IT: Final = "(attribute_not_exists(collective) OR collective = :collective)"

CLAIM_CONDITION: Final = " AND ".join(
    (
        TRADING_IS_ENABLED,
        NOT_PAUSED,
        CONFIGURATION_IS_IN_FORCE,
        MARKET_IS_FREE,
        POSITION_IS_LEFT,
        COOLDOWN_IS_OVER,
        ENTRY_IS_LEFT,
        LOSS_IS_WITHIN_LIMIT,
        SPEND_IS_WITHIN_CAP,
        GROUP_COUNTS_IT,
    )
)
# -- what the group's half of a claim is conditional on, where a collective limit is set ----------
# Its pure twin is `functions.core.collective.collective_refusal_of`.

# Nobody has changed the group's limits since this trade was decided. Also false when there is none.
COLLECTIVE_IS_IN_FORCE: Final = "config_version = :config_version"
# This claim does not take what all accounts have at stake above the limit.
EXPOSURE_IS_WITHIN_LIMIT: Final = (
    "(attribute_not_exists(exposure_e6) OR exposure_e6 <= :exposure_room)"
)
# Today's loss of all accounts has not reached the limit.
COLLECTIVE_LOSS_IS_WITHIN_LIMIT: Final = (
    "(attribute_not_exists(pnl_e6.#today) OR pnl_e6.#today > :loss_floor)"
)

GROUP_CONDITION: Final = " AND ".join(
    (COLLECTIVE_IS_IN_FORCE, EXPOSURE_IS_WITHIN_LIMIT, COLLECTIVE_LOSS_IS_WITHIN_LIMIT)
)
GROUP_UPDATE: Final = (
    "SET exposure_e6 = if_not_exists(exposure_e6, :zero) + :exposed,"
    " item_version = if_not_exists(item_version, :zero) + :one"
)
# An account that is there has joined this group, and no other one since.
IS_OF_THE_GROUP: Final = "of_group = :group"
IS_OF_ANOTHER_GROUP: Final = (
    "attribute_exists(pk) AND (attribute_not_exists(of_group) OR of_group <> :group)"
)
# Nothing has been counted since it was looked at.
GROUP_IS_AS_SEEN: Final = "item_version = :seen_version"

CLAIM_UPDATE: Final = (
    "SET claims.#market = :claim, cooldowns.#market = :cooldown_until,"
    " entries.#window = if_not_exists(entries.#window, :zero) + :one,"
    " spent_e6.#today = if_not_exists(spent_e6.#today, :zero) + :spend"
)

# -- what every later change is conditional on ---------------------------------------------------
# Nobody else's claim: the market may have been released and claimed again by another worker.
CLAIM_IS_MINE: Final = "claims.#slot.attempt_id = :attempt"
# Nobody has changed it since we looked: each change counts the version up, so the version stands
# for the state and for everything else that was seen.
VERSION_IS_AS_SEEN: Final = "claims.#slot.version = :seen_version"

SEEN_CONDITION: Final = f"{CLAIM_IS_MINE} AND {VERSION_IS_AS_SEEN}"
# Winnings are joined to what is noted about their market, token and wallet: nobody has noted or
# changed anything there since that was looked at.
NOTHING_IS_NOTED: Final = "attribute_not_exists(redeem.#note)"
NOTE_IS_AS_SEEN: Final = "redeem.#note = :noted"
# Nobody has halted again since the halt that is being lifted was seen.
HALT_IS_AS_SEEN: Final = "halt_id = :seen"
# Removing something from an account that is not there must not create one.
ACCOUNT_EXISTS: Final = "attribute_exists(pk)"
# An ended claim that got late evidence: whoever is first puts it back, and only as the ledger has
# it now. A transaction, because two items must agree; it happens a few times a year.
NOT_BACK_YET: Final = "attribute_not_exists(claims.#slot)"
ROW_IS_AS_SEEN: Final = "version = :seen_version"
# The ledger never goes back to an older version.
ROW_IS_NOT_NEWER: Final = "attribute_not_exists(pk) OR version <= :version"
# A configuration is changed as it was seen. `open_account` makes the attribute, with 0.
CONFIGURATION_IS_AS_SEEN: Final = "config_version = :seen_version"
# A version's row is written once.
ROW_IS_NEW: Final = "attribute_not_exists(pk)"
