"""TCP clients: half-close, how a connection is refused, which certificates a server takes."""

import socket
import ssl
import time

_PATIENCE_S = 8.0


def half_close(host: str, port: int, size: int) -> str:
    """Send `size` bytes, close the sending half, return what the server says afterwards."""
    try:
        with socket.create_connection((host, port), _PATIENCE_S) as sock:
            sock.sendall(bytes(size))
            sock.shutdown(socket.SHUT_WR)
            answer = b""
            while chunk := sock.recv(65536):
                answer += chunk
            return answer.decode(errors="replace").strip() or "nothing"
    except OSError as error:
        return f"error: {error}"


def connect(host: str, port: int) -> str:
    """Return how a connection attempt ends and after how many milliseconds."""
    begin = time.monotonic()
    try:
        with socket.create_connection((host, port), _PATIENCE_S):
            word = "connected"
    except ConnectionRefusedError:
        word = "refused"
    except TimeoutError:
        word = "timeout"
    except OSError as error:
        word = "unreachable" if error.errno in (101, 113) else f"error {error}"
    return f"{word} {(time.monotonic() - begin) * 1000:.0f}"


def offer_certificate(host: str, port: int, alpn: str, certificate: str, key: str) -> str:
    """Shake hands with a client certificate and return what the server does with us: `closed: …` or
    `accepted`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # it is the server that judges here
    context.set_alpn_protocols([alpn])
    context.load_cert_chain(certificate, key)
    try:
        with socket.create_connection((host, port), _PATIENCE_S) as plain, context.wrap_socket(plain) as sock:
            sock.sendall(b"\0")
            return "accepted" if sock.recv(1) else "closed"
    except TimeoutError:
        return "accepted: it waits for more"
    except (OSError, ssl.SSLError) as error:
        return f"closed: {getattr(error, 'reason', None) or error}"
