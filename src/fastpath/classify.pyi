from typing import final

import numpy as np
import numpy.typing as npt

from fastpath.batch import PacketBatch
from fastpath.criteria import Countries, Criteria
from fastpath.workloads import Workloads

@final
class RuleSet:
    def __new__(
        cls,
        generation: int,
        *,
        actions: npt.NDArray[np.uint8],
        rule_of: npt.NDArray[np.int32],
        criteria: Criteria,
        countries: Countries | None = None,
        workloads: Workloads | None = None,
        names: bytes = b"",
        name_categories: npt.NDArray[np.uint32] | None = None,
        name_capacity: int = 1,
        gateways: npt.NDArray[np.uint16] | None = None,
        opens: npt.NDArray[np.uint8] | None = None,
        watched: bytes = b"",
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
    def gateways(self) -> npt.NDArray[np.uint16]: ...
    @property
    def opens(self) -> npt.NDArray[np.uint8]: ...
    @property
    def watched(self) -> bytes: ...
    @property
    def name_capacity(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    def decide_batch(
        self,
        batch: PacketBatch,
        locations: npt.NDArray[np.uint32],
        name_ids: npt.NDArray[np.uint32],
        out: npt.NDArray[np.int32],
        now_ns: int = 0,
    ) -> int: ...
    def bind_name(self, name_id: int, name: str, categories: int = ...) -> None: ...
    def likeness(self, name: str) -> int: ...
    def speaks_of(self, name: str) -> bool: ...
