from typing import final

from fastpath.flowmarks import FlowMarks
from fastpath.kernelflows import KernelFlows
from fastpath.packetio import GenevePort, GeneveSocket
from fastpath.redirect import QUEUES as QUEUES
from fastpath.redirect import Redirect
from fastpath.xskqueue import XskQueue

TRIES: int
TRY_S: float

@final
class XskPort(GenevePort):
    def __new__(
        cls,
        address: str,
        port: int = 6081,
        *,
        zero_copy: bool = True,
        busy_poll_us: int = 0,
        kernel_flows: int = 0,
        marks: FlowMarks | None = None,
        worker: int = 0,
        workers: int = 1,
        first: XskPort | None = None,
    ) -> XskPort: ...
    @property
    def kernel(self) -> GeneveSocket: ...
    @property
    def flows(self) -> KernelFlows | None: ...
    @property
    def redirect(self) -> Redirect: ...
    @property
    def queues(self) -> list[XskQueue]: ...
    @property
    def mode(self) -> str: ...

def patiently(make: type[XskQueue], *args: int, **kwargs: int) -> XskQueue: ...
