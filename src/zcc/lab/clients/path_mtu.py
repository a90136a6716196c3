"""What the kernel learns of a path's MTU when a datagram is too large for it (RFC 1191, RFC 8201)."""

import contextlib
import socket
import time

_DISCOVER, _DISCOVER_6, _MTU, _MTU_6, _DO = 10, 23, 14, 24, 2     # linux/in.h, linux/in6.h
_PATIENCE_S = 3.0
_STEP_S = 0.1


def learn(host: str, port: int, size: int) -> str:
    """Send `size` octets that may not be fragmented until the kernel knows a smaller MTU; return what it knows then."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    level, discover, mtu = (
        (socket.IPPROTO_IPV6, _DISCOVER_6, _MTU_6) if family == socket.AF_INET6 else (socket.IPPROTO_IP, _DISCOVER, _MTU)
    )
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(level, discover, _DO)
        sock.connect((host, port))
        first = known = sock.getsockopt(level, mtu)
        deadline = time.monotonic() + _PATIENCE_S
        while known == first and time.monotonic() < deadline:
            with contextlib.suppress(OSError):      # what was learned may come as the error of the next call
                sock.send(bytes(size))
            time.sleep(_STEP_S)
            known = sock.getsockopt(level, mtu)
    return str(known)
