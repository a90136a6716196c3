import enum

from fastpath.batch import PacketBatch

class Refusal(enum.IntEnum):
    REFUSAL_PROHIBITED = 0
    REFUSAL_TOO_BIG = 1
    REFUSAL_EXPIRED = 2

def refuse_one(batch: PacketBatch, row_number: int, refusal: int, mtu: int = 0, speaker: bytes | None = None) -> bool: ...
