"""The services that alerts go to: apprise, with what it would show or keep shut off.

1. A URL is a secret. A service is called by its place in ALERT_URLS and by its name; apprise's own
   log, which shows hosts, people and at times keys, is reduced to the number of an HTTP answer.
2. Only what reaches a person who is away: what shows on this machine (a desktop's messages, the
   system's log), or runs a program of it, is refused.
3. apprise keeps no files, follows no redirect (unless a URL says `redirect=yes`), and uses no proxy
   (`runtime.proxies`, which the process has called).
"""

from __future__ import annotations

import logging
import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr

if TYPE_CHECKING:
    from apprise import AppriseAsset, NotifyBase

SERVICES_MAX: Final = 20
_NOT_AWAY: Final = frozenset(
    {"syslog", "dbus", "qt", "kde", "glib", "gio", "gnome", "macosx", "windows", "blink1"}
)
_STATUS: Final = re.compile(r"(?:error=|\()(\d{3})\b")
_NOT_REACHED: Final = re.compile(r"connection error|socket|timeout|timed out", re.IGNORECASE)


class ServiceError(ValueError):
    """ALERT_URLS cannot be used; one line that shows nothing of a URL."""


class _LastAnswer(logging.Handler):
    """Of apprise's log, in the thread that sends: which HTTP status the service gave."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._of = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except Exception:  # noqa: BLE001 - a library's own mistake
            return
        if found := _STATUS.search(text):
            self._of.said = f"it answered HTTP {found[1]}"
        elif _NOT_REACHED.search(text):
            self._of.said = "it cannot be reached, or did not answer in time"

    def forget(self) -> None:
        self._of.said = ""

    def said(self) -> str:
        return getattr(self._of, "said", "") or "it did not take the message"


_LAST: Final = _LastAnswer()


def silence_libraries() -> None:
    """What libraries say of a request shows its URL: none of it reaches our log.

    Of asyncio and NATS, errors are still said. To be called after `configure_logging`.
    """
    logging.getLogger().setLevel(logging.CRITICAL + 1)
    for name in ("asyncio", "nats", "metrics_server"):
        logging.getLogger(name).setLevel(logging.ERROR)
    _silence_apprise()


def _silence_apprise() -> None:
    apprise = logging.getLogger("apprise")
    apprise.setLevel(logging.WARNING)
    apprise.propagate = False
    apprise.handlers = [_LAST]


@dataclass(frozen=True)
class AlertService:
    """One URL of ALERT_URLS. Its text shows nothing of the URL."""

    place: int
    """Which one it is, from 1."""
    name: str
    """The service's own, as apprise has it: `Telegram`."""
    url: SecretStr

    @property
    def label(self) -> str:
        """What it is called where a person reads it, and in `alerts.sqlite`."""
        return f"{self.name} ({ordinal(self.place)} of ALERT_URLS)"

    def send(self, title: str, text: str, *, alarm: bool) -> str | None:
        """Send, blocking, with apprise's timeouts; None when it was taken, else why not.

        Raises nothing. How long it may take is for the caller: a service that answers a byte a
        second is waited for.
        """
        from apprise import Apprise, NotifyFormat, NotifyType  # noqa: PLC0415 - see `services_in`

        _LAST.forget()
        try:
            # Another one each time: apprise sleeps between two sends of the same.
            plugin = _plugin(self.url.get_secret_value())
            if plugin is None:
                return "apprise does not know it any more"
            # Whether it was taken is to be known; trying again is for `executor.alerts.sending`.
            plugin.optional, plugin.retry = False, 0
            # Not `plugin.notify`, which leaves a `<` for Telegram as it is (apprise 2.3).
            client = Apprise([plugin], asset=_asset())
            kind = NotifyType.WARNING if alarm else NotifyType.INFO
            done = client.notify(text, title, kind, body_format=NotifyFormat.TEXT)
        except Exception as error:  # noqa: BLE001 - any plugin's, whose text may show the URL
            return f"{type(error).__name__} in apprise"
        return None if done else _LAST.said()


@dataclass(frozen=True)
class TelegramBot:
    """A bot of ALERT_URLS, and who may ask it: the chats that it writes to."""

    token: SecretStr
    chats: frozenset[int]


def services_in(urls: SecretStr | None) -> tuple[AlertService, ...]:
    """The services, in order. Raises ServiceError.

    apprise is imported here: a second, and it is in the extra `local` alone.
    """
    try:
        from apprise.utils.parse import parse_urls  # noqa: PLC0415 - see above
    except ImportError:
        raise ServiceError(
            "apprise, which alerts need, is not installed: pip install 'streaming-executor[local]'"
        ) from None
    if urls is None:
        return ()
    _silence_apprise()
    texts: list[str] = parse_urls(urls.get_secret_value())  # type: ignore[no-untyped-call]
    if not texts or len(texts) > SERVICES_MAX:
        raise ServiceError(f"ALERT_URLS: 1 to {SERVICES_MAX} URLs are wanted")
    return tuple(_service(place, text) for place, text in enumerate(texts, start=1))


def _service(place: int, url: str) -> AlertService:
    which = f"ALERT_URLS: the {ordinal(place)}"
    schema = url.partition("://")[0].lower()
    kind = _kind(schema)
    name = str(kind.service_name) if kind else ""
    if schema in _NOT_AWAY:
        raise ServiceError(f"{which} ({name}) shows on this machine only: nobody away would see it")
    plugin = _plugin(url)
    if plugin is None and kind is None:
        raise ServiceError(f"{which} is no service that apprise knows")
    if plugin is None:
        why = "has something missing or malformed" if kind.enabled else "needs another package"
        raise ServiceError(f"{which} ({name}) {why}: see {kind.setup_url}")
    name = str(plugin.service_name)
    if plugin.schema == "tgram" and not _targets(plugin):
        raise ServiceError(
            f"{which} ({name}) names no chat: tgram://TOKEN/CHAT_ID is wanted; else whoever writes"
            " to the bot first would get your alerts"
        )
    return AlertService(place, name, SecretStr(url))


def telegram_bots(services: tuple[AlertService, ...]) -> tuple[TelegramBot, ...]:
    """The Telegram bots among them that may be asked by somebody: a channel's name is nobody."""
    chats: dict[str, set[int]] = {}
    for service in services:
        plugin = _plugin(service.url.get_secret_value())
        if plugin is not None and plugin.schema == "tgram":
            numbers = {chat for chat, _ in _targets(plugin) if isinstance(chat, int)}
            chats.setdefault(str(getattr(plugin, "bot_token", "")), set()).update(numbers)
    return tuple(
        TelegramBot(SecretStr(token), frozenset(ids)) for token, ids in chats.items() if ids
    )


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th ..."""
    teen = 10 < number % 100 < 14
    return f"{number}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def _targets(plugin: NotifyBase) -> list[tuple[int | str, int | None]]:
    return list(getattr(plugin, "targets", []))


def _kind(schema: str) -> Any:
    from apprise.manager_plugins import NotificationManager  # noqa: PLC0415 - see `services_in`

    known: Any = NotificationManager()  # type: ignore[no-untyped-call]
    return known[schema] if schema in known else None  # noqa: SIM401 - it is no dict


def _plugin(url: str) -> NotifyBase | None:
    from apprise import Apprise  # noqa: PLC0415 - see `services_in`

    return Apprise.instantiate(url, asset=_asset())


def _asset() -> AppriseAsset:
    from apprise import AppriseAsset, PersistentStoreMode  # noqa: PLC0415 - see `services_in`

    return AppriseAsset(
        app_id="streaming-executor",
        app_desc="streaming-executor",
        app_url="",
        storage_mode=PersistentStoreMode.MEMORY,
        pgp_autogen=False,
        pem_autogen=False,
        http_redirects=False,
        async_mode=False,
        service_timeout=0,  # else it would send in a thread that the process's end waits for
        language="en",
    )
