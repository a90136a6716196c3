from typing import final

from fastpath.admission import Admission
from fastpath.egress import Egress

@final
class Returns:
    def __new__(cls, admission: Admission, egress: Egress) -> Returns: ...
    @property
    def admission(self) -> Admission: ...
    @property
    def egress(self) -> Egress: ...
