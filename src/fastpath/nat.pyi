from typing import final

import numpy as np
import numpy.typing as npt

from fastpath.batch import PacketBatch
from fastpath.rewrite import DESTINATION as DESTINATION
from fastpath.rewrite import SOURCE as SOURCE
from fastpath.rewrite import decrement_ttl_one as decrement_ttl_one
from fastpath.rewrite import decrement_ttl_rows as decrement_ttl_rows
from fastpath.rewrite import rewrite_one as rewrite_one
from fastpath.rewrite import rewrite_rows as rewrite_rows

__all__ = ["DESTINATION", "SOURCE", "NatTable", "decrement_ttl_one", "decrement_ttl_rows", "rewrite_one", "rewrite_rows"]

@final
class NatTable:
    def __new__(cls, capacity: int, ports: tuple[int, int], seed: bytes) -> NatTable: ...
    @property
    def capacity(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def port_low(self) -> int: ...
    @property
    def port_high(self) -> int: ...
    @property
    def looked(self) -> int: ...
    def __len__(self) -> int: ...
    def bind_one(
        self, protocol: int, local: bytes, remote: bytes, remote_port: int, wanted: int, flow: int
    ) -> int | None: ...
    def find_one(self, protocol: int, local: bytes, port: int, remote: bytes, remote_port: int) -> int: ...
    def release_one(self, protocol: int, local: bytes, port: int, remote: bytes, remote_port: int) -> bool: ...
    # Outbound rows: binds (protocol, addresses[k]; destination, destination_port) to flows[k], wanting the row's own source
    # port; the port to ports[k]. Rows that find none are dropped (NAT_EXHAUSTED, NAT_PROTOCOL, NAT_FRAGMENT, NAT_FAMILY).
    # Returns how many were bound.
    def bind_rows(
        self,
        batch: PacketBatch,
        rows: npt.NDArray[np.uint16],
        addresses: npt.NDArray[np.uint8],
        flows: npt.NDArray[np.int32],
        ports: npt.NDArray[np.uint16],
    ) -> int: ...
    # Inbound rows: the flow bound to (protocol, destination, destination_port; source, source_port) to flows[k], -1 = none.
    # Drops nothing. Returns how many were found.
    def find_rows(
        self, batch: PacketBatch, rows: npt.NDArray[np.uint16], flows: npt.NDArray[np.int32]
    ) -> int: ...
