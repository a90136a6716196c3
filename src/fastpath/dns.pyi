import enum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from _typeshed import ReadableBuffer

from fastpath.batch import PacketBatch

class DnsError(enum.IntFlag):
    DNS_OK = 0
    DNS_SHORT = 1
    DNS_NOT_QUERY = 2
    DNS_OPCODE = 3
    DNS_QUESTIONS = 4
    DNS_NAME = 5
    DNS_RECORDS = 6

class QueryRecord(NamedTuple):
    id: int
    flags: int
    name: str
    type: int
    klass: int
    udp_size: int
    has_opt: bool
    dnssec_ok: bool
    edns_version: int

def read_batch(batch: PacketBatch, errors: npt.NDArray[np.uint8]) -> int: ...
def read_query(message: ReadableBuffer) -> QueryRecord | DnsError: ...
def build_answer(
    message: ReadableBuffer,
    *,
    rcode: int = 0,
    type: int = 0,
    data: ReadableBuffer = b"",
    ttl: int = 0,
    extended_error: int | None = None,
    text: str = "",
    limit: int | None = 1232,
) -> bytes: ...
def read_addresses(message: ReadableBuffer) -> list[tuple[tuple[str, ...], bytes, int]]: ...
