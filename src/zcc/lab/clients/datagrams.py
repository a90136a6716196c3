"""A UDP flow held open by its client: one datagram a line of standard input, one line of output each."""

import socket
import sys

_PATIENCE_S = 2.0


def talk(host: str, port: int, source_port: int) -> None:
    """Send lines until standard input ends; print each answer, or `-` when none comes within two seconds."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as sock:
        sock.bind(("", source_port))
        sock.connect(address)
        sock.settimeout(_PATIENCE_S)
        for line in sys.stdin:
            print(_exchange(sock, line.rstrip("\n").encode()), flush=True)


def _exchange(sock: socket.socket, data: bytes) -> str:
    try:
        sock.send(data)
        while True:
            answer = sock.recv(65536)
            if answer.endswith(data):  # an answer to an earlier line may come late
                return answer.decode(errors="replace")
    except TimeoutError:
        return "-"
    except OSError as error:
        return f"- {error.strerror}"
