"""`python -m zcc.lab.clients NAME …`: one client; prints what it saw and exits 0, whatever that was.

    half-close HOST PORT BYTES            send BYTES over TCP, finish, print the answer that comes afterwards
    datagrams HOST PORT [SOURCE-PORT]     send each line of standard input over UDP, print the answer or `-`
    connect HOST PORT                     print refused, timeout, unreachable or connected, and milliseconds
    tls HOST PORT ALPN CERTIFICATE KEY    offer a certificate, send a byte, print what the server does
    path-mtu HOST PORT BYTES              send a datagram that may not be fragmented; print the MTU the kernel learns
    garbage SEED                          hostile bytes to every open port of this host; print how many messages

HOST may be a name; it is looked up as any program would.
"""

import sys
from collections.abc import Sequence

from zcc.lab.clients import datagrams, garbage, path_mtu, streams


def main(words: Sequence[str]) -> None:
    """Run the client that `words` name."""
    match list(words):
        case ["half-close", host, port, size]:
            print(streams.half_close(host, int(port), int(size)))
        case ["datagrams", host, port, *source]:
            datagrams.talk(host, int(port), int(source[0]) if source else 0)
        case ["connect", host, port]:
            print(streams.connect(host, int(port)))
        case ["tls", host, port, alpn, certificate, key]:
            print(streams.offer_certificate(host, int(port), alpn, certificate, key))
        case ["path-mtu", host, port, size]:
            print(path_mtu.learn(host, int(port), int(size)))
        case ["garbage", seed]:
            print(garbage.throw(int(seed)))
        case _:
            sys.exit(__doc__)


main(sys.argv[1:])
