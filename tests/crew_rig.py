"""Two workers taken turn by turn beside one another, for tests; one clock, one load balancer, one kernel. See worker_rig."""

import select
from typing import Any

from fastpath import gwlb
from fastpath.action import Action
from fastpath.packetio import GeneveSocket
from fastpath.shard import shards
from worker_rig import INTERNAL, SERVICE, WorkerRig

WORKERS = 2


class CrewRig:
    """The workers; what is not told to one of them goes by the first one's rig.

    Args:
        steered: the kernel gives each worker its own packets; else one of them gets all that the load balancer sends.
    """

    def __init__(self, *, steered: bool = True, **rig: Any) -> None:
        self.shards = shards(WORKERS, ring_bytes=1 << 16, aliases=(INTERNAL[2], 32))
        workers = WORKERS if steered else 1
        ports = [GeneveSocket(SERVICE, 6081, reuse_port=True, workers=workers) for _ in range(WORKERS)]
        first = WorkerRig(crew=(self.shards[0], None), port=ports[0], **rig)
        self.first = first
        self.rigs = [first, WorkerRig(crew=(self.shards[1], first), port=ports[1], **rig)]

    def step(self, seconds: float = 0) -> None:
        """Take turns until nothing is handed over any more; the clock goes on before."""
        for _ in range(3):
            for rig in self.rigs:
                rig.step(seconds)
            seconds = 0

    def from_workload(self, *packets: bytes, **of: Any) -> None:
        """Have the load balancer send packets, one by one, each with turns over it."""
        for packet in packets:
            self.first.from_gwlb(header(packet, **of) + packet)
            self._arrived([rig.worker.geneve for rig in self.rigs])

    def from_kernel(self, *packets: bytes) -> None:
        """Have the kernel send packets."""
        for packet in packets:
            self.first.kernel_sends(packet)
            self._arrived([rig.worker.device for rig in self.rigs])

    def _arrived(self, ports: list[Any]) -> None:
        assert select.select(ports, [], [], 5)[0], "what was sent has not arrived"
        self.step()

    def packets(self, action: Action) -> list[tuple[int, int]]:
        """Count packets by an action, there and back, of each worker."""
        return [rig.packets(action) for rig in self.rigs]

    def drops(self) -> dict[str, int]:
        """Name what was dropped by any worker, and how many were handed over."""
        total: dict[str, int] = {}
        for rig in self.rigs:
            for reason, count in rig.drops().items():
                total[reason] = total.get(reason, 0) + count
        return total


def header(packet: bytes, endpoint: int = 0xAAA, cookie: int = 7) -> bytes:
    """The load balancer's header for a packet."""
    return gwlb.header(endpoint, 2, cookie, packet[0] >> 4)
