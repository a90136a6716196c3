"""A web server: says who it is and whom it sees, and sends downloads of any size. HTTP or HTTPS, IPv4 and
IPv6.

GET /                     {"server": …, "client": …, "client_port": …, "host": …}
GET /download/BYTES       that many bytes of `content`
"""

import json
import socket
import ssl
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from zcc.lab.servers.content import blocks


class _Server(ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True
    request_queue_size = 512
    own_name = ""

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        if self.path.startswith("/download/") and self.path.removeprefix("/download/").isdigit():
            self._send_download(int(self.path.removeprefix("/download/")))
        else:
            self._send_identity()

    def _send_identity(self) -> None:
        client = str(self.client_address[0]).removeprefix("::ffff:")
        body = (
            json.dumps(
                {
                    "server": self.server.own_name,
                    "client": client,
                    "client_port": self.client_address[1],
                    "host": self.headers.get("Host", ""),
                }
            ).encode()
            + b"\n"
        )
        self._send_head("application/json", len(body))
        self.wfile.write(body)

    def _send_download(self, size: int) -> None:
        self._send_head("application/octet-stream", size)
        try:
            for block in blocks(size):
                self.wfile.write(block)
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            self.close_connection = True  # the client has had enough

    def _send_head(self, kind: str, size: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(size))
        self.end_headers()


def serve(name: str, port: int, certificate: Path | None = None, key: Path | None = None) -> None:
    """Serve until killed, on every address.

    Args:
        name: what the server calls itself.
        certificate, key: PEM files; with them it speaks HTTPS.
    """
    server = _Server(("::", port), _Handler)
    server.own_name = name
    if certificate and key:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()
