"""Whether a lowered limit bound everybody, from the moment at which its change had returned.

no claim is first seen under an earlier version than one that had returned before the look at
the account that did not show it yet (`ClaimWatch`, by the order of reads, not by clocks)
no claim was made, by its own clock, after a version had returned, under an earlier one
whenever a claim appears, there are no more than the version that it was made under allows;
what late evidence brought back does not count, because it asks no limit
no claim reserves more than the size of its version
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from functions.core.claim import Claim
from functions.core.configuration import AccountConfiguration, ConfigurationRow
from sandbox.chaos.claim_watch import ClaimWatch
from sandbox.chaos.retuner import Returned


def over_limits(
    records: Iterable[Claim],
    watch: ClaimWatch,
    rows: Iterable[ConfigurationRow],
    returned: Sequence[Returned],
) -> list[str]:
    """A sentence for each claim that a limit did not bind; all of one account."""
    by_version = {row.version: AccountConfiguration.model_validate_json(row.values) for row in rows}
    found = list(watch.outdated)
    for record in records:
        found += _of_a_record(record, by_version, returned)
    for seen in watch.appearances:
        allowed = max(
            (by_version[each].max_positions for each in seen.versions if each in by_version),
            default=0,
        )
        if seen.live > allowed:
            found.append(
                f"{seen.live} live claims when one of version {max(seen.versions)} appeared, "
                f"which allows {allowed}"
            )
    return found


def _of_a_record(
    record: Claim,
    by_version: Mapping[int, AccountConfiguration],
    returned: Sequence[Returned],
) -> list[str]:
    what = f"order {record.order_id} was claimed under version {record.config_version}"
    configuration = by_version.get(record.config_version)
    if configuration is None:
        return [f"{what}, which there is not"]
    found = []
    if record.spend_e6 > (size_e6 := configuration.order_config().spend_e6):
        found.append(f"{what} for {record.spend_e6}e-6 USD, which allows {size_e6}e-6")
    late = [
        change
        for change in returned
        if change.version > record.config_version and change.at_ms < record.claimed_at_ms
    ]
    if late:
        newest = late[-1]
        found.append(
            f"{what} {record.claimed_at_ms - newest.at_ms} ms after version {newest.version} "
            "was in force"
        )
    return found
