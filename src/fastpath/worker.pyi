from collections.abc import Callable
from typing import Any, final

from fastpath.admission import Admission
from fastpath.batch import PacketBatch
from fastpath.dnslistener import DnsListener
from fastpath.egress import Egress
from fastpath.endpoint import EndpointMap
from fastpath.flowmarks import FlowMarks
from fastpath.ingress import Ingress
from fastpath.kernelflows import KernelFlows
from fastpath.packetio import Device, GenevePort
from fastpath.returns import Returns
from fastpath.ring import Ring
from fastpath.shard import Shard
from fastpath.watch import Watch

@final
class Worker:
    def __new__(
        cls,
        geneve: GenevePort,
        device: Device | None,
        endpoints: EndpointMap,
        admission: Admission,
        commands: Ring,
        batch: PacketBatch | None = None,
        kernel_flows: KernelFlows | None = None,
        words: Ring | None = None,
        shard: Shard | None = None,
        marks: FlowMarks | None = None,
    ) -> Worker: ...
    @property
    def geneve(self) -> GenevePort: ...
    @property
    def device(self) -> Device | None: ...
    @property
    def endpoints(self) -> EndpointMap: ...
    @property
    def admission(self) -> Admission: ...
    @property
    def egress(self) -> Egress: ...
    @property
    def ingress(self) -> Ingress: ...
    @property
    def returns(self) -> Returns: ...
    @property
    def watch(self) -> Watch: ...
    @property
    def commands(self) -> Ring: ...
    @property
    def shard(self) -> Shard | None: ...
    @property
    def listener(self) -> DnsListener | None: ...
    def listen(self, listener: DnsListener) -> None: ...
    def run(self) -> None: ...
    def step(self, now_ns: int) -> None: ...
    def stop(self) -> None: ...
    def exchange(self, call: Callable[[], object]) -> bool: ...
    def counters(self) -> dict[str, Any]: ...
