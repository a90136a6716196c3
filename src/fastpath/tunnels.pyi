from typing import final

from fastpath.dtls import Session
from fastpath.packetio import UdpSocket

@final
class Tunnels:
    def __new__(cls) -> Tunnels: ...
    def attach(self, slot: int, session: Session, socket: UdpSocket) -> None: ...
    def release(self, slot: int) -> None: ...
