from __future__ import annotations

from tests.support.user_channel_frames import CREDENTIALS
from venue.wire import subscriptions


def test_the_market_channels_messages_name_tokens_in_one_order() -> None:
    tokens = {"2", "1", "3"}
    assert subscriptions.market_channel(tokens) == '{"type":"market","assets_ids":["1","2","3"]}'
    assert subscriptions.subscribe({"5"}) == '{"operation":"subscribe","assets_ids":["5"]}'
    assert subscriptions.unsubscribe({"5"}) == '{"operation":"unsubscribe","assets_ids":["5"]}'


def test_the_user_channels_first_frame_asks_for_every_market() -> None:
    assert subscriptions.user_channel(CREDENTIALS) == (
        f'{{"type":"user","auth":{{"apiKey":"{CREDENTIALS.key}","secret":"{CREDENTIALS.secret}",'
        f'"passphrase":"{CREDENTIALS.passphrase}"}}}}'
    )
