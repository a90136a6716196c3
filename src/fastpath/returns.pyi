from typing import final

from fastpath.admission import Admission
from fastpath.egress import Egress
from fastpath.shard import Shard

@final
class Returns:
    def __new__(cls, admission: Admission, egress: Egress, shard: Shard | None = None) -> Returns: ...
    @property
    def admission(self) -> Admission: ...
    @property
    def egress(self) -> Egress: ...
    @property
    def shard(self) -> Shard | None: ...
