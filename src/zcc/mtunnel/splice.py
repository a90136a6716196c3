"""Two streams joined: what one reads the other writes, both ways, until both have finished.

Journey: the private edge joins two microtunnel streams, the connector and the app connector one and a socket.
Back-pressure is that of the streams; one side's finish finishes the other and nothing more; a reset on either
resets both. Bytes are not looked at.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["Duplex", "SpliceCount", "splice"]


class Duplex(Protocol):
    """What can be spliced."""

    async def read(self) -> bytes:
        """Return the next octets; b"" = the other end finished. Raises ConnectionError when it is gone."""
        ...

    async def write(self, data: bytes) -> None:
        """Send all. Raises ConnectionError when it is gone."""
        ...

    async def finish(self) -> None:
        """Close the writing direction only."""
        ...

    def reset(self) -> None:
        """End both directions at once."""
        ...


@dataclass(slots=True)
class SpliceCount:
    """Octets so far, readable while the splice runs: [from the first to the second, and back]."""

    octets: list[int] = field(default_factory=lambda: [0, 0])
    reason: str = ""  # valid when it ended: "" = both sides finished, else why it was cut


async def splice(first: Duplex, second: Duplex, count: SpliceCount) -> None:
    """Copy both ways until both sides have finished or one is gone; then neither is open.

    Args:
        count: written as octets pass; its reason says how it ended.

    Cancelling resets both sides.
    """
    clean = False
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_copy(first, second, count, 0))
            group.create_task(_copy(second, first, count, 1))
        clean = True
    except* ConnectionError as errors:
        count.reason = str(errors.exceptions[0]) or "connection lost"
    finally:
        if not clean:
            count.reason = count.reason or "cancelled"
            first.reset()
            second.reset()


async def _copy(source: Duplex, sink: Duplex, count: SpliceCount, way: int) -> None:
    while data := await source.read():
        await sink.write(data)
        count.octets[way] += len(data)
    await sink.finish()
