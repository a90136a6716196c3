"""What the log says of a stream: the application's octets, not those with which the stream was opened."""

import asyncio
from ipaddress import IPv4Address

from tests.zcc.connector.fakes import FakeNames, FakeRecords, labels

from zcc.clock import ManualClock
from zcc.connector.opening import Opening
from zcc.connector.ports import TCP, FlowRecord


class Stream:
    """An open stream: the reply has come in, the request has gone out."""

    bytes_in, bytes_out = 52, 238


class Edge:
    edge = "10.0.3.10:443"

    async def open(self, request):
        return Stream()


def test_the_request_and_the_reply_are_not_counted():
    records, names = FakeRecords(), FakeNames()
    opening = Opening(Edge(), names, labels(names), records, ManualClock(), ("cc-1", "group"))
    flow = FlowRecord(1, 4, TCP, IPv4Address("10.8.6.4"), 1000, IPv4Address("10.254.0.2"), 80, 5, 0,
                      names.id_of("portal.corp.example"), 1)
    opened = asyncio.run(opening.open(flow, opening.request(flow)))
    opened.stream.bytes_in, opened.stream.bytes_out = 52 + 1000, 238 + 83
    opening.record_end(opened, "")
    (fields,) = records.sessions
    assert (fields["clt_tx_bytes"], fields["clt_rx_bytes"]) == (1000, 83)
