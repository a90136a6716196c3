from collections.abc import Sequence
from typing import final

from fastpath.packetio import Device, GenevePort

@final
class RoutedPort(GenevePort):
    def __new__(cls, ways: Sequence[tuple[Device, int]]) -> RoutedPort: ...
    @property
    def devices(self) -> tuple[Device, ...]: ...
