"""The versions of a configuration in memory: a part of `fake_ports.MemoryStore`."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, TypeVar

import msgspec

from functions.core.account import Account
from functions.core.configuration import ConfigurationRow

T = TypeVar("T")


class MemoryConfigurations:
    item: Account | None
    config_rows: dict[int, ConfigurationRow]
    """By version."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.config_rows = {}

    async def configuration(self) -> ConfigurationRow | None:
        await self._called("configuration")
        version = 0 if self.item is None else self.item.config_version or 0
        return self._told("configuration", self.config_rows[version] if version else None)

    async def configurations(self, limit: int) -> list[ConfigurationRow]:
        await self._called("configurations")
        return [self.config_rows[each] for each in sorted(self.config_rows, reverse=True)][:limit]

    async def set_configuration(self, row: ConfigurationRow, seen_version: int) -> bool:
        if row.version != seen_version + 1:
            raise ValueError(f"after version {seen_version} comes no version {row.version}")
        await self._called("set_configuration")
        in_force = None if self.item is None else self.item.config_version
        if self.item is None or in_force != seen_version or row.version in self.config_rows:
            return self.config_rows.get(row.version) == row
        self.config_rows[row.version] = row
        self.item = msgspec.structs.replace(self.item, config_version=row.version)
        return self._told("set_configuration", True)

    @abstractmethod
    async def _called(self, name: str) -> None: ...

    @abstractmethod
    def _told(self, name: str, reply: T) -> T: ...
