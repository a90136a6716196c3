from typing import final

import numpy as np
import numpy.typing as npt

from fastpath.clauseorder import BitOrder
from fastpath.criteria import Countries, Criteria
from fastpath.workloads import Workloads

@final
class RuleTables:
    def __new__(
        cls,
        criteria: Criteria,
        order: BitOrder,
        countries: Countries | None,
        workloads: Workloads | None,
        names: bytes,
        name_categories: npt.NDArray[np.uint32],
        capacity: int,
    ) -> RuleTables: ...
    @property
    def nbytes(self) -> int: ...
