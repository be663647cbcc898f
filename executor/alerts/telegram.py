"""What Telegram may ask: `/status` and `/halt`, from the chats that alerts go to; never resume.

1. Of other chats nothing is read, answered or written down; they are counted, and said once.
2. An update is confirmed to Telegram after it was executed, and its number is noted before that: a
   crash in between at worst halts again. A `/halt` is executed however late it comes (Telegram
   keeps it for a day): it errs on the safe side. A `/status` that is older than a minute is not
   answered.
3. The token is in the path of every URL: no error of the client's is shown, only its kind.
4. Whatever is not Telegram's answer, and 409 (another poller has the bot), 401 and 404 (the token
   is refused) and 429, is waited out.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

import aiohttp
import msgspec
import structlog

from executor.alerts.sending import AlertMetrics
from executor.alerts.services import TelegramBot

API: Final = "https://api.telegram.org"
POLL_S: Final = 25
ANSWER_S: Final = 10.0
BODY_BYTES_MAX: Final = 4_000_000
AT_ONCE_MAX: Final = 50
WAIT_MIN_S: Final = 2.0
WAIT_MAX_S: Final = 60.0
REFUSED_WAIT_S: Final = 300.0
LATE_S: Final = 60
REASON_MAX: Final = 200
TEXT_MAX: Final = 4_000
_COMMAND: Final = re.compile(r"/([a-z]+)(?:@\w+)?(?:\s+|$)", re.IGNORECASE)
_HELP: Final = "/status shows every account. /halt REASON stops all of them."
_RESUME: Final = "Trading is resumed at the machine only: executor resume"
_log = structlog.get_logger()


class Commands(Protocol):
    """What the commands do."""

    def status(self) -> str:
        """A few lines, of all accounts."""

    async def halt(self, reason: str) -> str:
        """Halt every account; returns when it is done, or not known, and says which."""


class _Chat(msgspec.Struct):
    id: int


class _Message(msgspec.Struct):
    chat: _Chat
    date: int = 0
    text: str = ""
    message_thread_id: int | None = None
    is_topic_message: bool = False


class _Parameters(msgspec.Struct, frozen=True):
    retry_after: float = 0.0


class _Reply(msgspec.Struct):
    ok: bool = False
    result: Any = None
    parameters: _Parameters = _Parameters()


class NoAnswerError(Exception):
    """Telegram did not do what it was asked; the text shows nothing of a URL."""

    def __init__(self, why: str, wait_s: float = 0.0) -> None:
        super().__init__(why)
        self.wait_s = wait_s


class TelegramCommands:
    """One bot's, until cancelled."""

    def __init__(
        self,
        bot: TelegramBot,
        commands: Commands,
        metrics: AlertMetrics,
        number: Callable[[str], int | None],
        note: Callable[[str, int], None],
        api: str = API,
    ) -> None:
        self._bot = bot
        self._commands = commands
        self._metrics = metrics
        self._base = f"{api}/bot{bot.token.get_secret_value()}"
        # The part before the colon is the bot's public id.
        self._name = f"telegram {bot.token.get_secret_value().partition(':')[0]}"
        self._done = number(self._name)
        self._note = note
        self._told = ""
        self._stranger_told = False

    async def run(self) -> None:
        """Poll until cancelled."""
        wait_s = 0.0
        async with aiohttp.ClientSession() as session:
            while True:
                try:
                    await self.poll(session)
                    wait_s, self._told = 0.0, ""
                except NoAnswerError as error:
                    wait_s = error.wait_s or min(max(2 * wait_s, WAIT_MIN_S), WAIT_MAX_S)
                    if str(error) != self._told:  # once, however long it goes on
                        self._told = str(error)
                        _log.warning("telegram_not_asked", bot=self._name, why=self._told)
                    await asyncio.sleep(wait_s)

    async def poll(self, session: aiohttp.ClientSession) -> None:
        """Wait for updates once, and execute them. Raises NoAnswerError."""
        asked: dict[str, Any] = {
            "timeout": POLL_S,
            "limit": AT_ONCE_MAX,
            "allowed_updates": ["message"],
        }
        if self._done is not None:
            asked["offset"] = self._done + 1
        updates = await self._call(session, "getUpdates", asked, POLL_S + ANSWER_S)
        if not isinstance(updates, list):
            raise NoAnswerError("its answer is not Telegram's")
        before = self._done
        for update in updates[: 2 * AT_ONCE_MAX]:
            await self._take(session, update)
        if updates and self._done == before:  # not one of them has a number: do not ask in a rush
            raise NoAnswerError("its answer is not Telegram's")

    async def _take(self, session: aiohttp.ClientSession, update: object) -> None:
        number = update.get("update_id") if isinstance(update, dict) else None
        if not isinstance(update, dict) or not isinstance(number, int):
            return
        if self._done is not None and number <= self._done:  # executed before a crash
            return
        try:
            message = msgspec.convert(update.get("message"), _Message)
        except msgspec.ValidationError:
            message = None
        if message is not None:
            await self._obey(session, message)
        self._done = number
        self._note(self._name, number)

    async def _obey(self, session: aiohttp.ClientSession, message: _Message) -> None:
        if message.chat.id not in self._bot.chats:
            self._metrics.commands.labels("stranger").inc()
            if not self._stranger_told:
                self._stranger_told = True
                _log.warning("telegram_stranger", bot=self._name)
            return
        found = _COMMAND.match(message.text)
        command = found[1].lower() if found else ""
        late_s = time.time() - message.date
        known = command if command in ("halt", "status", "resume") else "other"
        self._metrics.commands.labels(known).inc()
        if command == "halt":
            reason = halt_reason_of(message.text[found.end() :] if found else "")
            _log.warning("telegram_halt", bot=self._name, late_s=round(max(0.0, late_s)))
            answer = await self._commands.halt(reason)
        elif late_s > LATE_S:
            return
        elif command == "status":
            answer = self._commands.status()
        else:
            answer = _RESUME if command == "resume" else _HELP
        await self._answer(session, message, answer)

    async def _answer(self, session: aiohttp.ClientSession, message: _Message, text: str) -> None:
        wanted: dict[str, Any] = {"chat_id": message.chat.id, "text": text[:TEXT_MAX]}
        if message.is_topic_message and message.message_thread_id is not None:
            wanted["message_thread_id"] = message.message_thread_id
        try:
            await self._call(session, "sendMessage", wanted, ANSWER_S)
        except NoAnswerError as error:  # what was asked is done; a halt is an alert besides
            _log.warning("telegram_not_answered", bot=self._name, why=str(error))

    async def _call(
        self, session: aiohttp.ClientSession, method: str, wanted: object, timeout_s: float
    ) -> Any:
        try:
            async with (
                asyncio.timeout(timeout_s),
                session.post(
                    f"{self._base}/{method}", json=wanted, allow_redirects=False
                ) as answer,
            ):
                body = bytearray()
                while more := await answer.content.read(65_536):
                    body += more
                    if len(body) > BODY_BYTES_MAX:
                        raise NoAnswerError("its answer is longer than any of Telegram's")
                status = answer.status
        except TimeoutError:
            raise NoAnswerError(f"no answer within {timeout_s:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NoAnswerError(f"not reached ({type(error).__name__})") from None
        try:
            reply = msgspec.json.decode(bytes(body), type=_Reply)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise NoAnswerError(f"HTTP {status}, and no answer of Telegram's") from None
        if status == 200 and reply.ok:
            return reply.result
        if status in (401, 404):
            raise NoAnswerError(f"HTTP {status}: the bot's token is refused", REFUSED_WAIT_S)
        if status == 409:
            raise NoAnswerError("HTTP 409: somebody else asks for this bot's messages", WAIT_MAX_S)
        wait_s = min(max(reply.parameters.retry_after, 0.0), REFUSED_WAIT_S)
        raise NoAnswerError(f"HTTP {status}", wait_s)


def halt_reason_of(text: str) -> str:
    """Any text as a reason: a halt is never refused because of how it is written."""
    plain = "".join(char if char.isprintable() else " " for char in text)
    said = " ".join(plain.split())[:REASON_MAX].strip()
    return f"Telegram: {said}" if said else "Telegram, without a reason"
