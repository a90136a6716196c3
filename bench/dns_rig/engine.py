"""The engine under test: a worker with one owned name, asked through GWLB by a back end, and at a DNS listener.

Run as a program: `engine KIND PORT CORE`; it ends with its input.
"""

from __future__ import annotations

import json
import os
import sys
import time
from ipaddress import IPv4Address

from bench.gwlb_rig.engine import made, serve
from fastpath.dnslistener import DnsListener
from fastpath.packetio import UdpSocket

WIRE = b"\6portal\4corp\7example\0"
ADDRESS = IPv4Address("10.254.0.7")


def main() -> None:
    """engine KIND PORT CORE"""
    os.sched_setaffinity(0, {int(sys.argv[3])})
    worker = made(sys.argv[1])
    worker.admission.owned.learn_one(1, WIRE, ADDRESS, 60, time.monotonic_ns() + 10**12)
    worker.listen(DnsListener(UdpSocket.bind("127.0.0.1", int(sys.argv[2])), worker.admission, 1, 0))
    serve(worker)
    counts = worker.counters()
    print(json.dumps({name: counts[name] for name in ("dns_answered", "dns_unrecorded", "loops")}), flush=True)


if __name__ == "__main__":
    main()
