"""What a simulated nats-server keeps: streams, their messages, and their consumers. No I/O.

Part of `tests.simulation.jetstream`, which says what is modelled.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

DEFAULT_WINDOW_NS: Final = 120 * 10**9
DEFAULT_ACK_WAIT_NS: Final = 30 * 10**9


@dataclass(slots=True)
class Stored:
    """One message of a stream."""

    seq: int
    subject: str
    data: bytes
    headers: dict[str, str] | None
    time_ns: int


@dataclass(slots=True, eq=False)
class Pull:
    """A request for messages that is not answered in full."""

    reply: str
    left: int
    no_wait: bool
    delivered: int = 0


@dataclass(slots=True)
class Pending:
    """A message that is out."""

    deadline_ns: int
    consumer_seq: int


@dataclass
class Consumer:
    """A durable pull consumer: what it has still to hand out, and what is out."""

    stream: Stream
    name: str
    config: dict[str, Any]
    available: dict[int, None] = field(default_factory=dict)
    """Stream sequences never delivered, oldest first."""
    pending: dict[int, Pending] = field(default_factory=dict)
    """Delivered and not acknowledged, by stream sequence, next to expire first."""
    redeliver: dict[int, None] = field(default_factory=dict)
    deliveries: dict[int, int] = field(default_factory=dict)
    pulls: list[Pull] = field(default_factory=list)
    consumer_seq: int = 0
    timer: asyncio.TimerHandle | None = None

    @property
    def acknowledged(self) -> bool:
        return bool(self.config["ack_policy"] == "explicit")

    @property
    def ack_wait_ns(self) -> int:
        return self.config.get("ack_wait") or DEFAULT_ACK_WAIT_NS

    def wants(self, subject: str) -> bool:
        return matches(self.config.get("filter_subject") or ">", subject)

    def forget(self, seq: int) -> None:
        """The message is gone from the stream: it is never delivered again."""
        for each in (self.available, self.pending, self.redeliver, self.deliveries):
            each.pop(seq, None)  # type: ignore[attr-defined]


@dataclass
class Stream:
    """A stream's messages, its consumers, and the message ids it remembers."""

    name: str
    config: dict[str, Any]
    messages: dict[int, Stored] = field(default_factory=dict)
    by_subject: dict[str, dict[int, None]] = field(default_factory=dict)
    consumers: dict[str, Consumer] = field(default_factory=dict)
    ids: dict[str, Stored] = field(default_factory=dict)
    last_seq: int = 0

    @property
    def memory(self) -> bool:
        return bool(self.config.get("storage") == "memory")

    def remove(self, seq: int) -> None:
        stored = self.messages.pop(seq)
        same = self.by_subject[stored.subject]
        del same[seq]
        if not same:
            del self.by_subject[stored.subject]
        for consumer in self.consumers.values():
            consumer.forget(seq)

    def expire(self, now_ns: int) -> None:
        """Messages older than `max_age`, and ids older than the window."""
        max_age_ns = self.config.get("max_age") or 0
        while max_age_ns and self.messages:
            oldest = next(iter(self.messages.values()))
            if oldest.time_ns + max_age_ns > now_ns:
                break
            self.remove(oldest.seq)
        window_ns = self.config["duplicate_window"]
        while self.ids:
            key, stored = next(iter(self.ids.items()))
            if stored.time_ns + window_ns > now_ns:
                break
            del self.ids[key]

    def store(
        self, subject: str, data: bytes, headers: dict[str, str] | None, now_ns: int
    ) -> tuple[Stored, bool]:
        """(the message, whether it had been stored before under the same id)."""
        self.expire(now_ns)
        message_id = headers.get("Nats-Msg-Id") if headers else None
        if message_id is not None and message_id in self.ids:
            return self.ids[message_id], True
        self.last_seq += 1
        stored = Stored(self.last_seq, subject, data, headers, now_ns)
        self.messages[stored.seq] = stored
        same = self.by_subject.setdefault(subject, {})
        same[stored.seq] = None
        if message_id is not None:
            self.ids[message_id] = stored
        for consumer in self.consumers.values():
            if consumer.wants(subject):
                consumer.available[stored.seq] = None
        most = self.config.get("max_msgs_per_subject") or -1
        if 0 < most < len(same):
            self.remove(next(iter(same)))
        return stored, False


@lru_cache(maxsize=4096)
def matches(pattern: str, subject: str) -> bool:
    """NATS's wildcards: `*` is one token, a last `>` is one or more."""
    if pattern in (subject, ">"):
        return True
    if "*" not in pattern and ">" not in pattern:
        return False
    wanted, tokens = pattern.split("."), subject.split(".")
    for index, want in enumerate(wanted):
        if want == ">":
            return len(tokens) > index
        if index >= len(tokens) or want not in ("*", tokens[index]):
            return False
    return len(wanted) == len(tokens)


def stream_config(request: dict[str, Any]) -> dict[str, Any]:
    """What the server makes of a configuration that is asked for."""
    config = dict(request)
    if config.get("retention", "limits") != "limits" or config.get("discard", "old") != "old":
        raise NotImplementedError(f"stream {config}")
    if not config.get("duplicate_window"):
        max_age_ns = config.get("max_age") or DEFAULT_WINDOW_NS
        config["duplicate_window"] = min(DEFAULT_WINDOW_NS, max_age_ns)
    return config


def stream_info(stream: Stream) -> dict[str, Any]:
    """The API's answer about a stream."""
    return {
        "config": dict(stream.config),
        "created": "2026-01-01T00:00:00Z",
        "state": {
            "messages": len(stream.messages),
            "bytes": sum(len(each.data) for each in stream.messages.values()),
            "first_seq": next(iter(stream.messages), stream.last_seq + 1),
            "last_seq": stream.last_seq,
            "consumer_count": len(stream.consumers),
        },
    }
