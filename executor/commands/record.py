"""`executor record` and `executor inspect`: the recorder run for a person, and its files summed up.

Raises RecordingError; `executor.command_line` makes one line of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from pydantic import ValidationError
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from executor.progress import progress_bar
from executor.rendering import (
    BAD,
    CARE,
    GOOD,
    columns_table,
    duration,
    facts_table,
    moment,
    plain,
)
from feeder.recording.inspected_market import MarketReport
from feeder.recording.inspection import Inspection, Inspector
from feeder.recording.reader import Damage, RecordingReader
from feeder.recording.recorded_channel import SERIES_MAX, RecordingProgress
from feeder.recording.recorder import Beside, Recorder
from feeder.recording.writer import WriterLimits
from feeder.settings import MarketChannelSettings
from runtime.process import run_service
from runtime.settings import mistakes_in

_UNITS: Final = ("bytes", "kB", "MB", "GB")


class BadSettingsError(ValueError):
    """A variable or an option is wrong; the text names it."""


class RecordingReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `inspect --json` prints."""

    path: str
    files: int
    compressed_bytes: int
    line_bytes: int
    """The same uncompressed."""
    bytes_per_frame: float | None
    """Compressed."""
    deleted_files: int
    """The oldest ones, to keep it below its limit: it begins later than it was begun."""
    damages: list[Damage]
    unreadable_lines: int
    first_unreadable_line: str
    inspection: Inspection


def is_on_this_machine(url: str) -> bool:
    """Whether a URL names this machine's loopback; a broken one does not."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def settings_with(series: str | None) -> MarketChannelSettings:
    """The environment's settings, with the option's series if it is given."""
    given: dict[str, Any] = {} if series is None else {"series": series}
    try:
        settings = MarketChannelSettings(**given)
    except ValidationError as error:
        raise BadSettingsError(mistakes_in(error)) from None
    if len(settings.series) > SERIES_MAX:
        raise BadSettingsError(f"SERIES: one connection has room for {SERIES_MAX} series")
    return settings


def record(
    settings: MarketChannelSettings,
    directory: Path,
    duration_s: float | None,
    beside: Beside | None = None,
    max_gb: float | None = None,
) -> RecordingProgress:
    """Record until SIGTERM or SIGINT, or until the time is over.

    With more than `max_gb` (1e9 bytes) the oldest files are deleted.
    """
    limits = WriterLimits(total_bytes_max=None if max_gb is None else round(max_gb * 1e9))
    recorder = Recorder(settings, directory, limits=limits, beside=beside)
    run_service(recorder.run(duration_s))
    return recorder.progress


def inspect(path: Path) -> RecordingReport:
    """Read all of it. Raises RecordingError when there is no recording."""
    inspector = Inspector()
    with progress_bar() as tell:
        reader = RecordingReader(path, tell=lambda share: tell(share, "read"))
        for each in reader:
            inspector.take(each)
    inspection = inspector.result()
    frames = inspection.frames
    return RecordingReport(
        path=str(path),
        files=len(reader.files),
        compressed_bytes=reader.compressed_bytes,
        line_bytes=reader.line_bytes,
        bytes_per_frame=round(reader.compressed_bytes / frames, 1) if frames else None,
        deleted_files=reader.deleted_files,
        damages=reader.damages,
        unreadable_lines=reader.unreadable_lines,
        first_unreadable_line=reader.unreadable_line,
        inspection=inspection,
    )


def recorded_line(done: RecordingProgress, directory: Path) -> Text:
    """The last line of `executor record`."""
    lost = f"; {done.lost:,} RECORDS LOST, the disk was too slow, or full" if done.lost else ""
    deleted = _many(done.deleted_files, "old file")
    shortened = f"; {deleted} deleted to make room" if done.deleted_files else ""
    return plain(
        f"recorded {done.frames:,} frames ({_size(done.frame_bytes)}) of {done.markets} markets: "
        f"{_size(done.written_bytes)} in {_many(done.files, 'file')} in {directory}"
        f"{shortened}{lost}",
        BAD if done.lost else "",
    )


def history_line(done: RecordingProgress) -> Text:
    """After it, where books and decisions were to be recorded, too."""
    missed = f"; {_many(done.missed, 'TIME')} SOMETHING WAS MISSED" if done.missed else ""
    return plain(
        f"beside them {done.books:,} books, {_many(done.decisions, 'decision')} and "
        f"{_many(done.configurations, 'version')} of configurations{missed}",
        CARE if missed or not (done.books and done.configurations) else "",
    )


def recording_view(report: RecordingReport) -> RenderableType:
    """`executor inspect`."""
    parts: list[RenderableType] = [_summary(report)]
    problems = list(_problems(report))
    parts.append("")
    parts += problems or [plain("nothing is wrong with it", GOOD)]
    found = report.inspection
    if found.types:
        parts += ["", _types(found)]
    if found.markets:
        parts += ["", _markets(found.markets)]
    if found.losses:
        parts += ["", _losses(found)]
    return Group(*parts)


def _summary(report: RecordingReport) -> Table:
    found, table = report.inspection, facts_table()
    ended = "stopped in order" if found.stopped else "not stopped: killed, or still being written"
    table.add_row("recording", plain(report.path))
    table.add_row("series", plain(", ".join(found.series)))
    table.add_row(
        "time",
        plain(
            f"{moment(found.started_ms)} to {moment(found.ended_ms)} UTC "
            f"({duration(found.duration_ms)}); {_many(found.runs, 'run')}, {ended}"
        ),
    )
    table.add_row(
        "frames",
        plain(
            f"{found.frames:,} of {_size(found.frame_bytes)}; {found.frames_per_s:,.1f} a second, "
            f"{found.frames_per_s_max:,} in the busiest one"
        ),
    )
    per_frame = "" if report.bytes_per_frame is None else f", {report.bytes_per_frame:g} a frame"
    table.add_row(
        "on disk",
        plain(
            f"{_size(report.compressed_bytes)} in {_many(report.files, 'file')} "
            f"(uncompressed {_size(report.line_bytes)}){per_frame}"
        ),
    )
    if report.deleted_files:
        deleted = _many(report.deleted_files, "file")
        table.add_row(
            "deleted",
            plain(f"{deleted} before these, to make room: it begins later than it was begun", CARE),
        )
    table.add_row(
        "connections",
        plain(f"{found.connections}, {found.lost_connections} of them lost"),
    )
    table.add_row("books proven", _proven(found))
    if found.published or found.decisions or found.configurations:
        table.add_row(
            "history",
            plain(
                f"{found.published:,} books as published, {_many(found.decisions, 'decision')}, "
                f"{_many(found.configurations, 'version')} of configurations"
            ),
        )
    if found.paid_markets or found.unpaid_markets:
        table.add_row(
            "payouts",
            plain(
                f"of {_many(found.paid_markets, 'market')}; "
                f"{found.unpaid_markets} that ended are without"
            ),
        )
    return table


def _proven(found: Inspection) -> Text:
    share = found.checks.proven_share
    if share is None:
        return plain("none came", CARE)
    checks = found.checks
    total = checks.matched + checks.mismatched + checks.unknown + checks.no_hash
    # Rounded down: 100% is all of them.
    text = f"{int(share * 10_000) / 100:g}% by checksum: {checks.matched:,} of {total:,}"
    return plain(text, GOOD if checks.matched == total else CARE)


def _problems(report: RecordingReport) -> Iterator[Text]:
    """Worst first, one line each."""
    found = report.inspection
    checks, markets = found.checks, found.markets
    counted = (
        (found.lost_records, BAD, "records are missing: the disk was too slow, or full"),
        (checks.mismatched, BAD, "versions of books do not have the venue's checksum"),
        (checks.top_mismatched, BAD, "versions have another best bid or ask than the venue says"),
        (checks.crossed, BAD, "versions are crossed"),
        (sum(found.rejected.values()), BAD, _rejections(found)),
        (report.unreadable_lines, BAD, f"lines are no records: {report.first_unreadable_line}"),
        (sum(found.missed.values()), CARE, _missed(found)),
        (found.unlisted_events, CARE, "events are of markets that are not described"),
        (checks.unknown, CARE, "checksums of markets of which none ever matched: inputs unknown"),
        (checks.no_hash, CARE, "books or changes came without a checksum"),
        (found.lost_connections, CARE, "connections were lost"),
        (sum(m.without_book for m in markets), CARE, "changes came before their book"),
        (sum(m.stale for m in markets), CARE, "books or changes are older than the book"),
        (sum(m.duplicates for m in markets), CARE, "changes came twice"),
    )
    if not found.frames:
        yield plain("there is no frame in it", CARE)
    for damage in report.damages:
        yield plain(
            f"TORN: the last {damage.bytes:,} bytes of {damage.file} are left out: {damage.why}",
            BAD,
        )
    for count, style, text in counted:
        if count:
            yield plain(f"{count:,} {text}", style)


def _missed(found: Inspection) -> str:
    of = ", ".join(f"{count:,} of {what}" for what, count in found.missed.items())
    return f"times something did not come to the recorder ({of}), as its lines say"


def _rejections(found: Inspection) -> str:
    causes = ", ".join(f"{count:,} {cause}" for cause, count in found.rejected.items())
    return f"frames were rejected ({causes}); the first, {found.first_rejected}"


def _types(found: Inspection) -> Table:
    table = columns_table("type", "frames", "events", "bytes")
    for name, count in sorted(found.types.items(), key=lambda each: -each[1].bytes):
        table.add_row(plain(name), f"{count.frames:,}", f"{count.events:,}", _size(count.bytes))
    return table


def _markets(markets: list[MarketReport]) -> Table:
    table = columns_table(
        *("market", "frames", "books", "changes", "matched", "mismatched", "unknown", "no hash"),
        *("best differs", "stale", "twice", "too early", "longest silence"),
    )
    for each in markets:
        checks = each.checks
        table.add_row(
            plain(each.slug),
            f"{each.frames:,}",
            f"{each.books:,}",
            f"{each.changes:,}",
            f"{checks.matched:,}",
            _counted(checks.mismatched, BAD),
            _counted(checks.unknown, CARE),
            _counted(checks.no_hash, CARE),
            _counted(checks.top_mismatched, BAD),
            _counted(each.stale, CARE),
            _counted(each.duplicates, CARE),
            _counted(each.without_book, CARE),
            _silence(each),
        )
    return table


def _silence(each: MarketReport) -> Text:
    if not each.longest_silence_ms:
        return plain("-")
    span = f"{each.longest_silence_ms / 1000:.1f} s"
    return plain(f"{span} from {moment(each.silent_since_ms)[-8:]}")


def _losses(found: Inspection) -> Table:
    table = columns_table("lost at", "after", "connection", "why")
    for each in found.losses:
        table.add_row(moment(each.at_ms), duration(each.lasted_ms), str(each.conn), plain(each.why))
    return table


def _counted(count: int, style: str) -> Text:
    return plain(f"{count:,}", style if count else "dim")


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _size(count: int) -> str:
    size = float(count)
    for unit in _UNITS[:-1]:
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} {_UNITS[-1]}"
