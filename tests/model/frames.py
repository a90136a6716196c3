"""The slow, obvious frames: a bytes object that grows at its end and is cut at its beginning."""

from fastpath.action import DropReason
from fastpath.batch import HEADROOM_BYTES

ROOM = 3 * 32768


class Frames:
    """fastpath.frames.Frames."""

    def __init__(self):
        self._bytes = b""

    def feed(self, data):
        taken = bytes(data)[:ROOM - len(self._bytes)]
        self._bytes += taken
        return len(taken)

    def recv(self, batch):
        frames = []
        while len(frames) < batch.capacity and len(self._bytes) >= 2:
            size = int.from_bytes(self._bytes[:2], "big")
            if len(self._bytes) < 2 + size:
                break
            if size:
                frames.append(self._bytes[2:2 + size])
            self._bytes = self._bytes[2 + size:]
        room = batch.data.shape[1] - HEADROOM_BYTES
        batch.load([frame[:room] for frame in frames])
        for row, frame in enumerate(frames):
            batch.reason[row] = DropReason.DROP_IO_TRUNCATED if len(frame) > room else 0
        return len(frames)
