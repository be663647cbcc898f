from __future__ import annotations

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
