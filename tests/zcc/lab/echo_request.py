"""Send one ICMP echo request to argv[1] and exit 0 when its answer comes within three seconds. Raw sockets
need no `ping` program.
"""

import select
import socket
import struct
import sys


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def main(address: str, size: int) -> int:
    six = ":" in address
    request, answer = (128, 129) if six else (8, 0)
    body = struct.pack("!HH", 77, 1) + bytes(size)
    total = 0 if six else checksum(struct.pack("!BBH", request, 0, 0) + body)
    kind = (socket.AF_INET6, socket.IPPROTO_ICMPV6) if six else (socket.AF_INET, socket.IPPROTO_ICMP)
    with socket.socket(kind[0], socket.SOCK_RAW, kind[1]) as sock:
        sock.sendto(struct.pack("!BBH", request, 0, total) + body, (address, 0))
        while select.select([sock], [], [], 3)[0]:
            packet = sock.recv(65536)
            at = 0 if six else (packet[0] & 15) * 4
            if packet[at] == answer and packet[at + 4 : at + 6] == body[:2]:
                return 0
    return 1


sys.exit(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 8))
