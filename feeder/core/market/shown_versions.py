"""What was offered and shown of a market, and whether a line's view may be shown after that.

A view may be shown while both its books are proven, neither is a placeholder, and neither is from
before what was shown of its token.
"""

from __future__ import annotations

from typing import Final

from feeder.core.book.token_book import NOT_PROVEN
from feeder.core.book.version_order import NO_BOOK, VersionOrder
from feeder.core.market.line_view import LineView, Versions, same_versions

_NO_BOOKS: Final = (NO_BOOK, NO_BOOK)


class ShownVersions:
    """Of one market's two books."""

    __slots__ = ("_offered", "_order", "_tokens", "shown")

    def __init__(self, tokens: tuple[str, str], order: VersionOrder) -> None:
        self._tokens = tokens
        self._order = order
        self.shown: Versions = _NO_BOOKS
        """Of both books in the last snapshot that had any."""
        self._offered: Versions = _NO_BOOKS
        """The newest that was offered; forgotten when it could not be shown after all."""

    def may_show(self, view: LineView) -> bool:
        """Whether its books may be shown."""
        one, other = view.pair
        return (
            one.proof is not NOT_PROVEN
            and other.proof is not NOT_PROVEN
            and not self.older(view.versions, self.shown)
            and not (one.sides.is_placeholder or other.sides.is_placeholder)
        )

    def offer(self, view: LineView) -> list[str] | None:
        """Offer it if it shows something newer than was offered before: the tokens that have
        changed. None if it does not."""
        versions, offered = view.versions, self._offered
        one, other = versions
        # Without a hash nobody knows whether it is the same version or another.
        if one.hash and other.hash and same_versions(versions, offered):
            return None  # what the second line brings, nearly always
        if not self.may_show(view) or (offered is not self.shown and self.older(versions, offered)):
            return None
        self._offered = versions
        pairs = zip(self._tokens, versions, offered, strict=True)
        return [token for token, version, before in pairs if not version.same_as(before)]

    def has_news(self, view: LineView) -> bool:
        """Whether it can show what was not shown last."""
        return self.may_show(view) and not same_versions(view.versions, self.shown)

    def show(self, view: LineView) -> None:
        """Its books are shown now."""
        self.shown = self._offered = view.versions

    def show_nothing(self) -> None:
        """No view can be shown: what comes next is to be offered, also if it was shown before."""
        self._offered = _NO_BOOKS

    def older(self, one: Versions, other: Versions) -> bool:
        """Whether `one` is from before `other`, of any token."""
        first, second = one
        its_first, its_second = other
        if (
            first.timestamp_ms > its_first.timestamp_ms
            and second.timestamp_ms > its_second.timestamp_ms
        ):
            return False  # nearly always
        one_token, other_token = self._tokens
        older = self._order.older
        return older(one_token, first, its_first) or older(other_token, second, its_second)
