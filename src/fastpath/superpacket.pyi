from _typeshed import ReadableBuffer

from fastpath.batch import PacketBatch

def cut_one(header: ReadableBuffer, packet: ReadableBuffer, batch: PacketBatch) -> int: ...
