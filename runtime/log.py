"""One JSON object a line on stderr: our own events, and whatever any library says.

1. A log call never raises, whatever it is given, and never waits for long (`runtime.output`). What
   could not be written is counted, and the next line that can be written says how many there were.
2. One event is one line, its traceback within it. A value is cut, a line has at most LINE_MAX
   characters, and all of them are ASCII: what came from outside cannot end a line, move a cursor or
   leave half a character behind.
3. Standard logging, `warnings`, exceptions that nobody caught (of a thread, of a destructor, of the
   process itself) and asyncio's complaints, which are standard logging, become such lines, too.
"""

from __future__ import annotations

import json
import logging
import math
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final

import msgspec
import structlog

from runtime.addresses import origins
from runtime.library_variables import take_ignored
from runtime.output import STDERR, hold_descriptors

_log = structlog.get_logger()

LINE_MAX: Final = 16_000
"""Container engines and log drivers cut a line after 16 KB."""
TEXT_MAX: Final = 2_000
EXCEPTION_MAX: Final = 4 * TEXT_MAX
_SHORTER: Final = (1, 4, 16, 64)
"""By what the lengths are divided until a line is short enough."""
_ITEMS_MAX: Final = 50
_DEPTH_MAX: Final = 4
_WHOLE_NUMBERS: Final = range(-(1 << 63), 1 << 64)
_encode: Final = msgspec.json.Encoder().encode
_encode_in_ascii: Final = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode
_said_lost = 0


def configure_logging(*, libraries_from: int = logging.WARNING, **bound: str) -> None:
    """Configure the process once; `bound` (service, worker, ...) stands on every line.

    Of libraries, records of level `libraries_from` and above are said.
    """

    hold_descriptors()

    def render(_: Any, level: str, fields: Mapping[str, Any]) -> str:
        return line_of(level, {**bound, **structlog.contextvars.get_contextvars(), **fields})

    structlog.configure(
        processors=[render],
        wrapper_class=structlog.make_filtering_bound_logger(20),  # INFO
        logger_factory=_LineLogger,
        cache_logger_on_first_use=True,
    )
    handler = _LibraryHandler(bound)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(libraries_from)
    logging.raiseExceptions = False
    logging.captureWarnings(True)
    _take_hooks(bound)
    if names := take_ignored():
        _log.warning("library_variables_not_used", variables=names)


class _LineLogger:
    """What structlog writes a rendered line to, whatever its level."""

    def __init__(self, *_: Any) -> None:
        pass

    def msg(self, line: str) -> None:
        global _said_lost  # noqa: PLW0603 - there is one stderr
        lost = STDERR.lost
        if STDERR.write(line) is None:
            _said_lost = lost

    debug = info = warning = error = critical = msg


def _say(level: str, fields: Mapping[str, Any]) -> None:
    _LineLogger().msg(line_of(level, fields))


# -- libraries, and what nobody caught -------------------------------------------------------------


class _LibraryHandler(logging.Handler):
    """Standard logging as lines with the event `library`."""

    def __init__(self, bound: Mapping[str, str]) -> None:
        super().__init__()
        self._bound = bound

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except Exception:  # noqa: BLE001 - a library's own mistake: arguments that do not fit
            text = _text_of(record.msg)
        level = logging.getLevelName(min(record.levelno // 10 * 10, logging.CRITICAL)).lower()
        said = {"event": "library", "logger": record.name, "text": text}
        _say(level, {**self._bound, **said, "exc_info": record.exc_info})


def _take_hooks(bound: Mapping[str, str]) -> None:
    def crashed(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        _say("critical", {**bound, "event": "crashed", "exc_info": (kind, error, trace)})

    def thread_crashed(about: threading.ExceptHookArgs) -> None:
        exc_info = about.exc_type, about.exc_value, about.exc_traceback
        name = about.thread.name if about.thread else ""
        said = {"event": "uncaught", "where": f"thread {name}", "exc_info": exc_info}
        _say("error", {**bound, **said})

    def not_raisable(about: sys.UnraisableHookArgs) -> None:
        exc_info = about.exc_type, about.exc_value, about.exc_traceback
        where = f"{about.err_msg or 'ignored in'} {_text_of(about.object)}"
        said = {"event": "uncaught", "where": where, "exc_info": exc_info}
        _say("error", {**bound, **said})

    sys.excepthook = crashed
    threading.excepthook = thread_crashed
    sys.unraisablehook = not_raisable


# -- rendering -------------------------------------------------------------------------------------


def line_of(level: str, fields: Mapping[str, Any]) -> str:
    """One line of JSON without its end, ASCII, at most LINE_MAX characters. Never raises."""
    stamp = datetime.fromtimestamp(time.time(), UTC).isoformat().replace("+00:00", "Z")
    about: dict[str, Any] = {"level": level, "timestamp": stamp}
    try:
        if STDERR.lost != _said_lost:
            about["log_lines_lost"] = STDERR.lost
        given = dict(fields)
        if exception := _exception_of(given.pop("exc_info", None)):
            about["exception"] = exception
        for shorter in _SHORTER:
            line = _json_of({**given, **about}, shorter)
            if len(line) <= LINE_MAX:
                return line
        about.pop("exception", None)
        about["cut"] = "the line was too long"
    except Exception as error:  # noqa: BLE001 - a log call changes nothing for who makes it
        about["cut"] = f"not rendered: {type(error).__name__}"
    return _json_of({"event": _text_of(fields.get("event")), **about}, _SHORTER[-1])


def _json_of(fields: Mapping[str, Any], shorter: int) -> str:
    text_max = TEXT_MAX // shorter
    plain = {
        _plain(str(key), text_max): _plain(
            value, EXCEPTION_MAX // shorter if key == "exception" else text_max
        )
        for key, value in fields.items()
    }
    line = _encode(plain).decode()
    if not line.isascii():  # seldom: the encoder that can say it otherwise takes five times as long
        line = _encode_in_ascii(plain)
    # The one control character that JSON takes as it is.
    return line.replace("\x7f", "\\u007f")


def _plain(value: Any, text_max: int, depth: int = 0) -> Any:
    """What JSON can say of any value, bounded."""
    kind = type(value)
    if kind is str and len(value) <= text_max and "://" not in value and value.isascii():
        return value  # as most are: nothing of it is cut
    if value is None or kind is bool or (kind is int and value in _WHOLE_NUMBERS):
        return value
    if kind is float and math.isfinite(value):
        return value
    if isinstance(value, dict) and depth < _DEPTH_MAX:
        some = list(value.items())[:_ITEMS_MAX]
        return {_cut(_text_of(k), text_max): _plain(v, text_max, depth + 1) for k, v in some}
    if isinstance(value, list | tuple | set | frozenset) and depth < _DEPTH_MAX:
        return [_plain(each, text_max, depth + 1) for each in list(value)[:_ITEMS_MAX]]
    return _cut(_text_of(value), text_max)


def _text_of(value: Any) -> str:
    try:
        return str.__str__(value) if isinstance(value, str) else repr(value)
    except Exception as error:  # noqa: BLE001 - a value without a text is no reason to fail
        return f"<{type(value).__name__}: {type(error).__name__} instead of its text>"


def _cut(text: str, most: int) -> str:
    """Both ends of what is too long: the beginning says what it is, the end of a traceback why."""
    text = origins(text)
    if len(text) > most:
        begin, end = most // 4, most - most // 4
        text = f"{text[:begin]} ... {len(text) - most} left out ... {text[-end:]}"
    # Half of a surrogate pair is no text: readers of the log would stumble over it.
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def _exception_of(exc_info: Any) -> str | None:
    """The traceback of what structlog and standard logging call `exc_info`."""
    if isinstance(exc_info, BaseException):
        exc_info = type(exc_info), exc_info, exc_info.__traceback__
    elif exc_info and not isinstance(exc_info, tuple):
        exc_info = sys.exc_info()
    if not exc_info or exc_info[0] is None:
        return None
    try:
        return "".join(traceback.format_exception(*exc_info)).rstrip()
    except Exception as error:  # noqa: BLE001 - a log call changes nothing for who makes it
        return f"{exc_info[0].__name__}, of which {type(error).__name__} left no traceback"
