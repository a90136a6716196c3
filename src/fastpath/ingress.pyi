from typing import final

from fastpath.admission import Admission
from fastpath.batch import PacketBatch
from fastpath.egress import Egress
from fastpath.endpoint import EndpointMap
from fastpath.shard import Shard
from fastpath.watch import Watch

@final
class Ingress:
    def __new__(
        cls,
        endpoints: EndpointMap,
        admission: Admission,
        egress: Egress,
        watch: Watch | None = None,
        shard: Shard | None = None,
    ) -> Ingress: ...
    @property
    def endpoints(self) -> EndpointMap: ...
    @property
    def admission(self) -> Admission: ...
    @property
    def egress(self) -> Egress: ...
    @property
    def watch(self) -> Watch: ...
    @property
    def shard(self) -> Shard | None: ...
    def walk_batch(self, batch: PacketBatch, now_ns: int) -> int: ...
    def place_batch(self, batch: PacketBatch) -> int: ...
    def decide_batch(self, batch: PacketBatch, now_ns: int) -> int: ...
