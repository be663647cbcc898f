"""What is needed of whoever makes and sends the orders; see ORDER_CLIENT in the configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from venue.trading.order_builder import BuiltOrder
from venue.wire.order_answer import HttpAnswer

PREPARE_TIMEOUT_S: Final = 1.0


class OrderClient(Protocol):
    """Makes BUYs and sends them. What it asks the venue is not bounded in time, but for `prepare`
    and `post`: they bound only what waits, and an order that is made here waits for nothing.

    Beside VenueError, each question raises what `official_client.FAILURES` names.
    """

    async def warm(self, token_ids: tuple[str, ...]) -> None:
        """Fetch anew what is to be known of the market of these tokens, and sign an order that is
        not sent: the first one is then as fast as the tenth."""

    async def prepare(
        self, token_id: str, *, spend_e6: int, max_price_e4: int, tick_e4: int
    ) -> BuiltOrder:
        """A signed FAK order: spend `spend_e6` (1e-6 USD), at most at `max_price_e4` (1e-4 USD).

        `tick_e4` is the tick that the price was chosen on. No request is made while the token is
        warm, unless what is known of its market does not allow the order. Raises OrderAmountError,
        and TimeoutError when what is asked takes longer than PREPARE_TIMEOUT_S.
        """

    async def post(self, order: BuiltOrder, timeout_s: float) -> HttpAnswer:
        """Send it once; the answer as it is, whatever its status.

        Raises NotSentError when no byte of it has left; after any other exception nobody knows,
        also when no answer came within `timeout_s`.
        """

    def rehearsal(self) -> Callable[[], object] | None:
        """What makes the bytes of a request for an order that no contract takes, in memory alone;
        None where that cannot be had without perhaps asking the venue."""

    def forget(self, token_ids: tuple[str, ...]) -> None:
        """Keep nothing of the market of these tokens."""

    async def keep_warm(self) -> bool:
        """Use what orders are sent on; whether the venue lets the account only close positions."""

    async def close(self) -> None:
        """Close the connections of its own."""
