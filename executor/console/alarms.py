"""What a person must look at, of accounts, processes and the feed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from executor.console.accounts import AccountNow
from executor.console.formats import age, clock, signed_usd, usd
from functions.core.account_status import UNRESOLVED_ALARM_MS, Status
from local.status import ProcessStatus

RESTARTED_LATELY_MS: Final = 300_000
LINES_WANTED: Final = 2
"""Connections that a feeder holds at once, so that one may be lost."""
LINES: Final = "feeder_connected"
_USER_CONNECTIONS: Final = "feeder_user_connections_total"
_USER_RECONNECTS: Final = "feeder_user_reconnects_total"


@dataclass(frozen=True)
class ShownAlarm:
    """One line."""

    whose: str
    """An account or a process."""
    text: str
    do: str
    """What a person does about it; empty: it passes by itself, or is known."""
    severe: bool = True
    """Else it is worth a look."""


class Samples(Protocol):
    """`executor.console.metrics.MetricsNow`, as it is asked here."""

    def value(self, process: str, sample: str, **labels: str) -> float | None:
        """A process's number; None: not known."""


def shown_alarms(
    accounts: Iterable[AccountNow],
    processes: Sequence[ProcessStatus],
    samples: Samples,
    now_ms: int,
) -> list[ShownAlarm]:
    """The severe ones first."""
    found = [
        *(alarm for each in accounts for alarm in _of_account(each, samples)),
        *(alarm for each in processes for alarm in _of_process(each, samples, now_ms)),
    ]
    return sorted(found, key=lambda alarm: not alarm.severe)


def _of_account(now: AccountNow, samples: Samples) -> Iterator[ShownAlarm]:
    name, status = now.name, now.status
    if now.error:
        yield ShownAlarm(name, f"cannot be read: {now.error}", "Is the store there?")
    if status is None:
        return
    for text, do in _severe(status):
        yield ShownAlarm(name, text, do)
    for sample, text in _BY_SCHEDULE.items():
        if value := samples.value("schedule", sample, strategy=name):
            yield ShownAlarm(name, text.format(value), "`executor reconcile` says more.")
    if status.pause_until_ms:
        until = clock(status.pause_until_ms)
        yield ShownAlarm(name, f"paused until {until}: {status.pause_reason}", "", severe=False)


def _severe(status: Status) -> Iterator[tuple[str, str]]:
    if not status.trading:
        yield f"halted: {status.halt_reason or 'no reason given'}", "Resume, once that is settled."
    if status.overdue:
        yield f"{status.overdue} claims unresolved for too long", "`executor reconcile` asks again."
    elif (oldest := status.oldest_unresolved_ms or 0) > UNRESOLVED_ALARM_MS:
        yield f"a claim is unresolved for {age(oldest)}", "The venue is asked again by itself."
    for slug in status.unsettled:
        yield f"{slug} has ended long ago and is not settled", "`executor reconcile` says why."
    if status.redemptions_stuck:
        yield (
            f"winnings of {status.redemptions_stuck} markets do not come",
            "Redeem on the venue's website.",
        )
    if status.pnl_e6 <= -status.daily_loss_limit_e6:
        limit = usd(status.daily_loss_limit_e6)
        yield (
            f"today's P&L {signed_usd(status.pnl_e6)} USD is at the limit of -{limit}",
            "It ends at midnight UTC; the limit is in Configuration.",
        )
    if status.spent_e6 >= status.daily_spend_cap_e6:
        yield (
            f"today's {usd(status.spent_e6)} USD spent are at the cap",
            "It ends at midnight UTC; the cap is in Configuration.",
        )


_BY_SCHEDULE: Final = {
    "schedule_position_mismatches": "{:g} positions differ from what the venue holds",
    "schedule_claims_of_another_trader": "{:g} claims are another trader's",
    "schedule_group_difference_usd": "the group counts {:+g} USD that its claims do not add up to",
}


def _of_process(process: ProcessStatus, samples: Samples, now_ms: int) -> Iterator[ShownAlarm]:
    name, since_ms = process.name, now_ms - process.since_ms
    if process.state != "running":
        why = f": {process.last_end}" if process.last_end else ""
        severe = process.state != "starting"
        yield ShownAlarm(name, f"{process.state}{why}", f"See {name}.log.", severe=severe)
        return
    if process.restarts and since_ms < RESTARTED_LATELY_MS:
        text = f"was started again {age(since_ms)} ago: {process.last_end}"
        yield ShownAlarm(name, text, f"See {name}.log.", severe=False)
    for sample, (text, do) in _BY_PROCESS.items():
        if value := samples.value(name, sample):
            yield ShownAlarm(name, text.format(value), do)
    lines = samples.value(name, LINES)
    if lines is not None and lines < LINES_WANTED:
        text = f"{lines:g} of {LINES_WANTED} lines to the venue are open"
        yield ShownAlarm(name, text, "It connects again by itself.", severe=not lines)
    if user_channels(samples, name) == 0:
        yield ShownAlarm(name, "the user channel is not open", "Fills come by reconciliation.")


def user_channels(samples: Samples, process: str) -> float | None:
    """How many user channels it holds open; None: not known, or it is no user feeder."""
    opened = samples.value(process, _USER_CONNECTIONS)
    lost = samples.value(process, _USER_RECONNECTS)
    return None if opened is None or lost is None else opened - lost


_BY_PROCESS: Final = {
    "worker_clocks_differing": (
        "clocks differ, or books are late, in {:g} series",
        "Is this machine's clock set by NTP?",
    ),
    "worker_markets_differing": (
        "listing and CLOB contradict each other about {:g} markets",
        "They are not traded; see the log.",
    ),
    "worker_account_in_trouble": ("{:g} accounts are in trouble", "See the worker's log."),
    "feeder_series_without_market": ("{:g} series have no running market", "Is the venue there?"),
    "feeder_markets_dark": ("{:g} markets have no book to show", "They come again by themselves."),
}

ALARM_SAMPLES: Final = (
    *_BY_SCHEDULE,
    *_BY_PROCESS,
    LINES,
    _USER_CONNECTIONS,
    _USER_RECONNECTS,
)
"""All that is asked for here."""
