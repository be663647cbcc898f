"""What a wallet's user connections get to hear, and what of it they do not.

At most one fault happens to an event: its connections are cut instead (it is lost with them), it
is lost alone, it comes later than those after it, or it comes twice.

An order that is killed is told, one that is refused before it reaches the book is not.
"""

from __future__ import annotations

import asyncio

from sandbox.simulator.fan_out import Subscriber
from sandbox.simulator.venue import Venue


def broadcast_to(venue: Venue, owner: str, condition_id: str, text: str) -> None:
    """Send one event to the connections of an API key, unless a fault is to happen to it."""
    listening = _listening(venue, owner, condition_id)
    if not listening:
        return
    faults, chance = venue.faults, venue.chance
    if chance.hit("user_cut", faults.user_cut):
        for connection in listening:
            connection.abort()
    elif chance.hit("user_lost", faults.user_lost):
        return
    elif chance.hit("user_reordered", faults.user_reordered):
        asyncio.get_running_loop().call_later(
            faults.user_reordered_ms / 1000, _send, venue, owner, condition_id, text
        )
    else:
        twice = chance.hit("user_duplicated", faults.user_duplicated)
        for _ in range(2 if twice else 1):
            _send(venue, owner, condition_id, text)


def _send(venue: Venue, owner: str, condition_id: str, text: str) -> None:
    for connection in _listening(venue, owner, condition_id):
        connection.send(text)


def _listening(venue: Venue, owner: str, condition_id: str) -> list[Subscriber]:
    # A user connection's `tokens` are the condition ids it asked for; none means all.
    return [
        connection
        for connection in venue.user_feed.connections
        if connection.owner == owner
        and (not connection.tokens or condition_id in connection.tokens)
    ]
