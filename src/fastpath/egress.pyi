from typing import final

from fastpath.admission import Admission
from fastpath.packetio import Device, GeneveSocket

@final
class Egress:
    def __new__(cls, geneve: GeneveSocket, device: Device, admission: Admission) -> Egress: ...
    @property
    def geneve(self) -> GeneveSocket: ...
    @property
    def device(self) -> Device: ...
    @property
    def admission(self) -> Admission: ...
