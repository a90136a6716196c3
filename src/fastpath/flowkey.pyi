from ipaddress import IPv4Address, IPv6Address
from typing import final

from _typeshed import ReadableBuffer

from fastpath.batch import PacketBatch

@final
class Secret:
    def __new__(cls, seed: ReadableBuffer) -> Secret: ...

def build_batch(batch: PacketBatch, secret: Secret) -> int: ...
def make_key(
    source: IPv4Address | IPv6Address | str,
    destination: IPv4Address | IPv6Address | str,
    *,
    protocol: int,
    source_port: int = 0,
    destination_port: int = 0,
    namespace: int = 0,
) -> tuple[bytes, int]: ...
def key_hash(key: ReadableBuffer, secret: Secret) -> int: ...
def toeplitz(key: ReadableBuffer, data: ReadableBuffer) -> int: ...
def symmetric_toeplitz(data: ReadableBuffer) -> int: ...
