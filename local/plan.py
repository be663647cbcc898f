"""What a system on one machine is to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from local.data_folder import DataFolder


@dataclass(frozen=True, kw_only=True)
class VenueUrls:
    """Where the venue is."""

    clob: str
    gamma: str
    market_ws: str
    user_ws: str

    @property
    def origin(self) -> str:
        """Scheme, host and port of the CLOB."""
        parts = urlsplit(self.clob)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


@dataclass(frozen=True, kw_only=True)
class SystemPlan:
    """What `local.system.run_system` runs."""

    data: DataFolder
    execution: Literal["paper", "live"]
    variables: Mapping[str, str] = field(repr=False)
    """The person's, by name, checked already; live, the API credentials among them. Which process
    reads which of them is decided here."""
    venue: VenueUrls
    workers: int = 1
    console_port: int | None = 8765
    """None: no console."""
    recording_bytes_max: int = 5_000_000_000
    """0: no recording."""
