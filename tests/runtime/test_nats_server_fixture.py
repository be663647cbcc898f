from __future__ import annotations

import socket
import threading

import nats

from tests.support.servers import NatsServer


async def test_a_fresh_server_with_jetstream_answers_and_keeps_its_port_over_a_restart(
    nats_server: NatsServer,
) -> None:
    async def streams() -> int:
        client = await nats.connect(nats_server.url)
        try:
            return (await client.jetstream().account_info()).streams
        finally:
            await client.close()

    assert await streams() == 0
    url = nats_server.url
    nats_server.stop()
    nats_server.start()
    assert nats_server.url == url
    assert await streams() == 0


def test_a_port_that_somebody_holds_for_a_moment_is_waited_for(nats_server: NatsServer) -> None:
    url = nats_server.url
    nats_server.stop()
    holder = socket.create_server(("127.0.0.1", int(url.rpartition(":")[2])))
    threading.Timer(0.2, holder.close).start()
    nats_server.start()
    assert nats_server.url == url
