"""Frames that wait for the transport: data by reference, small frames joined, the peer's share bounded.

Journey: session puts frames in, transport takes them out; one thread. Pure.
"""

from __future__ import annotations

__all__ = ["JOIN_BYTES", "Buffer", "Outbox"]

Buffer = bytes | bytearray | memoryview

# Frames up to this size travel in one piece with their header; a copy is cheaper than a further TLS record.
JOIN_BYTES = 8 * 1024


class Outbox:
    """A queue of buffers in wire order."""

    __slots__ = ("_parts", "control", "pending")

    def __init__(self) -> None:
        self._parts: list[Buffer] = []
        self.control = 0  # octets of frames without payload
        self.pending = 0  # octets of all

    def put_control(self, frame: bytes) -> None:
        """Queue a frame without payload."""
        self._parts.append(frame)
        self.control += len(frame)
        self.pending += len(frame)

    def put_data(self, header: bytes, payload: Buffer) -> None:
        """Queue a header and its payload; a large payload is kept by reference."""
        self.pending += len(header) + len(payload)
        if len(payload) <= JOIN_BYTES:
            self._parts.append(header + payload)
        else:
            self._parts += (header, payload)

    def take(self) -> list[Buffer]:
        """Return what is queued, small neighbours joined, and forget it."""
        taken: list[Buffer] = []
        small: list[Buffer] = []
        for part in self._parts:
            if len(part) <= JOIN_BYTES:
                small.append(part)
                continue
            if small:
                taken.append(b"".join(small))
                small = []
            taken.append(part)
        if small:
            taken.append(b"".join(small))
        self._parts = []
        self.control = self.pending = 0
        return taken
