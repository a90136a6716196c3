"""Routed: the devices that workloads' packets are routed to, where no load balancer sends them.

Journey: the daemon opens them before the data path, which reads and writes their packets, and closes them after it.
"""

from __future__ import annotations

from collections.abc import Sequence

from zcc.connector.plan import RoutedWay
from zcc.connector.settings import RoutedSettings
from zcc.doorway import Doorway

__all__ = ["Routed"]


class Routed:
    """A doorway for each."""

    def __init__(self, settings: Sequence[RoutedSettings]) -> None:
        self._ways = [(way, Doorway(way.doorway())) for way in settings]

    def open(self) -> tuple[RoutedWay, ...]:
        """Make the devices, and route to them what the settings say.

        Raises:
            DeviceError: the kernel refuses, with what to do; none is left.
        """
        try:
            return tuple(self._open(way, doorway) for way, doorway in self._ways)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove the devices and the routes to them; again is no error."""
        for _, doorway in self._ways:
            doorway.close()

    def _open(self, way: RoutedSettings, doorway: Doorway) -> RoutedWay:
        device = doorway.open()
        for interface in way.interfaces:
            doorway.take_from(interface)
        return RoutedWay(device, doorway.kind, way.endpoint)
