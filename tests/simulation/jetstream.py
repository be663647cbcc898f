"""A simulated nats-server with JetStream, and nats-py's own client talking to it without a socket.

`SimClient` is `nats.aio.client.Client` with the wire taken out: requests, inboxes, subscriptions,
`JetStreamContext`, `fetch` and `ack` are nats-py's code. What a client sends waits in its process
until the next step (nats-py's flusher), travels for some virtual time, and is handled in the
server's process; answers come back the same way. So a killed client has sent what it had flushed,
and a paused one finds its messages when it goes on.

Modelled: core subjects with wildcards and "no responders"; memory and file streams, message ids,
`max_age`, `max_msgs_per_subject`; durable pull consumers shared by clients, which acknowledge
nothing, or each message (with `ack_wait`, `max_ack_pending`, nak, term); pulls with batch, expiry
and `no_wait`; connections that break and come back; a server that restarts (memory is lost, files
are not, pulls are forgotten).

Not modelled: push consumers, one ack for many, other retention and discard policies, `max_bytes`,
`max_deliver`, back-off, flow control, clusters, queue groups, drain, per-message TTL. What is not
modelled and is asked for raises in the server (see `Simulation.errors`). An ack names a stream
sequence only, so a late one may acknowledge another message after a stream was made anew, as with a
real server.
"""

from __future__ import annotations

import json
from typing import Any

from tests.simulation.loop import Simulation
from tests.simulation.nats_client import Connection, NatsFaults, SimClient
from tests.simulation.streams import (
    Consumer,
    Pending,
    Pull,
    Stream,
    matches,
    stream_config,
    stream_info,
)

__all__ = ["NatsFaults", "SimClient", "SimNats", "matches"]


class SimNats:
    """The server. `client()` makes clients; `restart` and `disconnect` make trouble."""

    def __init__(self, sim: Simulation, faults: NatsFaults | None = None) -> None:
        self.sim = sim
        self.faults = faults or NatsFaults()
        self.rng = sim.random("nats")
        self.process = sim.process("nats")
        self.up = True
        self.streams: dict[str, Stream] = {}
        self.connections: list[Connection] = []
        self._by_pattern: dict[str, list[tuple[Connection, int]]] = {}
        """Subscriptions to a plain subject or to `parent.*`: inboxes, nearly all there are."""
        self._by_wildcard: list[tuple[str, Connection, int]] = []

    def client(self, name: str = "client") -> SimClient:
        """A client that is not connected yet; it belongs to the process that connects it.

        `partial(server.client, name)` may stand in for nats-py's `Client`.
        """
        return SimClient(self, name)

    async def connect(self, name: str = "client") -> SimClient:
        """A connected client of the calling process."""
        client = self.client(name)
        await client.connect("nats://simulated", name=name)
        return client

    # -- trouble ---------------------------------------------------------------------------------

    def disconnect(self, client: SimClient, for_s: float) -> None:
        """Break the client's connection; it finds its way back after `for_s` at the earliest."""
        self.sim.record("nats-disconnect", client.name)
        client.unreachable_until_ns = self.sim.loop.now_ns + int(for_s * 1e9)
        if client.connection is not None:
            self.drop(client.connection)

    def restart(self, down_s: float) -> None:
        """Kill the server now and start it again after `down_s`."""
        self.stop()
        self.sim.loop.root.call_later(down_s, self.start)

    def stop(self) -> None:
        """SIGKILL: what is in memory is lost."""
        self.sim.record("nats-stop")
        self.up = False
        self.process.kill()
        self.streams = {name: each for name, each in self.streams.items() if not each.memory}
        for stream in self.streams.values():
            kept = {k: c for k, c in stream.consumers.items() if not c.config.get("mem_storage")}
            stream.consumers = kept
            for consumer in kept.values():
                consumer.pulls.clear()
                consumer.timer = None
        for connection in tuple(self.connections):
            self.drop(connection)

    def start(self) -> None:
        """Up again, with what was in files; every unacknowledged message waits anew."""
        if self.up:
            return
        self.sim.record("nats-start")
        self.up = True
        self.process = self.sim.process("nats")
        now_ns = self.sim.time_ns()
        for stream in self.streams.values():
            for consumer in stream.consumers.values():
                for pending in consumer.pending.values():
                    pending.deadline_ns = now_ns + consumer.ack_wait_ns
                self._arm(consumer)

    def accept(self, client: SimClient) -> Connection:
        """Raises ConnectionRefusedError when the server is down or the client cut off."""
        if not self.up or self.sim.loop.now_ns < client.unreachable_until_ns:
            raise ConnectionRefusedError("no nats-server there")
        connection = Connection(self, client)
        self.connections.append(connection)
        # The kernel still sends what the dead process had written, then closes.
        client.process.at_death(lambda: connection.up(("close",)))
        return connection

    def drop(self, connection: Connection) -> None:
        """Both ends see the connection's end; what is under way on it is lost."""
        if connection.alive:
            connection.alive = False
            self.connections.remove(connection)
            for sid in tuple(connection.subjects):
                self._unsubscribe(connection, sid)
            connection.client.process.call_soon(connection.client.lost, connection)

    # -- what clients send -----------------------------------------------------------------------

    def receive(self, connection: Connection, command: tuple[Any, ...]) -> None:
        """One command, in the server's process."""
        if not connection.alive:
            return
        kind, *args = command
        if kind == "pub":
            self._publish(connection, *args)
        elif kind == "sub":
            self._subscribe(connection, *args)
        elif kind == "unsub":
            self._unsubscribe(connection, *args)
        elif kind == "close":
            self.drop(connection)

    def _publish(
        self,
        connection: Connection,
        subject: str,
        reply: str,
        data: bytes,
        headers: dict[str, str] | None,
    ) -> None:
        if subject.startswith("$JS.ACK."):
            self._ack(subject, data)
            return
        if subject.startswith("$JS.API."):
            self._request(connection, subject[8:], reply, data)
            return
        heard = False
        for to, sid in self._listeners(subject):
            to.down(sid, subject, reply, data, headers)
            heard = True
        for stream in self.streams.values():
            if any(matches(each, subject) for each in stream.config["subjects"]):
                self._capture(stream, subject, reply, data, headers)
                heard = True
        if not heard and reply:
            self._no_responders(connection, reply)

    def _subscribe(self, connection: Connection, sid: int, pattern: str) -> None:
        self._unsubscribe(connection, sid)
        connection.subjects[sid] = pattern
        if "*" in pattern.removesuffix(".*") or ">" in pattern:
            self._by_wildcard.append((pattern, connection, sid))
        else:
            self._by_pattern.setdefault(pattern, []).append((connection, sid))

    def _unsubscribe(self, connection: Connection, sid: int) -> None:
        pattern = connection.subjects.pop(sid, None)
        if pattern in self._by_pattern:
            self._by_pattern[pattern].remove((connection, sid))
            if not self._by_pattern[pattern]:
                del self._by_pattern[pattern]
        elif pattern is not None:
            self._by_wildcard.remove((pattern, connection, sid))

    def _listeners(self, subject: str) -> list[tuple[Connection, int]]:
        parent = subject.rpartition(".")[0] + ".*"
        found = [*self._by_pattern.get(subject, ()), *self._by_pattern.get(parent, ())]
        found += [(to, sid) for pattern, to, sid in self._by_wildcard if matches(pattern, subject)]
        return found

    def _reply(self, reply: str, data: bytes, headers: dict[str, str] | None = None) -> None:
        for connection, sid in self._listeners(reply):
            connection.down(sid, reply, "", data, headers)

    def _answer(self, reply: str, answer: dict[str, Any]) -> None:
        self._reply(reply, json.dumps(answer).encode())

    def _status(self, reply: str, status: str, text: str, **headers: str) -> None:
        self._reply(reply, b"", {"Status": status, "Description": text, **headers})

    def _no_responders(self, connection: Connection, reply: str) -> None:
        for sid, pattern in connection.subjects.items():
            if matches(pattern, reply):
                connection.down(sid, reply, "", b"", {"Status": "503"})
                return

    def _capture(
        self, stream: Stream, subject: str, reply: str, data: bytes, headers: dict[str, str] | None
    ) -> None:
        stored, duplicate = stream.store(subject, data, headers, self.sim.time_ns())
        self.sim.record("nats-store", stream.name, stored.seq, subject, duplicate)
        if reply:
            ack = {"stream": stream.name, "seq": stored.seq}
            self._answer(reply, ack | ({"duplicate": True} if duplicate else {}))
        for consumer in stream.consumers.values():
            if not duplicate:
                self._hand_out(consumer)

    # -- consumers -------------------------------------------------------------------------------

    def _ack(self, subject: str, data: bytes) -> None:
        # $JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<time>.<pending>
        tokens = subject.split(".")
        stream = self.streams.get(tokens[2])
        consumer = stream.consumers.get(tokens[3]) if stream else None
        if consumer is None:
            return
        seq = int(tokens[5])
        if data in (b"", b"+ACK", b"+TERM"):
            consumer.redeliver.pop(seq, None)
            consumer.deliveries.pop(seq, None)
            if consumer.pending.pop(seq, None) is not None:
                self.sim.record("nats-ack", tokens[2], tokens[3], seq)
        elif seq in consumer.pending and data.startswith(b"-NAK"):
            del consumer.pending[seq]
            consumer.redeliver[seq] = None
        elif seq in consumer.pending and data == b"+WPI":
            pending = consumer.pending.pop(seq)
            pending.deadline_ns = self.sim.time_ns() + consumer.ack_wait_ns
            consumer.pending[seq] = pending
        self._hand_out(consumer)

    def _pull(self, consumer: Consumer, reply: str, request: dict[str, Any]) -> None:
        expires_ns = request.get("expires", 0)
        no_wait = bool(request.get("no_wait"))
        consumer.stream.expire(self.sim.time_ns())
        if no_wait and not expires_ns and not (consumer.available or consumer.redeliver):
            self._status(reply, "404", "No Messages")
            return
        pull = Pull(reply, request.get("batch", 1), no_wait)
        consumer.pulls.append(pull)
        if expires_ns:
            self.process.call_later(expires_ns / 1e9, self._expire_pull, consumer, pull)
        self._hand_out(consumer)

    def _expire_pull(self, consumer: Consumer, pull: Pull) -> None:
        if pull in consumer.pulls:
            consumer.pulls.remove(pull)
            left = {"Nats-Pending-Messages": str(pull.left), "Nats-Pending-Bytes": "0"}
            self._status(pull.reply, "408", "Request Timeout", **left)

    def _hand_out(self, consumer: Consumer) -> None:
        """Deliver as long as somebody asks, there is something, and not too much is out."""
        stream, pulls = consumer.stream, consumer.pulls
        now_ns = self.sim.time_ns()
        stream.expire(now_ns)
        most = consumer.config.get("max_ack_pending") or 1_000
        while pulls and (consumer.redeliver or consumer.available):
            pull = pulls[0]
            listeners = self._listeners(pull.reply)
            if not listeners:  # nobody is interested any more
                pulls.pop(0)
                continue
            listener = listeners[0]
            if consumer.redeliver:
                seq = next(iter(consumer.redeliver))
                del consumer.redeliver[seq]
            elif len(consumer.pending) < most:
                seq = next(iter(consumer.available))
                del consumer.available[seq]
            else:
                break
            stored = stream.messages[seq]
            consumer.consumer_seq += 1
            tries = 1
            if consumer.acknowledged:
                tries = consumer.deliveries[seq] = consumer.deliveries.get(seq, 0) + 1
                deadline_ns = now_ns + consumer.ack_wait_ns
                consumer.pending[seq] = Pending(deadline_ns, consumer.consumer_seq)
            pull.left -= 1
            pull.delivered += 1
            if pull.left == 0:
                pulls.pop(0)
            ack = (
                f"$JS.ACK.{stream.name}.{consumer.name}.{tries}.{seq}.{consumer.consumer_seq}"
                f".{stored.time_ns}.{len(consumer.available)}"
            )
            self.sim.record("nats-deliver", stream.name, consumer.name, seq, tries)
            listener[0].down(listener[1], stored.subject, ack, stored.data, stored.headers)
        if not (consumer.redeliver or consumer.available):
            for pull in [each for each in pulls if each.no_wait and each.delivered]:
                pulls.remove(pull)  # a one-shot ends with what there was
                self._status(pull.reply, "404", "No Messages")
        self._arm(consumer)

    def _arm(self, consumer: Consumer) -> None:
        if consumer.timer is None and consumer.pending:
            first = next(iter(consumer.pending.values()))
            wait_s = max(0, first.deadline_ns - self.sim.time_ns()) / 1e9
            consumer.timer = self.process.call_later(wait_s, self._redeliver, consumer)

    def _redeliver(self, consumer: Consumer) -> None:
        consumer.timer = None
        now_ns = self.sim.time_ns()
        for seq in tuple(consumer.pending):
            if consumer.pending[seq].deadline_ns > now_ns:
                break
            del consumer.pending[seq]
            consumer.redeliver[seq] = None
        self._hand_out(consumer)

    # -- the API ---------------------------------------------------------------------------------

    def _request(self, connection: Connection, subject: str, reply: str, data: bytes) -> None:
        verb, _, rest = subject.partition(".")
        request = json.loads(data) if data else {}
        if subject.startswith("CONSUMER.MSG.NEXT."):
            stream_name, consumer_name = rest.split(".")[2:4]
            stream = self.streams.get(stream_name)
            consumer = stream.consumers.get(consumer_name) if stream else None
            if consumer is None:  # a consumer is what listens there
                self._no_responders(connection, reply)
            else:
                self._pull(consumer, reply, request)
            return
        action, _, where = rest.partition(".")
        if verb == "STREAM":
            answer = self._stream_api(action, where, request)
        elif verb == "CONSUMER":
            answer = self._consumer_api(action, where.split("."), request)
        else:
            raise NotImplementedError(f"JetStream API {subject}")
        self.sim.record("nats-api", subject, "error" in answer)
        self._answer(reply, answer)

    def _stream_api(self, action: str, name: str, request: dict[str, Any]) -> dict[str, Any]:
        stream = self.streams.get(name)
        if action == "CREATE":
            config = stream_config(request)
            if stream is None:
                stream = self.streams[name] = Stream(name, config)
            elif stream.config != config:
                return _error(
                    400, 10058, "stream name already in use with a different configuration"
                )
            return stream_info(stream)
        if stream is None:
            return _error(404, 10059, "stream not found")
        stream.expire(self.sim.time_ns())
        if action == "UPDATE":
            config = stream_config(request)
            for fixed in ("storage", "retention"):
                if config.get(fixed) != stream.config.get(fixed):
                    return _error(500, 10052, f"stream configuration update can not change {fixed}")
            stream.config = config
        elif action == "DELETE":
            del self.streams[name]
            return {"success": True}
        elif action != "INFO":
            raise NotImplementedError(f"JetStream API STREAM.{action}")
        return stream_info(stream)

    def _consumer_api(
        self, action: str, where: list[str], request: dict[str, Any]
    ) -> dict[str, Any]:
        if action == "DURABLE":  # CONSUMER.DURABLE.CREATE.<stream>.<consumer>
            action, where = "CREATE", where[1:]
        stream = self.streams.get(where[0])
        if stream is None:
            return _error(404, 10059, "stream not found")
        name = where[1]
        consumer = stream.consumers.get(name)
        if action == "CREATE":
            config = request["config"]
            if config.get("ack_policy") not in ("explicit", "none") or config.get(
                "deliver_subject"
            ):
                raise NotImplementedError(f"consumer {config}")
            if consumer is None:
                consumer = stream.consumers[name] = self._new_consumer(stream, name, config)
            elif consumer.config["ack_policy"] != config["ack_policy"]:
                return _error(500, 10012, "ack policy can not be updated")
            else:
                consumer.config = config
        elif consumer is None:
            return _error(404, 10014, "consumer not found")
        elif action == "DELETE":
            del stream.consumers[name]
            for pull in consumer.pulls:
                self._status(pull.reply, "409", "Consumer Deleted")
            consumer.pulls.clear()
            return {"success": True}
        elif action != "INFO":
            raise NotImplementedError(f"JetStream API CONSUMER.{action}")
        return {
            "name": name,
            "stream_name": stream.name,
            "config": consumer.config,
            "created": "2026-01-01T00:00:00Z",
            "num_ack_pending": len(consumer.pending),
            "num_pending": len(consumer.available),
            "num_waiting": len(consumer.pulls),
        }

    def _new_consumer(self, stream: Stream, name: str, config: dict[str, Any]) -> Consumer:
        consumer = Consumer(stream, name, config)
        stream.expire(self.sim.time_ns())
        policy = config.get("deliver_policy", "all")
        wanted = [each.seq for each in stream.messages.values() if consumer.wants(each.subject)]
        if policy == "last_per_subject":
            last = {stream.messages[seq].subject: seq for seq in wanted}
            wanted = sorted(last.values())
        elif policy == "new":
            wanted = []
        elif policy != "all":
            raise NotImplementedError(f"deliver policy {policy}")
        consumer.available = dict.fromkeys(wanted)
        return consumer


def _error(code: int, err_code: int, text: str) -> dict[str, Any]:
    return {"error": {"code": code, "err_code": err_code, "description": text}}
