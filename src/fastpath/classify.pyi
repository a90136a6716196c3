from typing import final

import numpy as np
import numpy.typing as npt
from _typeshed import ReadableBuffer

from fastpath.batch import PacketBatch
from fastpath.criteria import Names, Networks, Services

WILDCARD_NAMESPACE: int

@final
class RuleSet:
    def __new__(
        cls,
        generation: int,
        *,
        actions: npt.NDArray[np.uint8],
        rule_of: npt.NDArray[np.int32],
        location: npt.NDArray[np.uint64],
        source: Networks,
        destination: Networks,
        service: Services,
        name: Names,
        spare_rows: int = 1024,
    ) -> RuleSet: ...
    @property
    def rules(self) -> int: ...
    @property
    def words(self) -> int: ...
    @property
    def generation(self) -> int: ...
    @property
    def actions(self) -> npt.NDArray[np.uint8]: ...
    @property
    def name_capacity(self) -> int: ...
    @property
    def spare_name_rows(self) -> int: ...
    def decide_batch(
        self,
        batch: PacketBatch,
        locations: npt.NDArray[np.uint32],
        name_ids: npt.NDArray[np.uint32],
        out: npt.NDArray[np.int32],
    ) -> int: ...
    def add_name_row(self, bitmap: npt.NDArray[np.uint64]) -> int: ...
    def bind_name(self, name_id: int, row: int) -> None: ...

@final
class NameTable:
    def __new__(cls, capacity: int, seed: ReadableBuffer | None = None) -> NameTable: ...
    @property
    def capacity(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def replaced(self) -> int: ...
    def lookup(self, namespace: int, address: ReadableBuffer, now_ns: int) -> int: ...
    def insert(self, namespace: int, address: ReadableBuffer, name_id: int, expires_ns: int) -> None: ...
    def remove(self, namespace: int, address: ReadableBuffer) -> bool: ...
