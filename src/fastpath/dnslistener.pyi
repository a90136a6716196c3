from typing import final

from fastpath.admission import Admission
from fastpath.packetio import UdpSocket

@final
class DnsListener:
    def __new__(cls, socket: UdpSocket, admission: Admission, namespace: int, location: int) -> DnsListener: ...
    @property
    def socket(self) -> UdpSocket: ...
    @property
    def namespace(self) -> int: ...
    @property
    def location(self) -> int: ...
