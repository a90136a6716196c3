"""An unbound of one's own on loopback: an authority for the names that a connector would answer itself."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path

__all__ = ["Unbound"]

CONFIGURATION = """
server:
    interface: 127.0.0.1@{port}
    access-control: 127.0.0.0/8 allow
    do-daemonize: no
    username: ""
    chroot: ""
    directory: "{folder}"
    pidfile: "{folder}/unbound.pid"
    use-syslog: no
    logfile: ""
    verbosity: 0
    num-threads: 1
    module-config: "iterator"
    minimal-responses: no
    ede: yes
    edns-buffer-size: 1232
    local-zone: "." refuse
{zones}
remote-control:
    control-enable: no
"""
AUTHORITY = """
auth-zone:
    name: "{name}"
    zonefile: "{file}"
    for-downstream: yes
    for-upstream: no
    fallback-enabled: no
"""
START_S = 10.0
PROBE = b"\0\1\0\0\0\1\0\0\0\0\0\0\7invalid\0\0\1\0\1"


class Unbound:
    """A running unbound; answers over UDP and TCP at `port`."""

    def __init__(self, folder: Path, zones: str, authority: tuple[str, str] | None = None) -> None:
        """Start it.

        Args:
            zones: lines of its server section, such as local-zone and local-data.
            authority: a zone's name and its master file, which is answered as an authority does.
        """
        program = shutil.which("unbound") or "/usr/sbin/unbound"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        file = folder / "unbound.conf"
        indented = "".join(f"    {line}\n" for line in zones.strip().splitlines())
        text = CONFIGURATION.format(port=self.port, folder=folder, zones=indented)
        if authority is not None:
            (folder / "zone").write_text(authority[1])
            text += AUTHORITY.format(name=authority[0], file=folder / "zone")
        file.write_text(text)
        self._process = subprocess.Popen([program, "-d", "-c", str(file)], stderr=subprocess.PIPE, text=True)
        self._wait()

    def ask(self, wire: bytes, patience_s: float = 0.3) -> bytes | None:
        """Return its answer over UDP, or None when it says nothing."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(patience_s)
            asking.connect(("127.0.0.1", self.port))
            asking.send(wire)
            try:
                return asking.recv(65_535)
            except (TimeoutError, ConnectionRefusedError):
                return None

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.communicate(timeout=10)

    def _wait(self) -> None:
        until = time.monotonic() + START_S
        while time.monotonic() < until and self._process.poll() is None:
            if self.ask(PROBE) is not None:
                return
            time.sleep(0.05)
        self._process.kill()
        raise AssertionError(f"unbound does not start: {self._process.communicate()[1]}")
