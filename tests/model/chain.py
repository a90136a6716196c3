"""The whole way of a packet, the obvious way: the models of the stages one after the other, for flows that go LOCAL."""

import struct

from fastpath.action import Action, DropReason
from model import checksum, flowkey, flowtable, geneve, gwlb, packet


class Chain:
    """The tables; every destination is LOCAL."""

    def __init__(self, flows, seed, endpoints):
        self.flows, self.secret, self.endpoints = flowtable.FlowTable(flows), flowkey.Secret(seed), dict(endpoints)

    def walk(self, batch, now_ns, address, port):
        """All stages; rows alive."""
        geneve.decode_batch(batch)
        gwlb.decode_batch(batch)
        for i in range(batch.count):
            if batch.reason[i] == 0:
                self._place(batch, i)
        packet.parse_batch(batch)
        flowkey.build_batch(batch, self.secret)
        if self.flows.lookup_batch(batch):
            self.flows.insert_misses(batch, now_ns)
        self.flows.account_batch(batch, now_ns)
        for i in range(batch.count):
            if batch.reason[i] == 0:
                self._keep_header(batch, i)
                encode(batch, i, address, port)
        return batch.alive()

    def _place(self, batch, i):
        found = self.endpoints.get(int(batch.endpoint[i]))
        if found is None:
            batch.reason[i], batch.action[i] = DropReason.DROP_GWLB_ENDPOINT_UNKNOWN, 3
        else:
            batch.namespace[i] = found[0]

    def _keep_header(self, batch, i):
        path = self.flows.paths_view[batch.entry[i]]
        start, length = int(batch.geneve_start[i]), int(batch.geneve_length[i])
        self.flows.entries_view[batch.entry[i]]["action"] = Action.ACTION_LOCAL
        path["header_length"] = length
        path["header"][: min(length, 40)] = batch.data[i, start : start + min(length, 40)]
        path["peer_address"], path["peer_port"] = batch.peer_address[i], batch.peer_port[i]
        batch.action[i] = Action.ACTION_LOCAL


def encode(batch, i, address, port):
    """Outer headers in front of the frame: from address:peer_port to peer_address:port."""
    length = 28 + int(batch.length[i])
    header = struct.pack(">BBHHHBBHII", 0x45, 0, length, 0, 0x4000, 64, 17, 0, address, int(batch.peer_address[i]))
    header = header[:10] + checksum.checksum(header).to_bytes(2, "big") + header[12:]
    header += struct.pack(">HHHH", int(batch.peer_port[i]), port, length - 20, 0)
    batch.start[i] -= 28
    batch.length[i] = length
    start = int(batch.start[i])
    batch.data[i, start : start + 28] = list(header)
